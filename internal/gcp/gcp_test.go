package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vtune/internal/diag"
)

// api is a server that answers by a script, a line for each request, and then 200.
type api struct {
	*httptest.Server
	mu     sync.Mutex
	script []func(http.ResponseWriter)
	seen   []string // method and body of each request
	auth   []string
}

func newAPI(t *testing.T, script ...func(http.ResponseWriter)) *api {
	a := &api{script: script}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen = append(a.seen, r.Method+" "+string(body))
		a.auth = append(a.auth, r.Header.Get("Authorization"))
		if n := len(a.seen); n <= len(a.script) {
			a.script[n-1](w)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) count() int { a.mu.Lock(); defer a.mu.Unlock(); return len(a.seen) }

func code(n int, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(n)
		fmt.Fprintf(w, "code %d", n)
	}
}

func cut(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

func quick() Options {
	return Options{Anonymous: true, RetryMax: 3, WaitMin: time.Millisecond, WaitMax: 4 * time.Millisecond}
}

func client(t *testing.T, o Options) *http.Client {
	t.Helper()
	c, err := Client(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// do sends a request and returns the answer's code; 0: there was none.
func do(t *testing.T, c *http.Client, method, url, body string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestWhatIsRepeated(t *testing.T) {
	for _, c := range []struct {
		what, method, query string
		first               func(http.ResponseWriter)
		tries, code         int
	}{
		{"a GET without an answer", "GET", "", cut, 2, 200},
		{"a GET after 503", "GET", "", code(503), 2, 200},
		{"a GET after 408", "GET", "", code(408), 2, 200},
		{"a DELETE without an answer", "DELETE", "", cut, 2, 200},
		{"a DELETE after 500", "DELETE", "", code(500), 2, 200},
		{"a POST that has an id", "POST", "?requestId=1", cut, 2, 200},
		{"a POST that has an id, after 503", "POST", "?requestId=1", code(503), 2, 200},
		{"a POST that has none", "POST", "", code(503), 1, 503},
		{"a POST that has none, without an answer", "POST", "?x=1", cut, 1, 0},
		{"a POST with an empty id", "POST", "?requestId=", code(503), 1, 503},
		{"a PUT", "PUT", "?requestId=1", code(503), 1, 503},
		{"what the server does not do", "GET", "", code(501), 1, 501},
		{"what is wrong", "GET", "", code(400), 1, 400},
		{"what is there already", "POST", "?requestId=1", code(409), 1, 409},
		{"a quota", "POST", "?requestId=1", code(429), 1, 429},
		{"a rate", "POST", "?requestId=1", code(429, "Retry-After", "0"), 2, 200},
		{"a rate of hours", "GET", "", code(429, "Retry-After", "3600"), 1, 429},
	} {
		a := newAPI(t, c.first)
		got, err := do(t, client(t, quick()), c.method, a.URL+"/"+c.query, "the body")
		if got != c.code || a.count() != c.tries || (err != nil) != (c.code == 0) {
			t.Errorf("%s: %d after %d tries, %v; want %d after %d", c.what, got, a.count(), err, c.code, c.tries)
		}
		for _, seen := range a.seen {
			if seen != c.method+" the body" {
				t.Errorf("%s: sent %q", c.what, seen)
			}
		}
	}
}

func TestTheLastAnswerReachesTheCaller(t *testing.T) {
	a := newAPI(t, code(503), code(503), code(503), code(502))
	var told []string
	o := quick()
	o.OnRetry = func(s string) { told = append(told, s) }
	req, _ := http.NewRequestWithContext(t.Context(), "GET", a.URL+"/v2/x?key=secret", nil)
	resp, err := client(t, o).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 502 || string(body) != "code 502" || a.count() != 4 {
		t.Errorf("%d %q after %d tries", resp.StatusCode, body, a.count())
	}
	if all := strings.Join(told, "\n"); len(told) != 3 || !strings.Contains(told[0], "503 Service Unavailable") || !strings.Contains(told[2], "/v2/x") || strings.Contains(all, "secret") {
		t.Errorf("told:\n%s", all)
	}
}

func TestPauses(t *testing.T) {
	answer := func(headers ...string) *http.Response {
		rec := httptest.NewRecorder()
		code(503, headers...)(rec)
		return rec.Result()
	}
	for range 200 {
		for try, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			if got := backoff(100, 1000, try, nil); got < most/2 || got > most {
				t.Fatalf("pause %d is %d, want %d to %d", try, got, most/2, most)
			}
		}
	}
	if got := backoff(time.Second, time.Minute, 62, nil); got < 30*time.Second || got > time.Minute {
		t.Errorf("a late pause is %v", got)
	}
	for want, resp := range map[time.Duration]*http.Response{
		7 * time.Second: answer("Retry-After", "7"),
		RetryAfterMax:   answer("Retry-After", "86400"),
		// The server's clock counts, not ours.
		9 * time.Second: answer("Retry-After", "Mon, 02 Jan 2006 15:04:14 GMT", "Date", "Mon, 02 Jan 2006 15:04:05 GMT"),
	} {
		if got := backoff(1, 1, 0, resp); got != want {
			t.Errorf("%v: pause %v, want %v", resp.Header, got, want)
		}
	}
	for _, odd := range []string{"", "-1", "soon", "1e9", "99999999999999999999"} {
		if got := backoff(1, 1, 0, answer("Retry-After", odd)); got > 1 {
			t.Errorf("Retry-After %q: pause %v", odd, got)
		}
	}
}

func TestAContextEndsThePause(t *testing.T) {
	a := newAPI(t, code(503, "Retry-After", "50"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", a.URL, nil)
	if resp, err := client(t, quick()).Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestAnAnswerThatStopsComingIsAnError(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 5 { // slow is not silent
			fmt.Fprint(w, "part")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
		<-hold
	}))
	defer s.Close()
	defer close(hold)
	resp, err := (&http.Client{Transport: patient{Transport(), 300 * time.Millisecond}}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, errSilent) || string(body) != strings.Repeat("part", 5) {
		t.Errorf("%q, %v", body, err)
	}
}

// tokenServer is a token server and a metadata server; each token is another.
func tokenServer(t *testing.T) (url string, given *atomic.Int32) {
	given = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/computeMetadata") && (r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Query().Get("scopes") != Scope) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"secret-%d","token_type":"Bearer","expires_in":3600}`, given.Add(1))
	}))
	t.Cleanup(s.Close)
	return s.URL, given
}

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func file(t *testing.T, path string, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func person(tokens string) map[string]string {
	return map[string]string{"type": "authorized_user", "client_id": "c", "client_secret": "hush-1", "refresh_token": "hush-2", "token_uri": tokens}
}

func account(t *testing.T, tokens string) map[string]string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return map[string]string{"type": "service_account", "client_email": "a@b", "private_key": string(pemKey), "token_uri": tokens}
}

func TestCredentialsAreFoundWhereGooglesToolsFindThem(t *testing.T) {
	tokens, _ := tokenServer(t)
	for what, vars := range map[string]map[string]string{
		"the file that the variable names": {"GOOGLE_APPLICATION_CREDENTIALS": file(t, filepath.Join(t.TempDir(), "key.json"), account(t, tokens))},
		"what gcloud has left":             {"CLOUDSDK_CONFIG": filepath.Dir(file(t, filepath.Join(t.TempDir(), "application_default_credentials.json"), account(t, tokens)))},
		"the machine's own":                {"HOME": t.TempDir()},
	} {
		t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(tokens, "http://"))
		a := newAPI(t)
		o := quick()
		o.Anonymous, o.Env = false, env(vars)
		if got, err := do(t, client(t, o), "GET", a.URL, ""); got != 200 || !strings.HasPrefix(a.auth[0], "Bearer secret-") {
			t.Errorf("%s: %d, %q, %v", what, got, a.auth, err)
		}
	}
}

