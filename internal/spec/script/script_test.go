package script

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/syntax"
	"pgregory.net/rapid"

	"vtune/internal/need"
)

func TestValuesAsBashWouldSetThem(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"plain", "X=a", "a"},
		{"empty", "X=", ""},
		{"single quotes", `X='a $b \c'`, `a $b \c`},
		{"double quotes", `X="a \$b \c \" \\"`, `a $b \c " \`},
		{"an escape", `X=a\ b\$c`, "a b$c"},
		{"joined", `X=a'b'"c"`, "abc"},
		{"another variable", "A=1\nX=$A-${A}", "1-1"},
		{"a default", "X=${X:-d}", "d"},
		{"a default with quotes", `X=${X:-"a b"}`, "a b"},
		{"a default of a default", "X=${P:-${Q-q}}", "q"},
		{"an empty default", `X=${X:-""}`, ""},
		{"an environment value", "X=${E:-d}", "env"},
		{"an empty environment value", "X=${EMPTY:-d}", "d"},
		{"an empty environment value that counts", "X=${EMPTY-d}", ""},
		{"an assigned default", "X=${P:=p}", "p"},
		{"the home", "X=~/a", "/home/u/a"},
		{"a quoted tilde", `X="~/a"`, "~/a"},
		{"later wins", "X=1\nX=2", "2"},
		{"append", "X=1\nX+=2", "12"},
		{"an array", "X=(1 '2 3')", "1 2 3"},
		{"an array that grows", "X=(1)\nX+=(2)", "1 2"},
		{"export", "export X=1 Y=2", "1"},
		{"declare", "declare -r X=1", "1"},
		{"readonly", "readonly X=1", "1"},
		{"an export without a value", "X=1\nexport X", "1"},
		{"a block", "{ X=1; }", "1"},
		{"a subshell", "X=1\n(X=2)", "1"},
		{"one command's environment", "X=1\nX=2 ls", "1"},
		{"a function's own", "X=1\nf() { local X=2; }", "1"},
		{"two on a line", "X=1; Y=2", "1"},
		{"arithmetic", "A=10\nX=$(( (A + 2) * 3 - 7 / 2 % 2 ))", "35"},
		{"an array's element", "L=(1 '2 3')\nX=${L[1]}${L[-1]}", "2 32 3"},
		{"an array without an index", "L=(1 2)\nX=$L", "1"},
		{"all of an array", `L=(1 2)` + "\n" + `X="${L[*]}-${L[@]}"`, "1 2-1 2"},
		{"an array of an array", "L=(1 2)\nX=(0 \"${L[@]}\")", "0 1 2"},
		{"an array of what falls apart", "L='1 2'\nX=(0 $L)", "0 1 2"},
		{"an assigned default that stays", ": ${X:=d}", "d"},
		{"an alternative", "A=1\nX=${A:+b}${B+c}", "b"},
		{"if nothing is set", `if [ -z "$X" ]; then X=d; fi`, "d"},
		{"if something is set", `X=1` + "\n" + `if [[ -z ${X:-} ]]; then X=d; fi`, "1"},
		{"an else", `if [ "$E" = other ]; then X=1; elif [ "$E" == env ]; then X=2; else X=3; fi`, "2"},
		{"unless", `if ! [ -n "$X" ]; then X=d; fi`, "d"},
		{"without quotes", `if [ -z $X ]; then X=d; fi`, "d"},
		{"nothing without quotes", `if [ -n $X ]; then X=d; fi`, "d"},
		{"and", `[[ -z "$X" && $E != x ]] && X=d`, "d"},
		{"or", `[ -n "$X" ] || X=d`, "d"},
		{"unset", "X=1\nE=2\nunset E\nX=${E:-none}", "none"},
		{"after a heredoc", "cat <<EOF\nX=no\nEOF\nX=1", "1"},
		{"a function after it", "X=1\nf() { local X; X=2; }\nX=3", "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read("/s/run.sh", []byte(c.src), map[string]string{"E": "env", "EMPTY": "", "HOME": "/home/u"})
			if err != nil {
				t.Fatal(err)
			}
			if v := got.Set["X"]; v.Unknown != "" || v.Value != c.want || v.Line == 0 || v.Col == 0 {
				t.Errorf("got %+v, want %q", v, c.want)
			}
		})
	}
}

func TestTheScriptsFolderIsFoundWithoutRunningIt(t *testing.T) {
	for _, src := range []string{
		`X=$(dirname "$0")`,
		`X=$(dirname -- "${BASH_SOURCE[0]}")`,
		`X=$( cd -- "$( dirname -- "${BASH_SOURCE[0]}" )" &> /dev/null && pwd )`,
		"X=`cd $(dirname $0) >/dev/null && pwd -P`",
		`X=$(dirname "$(realpath "$0")")`,
		`D=$(dirname "$(readlink -f "$BASH_SOURCE")"); X=$D`,
	} {
		got, err := Read("/s/t/run.sh", []byte(src), nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Set["X"]; v.Value != "/s/t" || !v.FromFolder || v.Unknown != "" {
			t.Errorf("%s gives %+v", src, v)
		}
	}
}

func TestWhatOnlyARunCouldTellIsUnknown(t *testing.T) {
	for _, src := range []string{
		"X=$(hostname)", "X=`date`", "X=$((A+1))", "X=$((010))", "X=$((1/0))", "X=$((9999999999*9999999999))", "TP=1\nX=1\n((X++))", "X=1\nlet X=2", "read X", "X=1\nprintf -v X 1", "X=$UNSET", "X=${A%b}", "X=${A/b/c}", "X=${#A}", "X=${!A}", "X=${A[1]}", "X=<(ls)", "X=~other/a",
		`X=$'\x41'`, "X[0]=a", "X=([1]=a)", "X=1\nfor i in 1 2; do X=$i; done", "X=1\n[[ -e a ]] && X=2", "X=1\nf() { X=2; }",
		"X=1\ncase $1 in a) X=2;; esac", "A=$(b)\nX=$A", "X=$(cd a && ls)", "X=$(dirname a b)", "X=$(a; b)", "X=${A:?}",
	} {
		got, err := Read("a.sh", []byte(src), nil)
		if err != nil {
			t.Fatal(src, err)
		}
		if v := got.Set["X"]; v.Unknown == "" || v.Line == 0 || v.Col == 0 {
			t.Errorf("%s gives %+v", src, v)
		}
	}
}

func TestWhereAValueComesFromIsTold(t *testing.T) {
	got, err := Read("a.sh", []byte("A=${E:-d}\nB=$A/x\nC=c\nE=e\nD=$E\n"), map[string]string{"E": "env"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"A": true, "B": true, "C": false, "D": false} {
		if got.Set[name].FromEnvironment != want {
			t.Errorf("%s: %+v", name, got.Set[name])
		}
	}
}

func TestQuotedValuesComeBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringMatching(`[ -~äß]{0,20}`).Draw(t, "value")
		single := "'" + strings.ReplaceAll(want, "'", `'\''`) + "'"
		double, err := syntax.Quote(want, syntax.LangBash)
		if err != nil {
			t.Fatal(err)
		}
		for _, quoted := range []string{single, double} {
			got, err := Read("a.sh", []byte("A="+quoted+"\nX=${B:-\"$A\"}\n"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Set["X"].Value != want || got.Set["X"].Unknown != "" {
				t.Fatalf("%s gives %+v, want %q", quoted, got.Set["X"], want)
			}
		}
	})
}

// Whatever Read claims to know, bash must say as well: the value of a variable, and the words of a command.
func TestBashAgreesWithEveryKnownValue(t *testing.T) {
	need.Program(t, "bash", "apt-get install bash")
	known := 0
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{
			"a", `"b c"`, `'d $A'`, `\ `, `\$`, "$A", `"$A"`, "${B}", "${C:-x}", `${C:-"y z"}`, "${A:+n}", `"\a\\"`, "~", "/", "${A-q}", `"~"`, "${E:-e}", "'", `"`, ":~", "~/", `"${P:-~}"`, `"${P:-'a'}"`, `"${P:-\$}"`, `"${P:-"b c"}"`, `${P:-~}`, `"${P:-$A}"`, `${P:-'$A'}`, `"${P:-a  b}"`, "a:b",
			`"${L[@]}"`, "${L[*]}", "$L", `"${L[1]}"`, "${L[-1]}", "$((1 + 2*3 - 8/3%2))", "$(( N * (N - 5) ))", "${Q:=q r}", `"${Q}"`, "${A+set}", "  ", "7", "-1",
		})
		var src strings.Builder
		src.WriteString("show() { printf '%s\\n' \"$#\" \"$@\"; }\n")
		for range rapid.IntRange(1, 6).Draw(t, "lines") {
			words := strings.Join(rapid.SliceOfN(word, 0, 3).Draw(t, "words"), "")
			form := rapid.SampledFrom([]string{
				"A=%", "B=%", "X=%", "X+=%", "export X=%", "C=%", "N=%", "L=(% a)", "L+=(%)", "L+=%", "if [ -z \"$A\" ]; then X=%; else B=%; fi", "[[ $A == a ]] && X=%",
				"[ -n % ] || X=1", "[ % ] && X=1", "[ % = a ] && X=1 || B=2", ": %", "unset A", "unset E", "((N++))", "for i in 1 2; do A=%; done", "[[ -n $B || ! $A = % ]] && L+=(x)", "true && X=%", "N=$((N+1))", "f() { X=%; }", "{ B=%; }", "(X=%)",
			}).Draw(t, "form")
			src.WriteString(strings.ReplaceAll(form, "%", words) + "\n")
		}
		src.WriteString("show " + strings.Join(rapid.SliceOfN(word, 0, 3).Draw(t, "call"), rapid.SampledFrom([]string{"", " "}).Draw(t, "space")) + "\n")
		got, err := Read("a.sh", []byte(src.String()), map[string]string{"E": "env", "HOME": "/home/u"})
		if err != nil {
			return
		}
		c := exec.Command("bash", "--norc", "--noprofile", "-c", src.String()+"printf '%s' \"X=${X[*]}\"")
		c.Env = []string{"E=env", "HOME=/home/u", "PATH=/nowhere"} // a drawn word must not be a command
		out, err := c.Output()
		if err != nil {
			return // a division by zero, a name that is none
		}
		shown, x, _ := strings.Cut(string(out), "X=")
		if v, set := got.Set["X"]; set && v.Unknown == "" {
			known++
			if x != v.Value {
				t.Fatalf("bash says %q, Read says %q:\n%s", x, v.Value, src.String())
			}
		}
		i := slices.IndexFunc(got.Calls, func(c Call) bool { return len(c.Words) > 0 && c.Words[0].Text == "show" })
		if i < 0 {
			return // it is within quotes
		}
		want := fmt.Sprintf("%d\n", len(got.Calls[i].Words)-1)
		for _, w := range got.Calls[i].Words[1:] {
			want += w.Text + "\n"
			if w.Unknown != "" || w.Line == 0 {
				return
			}
		}
		known++
		if shown != want {
			t.Fatalf("bash calls show with %q, Read says %q:\n%s", shown, want, src.String())
		}
	})
	if known == 0 {
		t.Error("nothing was compared")
	}
}

