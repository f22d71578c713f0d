package exam

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vtune/internal/doctor"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// folder is a check-up's folder with an order in it, and the path of that.
func folder(t *testing.T, o doctor.Order) (record.Dir, string) {
	t.Helper()
	dir := record.Dir(t.TempDir())
	if err := os.MkdirAll(dir.Job(Job), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	o.Kind = doctor.KindExam
	if err := fsx.PublishJSON(dir.Assignment(Job), o); err != nil {
		t.Fatal(err)
	}
	return dir, dir.Assignment(Job)
}

// program is a script on a PATH of its own.
func program(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func offline() []string { return append(os.Environ(), "HF_HUB_OFFLINE=1") }

func pending(context.Context) (Standing, error) {
	return Standing{Known: true, Pending: true, State: "PENDING", Reason: "Resources"}, nil
}

func watch(dir record.Dir, look func(context.Context) (Standing, error)) Watch {
	return Watch{Dir: dir, Look: look, Wait: time.Minute, Run: time.Minute, Grace: 100 * time.Millisecond, Poll: 5 * time.Millisecond, Ask: 20 * time.Millisecond}
}

func TestTheTwoSidesMeet(t *testing.T) {
	t.Parallel()
	model := t.TempDir()
	if err := os.WriteFile(filepath.Join(model, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	command := []string{program(t, "vllm", `echo warning >&2; echo "INFO starting"; echo "$FLAVOUR $*"`)}
	dir, order := folder(t, doctor.Order{
		Server: record.Server{Command: command, Model: model, Environment: map[string]string{"FLAVOUR": "0.32.0"}}, Patience: 60,
	})
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), Config{Dir: dir, Assignment: order, Env: offline(), Log: io.Discard})
	}()
	job, err := watch(dir, pending).Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	f := job.Findings
	if job.Greeting == nil || len(job.Rounds) != rounds || f == nil || !job.Started {
		t.Fatalf("%+v", job)
	}
	if f.Answered != rounds || f.Claims != "" || f.TempProblem != "" || f.Socket != "" || f.Host == "" || f.CPUs == 0 {
		t.Errorf("%+v", f)
	}
	if f.Version.Line != "0.32.0 --version" || f.Version.Exit != "" || f.Model.Folder != model || !f.Model.Local {
		t.Errorf("%+v %+v", f.Version, f.Model)
	}
	if low, high, ok := doctor.Clocks(job.Rounds); !ok || low > 0 || high < 0 {
		t.Errorf("one clock differs from itself by %s to %s", low, high)
	}
}

// Where this side's files are not seen on the node, the node says so and goes on.
func TestANodeThatSeesNothingSaysSo(t *testing.T) {
	t.Parallel()
	dir, order := folder(t, doctor.Order{Server: record.Server{Command: []string{"true"}, Model: "/none"}, Patience: 0.05})
	if err := Run(t.Context(), Config{Dir: dir, Assignment: order, Env: offline(), Log: io.Discard}); err != nil {
		t.Fatal(err)
	}
	job, err := watch(dir, pending).Await(t.Context())
	if err != nil || job.Findings == nil || job.Findings.Answered != 0 || len(job.Rounds) != 0 {
		t.Errorf("%+v, %v", job, err)
	}
}

// Two jobs could do one job's work where a folder that the other machine has made can be made again.
func TestAClaimOfTheOtherSideThatIsNotSeenIsToldApart(t *testing.T) {
	t.Parallel()
	dir, order := folder(t, doctor.Order{Server: record.Server{Command: []string{"true"}, Model: "/none"}})
	if err := os.Remove(filepath.Join(Exchange(dir), claimedDir)); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Config{Dir: dir, Assignment: order, Env: offline(), Log: io.Discard}); err != nil {
		t.Fatal(err)
	}
	var f doctor.Findings
	if err := fsx.ReadJSON(filepath.Join(Exchange(dir), findingsFile), &f); err != nil || !strings.Contains(f.Claims, "the other machine has made") {
		t.Errorf("%q, %v", f.Claims, err)
	}
}

