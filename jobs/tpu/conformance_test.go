package tpu

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vtune/internal/record"
	"vtune/internal/shell"
	"vtune/jobs"
	"vtune/jobs/jobstest"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/token"
)

// bearer is a client that a server of tputest lets in.
type bearer struct {
	server *tputest.Server
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	access, _ := b.server.Tokens().Issue([]string{token.ScopeCloud})
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+access)
	return http.DefaultTransport.RoundTrip(r)
}

// on is a scheduler for the resources of a server of tputest.
func on(t testing.TB, server *tputest.Server, version, dir string) *Scheduler {
	t.Helper()
	site := v6e()
	site.Project, site.Zone, site.API = server.Project(), server.Zone(), version
	s, err := New(Config{HTTP: &http.Client{Transport: bearer{server}}, Endpoint: server.URL(), Site: site, Dir: record.Dir(dir), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.pause = 100 * time.Millisecond
	return s
}

// runs is a scheduler with a run's directory for each run, as each command of vtune has one. Around a script it puts what the startup
// script of a machine does for a job: its directory, its log, and its end told in done.json.
type runs struct {
	t      *testing.T
	server *tputest.Server
	root   string
	api    string

	mu sync.Mutex
	of map[string]*Scheduler // by run
	by map[string]string     // run by resource
}

func (r *runs) run(id string) *Scheduler {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[id] == nil {
		r.of[id] = on(r.t, r.server, r.api, filepath.Join(r.root, id))
	}
	return r.of[id]
}

func (r *runs) word(s string) string {
	w, err := shell.Word(s)
	if err != nil {
		r.t.Error(err)
	}
	return w
}

func (r *runs) Capabilities(ctx context.Context) (jobs.Capabilities, error) {
	return r.run("any").Capabilities(ctx)
}

func (r *runs) Submit(ctx context.Context, q jobs.Request) (jobs.Handle, error) {
	s := r.run(q.Run)
	script, err := os.ReadFile(q.Script)
	if err != nil {
		return jobs.Handle{}, err
	}
	unit := filepath.Base(filepath.Dir(q.Script))
	done := s.Dir.Done(unit)
	wrapped := fmt.Sprintf(`#!/bin/bash
cd %s
cat >%s <<'end of the script'
%send of the script
bash %[2]s >%[4]s 2>&1
code=$?
printf '{"schema":1,"unit":"%%s","exit_code":"%%d:0"}' %[5]s $code >%[6]s.new && mv %[6]s.new %[6]s
`, r.word(q.WorkDir), r.word(q.Script+".copy"), script, r.word(q.Log), r.word(unit), r.word(done))
	q.Script += ".startup"
	if err := os.WriteFile(q.Script, []byte(wrapped), 0o644); err != nil {
		return jobs.Handle{}, err
	}
	h, err := s.Submit(ctx, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[h.ID] = q.Run
	return h, err
}

func (r *runs) List(ctx context.Context, id string) ([]jobs.Status, error) {
	return r.run(id).List(ctx, id)
}

func (r *runs) Cancel(ctx context.Context, handles []jobs.Handle) error {
	for _, h := range handles {
		r.mu.Lock()
		id := r.by[h.ID]
		r.mu.Unlock()
		if err := r.run(id).Cancel(ctx, []jobs.Handle{h}); err != nil {
			return err
		}
	}
	return r.run("any").Cancel(ctx, nil)
}

func TestCloudTPUKeepsThePromisesOfThePort(t *testing.T) {
	for version, noLimit := range map[string]string{"v2": "the API's v2 knows no limit on how long a machine lives", "v2alpha1": ""} {
		t.Run(version, func(t *testing.T) {
			server := tputest.New(t, tputest.Options{})
			root := t.TempDir()
			jobstest.Run(t, func(t *testing.T) jobstest.Env {
				return jobstest.Env{
					Scheduler: &runs{t: t, server: server, root: root, api: version, of: map[string]*Scheduler{}, by: map[string]string{}},
					Dir:       root, Wait: 20 * time.Second,
					BadScript:      []byte("#!/bin/bash\necho \xff\n"),
					NoTimeLimit:    noLimit,
					NoBegin:        "a queued resource begins as soon as there is room for it",
					NoDependencies: "queued resources do not wait for one another",
					Elsewhere:      "a script runs on a machine of its own",
				}
			})
		})
	}
}
