package shell_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"vtune/internal/shell"
)

// slurmOptions reads a script's line as sbatch does (its get_argument): the words of a directive, after it has blanked out the
// first word that begins a component of a heterogeneous job.
func slurmOptions(t interface{ Fatalf(string, ...any) }, line string) []string {
	rest, ok := strings.CutPrefix(line, "#SBATCH")
	if !ok {
		t.Fatalf("%q is no directive", line)
	}
	if at := regexp.MustCompile(`(?i)packjob|hetjob`).FindStringIndex(rest); at != nil {
		rest = rest[:at[0]] + strings.Repeat(" ", at[1]-at[0]) + rest[at[1]:]
	}
	isSpace := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	var words []string
	for i := 0; ; {
		for i < len(rest) && isSpace(rest[i]) {
			i++
		}
		var word []byte
		var quote byte
		escaped := false
		for i < len(rest) && rest[i] != '\n' && rest[i] != 0 && (quote != 0 || !isSpace(rest[i])) {
			c := rest[i]
			switch {
			case escaped:
				escaped = false
				word = append(word, c)
			case c == '\\':
				escaped = true
			case quote != 0 && c == quote:
				quote = 0
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote == 0 && c == '#':
				return words
			default:
				word = append(word, c)
			}
			i++
		}
		if quote != 0 {
			t.Fatalf("%q: unmatched %c", line, quote)
		}
		if len(word) == 0 {
			return words
		}
		words = append(words, string(word))
	}
}

var values = append([]string{
	"gpu", "a b", " lead", "trail ", "a#b", "# all", `a"b`, "a'b", `a\b`, `\`, `\\"`, `"`, "packjob", "x HetJob y", "hetjobpackjob", "hetjob",
	"node[1-4]", "a,b", "%j", "$HOME", "$(id)", "é", "a=b", `\#`, `"#"`,
}, hostile...)

func TestSlurmReadsADirectiveBackAsItsValue(t *testing.T) {
	for _, v := range values {
		line, err := shell.Directive("comment", v)
		if err != nil {
			if utf8.ValidString(v) && !strings.ContainsFunc(v, isControl) {
				t.Errorf("%q is refused: %v", v, err)
			}
			continue
		}
		assertDirective(t, line, v)
	}
}

func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

func assertDirective(t interface {
	Fatalf(string, ...any)
	Errorf(string, ...any)
}, line, value string,
) {
	if strings.ContainsFunc(line, isControl) {
		t.Errorf("%q would break a line", line)
	}
	words := slurmOptions(t, line)
	if len(words) != 1 || words[0] != "--comment="+value {
		t.Errorf("%s\nis read as %q, want the value %q", line, words, value)
	}
}

func TestADirectiveRefusesWhatWouldBreakItsLine(t *testing.T) {
	for _, v := range []string{"a\nb", "a\x00b", "a\rb", "\t", "\x1b[0m", "\x7f", "\u0085", "\u2028", "\xff"} {
		if line, err := shell.Directive("comment", v); err == nil {
			t.Errorf("%q: got %q", v, line)
		}
	}
	for _, k := range []string{"", "-", "a b", "a=b", "a\nb", "comment --wrap", "Comment", "--comment", "a--b"} {
		if line, err := shell.Directive(k, "x"); err == nil {
			t.Errorf("key %q: got %q", k, line)
		}
		if line, err := shell.Flag(k); err == nil {
			t.Errorf("key %q: got %q", k, line)
		}
	}
}

func TestSlurmReadsAnyPrintableValueBack(t *testing.T) {
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"packjob", "HETJOB", "pack", "job", `\`, `"`, "'", "#", " ", "--"}))
	rapid.Check(t, func(t *rapid.T) {
		v := strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "")
		line, err := shell.Directive("comment", v)
		if strings.ContainsFunc(v, isControl) {
			if err == nil {
				t.Fatalf("%q is not refused", v)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		assertDirective(t, line, v)
	})
}

func FuzzDirective(f *testing.F) {
	for _, v := range values {
		f.Add("comment", v)
	}
	f.Add("a b", "x")
	f.Fuzz(func(t *testing.T, key, v string) {
		line, err := shell.Directive(key, v)
		if err != nil {
			return
		}
		words := slurmOptions(t, line)
		if len(words) != 1 || words[0] != "--"+key+"="+v {
			t.Errorf("%s\nis read as %q, want %q = %q", line, words, key, v)
		}
	})
}

func TestANameIsOneThatEveryListingCanHold(t *testing.T) {
	for _, good := range []string{"vt-2026_11_23_10_30-probe-1", "a", "A.b_c-1"} {
		if err := shell.Name(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", ".", "a,b", "a b", "a|b", "a\nb", "é", "a/b", "a%b", strings.Repeat("a", 201)} {
		if shell.Name(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestAFilenameSurvivesSlurmsReplacements(t *testing.T) {
	if got, err := shell.Filename("/a/100%/%j"); err != nil || got != "/a/100%%/%%j" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := shell.TaskFilename("/a/%a/%j/log.%a"); err != nil || got != "/a/%%a/%%j/log.%a" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := shell.Filename(`/a\b`); err == nil {
		t.Errorf("got %q", got)
	}
}
