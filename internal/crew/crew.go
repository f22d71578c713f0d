package crew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Starter begins a job's script as a step with a share of the allocation to itself. Declared here because the crew is who needs one.
type Starter interface {
	Start(record.Job) (Step, error)
}

// Step is a job under way.
type Step interface {
	// Wait returns when it is over, with its exit code as "code:signal".
	Wait() string
	// Tell passes on why the job must end soon: record.CauseTimeLimit or record.CauseStopped.
	Tell(record.Cause) error
}

// Pool is what a crew whose queue is not its own shares with the others that take jobs from it. Declared here because the crew is who
// needs one.
type Pool interface {
	// Claim takes a job for this crew. ErrTaken: another has it. After any other error nobody knows, and the crew asks again.
	Claim(record.Job) error
	// Taken reports whether another is known to have the job, so that nobody need ask for it.
	Taken(job string) bool
	// Close tells the others that this crew begins nothing more, and brings in the queue as it is afterwards. An error: it is not told
	// yet, and the crew stays open.
	Close() error
}

// ErrTaken says that another crew has a job.
var ErrTaken = errors.New("another has it")

// Config of Run. Optional fields have the value behind them when they are zero.
type Config struct {
	Dir     record.Dir
	Order   record.CrewOrder
	Starter Starter
	Stop    <-chan record.Cause // the allocation is coming to its end
	Done    <-chan struct{}     // the run is over, somebody says who knows; optional
	Pool    Pool                // nil: the crew's queue is its own
	Log     io.Writer

	Now  func() time.Time
	Pace time.Duration // 1 s: between two looks at the run directory, which may be on a busy file server
	// Idle is how long a crew that is fed holds nodes for nobody: 10 min. A collector follows up within its grace of two minutes and
	// asks at least every three; where queueing costs hours, some minutes of idle nodes are the cheaper mistake.
	Idle time.Duration
}

const (
	usualPace = time.Second
	usualIdle = 10 * time.Minute
	// settling is how long a collector beside the crew is given to end by itself when the state says that the run is over: it has
	// answers to write.
	settling = 30 * time.Second
)

// crew is one that works.
type crew struct {
	Config
	folder
	roster *Roster
	steps  map[string]Step
	begun  map[string]time.Time
	gone   map[string]bool // told to end because nobody wants them
	ends   chan end
	closed bool // nothing more is begun
	since  time.Time
	said   map[string]bool // while the pool does not answer: what would be said each second
}

type end struct{ job, exit string }

// Run works the crew's jobs off; it returns when none is under way and none will be begun. Interrupted says that it was told to stop
// before all were over. An error says that it could not work.
func Run(ctx context.Context, c Config) (interrupted bool, err error) {
	if c.Pace <= 0 {
		c.Pace = usualPace
	}
	if c.Idle <= 0 {
		c.Idle = usualIdle
	}
	w := &crew{
		Config: c, folder: newFolder(c), steps: map[string]Step{}, begun: map[string]time.Time{},
		gone: map[string]bool{}, ends: make(chan end), said: map[string]bool{},
	}
	w.roster = NewRoster(c.Order.Unit.Crew.Slots, w.met)
	if c.Pool != nil {
		w.roster.elsewhere = w.metElsewhere
	}
	for _, j := range c.Order.Unit.Jobs {
		w.roster.Add(j)
	}
	// A machine that was started again goes on: what it began before it has claimed, so nothing is begun twice.
	if err := w.begin(); err != nil && (c.Pool == nil || !errors.Is(err, fsx.ErrTaken)) {
		return false, err
	}
	w.say("%d jobs, %d at once", len(c.Order.Unit.Jobs), c.Order.Unit.Crew.Slots)
	return w.work(ctx)
}

func (w *crew) work(ctx context.Context) (interrupted bool, err error) {
	defer func() { w.note(w.publishAboard(w.roster, true)) }()
	tick := time.NewTicker(w.Pace)
	defer tick.Stop()
	w.since = w.Now()
	done := w.Done
	for {
		w.look()
		w.fill()
		if len(w.steps) == 0 && w.finished() {
			return interrupted, nil
		}
		select {
		case e := <-w.ends:
			w.over(e)
		case cause := <-w.Stop:
			interrupted = true
			w.stop(cause)
		case <-ctx.Done():
			interrupted = true
			w.stop(record.CauseStopped)
			ctx = context.WithoutCancel(ctx)
		case <-done:
			w.say("the run is over")
			w.closed, done = true, nil
		case <-tick.C:
		}
	}
}

// look reads what others want: further jobs, and jobs that need not be done.
func (w *crew) look() {
	if w.runCancelled() && !w.closed {
		w.stop(record.CauseStopped)
	}
	if w.Order.Unit.Crew.Feed && !w.closed {
		for _, j := range w.queued() {
			w.roster.Add(j)
		}
	}
	for _, j := range w.roster.Waiting() {
		if w.Pool != nil && w.Pool.Taken(j.ID) {
			w.roster.Drop(j.ID)
		}
	}
	for _, j := range w.roster.Aboard() {
		if !w.gone[j.ID] && w.unwanted(j.ID) {
			w.gone[j.ID] = true
			w.say("%s: nobody wants it any more", j.ID)
			w.note(w.steps[j.ID].Tell(record.CauseStopped))
		}
	}
}

