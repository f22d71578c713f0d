package cli

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommandLinesAreReadAsArgparseDoes(t *testing.T) {
	type values struct {
		N    int
		X    float64
		S    string
		B    bool
		Pos  []string
		Fail string
	}
	for _, tc := range []struct {
		name string
		args []string
		want values
	}{
		{"both sides", []string{"--n", "1", "model", "--s=a=b"}, values{N: 1, S: "a=b", Pos: []string{"model"}}},
		{"underscores", []string{"--long_name", "x"}, values{S: "x"}},
		{"empty value", []string{"--s", "", "m"}, values{Pos: []string{"m"}}},
		{"negative number", []string{"--x", "-1.5"}, values{X: -1.5}},
		{"switch off", []string{"--b", "--no-b"}, values{}},
		{"switch with value", []string{"--b=1"}, values{Fail: "argument --b: ignored explicit argument '1'"}},
		{"flag for a value", []string{"--s", "--b"}, values{Fail: "argument --s: expected one argument"}},
		{"all unknown words", []string{"a", "--foo", "b", "-q"}, values{Fail: "unrecognized arguments: --foo b -q"}},
	} {
		var got values
		flags := append(Switch("b", &got.B), Int("n", &got.N), Float("x", &got.X), String("s", &got.S), String("long-name", &got.S))
		pos, err := Parse("prog", flags, 1, tc.args)
		got.Pos = pos
		var usage UsageError
		if errors.As(err, &usage) {
			got.Fail = usage.Message
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestThousandsAreGrouped(t *testing.T) {
	for n, want := range map[int]string{7: "7", 999: "999", 1000: "1,000", 909408: "909,408", 1234567: "1,234,567"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
