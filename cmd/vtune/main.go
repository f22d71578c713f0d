// Command vtune tunes vLLM servers on a cluster. Each file here is one command: flags to values, one call, print. This is the
// only package that composes the others, and main is the only place that exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/screen"
	"vtune/internal/diag"
)

func main() { os.Exit(Main()) }

// Main is main with its exit code returned, so that tests can run it as a command of their own.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, os.Args, app{Caller: caller.Caller{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ(), Now: time.Now, Version: caller.Built(version),
	}})
}

// app is whoever calls a command, and how far the command has come.
type app struct {
	caller.Caller
	understood bool // the arguments were right, and a command has begun
}

func run(ctx context.Context, args []string, a app) int {
	a.Program = filepath.Base(args[0])
	a.Err = screen.NewTalk(a.Err, a.Env)
	root := newRoot(&a)
	root.SetArgs(args[1:])
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
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
			fmt.Fprintln(a.Err, "error:", p)
			if p.Hint != "" {
				fmt.Fprintln(a.Err, "hint:", p.Hint)
			}
		}
		return
	}
	if !caller.Quiet(err) {
		fmt.Fprintln(a.Err, "error:", caller.OneLine(err))
	}
	for _, h := range diag.HintsOf(err) {
		fmt.Fprintln(a.Err, "hint:", h)
	}
}
