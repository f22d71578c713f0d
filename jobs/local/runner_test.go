package local

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLeadIsAQuarterOfAShortLimitAndTwoMinutesOfALongOne(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{4 * time.Second: time.Second, 8 * time.Minute: 2 * time.Minute, 24 * time.Hour: 2 * time.Minute} {
		if got := lead(limit); got != want {
			t.Errorf("lead of %s is %s, want %s", limit, got, want)
		}
	}
}

// The interpreter line is read as the kernel reads it, and whatever it says, the script stays the last argument, whole.
func FuzzInterpreter(f *testing.F) {
	for _, line := range []string{"#!/bin/bash", "#!/bin/bash -l", "#! /usr/bin/env  bash -x \t", "#!", "#!   ", "", "echo", "#!/bin/sh\r"} {
		f.Add(line + "\necho\n")
	}
	f.Add("#!" + strings.Repeat("/x", 4000))
	f.Fuzz(func(t *testing.T, text string) {
		script := filepath.Join(t.TempDir(), "a script")
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		argv, err := interpreter(script)
		if err != nil {
			return
		}
		if n := len(argv); n < 2 || n > 3 || argv[n-1] != script || slices.Contains(argv, "") {
			t.Errorf("%q gives %q", text, argv)
		}
		if !strings.HasPrefix(text, "#!") || strings.ContainsAny(strings.Join(argv, ""), "\n") {
			t.Errorf("%q gives %q", text, argv)
		}
	})
}
