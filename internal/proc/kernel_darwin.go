package proc

import (
	"errors"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNotHere: darwin has neither subreapers nor limits by which descendants could be known, nor signals at a parent's death. So
// nothing is started there: a server that might be left behind is worse than none. What is left is the login side, which has to be
// known by its identity, since it holds leases.
var errNotHere = errors.New("vtune starts processes on Linux only")

func able() error { return errNotHere }

func bootID() (string, error) { return unix.Sysctl("kern.bootsessionuuid") }

func read(pid int) (entry, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return entry{}, err
	}
	if int(k.Proc.P_pid) != pid {
		return entry{}, fs.ErrNotExist
	}
	return entryOf(k), nil
}

func table() ([]entry, error) {
	ks, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	var all []entry
	for i := range ks {
		all = append(all, entryOf(&ks[i]))
	}
	return all, nil
}

func entryOf(k *unix.KinfoProc) entry {
	const zombie = 5 // SZOMB of <sys/proc.h>
	e := entry{pid: int(k.Proc.P_pid), parent: int(k.Eproc.Ppid), group: int(k.Eproc.Pgid), state: 'R'}
	if k.Proc.P_stat == zombie {
		e.state = 'Z'
	}
	e.start = uint64(k.Proc.P_starttime.Nano()) / 1000
	return e
}

// Signal sends sig to this process, or fails with os.ErrProcessDone.
func (id Identity) Signal(sig syscall.Signal) error { return id.signalByNumber(sig) }

func dieWithCaller(*syscall.SysProcAttr) {}

func branded(int, string) bool { return false }

// Supervise fails: this system gives orphans to its first process, whoever asks for them.
func Supervise(string) (*Supervisor, error) { return nil, errNotHere }
