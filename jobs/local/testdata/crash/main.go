// Command crash is a small user of the local scheduler, built with the crash points by the test that kills it at each of them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
	"vtune/jobs/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2], os.Args[3:]...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command, dir string, rest ...string) error {
	me, err := os.Executable()
	if err != nil {
		return err
	}
	switch command {
	case local.DaemonCommand:
		return local.Daemon(ctx, dir, []string{me})
	case local.RunnerCommand:
		id, err := strconv.Atoi(rest[0])
		if err != nil {
			return err
		}
		return local.RunJob(ctx, dir, id)
	case "hand-over":
		return handOver(ctx, local.New(local.Config{Dir: dir, Program: []string{me}, Slots: 1, Grace: time.Second}), filepath.Dir(dir))
	default:
		return fmt.Errorf("no command %q", command)
	}
}

// handOver submits the jobs a and b, in a chain, looking each name up first, as every user of a scheduler does.
func handOver(ctx context.Context, s *local.Scheduler, work string) error {
	known, err := s.List(ctx, "run")
	if err != nil {
		return err
	}
	var after []jobs.Dependency
next:
	for _, name := range []string{"a", "b"} {
		for _, k := range known {
			if k.Name == name {
				after = []jobs.Dependency{{On: k.Handle, Task: -1, When: record.AfterOK}}
				continue next
			}
		}
		h, err := s.Submit(ctx, jobs.Request{
			Run: "run", Name: name, Script: filepath.Join(work, name+".sh"), Log: filepath.Join(work, "log"), WorkDir: work, After: after,
		})
		if err != nil {
			return err
		}
		after = []jobs.Dependency{{On: h, Task: -1, When: record.AfterOK}}
	}
	return nil
}
