package fsx

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncfs waits for all that was written to dir's file system.
func syncfs(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }
