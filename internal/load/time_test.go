package load

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vtune/internal/load/wire"
)

// The tests of this file run in a bubble whose time passes only when everybody waits, against a server in memory: what they say
// about times is exact, however slow the machine is.

// memory is a listener whose connections are pipes.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}
func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (m *memory) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// bubble runs the test in its own time; the target is served by h.
func bubble(t *testing.T, h http.HandlerFunc, test func(t *testing.T, to Target)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // a server looks whether its client is there only behind the request's end
			h(w, r)
		})}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(m)
		}()
		test(t, Target{dial: m.dial})
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
}

// after answers each request when so much time has passed, or not at all if its client goes.
func after(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if sleep(r.Context(), d) {
			answerWith(w, 3)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// steady is a request every 100 ms.
func steady(requests int) Workload {
	w := plain()
	w.Requests, w.Rate, w.Burstiness = requests, 10, math.Inf(1)
	return w
}

func TestEveryRequestIsSentWhenItIsDueHoweverSlowTheServer(t *testing.T) {
	bubble(t, after(time.Hour), func(t *testing.T, to Target) {
		report, err := Run(t.Context(), to, steady(20), nil)
		if err != nil || report.Summary.Completed != 20 {
			t.Fatalf("%+v, %v", report.Summary, err)
		}
		for i, r := range report.Requests {
			if want := time.Duration(i+1) * 100 * time.Millisecond; r.Due != want || r.Sent != want || r.Done != want+time.Hour {
				t.Errorf("request %d: due %v, sent %v, done %v, want %v and an hour later", i, r.Due, r.Sent, r.Done, want)
			}
		}
		if s := report.Summary; s.MaxLateness != 0 || s.Late != "" {
			t.Errorf("late by %v: %s", s.MaxLateness, s.Late)
		}
	})
}

// A server that stands still for 2 s makes 20 users wait. Who asks only when the last answer has come counts one of them.
func TestOnlyTheClockFromDueSeesThoseWhoWaitOutside(t *testing.T) {
	for from, want := range map[Clock]struct{ p50, p90, p99 float64 }{
		FromSent: {10, 10, 10},
		FromDue:  {10, 1110, 1920},
	} {
		var n atomic.Int32
		stalls := func(w http.ResponseWriter, r *http.Request) {
			d := 10 * time.Millisecond
			if n.Add(1) == 50 {
				d = 2 * time.Second
			}
			after(d)(w, r)
		}
		bubble(t, stalls, func(t *testing.T, to Target) {
			w := steady(101)
			w.LetIn, w.From, w.Percentiles = 1, from, []float64{50, 90, 99}
			report, err := Run(t.Context(), to, w, nil)
			if err != nil || report.Summary.Completed != 101 {
				t.Fatalf("%+v, %v", report.Summary, err)
			}
			got := report.Summary.Latency[E2EL].Percentiles
			for i, want := range []float64{want.p50, want.p90, want.p99} {
				if math.Abs(got[i].Value-want) > want/10 {
					t.Errorf("from %s: P%g is %.0f ms, want about %.0f", from, got[i].P, got[i].Value, want)
				}
			}
			if s := report.Summary; s.MaxLateness != 0 || s.HighestQueueTime < 1800*time.Millisecond || s.HighestQueueTime > 2*time.Second {
				t.Errorf("from %s: the client was late by %v, a request was held for %v", from, s.MaxLateness, s.HighestQueueTime)
			}
		})
	}
}

func TestAClosedLoopKeepsExactlySoManyInFlight(t *testing.T) {
	var now atomic.Int32
	h := func(w http.ResponseWriter, r *http.Request) {
		now.Add(1)
		defer now.Add(-1)
		after(time.Second)(w, r)
	}
	bubble(t, h, func(t *testing.T, to Target) {
		w := plain()
		w.Requests, w.Closed, w.Rate = 15, 3, 0
		done := make(chan Report)
		go func() {
			report, err := Run(t.Context(), to, w, nil)
			if err != nil {
				t.Error(err)
			}
			done <- report
		}()
		for i := range 5 { // in the middle of each second
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			if n := now.Load(); n != 3 {
				t.Errorf("%d in flight in second %d, want 3", n, i)
			}
			time.Sleep(500 * time.Millisecond)
		}
		report := <-done
		for i, r := range report.Requests {
			if r.Due != r.Sent || r.Due.Round(time.Millisecond) != time.Duration(i/3)*time.Second {
				t.Errorf("request %d: due %v, sent %v", i, r.Due, r.Sent)
			}
		}
		if report.Summary.Completed != 15 || report.Summary.Duration != 5*time.Second {
			t.Errorf("%+v", report.Summary)
		}
	})
}

func TestWhoWaitsToBeLetInComesFirst(t *testing.T) {
	var now, most atomic.Int32
	var n atomic.Int32
	h := func(w http.ResponseWriter, r *http.Request) {
		for c, m := now.Add(1), most.Load(); c > m && !most.CompareAndSwap(m, c); m = most.Load() {
		}
		after(time.Duration(100+37*(n.Add(1)%5))*time.Millisecond)(w, r)
		now.Add(-1)
	}
	bubble(t, h, func(t *testing.T, to Target) {
		w := steady(40)
		w.Rate, w.LetIn = 100, 4
		report, err := Run(t.Context(), to, w, nil)
		if err != nil || report.Summary.Completed != 40 {
			t.Fatalf("%+v, %v", report.Summary, err)
		}
		if m := most.Load(); m != 4 {
			t.Errorf("%d in the server at once, want 4", m)
		}
		if !slices.IsSortedFunc(report.Requests, func(a, b Timeline) int { return int(a.Sent - b.Sent) }) {
			t.Error("a request overtook another")
		}
		// In this time nothing takes any, so all of a delay is the queue's.
		for i, r := range report.Requests {
			if r.Sent != r.Due+r.Held || i >= 4 && r.Held == 0 {
				t.Errorf("request %d: due %v, held for %v, sent %v", i, r.Due, r.Held, r.Sent)
			}
		}
		if report.Summary.MaxLateness != 0 {
			t.Errorf("the queue counts as lateness: %v", report.Summary.MaxLateness)
		}
	})
}

func TestAClosedLoopCanWaitToBeLetIn(t *testing.T) {
	bubble(t, after(time.Second), func(t *testing.T, to Target) {
		w := plain()
		w.Requests, w.Closed, w.LetIn, w.Rate = 12, 4, 2, 0
		report, err := Run(t.Context(), to, w, nil)
		if err != nil || report.Summary.Duration != 6*time.Second {
			t.Fatalf("%+v, %v", report.Summary, err)
		}
		// Once it is under way, each waits as long as it is served: four users share two places.
		for i, r := range report.Requests[4:] {
			if r.Done-r.Due != 2*time.Second {
				t.Errorf("request %d: due %v, sent %v, done %v", i+4, r.Due, r.Sent, r.Done)
			}
		}
	})
}

func TestAWatchThatSaysStopEndsTheRunAtOnce(t *testing.T) {
	var begun, gone atomic.Int32
	h := func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		<-r.Context().Done()
		gone.Add(1)
	}
	bubble(t, h, func(t *testing.T, to Target) {
		var calls int
		watch := &Watch{Every: 250 * time.Millisecond, See: func(now time.Duration, requests []Timeline) bool {
			calls++
			return now >= time.Second
		}}
		began := time.Now()
		report, err := Run(t.Context(), to, steady(100), watch)
		if err != nil || !report.Stopped {
			t.Fatalf("stopped %v, %v", report.Stopped, err)
		}
		if took := time.Since(began); took != time.Second || calls != 4 {
			t.Errorf("stopped after %v and %d looks, want 1 s and 4", took, calls)
		}
		synctest.Wait()
		if b, g := begun.Load(), gone.Load(); b != g || b < 9 || b > 10 {
			t.Errorf("the server saw %d requests and %d of them go away, want 9 or 10, and all", b, g)
		}
		time.Sleep(time.Hour)
		if b := begun.Load(); b > 10 {
			t.Errorf("%d requests were sent after the stop", b-10)
		}
		if s := report.Summary; s.Aborted != 100 || s.Failed != 0 || s.Completed != 0 || s.FirstError != "" {
			t.Errorf("%d aborted, %d failed, %d completed (%s), want 100, 0, 0", s.Aborted, s.Failed, s.Completed, s.FirstError)
		}
	})
}

func TestAWatchSeesWhatIsDueAndHowFarItIs(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		answerOne(w)
		if sleep(r.Context(), 350*time.Millisecond) {
			answerOne(w)
			answerEnd(w, 3)
		}
	}
	bubble(t, h, func(t *testing.T, to Target) {
		var looks int
		var last time.Duration
		see := func(now time.Duration, requests []Timeline) bool {
			looks, last = looks+1, now
			for i, r := range requests {
				inFlight := now < r.Due+350*time.Millisecond
				if r.Due > now || r.First != r.Due || (r.Done == 0) != inFlight || r.OK() == inFlight {
					t.Errorf("at %v, request %d: %+v", now, i, r)
				}
			}
			if want := int(now / (100 * time.Millisecond)); len(requests) != min(want, 20) {
				t.Errorf("at %v: %d requests", now, len(requests))
			}
			return false
		}
		const every = 133 * time.Millisecond // never at the moment of an event
		report, err := Run(t.Context(), to, steady(20), &Watch{Every: every, See: see})
		if err != nil || report.Stopped || report.Summary.Completed != 20 {
			t.Fatalf("%+v, %v", report.Summary, err)
		}
		if want := int(report.Summary.Duration / every); looks != want || last >= report.Summary.Duration {
			t.Errorf("%d looks, the last at %v, in a run of %v", looks, last, report.Summary.Duration)
		}
	})
}

