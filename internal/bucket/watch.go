package bucket

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// watch stands between the client and the network, within all repetitions: it counts each request and reads the bucket's time.
type watch struct {
	base http.RoundTripper

	mu    sync.Mutex
	calls map[string]int
	// The bucket's time was `was` when our clock was at `at`, which has a monotonic reading.
	was, at time.Time
}

func newWatch(base http.RoundTripper) *watch {
	now := time.Now()
	return &watch{base: base, calls: map[string]int{}, was: now.UTC().Round(0), at: now}
}

func (w *watch) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.calls[kind(req)]++
	w.mu.Unlock()
	asked := time.Now()
	resp, err := w.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		w.set(date, asked, time.Now())
	}
	return resp, nil
}

// set takes it that the answer was made half way, and half a second after its Date, which has no fractions.
func (w *watch) set(date, asked, answered time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.was, w.at = date.UTC().Add(500*time.Millisecond), asked.Add(answered.Sub(asked)/2)
}

func (w *watch) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.was.Add(time.Since(w.at))
}

func (w *watch) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.calls)
}

func kind(req *http.Request) string {
	switch {
	case req.Method == http.MethodDelete:
		return "delete"
	case req.Method != http.MethodGet:
		return "put"
	case strings.HasSuffix(req.URL.Path, "/o"):
		// The object's own name is escaped in it, and begins after "/o/".
		if !strings.Contains(strings.TrimSuffix(req.URL.EscapedPath(), "/o"), "/o/") {
			return "list"
		}
	}
	if req.URL.Query().Get("alt") == "media" {
		return "get"
	}
	return "stat"
}
