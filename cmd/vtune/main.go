// Command vtune tunes vLLM servers on a cluster. Each file here is one command: flags to values, one call, print. This is the
// only package that composes the others, and main is the only place that exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
)

func main() { os.Exit(Main()) }

// Main is main with its exit code returned, so that tests can run it as a command of their own.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, os.Args, app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(), now: time.Now,
	})
}

// app is what a command may use of the world around it.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      []string
	now      func() time.Time
	program  string // the name this was called by: help, completion and printed next commands use it

	patience   time.Duration // with a scheduler that cannot be reached
	understood bool          // the arguments were right, and a command has begun
}

func run(ctx context.Context, args []string, a app) int {
	a.program = filepath.Base(args[0])
	root := newRoot(&a)
	root.SetArgs(args[1:])
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	c, err := root.ExecuteContextC(ctx)
	err = a.misunderstood(c, err)
	if err == nil {
		return int(diag.OK)
	}
	a.complain(err)
	if ctx.Err() != nil {
		return int(diag.Interrupted)
	}
	return int(diag.CodeOf(err))
}

// complain prints an error as a person reads it: what is wrong, a line each, and below it what to do about it. Quiet outcomes (a
// run that is not over) have their text on stdout already and leave only the hint.
func (a *app) complain(err error) {
	var ps diag.Problems
	if errors.As(err, &ps) {
		ps.Sort()
		for _, p := range ps {
			fmt.Fprintln(a.err, "error:", p)
			if p.Hint != "" {
				fmt.Fprintln(a.err, "hint:", p.Hint)
			}
		}
		return
	}
	if !quiet(err) {
		fmt.Fprintln(a.err, "error:", oneLine(err))
	}
	for _, h := range diag.HintsOf(err) {
		fmt.Fprintln(a.err, "hint:", h)
	}
}

func (a *app) world() tuning.World {
	return tuning.World{Env: a.env, Now: a.now, Program: a.program, Version: version, Err: a.err, Patience: a.patience}
}
