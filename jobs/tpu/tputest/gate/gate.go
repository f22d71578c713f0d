// Package gate stands before a storage emulator, for tests: it asks for the tokens that an emulator does not, counts what is
// asked, and spoils it. It does not judge what a request means; that is the emulator's part.
package gate

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Check says whether a token is known and not expired, and good for one of the scopes.
type Check func(token string, scopes ...string) (known, allowed bool)

// scopes with which objects may be read and written.
var scopes = []string{
	"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/devstorage.full_control", "https://www.googleapis.com/auth/devstorage.read_write",
}

// Gate is a proxy to one emulator.
type Gate struct {
	target  *url.URL
	address string
	check   Check

	mu     sync.Mutex
	server *http.Server
	faults []*Fault
	calls  map[string]int
	log    []Call
	skew   time.Duration
	chance *rand.Rand
}

// Call is a request that came.
type Call struct {
	Kind   string // list, get, put, chunk, stat, delete, bucket, other
	Method string
	Path   string // as it was sent, escapes kept
	Query  url.Values
	Code   int // of the answer; 0: there was none, or not the whole one
}

// Effect is what becomes of a request.
type Effect int

const (
	Unavailable Effect = iota // 503, and nothing was done
	Dropped                   // the connection is cut before anything was done
	Lost                      // what was asked is done; the answer is lost
	CutUpload                 // the connection breaks in the middle of the request's body, here and at the emulator
	CutDownload               // the connection breaks in the middle of the answer's body
	TooMany                   // 429
)

// Fault is something that goes wrong with requests that it fits.
type Fault struct {
	Kind   string // as in Call; "": any
	Name   string // a part of the object's name, or of the prefix that is listed; "": any
	Skip   int    // how many it lets pass before
	Times  int    // how many it hits; 0: one, -1: all until Heal
	Share  float64
	Effect Effect
	// RetryAfter goes with Unavailable and TooMany.
	RetryAfter string
}

// New opens a gate before endpoint that ends with the test. A nil check lets everybody through.
func New(t testing.TB, endpoint string, check Check) *Gate {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{target: target, address: listener.Addr().String(), check: check, calls: map[string]int{}, chance: rand.New(rand.NewPCG(1, 2))}
	g.serve(listener)
	t.Cleanup(func() {
		if err := g.Down(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *Gate) serve(listener net.Listener) {
	server := &http.Server{Handler: g}
	g.mu.Lock()
	g.server = server
	g.mu.Unlock()
	go server.Serve(listener) // until Down
}

// URL is where the emulator seems to be.
func (g *Gate) URL() string { return "http://" + g.address + g.target.Path }

// Down refuses connections and cuts those that are open.
func (g *Gate) Down() error {
	g.mu.Lock()
	server := g.server
	g.mu.Unlock()
	return server.Close()
}

// Up opens the gate again, at the same address.
func (g *Gate) Up() error {
	listener, err := net.Listen("tcp", g.address)
	if err != nil {
		return fmt.Errorf("open the gate again: %w", err)
	}
	g.serve(listener)
	return nil
}

// Inject adds a fault. With a Share it hits that part of the requests, by a seed that is always the same.
func (g *Gate) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, &f)
}

// Heal ends all faults.
func (g *Gate) Heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = nil
}

// Skew lets the Date of all answers differ from the true time.
func (g *Gate) Skew(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.skew = d
}

// Calls made so far by kind, those that came to nothing included.
func (g *Gate) Calls() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]int{}
	for kind, n := range g.calls {
		out[kind] = n
	}
	return out
}

// Log is every request that came, in the order of their ends.
func (g *Gate) Log() []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Call(nil), g.log...)
}

