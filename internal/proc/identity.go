package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Identity names one process for ever: pids are given out again, a pid with its start time since a given boot is not.
type Identity struct {
	Host       string `json:"host"`
	Boot       string `json:"boot"`
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // clock ticks since boot
}

func (id Identity) String() string { return fmt.Sprintf("pid %d on %s", id.PID, id.Host) }

// Self is the identity of the calling process.
func Self() (Identity, error) { return Of(os.Getpid()) }

// Of is the identity of the process that has this pid now; an error wraps fs.ErrNotExist when there is none.
func Of(pid int) (Identity, error) {
	here, err := thisBoot()
	if err != nil {
		return Identity{}, err
	}
	e, err := read(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return here.of(e), nil
}

// thisBoot is an Identity without a process.
func thisBoot() (Identity, error) {
	boot, err := bootID()
	if err != nil {
		return Identity{}, fmt.Errorf("identify this boot: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return Identity{}, fmt.Errorf("identify this machine: %w", err)
	}
	return Identity{Host: host, Boot: boot}, nil
}

func (id Identity) of(e entry) Identity {
	id.PID, id.StartTicks = e.pid, e.start
	return id
}

// Elsewhere reports whether the process belongs to another machine, about which Alive can say nothing.
func (id Identity) Elsewhere() bool {
	host, err := os.Hostname()
	return err != nil || host != id.Host
}

// Alive reports whether the process runs on this machine. A zombie does not; nor does anything from before a reboot.
func (id Identity) Alive() bool {
	here, err := thisBoot()
	if err != nil {
		return false
	}
	e, err := read(id.PID)
	return err == nil && here.of(e) == id && !e.dead()
}

// signalByNumber is for kernels before 5.3, sandboxes that forbid process handles, and systems that have none.
func (id Identity) signalByNumber(sig syscall.Signal) error {
	if !id.Alive() {
		return os.ErrProcessDone
	}
	return gone(unix.Kill(id.PID, sig))
}

func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
