package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// able reports whether this system has what it takes to end a process for certain.
func able() error { return nil }

// bootID is another one after each boot.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

func read(pid int) (entry, error) {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return entry{}, err
	}
	return parseStat(line)
}

// table is every process of the machine at about this moment; those that end meanwhile are left out.
func table() ([]entry, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []entry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if e, err := read(pid); err == nil {
			all = append(all, e)
		}
	}
	return all, nil
}

// Signal sends sig to this very process, or fails with os.ErrProcessDone. Opening a handle first and comparing the identity
// behind it leaves no moment in which the pid could be given to another process.
func (id Identity) Signal(sig syscall.Signal) error {
	handle, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return id.signalByNumber(sig)
	}
	defer unix.Close(handle)
	if !id.Alive() {
		return os.ErrProcessDone
	}
	return gone(unix.PidfdSendSignal(handle, sig, nil, 0))
}

// dieWithCaller has the kernel send SIGTERM to the child when the thread that forked it ends.
func dieWithCaller(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }

func branded(pid int, token string) bool {
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_LOCKS, nil, &limit)
	return err == nil && limit.Cur == brand(token)
}

// Supervise takes that role for the rest of this process's life: orphaned descendants become its children instead of init's,
// and everything it starts from now on bears its brand as well as the mark that Spec.Mark gives. The outermost supervisor's
// brand stays; an inner one is told from the others by mark and descent.
func Supervise(token string) (*Supervisor, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("adopt orphaned descendants: %w", err)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_LOCKS, nil, &limit); err != nil {
		return nil, fmt.Errorf("brand this process: %w", err)
	}
	// A finite limit is an outer supervisor's brand, or a site's wish: neither is ours to change.
	if limit.Cur == unix.RLIM_INFINITY && limit.Max == unix.RLIM_INFINITY {
		limit.Cur = brand(token)
		if err := unix.Prlimit(0, unix.RLIMIT_LOCKS, &limit, nil); err != nil {
			return nil, fmt.Errorf("brand this process: %w", err)
		}
	}
	return &Supervisor{token: token}, nil
}
