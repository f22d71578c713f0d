package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vtune/cmd/vtune/internal/screen/screentest"
	"vtune/internal/record"
)

// halfway is a copy of the recorded run as it was while its winner was being confirmed.
func halfway(t *testing.T) record.Dir {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/runs/demo")); err != nil {
		t.Fatal(err)
	}
	for _, late := range []string{"result.json", "result.txt", "state.json", "cells/s16-t2048/2/result.json", "cells/s16-t2048/2/observations/006.json"} {
		if err := os.Remove(filepath.Join(dir, late)); err != nil {
			t.Fatal(err)
		}
	}
	return record.Dir(dir)
}

// person is somebody at a terminal in which a command runs.
type person struct {
	*testing.T
	cmd    *exec.Cmd
	tty    *os.File // what the person sees and types on
	other  *os.File // what the command has
	before *unix.Termios
	guard  sync.Mutex
	seen   bytes.Buffer
}

// sits puts a person at a new terminal of 80 times 24, as its session's leader's.
func sits(t *testing.T, env []string, argv ...string) *person {
	t.Helper()
	tty, program := screentest.Terminal(t, 80, 24)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{T: t, cmd: exec.Command(argv[0], argv[1:]...), tty: tty, other: program, before: before}
	p.cmd.Env = append([]string{"TERM=xterm-256color", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = program, program, program
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close(); p.cmd.Process.Kill() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := tty.Read(b)
			p.guard.Lock()
			p.seen.Write(b[:n])
			p.guard.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *person) screen() string {
	p.guard.Lock()
	defer p.guard.Unlock()
	return p.seen.String()
}

// sees awaits words on the screen for the n-th time.
func (p *person) sees(words string, n int) {
	p.Helper()
	for end := time.Now().Add(time.Minute); strings.Count(p.screen(), words) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.cmd.Process.Kill()
			p.Fatalf("waited a minute for %q, %d times; the screen had\n%q", words, n, p.screen())
		}
	}
}

func (p *person) types(keys string) {
	p.Helper()
	if _, err := p.tty.WriteString(keys); err != nil {
		p.Fatal(err)
	}
}

// leaves awaits the command's end with a code, and a terminal that is as it was.
func (p *person) leaves(code int) {
	p.Helper()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) || p.cmd.ProcessState.ExitCode() != code {
		p.Errorf("it ended with %v, not with code %d:\n%q", err, code, p.screen())
	}
	const last = "that was all"
	p.other.WriteString(last)
	p.sees(last, 1) // and so everything that was written before
	after, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil || *after != *p.before {
		p.Errorf("the terminal was left in another mode: %v\nbefore %+v\nafter  %+v", err, p.before, after)
	}
	said := p.screen()
	for on, off := range map[string]string{"\x1b[?1049h": "\x1b[?1049l", "\x1b[?25l": "\x1b[?25h", "\x1b[?2004h": "\x1b[?2004l"} {
		if strings.LastIndex(said, on) > strings.LastIndex(said, off) {
			p.Errorf("%q is the last word of the view:\n%q", on, said)
		}
	}
}

const opened = "\x1b[?1049h" // a screen of one's own

func TestARunIsWatchedOnATerminal(t *testing.T) {
	t.Parallel()
	dir := halfway(t)
	const script = `set -m; "$@"; echo "stopped with $?"; fg >/dev/null; echo "over with $?"`
	p := sits(t, nil, "sh", "-c", script, "sh", filepath.Join(programs, "vtune"), "status", "--watch", "--interval", "1h", string(dir))
	p.sees("1 of 4 cells", 1)
	p.sees("▶", 1)
	p.types("\t\r") // the cell that runs, and its log
	p.sees("EngineCore", 1)
	p.types("q")
	p.sees("seqs", 2)
	p.types("\x1a") // ctrl-z
	p.sees("stopped with", 1)
	p.sees(opened, 2)
	if err := os.WriteFile(filepath.Join(dir.Events(), "x.json"), []byte(`{"at":"2026-11-30T20:00:00Z","kind":"cell","cell":"s16-t2048","what":"news","detail":"fresh"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	p.types("r") // nothing would be looked at for an hour
	p.sees("fresh", 1)
	p.types("q")
	p.sees("over with 0", 1)
	p.leaves(0)
	if said := p.screen(); strings.LastIndex(said, "CELL") < strings.LastIndex(said, "\x1b[?1049l") {
		t.Errorf("the last table does not stay on the screen:\n%q", said)
	}
}

func TestATerminalIsGivenBackToWhoeverEndsTheWatch(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*person){
		"ctrl-c": func(p *person) { p.types("\x03") },
		"term":   func(p *person) { p.cmd.Process.Signal(syscall.SIGTERM) },
		"hangup": func(p *person) { p.cmd.Process.Signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := sits(t, nil, filepath.Join(programs, "vtune"), "status", "--watch", string(halfway(t)))
			p.sees("1 of 4 cells", 1)
			p.types("\x1a") // there is nobody to have it go on, so it does not stop
			p.sees(opened, 2)
			end(p)
			p.leaves(130)
		})
	}
	t.Run("collect", func(t *testing.T) {
		t.Parallel()
		p := sits(t, nil, filepath.Join(programs, "vtune"), "collect", "--watch", "--grace", "1h", string(halfway(t)))
		p.sees("1 of 4 cells", 1)
		p.types("q")
		p.leaves(130)
		p.sees("hint: the jobs go on", 1)
	})
}

// A view is left by a key. That of a run which is over must not end the command that tells of it, which is run once.
func TestWhoLeavesTheViewDoesNotEndTheCommandThatTells(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/runs/demo")); err != nil {
		t.Fatal(err)
	}
	const command = `echo it begins; until test -e "$VTUNE_RUN/go"; do sleep 0.02; done; echo it ends`
	p := sits(t, nil, filepath.Join(programs, "vtune"), "collect", "--watch", "--on-done", command, dir)
	p.sees("it begins", 1)
	if p.types("q"); strings.Count(p.screen(), opened) != strings.Count(p.screen(), "\x1b[?1049l") {
		t.Errorf("the view is open still:\n%q", p.screen())
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.sees("it ends", 1)
	p.leaves(0)
	p.sees("winner   max_num_seqs 16", 1)
}

func TestPlainLinesHaveNoEscapeSequence(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]struct{ env, flag string }{"NO_COLOR": {env: "NO_COLOR=1"}, "dumb": {env: "TERM=dumb"}, "plain": {flag: "--plain"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := halfway(t)
			argv := []string{filepath.Join(programs, "vtune"), "status", "--watch", "--interval", "20ms", string(dir)}
			if how.flag != "" {
				argv = append(argv, how.flag)
			}
			p := sits(t, []string{how.env}, argv...)
			p.sees("23 loads", 1)
			again, err := os.ReadFile("../../testdata/runs/demo/cells/s16-t2048/2/observations/006.json")
			if err == nil {
				err = os.WriteFile(filepath.Join(string(dir), "cells/s16-t2048/2/observations/006.json"), again, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.sees("24 loads", 1)
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.leaves(130)
			if said := p.screen(); strings.Contains(said, "\x1b") {
				t.Errorf("it wrote %q", said)
			}
		})
	}
}