// fill begins what may begin.
func (w *crew) fill() {
	changed := false
	for !w.closed {
		j, ok := w.roster.Next()
		if !ok {
			break
		}
		if !w.claim(j) {
			break
		}
		changed = true
	}
	if changed {
		w.note(w.publishAboard(w.roster, w.closed))
	}
}

// claim begins a job if it is this crew's to begin; false: that could not be found out now.
func (w *crew) claim(j record.Job) (known bool) {
	if w.Pool != nil {
		switch err := w.Pool.Claim(j); {
		case errors.Is(err, ErrTaken):
			w.roster.Return(j.ID)
			w.roster.Drop(j.ID)
			return true
		case err != nil:
			w.roster.Return(j.ID)
			w.sayOnce("%s: not claimed: %v", j.ID, err)
			return false
		}
		clear(w.said)
	}
	w.start(j)
	return true
}

func (w *crew) start(j record.Job) {
	now := w.Now()
	if w.unwanted(j.ID) {
		w.roster.Over(j.ID)
		w.say("%s: not begun, nobody wants it any more", j.ID)
		w.note(w.publishStep(record.Step{Job: j.ID, Ended: now, Cancelled: true}))
		return
	}
	step, err := w.Starter.Start(j)
	if err != nil {
		w.roster.Over(j.ID)
		w.say("%v", err)
		w.note(w.publishStep(record.Step{Job: j.ID, Begun: now, Ended: now, ExitCode: notStarted}))
		return
	}
	w.say("%s begins", j.ID)
	w.steps[j.ID], w.begun[j.ID] = step, now
	w.note(w.publishStep(record.Step{Job: j.ID, Begun: now}))
	go func() { w.ends <- end{j.ID, step.Wait()} }()
}

// notStarted is the exit code of a step whose command could not be run at all, as a shell has it.
const notStarted = "127:0"

func (w *crew) over(e end) {
	w.roster.Over(e.job)
	delete(w.steps, e.job)
	w.since = w.Now()
	w.say("%s is over: %s", e.job, e.exit)
	w.note(w.publishStep(record.Step{
		Job: e.job, Begun: w.begun[e.job], Ended: w.since, ExitCode: e.exit, Cancelled: w.gone[e.job],
	}))
	w.note(w.publishAboard(w.roster, w.closed))
}

// stop begins nothing more and tells every step why.
func (w *crew) stop(cause record.Cause) {
	w.say("told to end: %s", cause)
	w.closed = true
	w.note(w.publishAboard(w.roster, true))
	for _, step := range w.steps {
		w.note(step.Tell(cause))
	}
}

// finished reports whether nothing will be begun any more. Called when nothing is under way. A crew that is fed waits for more; it
// closes before it looks into the queue for the last time, so that whoever feeds it and finds it open afterwards knows that the job
// will be seen. Where others take from the queue too, jobs that wait keep it: for the probe, or for a bucket that cannot be reached.
func (w *crew) finished() bool {
	if w.Pool != nil && len(w.roster.Waiting()) > 0 {
		w.since = w.Now()
	}
	switch {
	case w.closed:
		return true
	case !w.Order.Unit.Crew.Feed:
		if n := len(w.roster.Waiting()); n > 0 {
			w.say("%d jobs wait for what did not come", n)
		}
		return true
	case (w.Done == nil || w.Now().Sub(w.since) >= settling) && w.runOver():
		w.sayOnce("the run is over")
	case w.Now().Sub(w.since) >= w.Idle:
		w.sayOnce("nothing has come for %s", w.Idle)
	default:
		return false
	}
	w.note(w.publishAboard(w.roster, true))
	if w.Pool != nil {
		if err := w.Pool.Close(); err != nil {
			w.sayOnce("not closed: %v", err)
			return false
		}
	}
	w.look()
	w.fill()
	w.closed = true
	return len(w.steps) == 0
}

// note tells what could not be published. Nothing follows from it here: the scheduler's word on the allocation is there in any case.
func (w *crew) note(err error) {
	if err != nil {
		w.say("%v", err)
	}
}

// say puts a line into the crew's log. A log that cannot be written stops nothing.
func (w *crew) say(format string, args ...any) {
	_, _ = fmt.Fprintf(w.Log, "%s %s: %s\n", w.Now().Format("15:04:05"), w.Order.Unit.ID, fmt.Sprintf(format, args...))
}

// sayOnce is say of what stays as it is until a bucket answers.
func (w *crew) sayOnce(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !w.said[text] {
		w.said[text] = true
		w.say("%s", text)
	}
}
