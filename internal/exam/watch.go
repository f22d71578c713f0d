package exam

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vtune/internal/doctor"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Standing is how the job fares at its scheduler.
type Standing struct {
	Known   bool
	Pending bool
	Over    bool
	State   string // the scheduler's word
	Reason  string
	Exit    string
	Node    string
}

// Watch awaits the findings of a job that has just been submitted.
type Watch struct {
	Dir   record.Dir
	Look  func(context.Context) (Standing, error)
	Wait  time.Duration // for the job to start
	Run   time.Duration // for the job to end once it has started
	Grace time.Duration // for files of a job that is over to be seen
	Poll  time.Duration // between two looks at the folder
	Ask   time.Duration // between two questions to the scheduler
}

// Prepare makes the folder in which the two sides meet.
func Prepare(dir record.Dir) error {
	if err := os.Mkdir(Exchange(dir), 0o755); err != nil {
		return err
	}
	return fsx.Claim(filepath.Join(Exchange(dir), claimedDir))
}

// Await plays this side of the exchange until the findings are there or there is nothing left to wait for; an error is that of
// ctx, or of this side's files. A scheduler that does not answer is asked again: only its silence to the end of a wait counts.
func (w Watch) Await(ctx context.Context) (doctor.Job, error) {
	a := awaiting{Watch: w, began: time.Now()}
	tick := time.NewTicker(w.Poll)
	defer tick.Stop()
	for {
		done, err := a.look()
		if done || err != nil {
			return a.job, err
		}
		if time.Since(a.asked) >= w.Ask {
			a.ask(ctx)
		}
		if a.late() {
			return a.job, nil
		}
		select {
		case <-ctx.Done():
			return a.job, ctx.Err()
		case <-tick.C:
		}
	}
}

// awaiting is what Await knows so far.
type awaiting struct {
	Watch
	job     doctor.Job
	began   time.Time
	asked   time.Time
	started time.Time
	over    time.Time
	sent    []time.Time // of the pings
}

// look reads the folder once, and answers what is new in it.
func (a *awaiting) look() (done bool, err error) {
	dir := Exchange(a.Dir)
	there, err := listed(dir)
	if err != nil {
		return false, err
	}
	var t times
	if now := time.Now(); a.job.Greeting == nil && there[greetingFile] && fsx.ReadJSON(filepath.Join(dir, greetingFile), &t) == nil {
		a.job.Greeting = &doctor.Greeting{Made: t.Made, Seen: now}
		a.begun()
		if err := a.ping(); err != nil {
			return false, err
		}
	}
	// A file that is listed and cannot be read yet is looked at again.
	n := len(a.sent)
	if now := time.Now(); n > len(a.job.Rounds) && there[pongFile(n)] && fsx.ReadJSON(filepath.Join(dir, pongFile(n)), &t) == nil {
		a.job.Rounds = append(a.job.Rounds, doctor.Round{Sent: a.sent[n-1], Seen: t.Seen, Answered: t.Made, Back: now})
		if n < rounds {
			if err := a.ping(); err != nil {
				return false, err
			}
		}
	}
	var f doctor.Findings
	if there[findingsFile] && fsx.ReadJSON(filepath.Join(dir, findingsFile), &f) == nil {
		a.job.Findings = &f
		return true, nil
	}
	return false, nil
}

func (a *awaiting) ping() error {
	now := time.Now()
	a.sent = append(a.sent, now)
	return fsx.PublishJSON(filepath.Join(Exchange(a.Dir), pingFile(len(a.sent))), times{Made: now})
}

func (a *awaiting) begun() {
	if a.started.IsZero() {
		a.started = time.Now()
		a.job.Started, a.job.Waited = true, a.started.Sub(a.began).Seconds()
	}
}

func (a *awaiting) ask(ctx context.Context) {
	s, err := a.Look(ctx)
	a.asked = time.Now()
	if err != nil {
		return
	}
	if s.Known {
		a.job.State, a.job.Reason, a.job.Exit, a.job.Node = s.State, s.Reason, s.Exit, s.Node
	}
	// A job that was known and is not any more has ended.
	if a.over.IsZero() && (s.Over || !s.Known && !a.started.IsZero()) {
		a.over = a.asked
		a.job.Over = true
	}
	if s.Known && !s.Pending && !s.Over {
		a.begun()
	}
}

// late reports whether there is nothing left to wait for.
func (a *awaiting) late() bool {
	switch {
	case !a.over.IsZero():
		return time.Since(a.over) > a.Grace
	case !a.started.IsZero():
		return time.Since(a.started) > a.Run
	}
	a.job.Waited = time.Since(a.began).Seconds()
	return time.Since(a.began) > a.Wait
}

// LastLine is the last line of a job's log.
func LastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return last(strings.TrimRight(string(data), "\n"))
}
