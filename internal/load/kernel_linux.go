package load

import (
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kick makes timers of an idle process exact. Its scheduler sleeps in epoll_wait, which counts in whole milliseconds, so that half
// of one is lost in the mean. A timer of the kernel among what epoll_wait waits for ends the sleep in time.
type kick struct {
	fd   int
	file *os.File // has the descriptor watched; nil: timers stay as they are
}

func newKick() *kick {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &kick{}
	}
	return &kick{fd, os.NewFile(uintptr(fd), "timer")}
}

// in asks for an end of sleep; nobody needs to read it.
func (k *kick) in(d time.Duration) {
	if k.file != nil {
		_ = unix.TimerfdSettime(k.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil) // without it, a millisecond late
	}
}

func (k *kick) close() {
	if k.file != nil {
		_ = k.file.Close()
	}
}

// affine is how many cores this process may run on.
func affine() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return math.MaxInt
	}
	return set.Count()
}
