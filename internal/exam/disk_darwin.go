package exam

import "golang.org/x/sys/unix"

// noExec is the flag of a file system on which no program may be started.
const noExec = unix.MNT_NOEXEC
