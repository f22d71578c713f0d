package load

import (
	"context"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// virtual turns real time into the server's time.
type virtual struct {
	start time.Time
	scale float64
}

// at is in whole microseconds, so that a timeline is the same in memory and on disk.
func (v virtual) at(t time.Time) time.Duration {
	return time.Duration(float64(t.Sub(v.start)) * v.scale).Truncate(time.Microsecond)
}

func (v virtual) now() time.Duration { return v.at(time.Now()) }

// until waits for an absolute time, so that lateness never adds up.
func (v virtual) until(ctx context.Context, due time.Duration, k *kick) error {
	wait := time.Until(v.start.Add(time.Duration(math.Ceil(float64(due) / v.scale))))
	if wait <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	k.in(wait)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

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
