package kernel

import (
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kick makes timers of an idle process exact. Its scheduler sleeps in epoll_wait, which counts in whole milliseconds, so that half
// of one is lost in the mean. A timer of the kernel among what epoll_wait waits for ends the sleep in time.
type Kick struct {
	fd   int
	file *os.File // has the descriptor watched; nil: timers stay as they are
}

func NewKick() *Kick {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &Kick{}
	}
	return &Kick{fd, os.NewFile(uintptr(fd), "timer")}
}

// In asks for an end of sleep; nobody needs to read it.
func (k *Kick) In(d time.Duration) {
	if k.file != nil {
		_ = unix.TimerfdSettime(k.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil) // without it, a millisecond late
	}
}

func (k *Kick) Close() {
	if k.file != nil {
		_ = k.file.Close()
	}
}

// Cores is how many cores this process may run on.
func Cores() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return math.MaxInt
	}
	return set.Count()
}
