// Package tputest is a fake of the Cloud TPU API, for tests: queued resources over real HTTP, judged by the API's own discovery
// document, whose machines really run their startup scripts, in folders, with a metadata server each. Every answer says in its
// Server header that it is a fake. Where Google's behaviour is not documented, the fake has the one that is harder on a client,
// and says so where it is decided.
package tputest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/internal/proc"
	"vtune/jobs/tpu/tputest/schema"
	"vtune/jobs/tpu/tputest/token"
)

// Options of a server. All may be left out.
type Options struct {
	Project string // vtune-test
	Zone    string // us-east5-b
	Dir     string // where machines have their folders; "": a temporary one
	Pace    Pace
	// Second is how long a second lasts that a request names (validUntilDuration, maxRunDuration) and a machine's shutdown waits for.
	Second time.Duration
	Env    []string // of every machine, beside its own
	Path   []string // of every machine, before the usual directories
}

// Pace is how long a resource stays in each state. What is 0 lasts 2 ms; Notice, 100 ms.
type Pace struct {
	Creating, Accepted, Waiting, Provisioning time.Duration
	Boot                                      time.Duration // from the start of the startup scripts until ACTIVE; 0: none
	Notice                                    time.Duration // from a preemption's notice until the power is gone
	Suspending, Deleting                      time.Duration
}

// Server is the fake.
type Server struct {
	o       Options
	apis    map[string]*schema.API
	tokens  *token.Issuer
	address string

	mu        sync.Mutex
	resources map[string]*resource // by name
	made      int                  // resources so far
	ops       map[string]*operation
	requests  map[string]recorded
	faults    []*Fault
	log       []Request
	quota     int
	capacity  int
	refusals  []refusal // of provisioning
	stubborn  int       // deletions that shall fail
	delay     time.Duration
	api       *http.Server
	issuing   *http.Server
	closed    bool
	failures  []error // of what nobody waits for
	mark      string  // of all its machines, the beginning

	hands sync.WaitGroup // what is under way in the background
}

// New starts a server that ends with the test, and with it every process on its machines.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s := &Server{
		o: o.defaults(), apis: map[string]*schema.API{}, resources: map[string]*resource{}, ops: map[string]*operation{},
		requests: map[string]recorded{}, quota: -1, capacity: -1, mark: fmt.Sprintf("tputest-%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	for _, version := range []string{"v2", "v2alpha1"} {
		api, err := Discovery(version)
		if err != nil {
			t.Fatal(err)
		}
		s.apis[version] = api
	}
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (o Options) defaults() Options {
	set := func(d *time.Duration, usual time.Duration) {
		if *d == 0 {
			*d = usual
		}
	}
	if o.Project == "" {
		o.Project = "vtune-test"
	}
	if o.Zone == "" {
		o.Zone = "us-east5-b"
	}
	set(&o.Second, time.Second)
	set(&o.Pace.Notice, 100*time.Millisecond)
	for _, d := range []*time.Duration{&o.Pace.Creating, &o.Pace.Accepted, &o.Pace.Waiting, &o.Pace.Provisioning, &o.Pace.Suspending, &o.Pace.Deleting} {
		set(d, 2*time.Millisecond)
	}
	return o
}

// discovered documents, read once a process.
var discovered = map[string]func() (*schema.API, error){
	"v2":       sync.OnceValues(func() (*schema.API, error) { return discover("v2") }),
	"v2alpha1": sync.OnceValues(func() (*schema.API, error) { return discover("v2alpha1") }),
}

// Discovery is the API's own description of itself, which lies beside its client library.
func Discovery(version string) (*schema.API, error) { return discovered[version]() }

func discover(version string) (*schema.API, error) {
	var out, complaint bytes.Buffer
	p, err := proc.Start(proc.Spec{Argv: []string{"go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api"}, Stdout: &out, Stderr: &complaint})
	if err != nil {
		return nil, fmt.Errorf("find the discovery document: %w", err)
	}
	if exit := p.Wait(); !exit.OK() {
		return nil, fmt.Errorf("find the discovery document: go list ended as %s: %s", exit, complaint.String())
	}
	document, err := os.ReadFile(filepath.Join(strings.TrimSpace(out.String()), "tpu", version, "tpu-api.json"))
	if err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	return schema.Parse(document)
}

func (s *Server) listen() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = listener.Addr().String()
	s.serve(listener)
	tokens, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.tokens = token.New("http://" + tokens.Addr().String() + "/token")
	mux := http.NewServeMux()
	mux.Handle("POST /token", s.tokens)
	s.issuing = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.outer(w, r, mux.ServeHTTP) })}
	go s.issuing.Serve(tokens) // until Close
	return nil
}

// serve must not be called while the API is up.
func (s *Server) serve(listener net.Listener) {
	api := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.outer(w, r, s.route) })}
	s.mu.Lock()
	s.api = api
	s.mu.Unlock()
	go api.Serve(listener) // until Down or Close
}

// URL of the API, with a slash at its end: what an endpoint option takes.
func (s *Server) URL() string { return "http://" + s.address + "/" }

// Project and Zone that the server has resources in.
func (s *Server) Project() string { return s.o.Project }
func (s *Server) Zone() string    { return s.o.Zone }

// Parent of all resources: projects/P/locations/Z.
func (s *Server) Parent() string { return "projects/" + s.o.Project + "/locations/" + s.o.Zone }

// Env is what a process needs in its environment to take this server for Google's, beside the path of a CredentialsFile.
func (s *Server) Env() []string { return []string{"VTUNE_TPU_ENDPOINT=" + s.URL()} }

// Tokens are those that the API, the metadata servers and the endpoint of the CredentialsFile agree on.
func (s *Server) Tokens() *token.Issuer { return s.tokens }

// CredentialsFile is the path of a service account's key file for this server: what GOOGLE_APPLICATION_CREDENTIALS names.
func (s *Server) CredentialsFile(t testing.TB) string {
	t.Helper()
	return s.tokens.Credentials(t, s.o.Project)
}

// Request is one that came, of whatever worth.
type Request struct {
	At     time.Time
	Method string
	Path   string
	Query  url.Values
	Body   []byte
	Header http.Header // without Authorization
	Code   int         // of the answer; 0: the connection was dropped
}

// Requests that have come so far, those for tokens left out.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.log...)
}

// Count is how many requests came with this method, and whose path contains this.
func (s *Server) Count(method, path string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Method == method && strings.Contains(r.Path, path) {
			n++
		}
	}
	return n
}

// Close ends the server and everything on its machines.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var all []*resource
	for _, r := range s.resources {
		r.epoch++ // no timer of it may act any more
		all = append(all, r)
	}
	api := s.api
	s.mu.Unlock()
	err := errors.Join(api.Close(), s.issuing.Close())
	for _, r := range all {
		err = errors.Join(err, r.dismantle())
	}
	s.hands.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(append(s.failures, err)...)
}
