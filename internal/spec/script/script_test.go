package script

import (
	"os/exec"
	"strings"
	"testing"

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
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read("/s/run.sh", []byte(c.src), map[string]string{"E": "env", "EMPTY": "", "HOME": "/home/u"})
			if err != nil {
				t.Fatal(err)
			}
			if v := got["X"]; v.Unknown != "" || v.Value != c.want || v.Line == 0 || v.Col == 0 {
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
		if v := got["X"]; v.Value != "/s/t" || !v.FromFolder || v.Unknown != "" {
			t.Errorf("%s gives %+v", src, v)
		}
	}
}

func TestWhatOnlyARunCouldTellIsUnknown(t *testing.T) {
	for _, src := range []string{
		"X=$(hostname)", "X=`date`", "X=$((1+1))", "X=$UNSET", "X=${A%b}", "X=${A/b/c}", "X=${#A}", "X=${!A}", "X=${A[1]}", "X=<(ls)", "X=~other/a",
		`X=$'\x41'`, "X[0]=a", "X=([1]=a)", "X=1\nfor i in 1 2; do X=$i; done", "X=1\n[[ -e a ]] && X=2", "X=1\nf() { X=2; }",
		"X=1\ncase $1 in a) X=2;; esac", "A=$(b)\nX=$A", "X=$(cd a && ls)", "X=$(dirname a b)", "X=$(a; b)", "X=${A:?}",
	} {
		got, err := Read("a.sh", []byte(src), nil)
		if err != nil {
			t.Fatal(src, err)
		}
		if v := got["X"]; v.Unknown == "" || v.Line == 0 || v.Col == 0 {
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
		if got[name].FromEnvironment != want {
			t.Errorf("%s: %+v", name, got[name])
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
			if got["X"].Value != want || got["X"].Unknown != "" {
				t.Fatalf("%s gives %+v, want %q", quoted, got["X"], want)
			}
		}
	})
}

// Whatever Read claims to know, bash must say as well.
func TestBashAgreesWithEveryKnownValue(t *testing.T) {
	need.Program(t, "bash", "apt-get install bash")
	known := 0
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", `"b c"`, `'d $A'`, `\ `, `\$`, "$A", `"$A"`, "${B}", "${C:-x}", `${C:-"y z"}`, "${A:+n}", `"\a\\"`, "~", "/", "${A-q}", `"~"`, "${E:-e}", "'", `"`, ":~", "~/", `"${P:-~}"`, `"${P:-'a'}"`, `"${P:-\$}"`, `"${P:-"b c"}"`, `${P:-~}`, `"${P:-$A}"`, `${P:-'$A'}`, `"${P:-a  b}"`, "a:b"})
		var src strings.Builder
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			name := rapid.SampledFrom([]string{"A=", "B=", "X=", "X+=", "export X=", "C="}).Draw(t, "name")
			src.WriteString(name + strings.Join(rapid.SliceOfN(word, 0, 3).Draw(t, "words"), "") + "\n")
		}
		got, err := Read("a.sh", []byte(src.String()), map[string]string{"E": "env", "HOME": "/home/u"})
		if err != nil || got["X"].Unknown != "" {
			return
		}
		known++
		c := exec.Command("bash", "--norc", "--noprofile", "-c", src.String()+"printf %s \"$X\"")
		c.Env = []string{"E=env", "HOME=/home/u"}
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, src.String())
		}
		if string(out) != got["X"].Value {
			t.Fatalf("bash says %q, Read says %q:\n%s", out, got["X"].Value, src.String())
		}
	})
	if known == 0 {
		t.Error("nothing was compared")
	}
}
