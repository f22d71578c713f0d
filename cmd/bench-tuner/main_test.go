package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func page(t *testing.T, procs int, args ...string) string {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	file := filepath.Join(t.TempDir(), "page.md")
	if err := run(append(args, "-o", file), io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The committed page can be made again byte for byte, on any number of cores.
func TestThePageIsReproducible(t *testing.T) {
	args := []string{"-scenarios", "4", "-methods", "doubling,columns-bound"}
	first := page(t, 1, args...)
	if second := page(t, 2, args...); first != second {
		t.Errorf("first:\n%s\nsecond:\n%s", first, second)
	}
	for _, want := range []string{"| auto_tune |", "| doubling |", "| columns-bound |", "with a limit", "-seed 1", "false accepts"} {
		if !strings.Contains(first, want) {
			t.Errorf("the page lacks %q:\n%s", want, first)
		}
	}
	if page(t, 2, append(args, "-seed", "2")...) == first {
		t.Error("another seed gives the same page")
	}
}

func TestTheTraceShowsEveryLoad(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-only", "1", "-methods", "doubling", "-v"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"scenario 001", "truth: best", " auto_tune\n", " doubling\n", "load s", "job probe", "start s", "regret"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the trace lacks %q:\n%s", want, out.String())
		}
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-only", "x"}, {"-methods", "nobody's", "-only", "1"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%v: accepted", args)
		}
	}
}
