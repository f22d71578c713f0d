package load

import (
	"fmt"
	"math"
	"runtime"
	"syscall"
	"time"

	"vtune/internal/load/kernel"
)

// A client that cannot keep its own schedule measures itself. Lateness is part of a latency that counts from when a request was
// due, and turns a Poisson stream into bursts for one that counts from when it was sent, so a run is no observation when the
// latest hundredth was later than 10 ms and than a twentieth of the median E2EL: that is more than two runs of the same server
// differ by. With less, the error is inside the noise of what is measured.
const (
	lateness      = 10 * time.Millisecond
	latenessShare = 0.05
	// Above this share of its CPU time a process waits for a core most of the times that it is woken, and the stamps of chunks
	// are late too, which no schedule shows. The start of a burst is all CPU and no waiting, so short runs are not judged.
	busy     = 0.9
	busyFrom = 2 * time.Second
)

// effort is what a run cost the client.
type effort struct {
	began     time.Time
	cpu       time.Duration
	exhausted string // the resource that this process ran out of
}

func startEffort() effort { return effort{began: time.Now(), cpu: cpuTime()} }

// judge fills in what only the process that ran the load can know.
func (e effort) judge(s *Summary, w Workload, scale float64) {
	wall := time.Since(e.began)
	if wall > 0 {
		s.CPUShare = (cpuTime() - e.cpu).Seconds() / wall.Seconds() / float64(cores())
	}
	switch {
	case e.exhausted != "":
		s.Late = fmt.Sprintf("the client could not open all connections (%s): raise the limit of open files (ulimit -n), or send fewer requests at once", e.exhausted)
	case scale > 1:
		// A clock that is faster than ours makes each hiccup of this machine that much longer. Nobody takes a simulation for
		// a measurement, so it is not held against one.
	case wall >= busyFrom && s.CPUShare > busy:
		s.Late = fmt.Sprintf("the client used %.0f %% of its CPU time (%d cores) and cannot tell when an answer came: give the job more CPUs, or run fewer servers on this node",
			100*s.CPUShare, cores())
	case w.Closed == 0 && !math.IsInf(w.Rate, 1):
		allowed := max(millis(lateness), latenessShare*s.Latency[E2EL].Median)
		if late := millis(s.LatenessP99); late > allowed {
			s.Late = fmt.Sprintf("the client sent 1 %% of its requests more than %.1f ms late, where %.1f ms are tolerable: give the job more CPUs, or keep other work off this node", late, allowed)
		}
	}
}

// cores is how many this process may use: by affinity, and by the container's quota, which the runtime has looked up.
func cores() int {
	return max(min(runtime.GOMAXPROCS(0), kernel.Cores()), 1)
}

// cpuTime is zero if the kernel does not tell, which makes no run look busy.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