func TestWaitingEndsWhenThereIsNothingToWaitFor(t *testing.T) {
	t.Parallel()
	standing := func(s Standing) func(context.Context) (Standing, error) {
		return func(context.Context) (Standing, error) { return s, nil }
	}
	for _, c := range []struct {
		name  string
		look  func(context.Context) (Standing, error)
		tune  func(*Watch)
		holds func(doctor.Job) bool
	}{
		{
			"it does not start", pending, func(w *Watch) { w.Wait = 50 * time.Millisecond },
			func(j doctor.Job) bool { return !j.Started && !j.Over && j.Reason == "Resources" && j.Waited >= 0.05 },
		},
		{
			"it is over and left nothing", standing(Standing{Known: true, Over: true, State: "FAILED", Exit: "1:0"}), func(*Watch) {},
			func(j doctor.Job) bool { return j.Over && j.Exit == "1:0" && j.Greeting == nil },
		},
		{
			"it runs and says nothing", standing(Standing{Known: true, State: "RUNNING"}), func(w *Watch) { w.Run = 50 * time.Millisecond },
			func(j doctor.Job) bool { return j.Started && !j.Over && j.State == "RUNNING" },
		},
		{
			"nobody answers", func(context.Context) (Standing, error) { return Standing{}, context.DeadlineExceeded }, func(w *Watch) { w.Wait = 50 * time.Millisecond },
			func(j doctor.Job) bool { return !j.Started && !j.Over },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, _ := folder(t, doctor.Order{})
			w := watch(dir, c.look)
			c.tune(&w)
			job, err := w.Await(t.Context())
			if err != nil || !c.holds(job) || job.Findings != nil {
				t.Errorf("%+v, %v", job, err)
			}
		})
	}
}

// A job that was seen to run and is not known any more is over, and its files have as long to be seen as any.
func TestAJobThatVanishedIsOver(t *testing.T) {
	t.Parallel()
	dir, _ := folder(t, doctor.Order{})
	asked := 0
	job, err := watch(dir, func(context.Context) (Standing, error) {
		if asked++; asked == 1 {
			return Standing{Known: true, State: "RUNNING"}, nil
		}
		return Standing{}, nil
	}).Await(t.Context())
	if err != nil || !job.Over || job.State != "RUNNING" {
		t.Errorf("%+v, %v", job, err)
	}
}

func TestAnInterruptionEndsTheWait(t *testing.T) {
	t.Parallel()
	dir, _ := folder(t, doctor.Order{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := watch(dir, pending).Await(ctx); err != context.Canceled {
		t.Error(err)
	}
}

func TestAnAssignmentOfARunIsNoOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assignment.json")
	if err := fsx.PublishJSON(path, record.Assignment{Kind: record.KindCell}); err != nil {
		t.Fatal(err)
	}
	if Ordered(path) || Ordered(path+".absent") {
		t.Error("it is taken for one")
	}
	if _, order := folder(t, doctor.Order{}); !Ordered(order) {
		t.Error("an order is not")
	}
}

func TestWhatACommandSaysAndHowItEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		holds        func(doctor.Output) bool
	}{
		{"well", "echo a; echo; echo 0.1.2; echo", func(o doctor.Output) bool { return o.Line == "0.1.2" && o.Exit == "" }},
		{"with its version on stderr", "echo 0.1.2 >&2", func(o doctor.Output) bool { return o.Line == "0.1.2" && o.Exit == "" }},
		{"with an error", "echo out; echo 'ImportError: x' >&2; exit 3", func(o doctor.Output) bool { return o.Line == "ImportError: x" && o.Exit == "3:0" }},
		{"too late", "trap '' TERM; sleep 60 & wait; sleep 60", func(o doctor.Output) bool { return o.TimedOut }},
		{"with a torrent", "head -c 1000000 /dev/zero | tr '\\0' x; echo", func(o doctor.Output) bool { return len(o.Line) == 200 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			patience := 20 * time.Second
			if c.name == "too late" {
				patience = 100 * time.Millisecond
			}
			if o := run(t.Context(), patience, os.Environ(), program(t, "p", c.script)); !c.holds(o) {
				t.Errorf("%+v", o)
			}
		})
	}
	if o := run(t.Context(), time.Second, nil, "/no/such/program"); !o.Missing || !strings.Contains(o.Line, "/no/such/program") {
		t.Errorf("%+v", o)
	}
}

