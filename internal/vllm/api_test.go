package vllm

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// api serves one handler on a real loopback port.
func api(t *testing.T, h http.HandlerFunc) *API {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	a := NewAPI(n, "right")
	t.Cleanup(a.Close)
	return a
}

func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

func TestOnlyAServerThatTellsKeysApartIsOurs(t *testing.T) {
	keyed := func(key string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+key {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
	}
	if err := api(t, keyed("right")).Ours(t.Context()); err != nil {
		t.Errorf("our own server: %v", err)
	}
	for name, h := range map[string]http.HandlerFunc{"with another key": keyed("other"), "without a key": answer(200, "{}")} {
		if err := api(t, h).Ours(t.Context()); !errors.Is(err, ErrForeign) {
			t.Errorf("a server %s: %v", name, err)
		}
	}
	if err := api(t, answer(500, "")).Ours(t.Context()); err == nil || errors.Is(err, ErrForeign) {
		t.Errorf("a broken server: %v", err)
	}
}

func TestAResetThatDidNotHappenIsAnError(t *testing.T) {
	for _, c := range []struct {
		code int
		body string
		want string // part of the error; empty: none
	}{
		{200, `{"success":true}`, ""},
		{200, "", ""},
		{200, `{"success":false}`, "could not"},
		{404, `{"detail":"Not Found"}`, "VLLM_SERVER_DEV_MODE"},
		{503, "busy", "503"},
	} {
		err := api(t, answer(c.code, c.body)).ResetPrefixCache(t.Context())
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d %s: %v", c.code, c.body, err)
		}
	}
}

func TestAVersionThatCannotBeHadIsAnError(t *testing.T) {
	for body, want := range map[string]ServerVersion{
		`{"version":"0.32.0+cpu"}`:                  {"0.32.0+cpu", 1},
		`{"version":"0.32.0+sim","time_scale":50}`:  {"0.32.0+sim", 50},
		`{"version":"0.32.0+sim","time_scale":0.5}`: {"0.32.0+sim", 0.5},
	} {
		if v, err := api(t, answer(200, body)).Version(t.Context()); v != want || err != nil {
			t.Errorf("%s: %+v, %v", body, v, err)
		}
	}
	for _, h := range []http.HandlerFunc{
		answer(404, ""), answer(200, "{}"), answer(200, "<"), answer(200, `{"version":"1","time_scale":0}`), answer(200, `{"version":"1","time_scale":"x"}`),
	} {
		if v, err := api(t, h).Version(t.Context()); err == nil {
			t.Errorf("%+v", v)
		}
	}
}

func TestAServerCanBeAtAUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "vllm-api") // short, for the address
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	a := NewAPIAt(socket, "right")
	defer a.Close()
	if err := a.Ours(t.Context()); err != nil {
		t.Error(err)
	}
	gone := NewAPIAt(filepath.Join(dir, "nobody"), "right")
	if err := gone.Health(t.Context()); err == nil {
		t.Error("nobody is well")
	}
}

func TestAStatusErrorSaysWhatWasAskedAndAnswered(t *testing.T) {
	err := api(t, answer(503, strings.Repeat("é", 300))).Health(t.Context())
	var s *StatusError
	if !errors.As(err, &s) || s.Code != 503 || !strings.HasPrefix(err.Error(), "GET /health: 503 Service Unavailable: éé") || len(err.Error()) > 300 {
		t.Errorf("%v", err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := api(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if err := a.StopProfile(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
