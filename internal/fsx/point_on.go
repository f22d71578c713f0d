//go:build crashpoints

package fsx

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var passed atomic.Int64

// Point counts a step of a protocol and kills the process there, as kill -9 would, when VTUNE_CRASH_AT names its number.
// VTUNE_CRASH_ROLE limits it to one kind of process: its value must stand in the command line (an agent, a collector).
// VTUNE_CRASH_ONCE names a file that the first process to die makes; no other dies after it. VTUNE_CRASH_LOG gets a line for each
// point.
func Point(step, detail string) {
	if role := os.Getenv("VTUNE_CRASH_ROLE"); role != "" && !strings.Contains(strings.Join(os.Args, " "), role) {
		return
	}
	n := passed.Add(1)
	if path := os.Getenv("VTUNE_CRASH_LOG"); path != "" {
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			fmt.Fprintf(f, "%d %d %s %s\n", os.Getpid(), n, step, detail)
			f.Close()
		}
	}
	if at, err := strconv.ParseInt(os.Getenv("VTUNE_CRASH_AT"), 10, 64); err == nil && at == n && first() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func first() bool {
	once := os.Getenv("VTUNE_CRASH_ONCE")
	if once == "" {
		return true
	}
	f, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