// kindOf tells what a request is for, and which object or prefix it names.
func kindOf(r *http.Request) (kind, name string) {
	q := r.URL.Query()
	_, rest, _ := strings.Cut(r.URL.EscapedPath(), "/b/")
	_, object, below := strings.Cut(rest, "/o")
	object = strings.TrimPrefix(object, "/")
	if plain, err := url.PathUnescape(object); err == nil {
		object = plain
	}
	switch {
	case strings.Contains(r.URL.Path, "/upload/") && q.Get("upload_id") != "":
		return "chunk", q.Get("name")
	case strings.Contains(r.URL.Path, "/upload/"):
		return "put", q.Get("name")
	case !below && rest != "" && r.Method == http.MethodGet:
		return "bucket", ""
	case below && object == "" && r.Method == http.MethodGet:
		return "list", q.Get("prefix")
	case below && r.Method == http.MethodGet && q.Get("alt") == "media":
		return "get", object
	case below && r.Method == http.MethodGet:
		return "stat", object
	case below && r.Method == http.MethodDelete:
		return "delete", object
	}
	return "other", object
}

func (g *Gate) fault(kind, name string) *Fault {
	for i, f := range g.faults {
		if f.Kind != "" && f.Kind != kind || !strings.Contains(name, f.Name) || f.Share > 0 && g.chance.Float64() >= f.Share {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		if f.Times == 0 {
			g.faults = append(g.faults[:i:i], g.faults[i+1:]...)
		}
		return f
	}
	return nil
}

// ServeHTTP lets a request through, or does not.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, name := kindOf(r)
	g.mu.Lock()
	f, skew := g.fault(kind, name), g.skew
	g.calls[kind]++
	g.mu.Unlock()
	w.Header().Set("Server", "vtune-gate (a test, not Google)")
	w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
	code := g.pass(w, r, f)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, Call{Kind: kind, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.Query(), Code: code})
}

// pass says with which code it answered.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request, f *Fault) int {
	if code, message := g.refusal(r); code != 0 {
		return refuse(w, code, message)
	}
	if f == nil {
		answer := httptest.NewRecorder()
		g.forward(answer, r)
		return tell(w, answer, answer.Body.Len())
	}
	switch f.Effect {
	case Unavailable, TooMany:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		if f.Effect == TooMany {
			return refuse(w, http.StatusTooManyRequests, "an injected fault")
		}
		return refuse(w, http.StatusServiceUnavailable, "an injected fault")
	case Lost:
		g.forward(httptest.NewRecorder(), r)
	case CutUpload:
		r.Body = &cut{ReadCloser: r.Body, left: r.ContentLength / 2}
		g.forward(httptest.NewRecorder(), r)
	case CutDownload:
		answer := httptest.NewRecorder()
		g.forward(answer, r)
		tell(w, answer, answer.Body.Len()/2)
		_ = http.NewResponseController(w).Flush() // the connection is cut next, whatever came through
	}
	hangUp(w)
	return 0
}

// refusal is 0 for who may pass.
func (g *Gate) refusal(r *http.Request) (int, string) {
	if g.check == nil {
		return 0, ""
	}
	token, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	known, allowed := g.check(token, scopes...)
	switch {
	case !is || !known:
		return http.StatusUnauthorized, "Invalid Credentials"
	case !allowed:
		return http.StatusForbidden, "Insufficient Permission"
	}
	return 0, ""
}

// forward asks the emulator. The Host stays the gate's, so that the rest of an upload comes by here as well.
func (g *Gate) forward(w http.ResponseWriter, r *http.Request) {
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = g.target.Scheme, g.target.Host
			p.Out.Header.Del("Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, http.StatusBadGateway, err.Error()) },
	}
	proxy.ServeHTTP(w, r)
}

// tell writes an answer, or as much of it as is to come through.
func tell(w http.ResponseWriter, answer *httptest.ResponseRecorder, size int) int {
	for name, values := range answer.Header() {
		if name != "Date" && name != "Server" {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:size]) // a client that has gone is no error here
	return answer.Code
}

func refuse(w http.ResponseWriter, code int, message string) int {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, code, message)
	return code
}

// hangUp ends a connection without more.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

// cut is a body that breaks off.
type cut struct {
	io.ReadCloser
	left int64
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
