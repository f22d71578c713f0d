package shell_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/syntax"
	"pgregory.net/rapid"

	"vtune/internal/shell"
)

// hostile are strings that have broken quoting somewhere before.
var hostile = []string{
	"", " ", "plain", "/a/b-c_d.e:f,g%h@i+j", "it's", `"`, `\`, `\\`, `\n`, "$HOME", "$(id)", "`id`", "${x}", "a;b", "a&&b", "a|b", "a>b",
	"#no", "a#b", "~", "~root", "*", "?", "[a]", "{a,b}", "!", "!!", "a=b", "-n", "--", "if", "done", "time", "[[", "}", "function", "coproc", "select",
	"a\nb", "\n", "\r", "\t", "\a\b\x1b", "\x01", "\x7f", "\xff", "\xc3", "a\xffb", "é", "日本", "\u00a0", "\u200b", "\u2028", "\ufeff", "\ufffd", "\U000e0001", "\U0001f600",
	"$'x'", `$'\x00'`, "\u200b0f", "\xff0f", "'\u200b'\\", "<<EOF", "((1))", "x'y\"z`w$v\\u",
}

// throughBash reads words back from bash in one process, in a locale.
func throughBash(t interface{ Fatalf(string, ...any) }, locale string, words []string) []string {
	cmd := exec.Command("bash", "--norc", "-s")
	cmd.Env = []string{"LC_ALL=" + locale, "PATH=/usr/bin:/bin", "HOME=/nowhere"}
	cmd.Stdin = strings.NewReader("printf '%s\\0' " + strings.Join(words, " ") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("bash: %v: %s", err, &stderr)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func quoteAll(t interface{ Fatalf(string, ...any) }, ss []string) []string {
	words := make([]string, len(ss))
	for i, s := range ss {
		w, err := shell.Word(s)
		if err != nil {
			t.Fatalf("Word(%q): %v", s, err)
		}
		if strings.ContainsAny(w, "\n\r\x00") {
			t.Fatalf("Word(%q) = %q is more than one line", s, w)
		}
		words[i] = w
	}
	return words
}

func TestBashReadsEveryWordBackInEveryLocale(t *testing.T) {
	words := quoteAll(t, hostile)
	for _, locale := range []string{"C", "C.UTF-8"} {
		if diff := cmp.Diff(hostile, throughBash(t, locale, words)); diff != "" {
			t.Errorf("%s: %s", locale, diff)
		}
	}
}

func TestBashReadsAnyBytesBack(t *testing.T) {
	byteOf := rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("'\"\\$`\n #!{}=~")))
	anyString := rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOfN(byteOf, 0, 12), func(b []byte) string { return string(b) }),
	).Filter(func(s string) bool { return !strings.Contains(s, "\x00") })
	rapid.Check(t, func(t *rapid.T) {
		ss := rapid.SliceOfN(anyString, 1, 100).Draw(t, "strings")
		locale := rapid.SampledFrom([]string{"C", "C.UTF-8"}).Draw(t, "locale")
		if diff := cmp.Diff(ss, throughBash(t, locale, quoteAll(t, ss))); diff != "" {
			t.Fatalf("%s: %s", locale, diff)
		}
	})
}

func TestANULIsAnError(t *testing.T) {
	if w, err := shell.Word("a\x00b"); err == nil {
		t.Errorf("got %q", w)
	}
	if c, err := shell.Command([]string{"echo", "\x00"}); err == nil {
		t.Errorf("got %q", c)
	}
}

func TestACommandIsOneCallOfItsWordsWhateverTheFirstLooksLike(t *testing.T) {
	for _, first := range hostile {
		line, err := shell.Command([]string{first, first, "x"})
		if err != nil {
			t.Fatal(err)
		}
		f, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(line), "")
		if err != nil {
			t.Errorf("%q: %s: %v", first, line, err)
			continue
		}
		if len(f.Stmts) != 1 {
			t.Errorf("%q: %s: %d statements", first, line, len(f.Stmts))
			continue
		}
		call, ok := f.Stmts[0].Cmd.(*syntax.CallExpr)
		if !ok || f.Stmts[0].Negated || len(call.Assigns) > 0 || len(call.Args) != 3 {
			t.Errorf("%q: %s is not a call of three words", first, line)
		}
	}
	if line, err := shell.Command(nil); err == nil {
		t.Errorf("no words: got %q", line)
	}
}

// FuzzWord sends a string and all its tails through one bash.
func FuzzWord(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") || len(s) > 200 {
			return
		}
		tails := make([]string, 0, len(s)+1)
		for i := range len(s) + 1 {
			tails = append(tails, s[i:])
		}
		locale := "C"
		if utf8.ValidString(s) {
			locale = "C.UTF-8"
		}
		if diff := cmp.Diff(tails, throughBash(t, locale, quoteAll(t, tails))); diff != "" {
			t.Errorf("%s: %s", locale, diff)
		}
	})
}
