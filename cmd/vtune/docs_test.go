package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/caller"

	"mvdan.cc/sh/v3/syntax"
)

// Every command of every page exists, with such flags and so many arguments. What a block of sh has is typed as well, by the test below
// or by that of the README; a console shows what needs a cluster, a cloud or files that are nobody's here.
func TestTheCommandsOfThePagesExist(t *testing.T) {
	typed := 0
	for _, path := range pages(t) {
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
		// In a sentence arguments may be left out, and lines broken.
		for _, at := range regexp.MustCompile("`vtune ([a-z][^`]*)`").FindAllStringSubmatch(string(page), -1) {
			typed++
			understands(t, path, strings.ReplaceAll(strings.ReplaceAll(at[1], "\n", " "), "--max-chip-hours N", "--max-chip-hours 1"), false)
		}
	}
	if typed < 100 {
		t.Errorf("%d commands were found", typed)
	}
}

// pages are all that is written for people, but for what is made from the program itself.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../examples/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return slices.DeleteFunc(all, func(path string) bool { return filepath.Base(path) == "cli.md" })
}

// The commands in sh of all pages but the README, typed in a folder where there is what they speak of: a spec, a script, and runs that
// are over.
func TestTheCommandsOfThePagesWork(t *testing.T) {
	dir := t.TempDir()
	for from, to := range map[string]string{
		"../../testdata/runs/demo": "RUN", "../../testdata/runs/demo-again": "RUN_A", "../../testdata/runs/demo-slower": "RUN_B",
	} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("../../internal/spec/autotune/testdata/newest.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"auto_tune.sh": string(script), "runs.json": `[{"model": "org/model", "max_latency_allowed_ms": 500}]`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	typed := 0
	for _, path := range pages(t) {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) == "README.md" && filepath.Dir(path) == "../.." {
			continue // which has a test of its own
		}
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
			typed++
			c := exec.Command("bash", "-e", "-c", block[1])
			c.Dir = dir
			c.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "PATH="+programs+":"+os.Getenv("PATH"), "BASELINE=RUN_A", "NEW=RUN_A")
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s:\n%s\n%v\n%s", path, block[1], err, out)
			}
		}
	}
	if typed < 3 {
		t.Errorf("%d blocks were found", typed)
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
