package buckettest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// Proxy stands before an endpoint and lets fault decide about each request: it answers itself, or has next answer, or both.
func Proxy(t testing.TB, endpoint string, fault func(next http.Handler) http.Handler) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	// The Host stays the proxy's, so that the rest of an upload comes by it as well.
	server := httptest.NewServer(fault(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host },
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Cut has next do what was asked, and hangs up instead of telling.
func Cut(next http.Handler, w http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	HangUp(w)
}

// HangUp ends the connection without an answer.
func HangUp(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

// Fail answers as Google's interfaces do.
func Fail(w http.ResponseWriter, code int, said string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, code, said)
}
