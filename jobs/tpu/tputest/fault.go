package tputest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// Fault is something that goes wrong with the next requests that it fits.
type Fault struct {
	Method string // "": any
	Path   string // a part of it; "": any path of the API, but not the token endpoint's (/token)
	Skip   int    // how many it lets pass before
	Times  int    // how many it hits; 0: one, -1: all until Heal

	Code       int    // of the answer; 0: the connection is dropped without one
	Status     string // UNAVAILABLE ...; "": by the code
	Message    string
	RetryAfter string
	After      bool // the request has had its effect; only its answer is lost
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Refuse answers every request for a new resource with an error, until Heal.
func (s *Server) Refuse(code int, message string) {
	s.Inject(Fault{Method: http.MethodPost, Path: "/queuedResources", Times: -1, Code: code, Message: message})
}

// Heal ends all faults and delays.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.delay = nil, 0
}

// Delay makes every answer late.
func (s *Server) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Down takes the API away: connections are refused, those that are open are cut. Tokens are still issued, machines live.
func (s *Server) Down() error {
	s.mu.Lock()
	api := s.api
	s.mu.Unlock()
	return api.Close()
}

// Up brings the API back at the same address.
func (s *Server) Up() error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("bring the API back: %w", err)
	}
	s.serve(listener)
	return nil
}

// fault takes the first one that fits.
func (s *Server) fault(r *http.Request) *Fault {
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) || f.Path == "" && r.URL.Path == "/token" {
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
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return f
	}
	return nil
}

var statuses = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 408: "DEADLINE_EXCEEDED", 409: "ABORTED",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// outer is around every request: it notes it, and does to it what was injected.
func (s *Server) outer(w http.ResponseWriter, r *http.Request, inner http.HandlerFunc) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	note := Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Body: body, Header: r.Header.Clone()}
	note.Header.Del("Authorization")
	s.mu.Lock()
	f, delay := s.fault(r), s.delay
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Server", "vtune-fake-tpu-api (a test, not Google)")
	answered := httptest.NewRecorder()
	if f == nil || f.After {
		inner(answered, r)
	}
	if f != nil && f.Code != 0 {
		answered = httptest.NewRecorder()
		f.write(answered)
	}
	note.Code = answered.Code
	if f != nil && f.Code == 0 {
		note.Code = 0
	}
	if r.URL.Path != "/token" {
		s.mu.Lock()
		s.log = append(s.log, note)
		s.mu.Unlock()
	}
	if note.Code == 0 {
		drop(w)
		return
	}
	for name, values := range answered.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answered.Code)
	_, _ = w.Write(answered.Body.Bytes()) // a client that has gone is no error here
}

func (f *Fault) write(w http.ResponseWriter) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	status, message := f.Status, f.Message
	if status == "" {
		status = statuses[f.Code]
	}
	if message == "" {
		message = "an injected fault"
	}
	(&failure{f.Code, status, message, nil}).write(w)
}

// drop cuts the connection, so that the client sees no answer at all.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, is := conn.(*net.TCPConn); is {
		err = tcp.SetLinger(0) // a reset, as a dying proxy gives
	}
	_ = errors.Join(err, conn.Close()) // it is gone either way
}