func TestGPUsAreTakenFromNvidiaSMI(t *testing.T) {
	smi := program(t, "nvidia-smi", `echo "NVIDIA H200, 570.86.15, 143771 MiB"; echo "NVIDIA H200, 570.86.15, 143771 MiB"`)
	t.Setenv("PATH", filepath.Dir(smi)+":"+os.Getenv("PATH"))
	n := node{Config: Config{Env: append(os.Environ(), "CUDA_VISIBLE_DEVICES=2,3")}}
	n.gpus(t.Context())
	if len(n.found.GPUs) != 2 || n.found.GPUs[1] != (doctor.GPU{Name: "NVIDIA H200", Driver: "570.86.15", Memory: "143771 MiB"}) || n.found.Devices != "2,3" {
		t.Errorf("%+v", n.found)
	}
	t.Setenv("PATH", t.TempDir())
	n = node{}
	n.gpus(t.Context())
	if n.found.SMI != nil {
		t.Errorf("%+v", n.found.SMI)
	}
}

// The hub is asked with the token, which goes nowhere else: not to where the hub redirects, not into an error.
func TestTheTokenIsForTheHubAlone(t *testing.T) {
	t.Parallel()
	const token = "hf_secret"
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodHead || r.URL.Path != "/hub/org/name/resolve/main/config.json":
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Authorization") != "Bearer "+token:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}
	}))
	defer hub.Close()
	env := []string{"HF_ENDPOINT=" + hub.URL + "/hub", "HOME=" + t.TempDir()}
	s := record.Server{Model: "org/name"}
	if m := model(t.Context(), s, append(env, "HF_TOKEN="+token)); m.Status != http.StatusTemporaryRedirect || !m.Token || m.Error != "" {
		t.Errorf("%+v", m)
	}
	if m := model(t.Context(), s, env); m.Status != http.StatusUnauthorized || m.Token {
		t.Errorf("%+v", m)
	}
	if m := model(t.Context(), record.Server{Model: "org/none"}, env); m.Status != http.StatusNotFound {
		t.Errorf("%+v", m)
	}
	if m := model(t.Context(), s, append(env, "HF_HUB_OFFLINE=1")); m.Asked {
		t.Errorf("%+v", m)
	}
	hub.Close()
	if m := model(t.Context(), s, append(env, "HF_TOKEN="+token)); m.Error == "" || strings.Contains(m.Error, token) {
		t.Errorf("%+v", m)
	}
}

func TestACachedModelIsFoundWhereAServerLooks(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	snapshot := filepath.Join(cache, "hub", "models--org--name", "snapshots", "abc")
	if err := os.MkdirAll(snapshot, 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"HF_HOME=" + cache, "HF_HUB_OFFLINE=1"}
	if m := model(t.Context(), record.Server{Model: "org/name"}, env); m.Folder != "" {
		t.Errorf("a folder without a config.json: %+v", m)
	}
	if err := os.WriteFile(filepath.Join(snapshot, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if m := model(t.Context(), record.Server{Model: "org/name"}, env); m.Folder != snapshot || m.Local {
		t.Errorf("%+v", m)
	}
}

func TestTheWayOutIsTheServersOwn(t *testing.T) {
	t.Parallel()
	at := func(env ...string) string {
		r := httptest.NewRequest(http.MethodHead, "https://hub.example.org/x", nil)
		u, err := proxy(env)(r)
		if err != nil || u == nil {
			return ""
		}
		return u.String()
	}
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, ""},
		{[]string{"HTTPS_PROXY=http://proxy:3128"}, "http://proxy:3128"},
		{[]string{"https_proxy=proxy:3128"}, "http://proxy:3128"},
		{[]string{"HTTP_PROXY=http://other:1"}, ""},
		{[]string{"https_proxy=http://proxy:1", "no_proxy=a,.example.org"}, ""},
		{[]string{"https_proxy=http://proxy:1", "no_proxy=le.org"}, "http://proxy:1"},
	} {
		if got := at(c.env...); got != c.want {
			t.Errorf("%v: %q, want %q", c.env, got, c.want)
		}
	}
}

func TestADiskIsThatOfTheNearestFolderThatThereIs(t *testing.T) {
	dir := t.TempDir()
	here, err := StatDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	below, err := StatDisk(filepath.Join(dir, "not", "there"))
	if err != nil || below.Magic != here.Magic || below.Path != filepath.Join(dir, "not", "there") {
		t.Errorf("%+v, %+v, %v", here, below, err)
	}
}