func TestALateClientIsTold(t *testing.T) {
	for _, c := range []struct {
		name        string
		delay       time.Duration
		every       int
		scale       float64
		takes       time.Duration
		late        bool
		p99, median time.Duration
	}{
		{name: "on time", every: 1, takes: time.Second},
		{name: "one of ten", delay: 60 * time.Millisecond, every: 10, takes: time.Second, late: true, p99: 60 * time.Millisecond},
		{name: "all, a little", delay: 9 * time.Millisecond, every: 1, takes: time.Second, p99: 9 * time.Millisecond, median: 9 * time.Millisecond},
		{name: "less than a twentieth", delay: 60 * time.Millisecond, every: 10, takes: 2 * time.Second, p99: 60 * time.Millisecond},
		{name: "in a faster world", delay: 60 * time.Millisecond, every: 10, takes: time.Millisecond, scale: 2, p99: 120 * time.Millisecond},
	} {
		bubble(t, after(c.takes), func(t *testing.T, to Target) {
			to.TimeScale = c.scale
			w := steady(200)
			w.Rate = 5
			report, err := run(t.Context(), to, w, nil, func(i int) {
				if i%c.every == 0 {
					time.Sleep(c.delay)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			s := report.Summary
			if (s.Late != "") != c.late || c.late && !strings.Contains(s.Late, "more than 60.0 ms late, where 50.0 ms are tolerable: give the job more CPUs") {
				t.Errorf("%s: late: %q", c.name, s.Late)
			}
			if s.LatenessP99 != c.p99 || s.LatenessP50 != c.median || s.MaxLateness != c.p99 {
				t.Errorf("%s: lateness %v, %v, %v, want %v, %v, %v", c.name, s.LatenessP50, s.LatenessP99, s.MaxLateness, c.median, c.p99, c.p99)
			}
		})
	}
}

func TestArrivalsAfterTheLimitAreLeftOut(t *testing.T) {
	bubble(t, after(time.Second), func(t *testing.T, to Target) {
		w := steady(1000)
		w.MaxDuration = 2500 * time.Millisecond
		report, err := Run(t.Context(), to, w, nil)
		if err != nil || len(report.Requests) != 25 || report.Summary.Completed != 25 || report.Summary.Aborted != 0 {
			t.Errorf("%d requests, %+v, %v", len(report.Requests), report.Summary, err)
		}
		w.MaxDuration = time.Millisecond
		if _, err := Run(t.Context(), to, w, nil); err == nil || !strings.Contains(err.Error(), "no request is due within 1ms") {
			t.Errorf("%v", err)
		}
		w.MaxDuration, w.Closed = 2500*time.Millisecond, 2
		report, err = Run(t.Context(), to, w, nil)
		if err != nil || len(report.Requests) != 6 || report.Summary.Completed != 6 || report.Summary.Duration != 3*time.Second {
			t.Errorf("a closed loop: %d requests, %+v, %v", len(report.Requests), report.Summary, err)
		}
	})
}

// A connection is not worth more than a moment, and a server that never ends a stream must not hold up a run for ever.
func TestAnAnswerIsOverWithItsLastEvent(t *testing.T) {
	var gone atomic.Int32
	h := func(w http.ResponseWriter, r *http.Request) {
		answerWith(w, 3)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone.Add(1)
	}
	bubble(t, h, func(t *testing.T, to Target) {
		began := time.Now()
		report, err := Run(t.Context(), to, steady(5), nil)
		if err != nil || report.Summary.Completed != 5 || report.Summary.Duration != 500*time.Millisecond {
			t.Errorf("%+v, %v", report.Summary, err)
		}
		if took := time.Since(began); took > 500*time.Millisecond+wire.EndWithin {
			t.Errorf("the run took %v", took)
		}
		synctest.Wait()
		if gone.Load() != 5 {
			t.Errorf("%d of 5 streams that do not end were closed", gone.Load())
		}
	})
}

func TestCancellingAbortsWhatIsUnderWay(t *testing.T) {
	bubble(t, after(time.Hour), func(t *testing.T, to Target) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		began := time.Now()
		report, err := Run(ctx, to, steady(100), nil)
		if !errors.Is(err, enough) || time.Since(began) != time.Second || report.Stopped || report.Summary.Aborted != 100 {
			t.Errorf("%v after %v: stopped %v, %d aborted", err, time.Since(began), report.Stopped, report.Summary.Aborted)
		}
	})
}