func TestATokenIsRenewedOnceWhenItIsRefused(t *testing.T) {
	tokens, given := tokenServer(t)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(tokens, "http://"))
	o := quick()
	o.Anonymous, o.Env = false, env(nil)
	for _, method := range []string{"GET", "DELETE", "POST", "PUT"} {
		a := newAPI(t, code(200), code(401))
		c := client(t, o)
		given.Store(0)
		for range 2 {
			if got, err := do(t, c, method, a.URL, "the body"); got != 200 {
				t.Errorf("%s: %d, %v", method, got, err)
			}
		}
		want := fmt.Sprint([]string{"Bearer secret-1", "Bearer secret-1", "Bearer secret-2"})
		if got := fmt.Sprint(a.auth); got != want || a.seen[2] != method+" the body" {
			t.Errorf("%s: %s, sent %q", method, got, a.seen)
		}
	}
	a := newAPI(t, code(401), code(401), code(401))
	if got, _ := do(t, client(t, o), "GET", a.URL, ""); got != 401 || a.count() != 2 {
		t.Errorf("who is not let in: %d after %d tries", got, a.count())
	}
	// An answer that went missing is asked for again with the token of that moment.
	a = newAPI(t, code(503), code(401), code(200))
	if got, _ := do(t, client(t, o), "GET", a.URL, ""); got != 200 || a.count() != 3 || a.auth[2] == a.auth[1] {
		t.Errorf("%d, %q", got, a.auth)
	}
}

