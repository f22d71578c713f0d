package fsx

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncfs has all file systems written, which is as near as this one comes to a single one's.
func syncfs(*os.File) error { return unix.Sync() }