const caller = `#!/bin/bash
ARGS=(--a "b c")
export ARGS EXTRA="--d  e"
serve() {
  local limit=$1
  local all=("$MODEL" --limit "$limit")
  if [[ -n $2 ]]; then all+=(--profiled); fi
  V=1 W="$limit" tool serve "${all[@]}" "${ARGS[@]}" $EXTRA > log 2>&1 &
  for i in {1..60}; do curl x && break; sleep 10; done
}
if [ "$UNKNOWN_AT_HOME" ]; then echo never; fi
while (( $(echo "1 >= 0.9") )); do serve 3 | tee log; done
MODEL=m
tool bench || exit 1
`

func TestCallsAreReadWhereverTheyStand(t *testing.T) {
	got, err := Read("a.sh", []byte(caller), nil)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, c := range got.Calls {
		var words []string
		for _, a := range c.Assigns {
			words = append(words, a.Name+"="+a.Text)
		}
		for _, w := range c.Words {
			if w.Unknown != "" {
				w.Text = "?" + w.Source
			}
			words = append(words, w.Text)
		}
		calls = append(calls, fmt.Sprintf("%d:%d %s", c.Line, c.Col, strings.Join(words, "|")))
	}
	want := []string{
		"12:36 serve|3", "12:46 tee|log", "14:1 tool|bench", "14:15 exit|1",
		`8:3 V=1|W=|tool|serve|m|--limit|?"$limit"|?--profiled|--a|b c|--d|e`, "9:24 curl|x", "9:34 break", "9:41 sleep|10",
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(got.Waits) != 1 || got.Waits[0] != (Wait{9, 3, 600}) {
		t.Errorf("waits %+v", got.Waits)
	}
	if !got.Set["EXTRA"].Exported || !got.Set["ARGS"].Exported || got.Set["MODEL"].Exported {
		t.Errorf("exported: %+v", got.Set)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{caller, "X=(${X[@]})", "X=${X[-1]}", "[ ]", "[", "[[ a ]]", "let", "printf -v", "unset", ": ${X:=${X:=1}}", "X=$((--1))", "if ! ; then", "for i in {1..}; do sleep; done", "X+=(1)\nX[0]=2\n$X", "a() { a; }", "export -- X", "declare -x", "$(($(a)))", "((a=b=1))"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := Read("f.sh", src, map[string]string{"HOME": "/h"})
		if err != nil {
			return
		}
		for name, v := range got.Set {
			if v.Line == 0 || v.Col == 0 {
				t.Fatalf("%s without a place: %+v", name, v)
			}
		}
		for _, c := range got.Calls {
			if c.Line == 0 || c.Col == 0 {
				t.Fatalf("a call without a place: %+v", c)
			}
		}
	})
}
