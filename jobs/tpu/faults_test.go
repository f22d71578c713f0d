package tpu

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vtune/jobs"
	"vtune/jobs/tpu/tputest"
)

// patience bounds every wait for a condition.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestTheAPITakesEveryGoldenRequest(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	server.Capacity(0)
	for _, g := range goldens() {
		s, r := g.order(t)
		s.Config.Endpoint, s.HTTP = server.URL(), &http.Client{Transport: bearer{server}}
		s = again(t, s)
		s.Reservation = g.reservation
		h, err := s.Submit(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", g.file, err)
			continue
		}
		if st := one(t, s); st.State != jobs.Pending || st.Handle != h {
			t.Errorf("%s: %+v", g.file, st)
		}
		if err := s.Cancel(t.Context(), []jobs.Handle{h}); err != nil {
			t.Errorf("%s: %v", g.file, err)
		}
		eventually(t, "it is deleted", func() bool { return len(server.Left()) == 0 })
	}
}

// retrying sends a request once more when its answer is lost or says that the API is at fault, as the client does that vtune uses.
type retrying struct {
	over  http.RoundTripper
	tries atomic.Int32
}

func (c *retrying) RoundTrip(r *http.Request) (*http.Response, error) {
	var w *http.Response
	var err error
	for range 3 {
		try := r.Clone(r.Context())
		if r.GetBody != nil {
			if try.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		c.tries.Add(1)
		if w, err = c.over.RoundTrip(try); err == nil && w.StatusCode < 500 {
			return w, nil
		}
	}
	return w, err
}

func TestALostAnswerCostsNoSecondResource(t *testing.T) {
	for what, f := range map[string]tputest.Fault{
		"500":                  {Code: 500, After: true},
		"503":                  {Code: 503, After: true},
		"a cut connection":     {After: true},
		"503 before anything":  {Code: 503},
		"cut before anything":  {},
		"three lost answers":   {Code: 503, After: true, Times: 3},
		"nothing but failures": {Code: 503, Times: 3},
	} {
		for _, retries := range []bool{false, true} {
			server := tputest.New(t, tputest.Options{})
			s := on(t, server, "v2", t.TempDir())
			if retries {
				s.HTTP = &http.Client{Transport: &retrying{over: bearer{server}}}
				s = again(t, s)
			}
			r := unit(t, s, "machine-1")
			f.Method = http.MethodPost
			server.Inject(f)
			_, err := s.Submit(t.Context(), r)
			if through := retries && f.Times < 3; through != (err == nil) || err != nil && !errors.Is(err, jobs.ErrAmbiguous) {
				t.Errorf("%s, retries %v: %v", what, retries, err)
			}
			server.Heal()
			// What the submit protocol does next: it looks the name up, and asks again where it is not there.
			s = again(t, s)
			st := one(t, s)
			if made := len(server.Left()) == 1; made != (st.Name == r.Name) {
				t.Errorf("%s, retries %v: of %v is listed %+v", what, retries, server.Left(), st)
			}
			h, err := s.Submit(t.Context(), r)
			if left := server.Left(); err != nil || !slices.Equal(left, []string{h.ID}) {
				t.Errorf("%s, retries %v: %v, and there are %v", what, retries, err, left)
			}
			ids := map[string]bool{}
			for _, q := range server.Requests() {
				if q.Method == http.MethodPost {
					ids[q.Query.Get("requestId")] = true
				}
			}
			if len(ids) != 1 {
				t.Errorf("%s, retries %v: request ids %v", what, retries, ids)
			}
		}
	}
}

func TestAResourceOfTheSameIDIsAdoptedOnlyIfItIsThisJobs(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	first := on(t, server, "v2", t.TempDir())
	h, err := first.Submit(t.Context(), unit(t, first, "machine-1"))
	if err != nil {
		t.Fatal(err)
	}
	lost := on(t, server, "v2", t.TempDir()) // whose records of the first try are lost, request id and all
	if adopted, err := lost.Submit(t.Context(), unit(t, lost, "machine-1")); err != nil || adopted != h {
		t.Errorf("its own: %+v, %v", adopted, err)
	}
	other := on(t, server, "v2", t.TempDir())
	other.Site.Spot = true
	r := unit(t, other, "machine-1")
	mine, err := other.order(r)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := first.order(r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Submit(t.Context(), r)
	if !errors.Is(err, jobs.ErrRefused) || !strings.Contains(err.Error(), specHash(mine.body)) || !strings.Contains(err.Error(), specHash(theirs.body)) {
		t.Errorf("another's: %v", err)
	}
	if left := server.Left(); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
}

func TestWithoutQuotaAJobWaitsAndTheQuotaIsNamed(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	server.Quota(1)
	s := on(t, server, "v2", t.TempDir())
	h, err := s.Submit(t.Context(), unit(t, s, "machine-1"))
	if err != nil {
		t.Fatal(err)
	}
	r := unit(t, s, "machine-2")
	_, err = s.Submit(t.Context(), r)
	if !errors.Is(err, jobs.ErrBackpressure) || !strings.Contains(err.Error(), "quota TPUV6EPerProjectPerZoneForTPUAPI is used up") || !strings.Contains(err.Error(), "SUSPENDED") {
		t.Errorf("%v", err)
	}
	if err := s.Cancel(t.Context(), []jobs.Handle{h}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is deleted", func() bool { return len(server.Left()) == 0 })
	if _, err := s.Submit(t.Context(), r); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestAPIsThatCannotBeReachedTookNothing(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	for what, c := range map[string]struct {
		endpoint string
		ctx      context.Context
	}{
		"nobody listens":       {"http://" + address + "/", t.Context()},
		"no such name":         {"http://tpu.invalid/", t.Context()},
		"an end before it all": {"http://" + address + "/", expired},
	} {
		s := schedulerAt(t, v6e(), c.endpoint)
		if _, err := s.Submit(c.ctx, unit(t, s, "machine-1")); !errors.Is(err, jobs.ErrUnavailable) {
			t.Errorf("%s: submit: %v", what, err)
		}
		if _, err := s.List(c.ctx, run); !errors.Is(err, jobs.ErrUnavailable) {
			t.Errorf("%s: list: %v", what, err)
		}
		if err := s.Cancel(c.ctx, []jobs.Handle{{ID: "x"}}); !errors.Is(err, jobs.ErrUnavailable) {
			t.Errorf("%s: cancel: %v", what, err)
		}
	}
}

// The last try may have found nobody, but the first one had been heard.
func TestWhereATryGotThroughAndALaterOneDidNotNothingIsCertain(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	s := on(t, server, "v2", t.TempDir())
	s.HTTP = &http.Client{Transport: &retrying{over: roundTrip(func(r *http.Request) (*http.Response, error) {
		w, err := bearer{server}.RoundTrip(r)
		if err == nil && w.StatusCode == http.StatusOK {
			w.Body.Close()
			if err := server.Down(); err != nil {
				t.Error(err)
			}
			return nil, errors.New("the answer is lost")
		}
		return w, err
	})}}
	s = again(t, s)
	if _, err := s.Submit(t.Context(), unit(t, s, "machine-1")); !errors.Is(err, jobs.ErrAmbiguous) {
		t.Errorf("%v", err)
	}
	if len(server.Left()) != 1 {
		t.Error("the request did not get through: this test shows nothing")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAListIsWholeOrNone(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	server.Capacity(0)
	s := on(t, server, "v2alpha1", t.TempDir())
	if _, err := s.Submit(t.Context(), unit(t, s, "machine-1")); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]tputest.Fault{
		"500": {Code: 500}, "503": {Code: 503}, "429": {Code: 429}, "a cut connection": {}, "401": {Code: 401, Status: "UNAUTHENTICATED"},
	} {
		f.Method, f.Times = http.MethodGet, -1 // Go itself asks again where a connection is cut that was used before
		server.Inject(f)
		if all, err := s.List(t.Context(), run); !errors.Is(err, jobs.ErrUnavailable) || all != nil {
			t.Errorf("%s: %+v, %v", what, all, err)
		}
		server.Heal()
	}
	if st := one(t, s); st.State != jobs.Pending {
		t.Errorf("afterwards: %+v", st)
	}
}

func TestAPreemptedMachineAndAFailedRequestAreDeletedAndKeepTheirCause(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	s := on(t, server, "v2", t.TempDir())
	preempted := unit(t, s, "machine-1")
	write(t, preempted.Script, "#!/bin/bash\nsleep 300\n")
	h, err := s.Submit(t.Context(), preempted)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return one(t, s).State == jobs.Running })
	if err := server.Suspend(h.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is preempted", func() bool { return one(t, s).Word == "SUSPENDED" })
	if st := one(t, s); st.State != jobs.Preempted {
		t.Errorf("%+v", st)
	}
	server.FailDeletions(1)
	if err := s.Cancel(t.Context(), []jobs.Handle{h}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "that deletion comes to nothing", func() bool { return one(t, s).Word == "SUSPENDED" && server.State(h.ID) == "SUSPENDED" })
	if err := s.Cancel(t.Context(), []jobs.Handle{h}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is deleted", func() bool { return len(server.Left()) == 0 })
	server.FailProvisioning("", "Insufficient capacity in zone.")
	failed, err := s.Submit(t.Context(), unit(t, s, "machine-2"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it failed", func() bool { return server.State(failed.ID) == "FAILED" })
	if err := s.Cancel(t.Context(), []jobs.Handle{failed}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is deleted", func() bool { return len(server.Left()) == 0 })
	all, err := again(t, s).List(t.Context(), run)
	if err != nil || len(all) != 2 || all[0].State != jobs.Preempted || all[1].State != jobs.NoLaunch || !strings.Contains(all[1].Reason, "Insufficient capacity") {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestWhatWaitedForTooLongSaysSo(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	server.Capacity(0)
	s := on(t, server, "v2", t.TempDir())
	s.Site.ValidUntil = "1h"
	s = again(t, s)
	h, err := s.Submit(t.Context(), unit(t, s, "machine-1"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return one(t, s).Word == "WAITING_FOR_RESOURCES" })
	if err := server.Expire(h.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is over", func() bool { return one(t, s).State.Ended() })
	if st := one(t, s); st.State != jobs.NoLaunch || !strings.Contains(st.Reason, "site.valid_until (3600s)") {
		t.Errorf("%+v", st)
	}
}

func TestADeletionIsAskedForUntilItIsAccepted(t *testing.T) {
	server := tputest.New(t, tputest.Options{Pace: tputest.Pace{Suspending: 300 * time.Millisecond}})
	s := on(t, server, "v2", t.TempDir())
	r := unit(t, s, "machine-1")
	write(t, r.Script, "#!/bin/bash\nsleep 300\n")
	h, err := s.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return one(t, s).State == jobs.Running })
	if err := server.Suspend(h.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is suspending", func() bool { return server.State(h.ID) == "SUSPENDING" })
	s.pause = time.Millisecond
	if err := s.Cancel(t.Context(), []jobs.Handle{h}); !errors.Is(err, jobs.ErrUnavailable) || !strings.Contains(err.Error(), "SUSPENDING") {
		t.Errorf("while it is: %v", err)
	}
	if n := server.Count(http.MethodDelete, h.ID); n != deletions {
		t.Errorf("%d requests", n)
	}
	for _, q := range server.Requests() {
		if q.Method == http.MethodDelete && q.Query.Get("force") == "true" {
			t.Error("with force")
		}
	}
	s.pause = 200 * time.Millisecond
	if err := s.Cancel(t.Context(), []jobs.Handle{h}); err != nil {
		t.Errorf("then: %v", err)
	}
	eventually(t, "it is deleted", func() bool { return len(server.Left()) == 0 })
}

func TestOneDeletionThatIsRefusedKeepsNoOther(t *testing.T) {
	server := tputest.New(t, tputest.Options{})
	server.Capacity(0)
	s := on(t, server, "v2", t.TempDir())
	var handles []jobs.Handle
	for _, id := range []string{"machine-1", "machine-2", "machine-3"} {
		h, err := s.Submit(t.Context(), unit(t, s, id))
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	server.Inject(tputest.Fault{Method: http.MethodDelete, Path: handles[0].ID, Code: 403, Status: "PERMISSION_DENIED", Message: "tpu.nodes.delete is missing"})
	bad := jobs.Handle{ID: "../" + handles[1].ID}
	err := s.Cancel(t.Context(), append([]jobs.Handle{handles[0], bad}, handles[1:]...))
	if !errors.Is(err, jobs.ErrRefused) || !strings.Contains(err.Error(), "tpu.nodes.delete is missing") || !strings.Contains(err.Error(), "no id of a resource") {
		t.Errorf("%v", err)
	}
	eventually(t, "the others are deleted", func() bool { return slices.Equal(server.Left(), []string{handles[0].ID}) })
	if all, err := s.List(t.Context(), run); err != nil || all[0].State != jobs.Pending {
		t.Errorf("the one that was kept: %+v, %v", all, err)
	}
}