func TestManyRefusalsAtOnceRenewTheTokenOnce(t *testing.T) {
	tokens, given := tokenServer(t)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(tokens, "http://"))
	all := make(chan struct{})
	var waiting atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer secret-1" {
			if waiting.Add(1) == 8 {
				close(all)
			}
			<-all
			w.WriteHeader(401)
		}
	}))
	defer s.Close()
	o := quick()
	o.Anonymous, o.Env = false, env(nil)
	c := client(t, o)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := do(t, c, "GET", s.URL, ""); got != 200 {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := given.Load(); n != 2 {
		t.Errorf("%d tokens", n)
	}
}

// A person who reads an error learns what to do, and nobody a secret.
func TestMissingAndRefusedCredentialsSayWhatHelps(t *testing.T) {
	deny := newAPI(t)
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		// A server that repeats what it was told.
		fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"Token has been expired or revoked.","said":%q}`, body)
	}))
	defer refuse.Close()
	dir := t.TempDir()
	torn := filepath.Join(dir, "torn")
	if err := os.WriteFile(torn, []byte(`{"type":"authorized_user","client_secret":"hush-1`), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{
		"no such file":    filepath.Join(dir, "no"),
		"a torn file":     torn,
		"another kind":    file(t, filepath.Join(dir, "kind"), map[string]string{"type": "gdch", "client_secret": "hush-1"}),
		"a key that ails": file(t, filepath.Join(dir, "key"), map[string]string{"type": "service_account", "private_key": "hush-1", "client_email": "a@b", "token_uri": refuse.URL}),
		"a refused login": file(t, filepath.Join(dir, "login"), person(refuse.URL)),
	} {
		o := quick()
		o.Anonymous, o.Env = false, env(map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": path})
		c, err := Client(t.Context(), o)
		if err == nil {
			_, err = do(t, c, "GET", deny.URL, "")
		}
		var ce *CredentialsError
		if !errors.As(err, &ce) || !strings.Contains(fmt.Sprint(diag.HintsOf(err)), "gcloud auth application-default login") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, hints %q", what, err, diag.HintsOf(err))
		}
	}
	if deny.count() != 0 {
		t.Errorf("%d requests went out without credentials", deny.count())
	}
}

func TestATokenDoesNotFollowARedirectNorGoInTheClear(t *testing.T) {
	tokens, _ := tokenServer(t)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(tokens, "http://"))
	elsewhere := newAPI(t)
	a := newAPI(t, code(302, "Location", elsewhere.URL), code(307, "Location", elsewhere.URL))
	o := quick()
	o.Anonymous, o.Env = false, env(nil)
	c := client(t, o)
	for _, want := range []int{302, 307} {
		if got, err := do(t, c, "GET", a.URL, ""); got != want {
			t.Errorf("%d, %v", got, err)
		}
	}
	if elsewhere.count() != 0 {
		t.Errorf("it was followed with %q", elsewhere.auth)
	}
	var ce *CredentialsError
	if _, err := do(t, c, "GET", "http://storage.invalid/", ""); !errors.As(err, &ce) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestRequestsOfAPersonCountForTheirProject(t *testing.T) {
	tokens, _ := tokenServer(t)
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("X-Goog-User-Project") }))
	defer s.Close()
	me := person(tokens)
	me["quota_project_id"] = "mine"
	path := file(t, filepath.Join(t.TempDir(), "me"), me)
	for want, vars := range map[string]map[string]string{
		"mine":   {"GOOGLE_APPLICATION_CREDENTIALS": path},
		"theirs": {"GOOGLE_APPLICATION_CREDENTIALS": path, "GOOGLE_CLOUD_QUOTA_PROJECT": "theirs"},
	} {
		o := quick()
		o.Anonymous, o.Env = false, env(vars)
		if code, err := do(t, client(t, o), "GET", s.URL, ""); code != 200 || got != want {
			t.Errorf("%d, %v: for %q, want %q", code, err, got, want)
		}
	}
}
