package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// answerWith streams n tokens, one an event, and ends.
func answerWith(w io.Writer, n int) {
	for range n {
		fmt.Fprint(w, `data: {"choices":[{"text":"x"}]}`, "\n\n")
	}
	answerEnd(w, n)
}

// answerEnd counts n tokens, and 25 of prompt.
func answerEnd(w io.Writer, n int) {
	fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", n)
}

// answerOne streams one token now.
func answerOne(w http.ResponseWriter) {
	fmt.Fprint(w, `data: {"choices":[{"text":"x"}]}`, "\n\n")
	_ = http.NewResponseController(w).Flush()
}

func plain() Workload {
	return Workload{Model: "m", Requests: 10, Rate: math.Inf(1), InputLen: 20, PrefixLen: 5, OutputLen: 3, IgnoreEOS: true, Percentiles: []float64{99}}
}

func TestARequestIsWhatVLLMUnderstands(t *testing.T) {
	got := make(chan map[string]any, 1)
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var fields map[string]any
		if err := json.NewDecoder(r.Body).Decode(&fields); err != nil || r.URL.Path != "/v1/completions" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		header = r.Header
		got <- fields
		answerWith(w, 3)
	}))
	defer server.Close()
	zero := 0.0
	w := plain()
	w.Requests, w.Temperature, w.ExtraBody = 1, &zero, map[string]any{"top_k": 1}
	report, err := Run(t.Context(), Target{BaseURL: server.URL, APIKey: "k", Header: http.Header{"X-Run": {"7"}}}, w, nil)
	if err != nil || report.Summary.Completed != 1 || report.Summary.OutputTokens != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	fields := <-got
	if n := len(fields["prompt"].([]any)); n != 25 {
		t.Errorf("a prompt of %d tokens, want 25", n)
	}
	delete(fields, "prompt")
	text, _ := json.Marshal(fields)
	const want = `{"ignore_eos":true,"max_tokens":3,"model":"m","stream":true,"stream_options":{"include_usage":true},"temperature":0,"top_k":1}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if header.Get("Authorization") != "Bearer k" || header.Get("X-Run") != "7" {
		t.Errorf("header %v", header)
	}
}

// The server answers nobody before all requests are there: a closed loop, or a
// schedule that waits for answers, would never get to the last one.
func TestAServerThatDoesNotAnswerDoesNotDelaySends(t *testing.T) {
	var arrived atomic.Int32
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) == 10 {
			close(all)
		}
		select {
		case <-all:
			answerWith(w, 3)
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	w := plain()
	w.Rate, w.Rescale = 200, true
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	report, err := Run(ctx, Target{BaseURL: server.URL}, w, nil)
	if err != nil || report.Summary.Completed != 10 {
		t.Fatalf("%d completed, %v: %s", report.Summary.Completed, err, report.Summary.FirstError)
	}
	for i, r := range report.Requests {
		if r.Sent < r.Due {
			t.Errorf("request %d was sent at %v, before it was due at %v", i, r.Sent, r.Due)
		}
	}
}

func TestConcurrencyIsLimitedOnRequest(t *testing.T) {
	var now, most atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		answerWith(w, 3)
		now.Add(-1)
	}))
	defer server.Close()
	w := plain()
	w.Requests, w.LetIn = 50, 3
	report, err := Run(t.Context(), Target{BaseURL: server.URL}, w, nil)
	if err != nil || report.Summary.Completed != 50 {
		t.Fatalf("%+v, %v", report.Summary, err)
	}
	if m := most.Load(); m > 3 {
		t.Errorf("%d requests at once, want at most 3", m)
	}
}

func TestFailedRequestsAreCountedAndSaySomething(t *testing.T) {
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			http.Error(w, "no such thing", http.StatusBadRequest)
			return
		}
		answerWith(w, 3)
	}))
	defer server.Close()
	report, err := Run(t.Context(), Target{BaseURL: server.URL}, plain(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Summary; s.Completed != 5 || s.Failed != 5 || s.FirstError != "400 Bad Request: no such thing" {
		t.Errorf("%d completed, %d failed, %q", s.Completed, s.Failed, s.FirstError)
	}
}

func TestNobodyListeningIsAReportAndNotAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), Target{BaseURL: "http://" + address}, plain(), nil)
	if err != nil || report.Summary.Failed != 10 || !strings.Contains(report.Summary.FirstError, "connection refused") {
		t.Errorf("%+v, %v", report.Summary, err)
	}
}

func TestCancellingClosesConnectionsAtOnce(t *testing.T) {
	here, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		here <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	w := plain()
	w.Requests, w.LetIn = 2, 1 // the second is never sent
	done := make(chan error, 1)
	var report Report
	go func() {
		var err error
		report, err = Run(ctx, Target{BaseURL: server.URL}, w, nil)
		done <- err
	}()
	<-here
	cancel(stop)
	if err := <-done; !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
	<-gone
	if s := report.Summary; s.Completed != 0 || s.Failed != 0 || s.Aborted != 2 {
		t.Errorf("%d completed, %d failed, %d aborted, want 0, 0 and 2", s.Completed, s.Failed, s.Aborted)
	}
}

func TestCancellingEndsTheWaitForTheSchedule(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := plain()
	w.Rate = 1e-6 // the first request is due in days
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, Target{BaseURL: "http://127.0.0.1:1"}, w, nil)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAUnixSocketIsATarget(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "load")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerWith(w, 3) }))
	server.Listener = l
	server.Start()
	defer server.Close()
	report, err := Run(t.Context(), Target{UnixSocket: path}, plain(), nil)
	if err != nil || report.Summary.Completed != 10 {
		t.Errorf("%+v, %v", report.Summary, err)
	}
}

func TestTimesAreReportedInTheServersTime(t *testing.T) {
	clock := virtual{start: time.Unix(100, 0), scale: 20}
	if at := clock.at(time.Unix(101, 5e8)); at != 30*time.Second {
		t.Errorf("1.5 s at 20x are %v", at)
	}
}

func TestWorkloadsThatWouldMeasureSomethingElseAreRefused(t *testing.T) {
	target := Target{BaseURL: "http://127.0.0.1:1"}
	for name, change := range map[string]func(*Workload, *Target){
		"no requests":      func(w *Workload, _ *Target) { w.Requests = 0 },
		"rate 0":           func(w *Workload, _ *Target) { w.Rate = 0 },
		"rate NaN":         func(w *Workload, _ *Target) { w.Rate = math.NaN() },
		"no prompt":        func(w *Workload, _ *Target) { w.InputLen, w.PrefixLen = 0, 0 },
		"no output":        func(w *Workload, _ *Target) { w.OutputLen = 0 },
		"one-word vocab":   func(w *Workload, _ *Target) { w.Vocab = 1 },
		"percentile 101":   func(w *Workload, _ *Target) { w.Percentiles = []float64{101} },
		"one id":           func(w *Workload, _ *Target) { w.IDs = []int{5} },
		"a negative id":    func(w *Workload, _ *Target) { w.IDs = []int{5, -1} },
		"negative loop":    func(w *Workload, _ *Target) { w.Closed = -1 },
		"negative queue":   func(w *Workload, _ *Target) { w.LetIn = -1 },
		"negative time":    func(w *Workload, _ *Target) { w.MaxDuration = -1 },
		"another clock":    func(w *Workload, _ *Target) { w.From = "asked" },
		"too fast":         func(w *Workload, _ *Target) { w.Rate = maxRate + 1 },
		"too fast, scaled": func(w *Workload, t *Target) { w.Rate, t.TimeScale = maxRate/100, 101 },
		"no address":       func(_ *Workload, t *Target) { t.BaseURL = "" },
		"negative scaling": func(_ *Workload, t *Target) { t.TimeScale = -1 },
	} {
		w, to := plain(), target
		change(&w, &to)
		if _, err := Run(t.Context(), to, w, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, watch := range []*Watch{{Every: time.Second}, {See: func(time.Duration, []Timeline) bool { return false }}} {
		if _, err := Run(t.Context(), target, plain(), watch); err == nil {
			t.Errorf("a watch of %+v: accepted", watch)
		}
	}
}

func TestAServerThatMakesAnotherLengthFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerWith(w, 2) }))
	defer server.Close()
	report, err := Run(t.Context(), Target{BaseURL: server.URL}, plain(), nil)
	if err != nil || report.Summary.Failed != 10 || report.Summary.FirstError != "the server made 2 tokens, 3 were asked for" {
		t.Errorf("%+v, %v", report.Summary, err)
	}
	if err := Once(t.Context(), Target{BaseURL: server.URL}, plain()); err == nil || !strings.Contains(err.Error(), "3 were asked for") {
		t.Errorf("once: %v", err)
	}
}

func TestAClientWithoutFileDescriptorsIsTold(t *testing.T) {
	refuse := func() (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}
	}
	report, err := Run(t.Context(), Target{dial: refuse}, plain(), nil)
	if err != nil || !strings.Contains(report.Summary.Late, "too many open files): raise the limit of open files (ulimit -n)") {
		t.Errorf("%q, %v", report.Summary.Late, err)
	}
}
