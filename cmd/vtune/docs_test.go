package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/caller"

	"mvdan.cc/sh/v3/syntax"
)

// What the pages on Cloud TPU have people type cannot be typed here, for want of Google; but that there are such commands, with such
// flags and so many arguments, can be seen.
func TestTheCommandsOfThePagesOnTPUsExist(t *testing.T) {
	typed := 0
	for _, path := range []string{"../../README.md", "../../docs/tpu.md", "../../docs/serving.md", "../../examples/tpu-v6e/README.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
			for line := range strings.Lines(block[1]) {
				if at := regexp.MustCompile(`(?:^| )vtune ([a-z].*)`).FindStringSubmatch(line); at != nil {
					typed++
					understands(t, path, at[1], true)
				}
			}
		}
		// In a sentence arguments may be left out.
		for _, at := range regexp.MustCompile("`vtune ([a-z][^`]*)`").FindAllStringSubmatch(string(page), -1) {
			typed++
			understands(t, path, strings.ReplaceAll(at[1], "--max-chip-hours N", "--max-chip-hours 1"), false)
		}
	}
	if typed < 30 {
		t.Errorf("%d commands were found", typed)
	}
}

// understands wants vtune to have a command line's command and flags, and, if it is whole, to take its arguments.
func understands(t *testing.T, path, line string, whole bool) {
	t.Helper()
	var words []string
	f, err := syntax.NewParser().Parse(strings.NewReader(line), path)
	if err != nil || len(f.Stmts) != 1 {
		t.Errorf("%s: %q: %v", path, line, err)
		return
	}
	call, ok := f.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok {
		t.Errorf("%s: %q is no command", path, line)
		return
	}
	for _, w := range call.Args {
		words = append(words, line[w.Pos().Offset():w.End().Offset()])
	}
	root := newRoot(&app{Caller: caller.Caller{Out: io.Discard, Err: io.Discard, Program: "vtune", Now: time.Now}})
	root.InitDefaultHelpCmd()
	c, rest, err := root.Find(words)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil && whole {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err != nil || c == root {
		t.Errorf("%s: vtune %s: %v", path, line, err)
	}
}

// The worst case of the TPU example is what its plan says, and what its own page says.
func TestTheTPUExamplesPageSaysWhatItsPlanCosts(t *testing.T) {
	var hours [2]string
	for i, from := range []struct{ path, says string }{
		{"want/plan.txt", `= ([0-9.]+) chip-hours`}, {"README.md", `worst case: ([0-9.]+) chip-hours`},
	} {
		text, err := os.ReadFile("../../examples/tpu-v6e/" + from.path)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(from.says).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s does not say it", from.path)
		}
		hours[i] = string(m[1])
	}
	if hours[0] != hours[1] {
		t.Errorf("the plan says %s chip-hours, the page %s", hours[0], hours[1])
	}
}
