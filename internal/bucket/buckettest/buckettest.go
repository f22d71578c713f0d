// Package buckettest has buckets for tests: fake-gcs-server as a process of its own, as `make deps` installs it, and (Strict) a small
// server that is right where that one is wrong, and can be told to fail.
package buckettest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/internal/need"
	"vtune/internal/proc"
)

const program = "fake-gcs-server"

// Start runs fake-gcs-server until the test ends; what it holds is in its memory. Without the program the test is skipped, or fails
// in CI. The endpoint is http://127.0.0.1:PORT, as STORAGE_EMULATOR_HOST takes it; a bucket comes by Make.
func Start(t testing.TB) (endpoint string) {
	t.Helper()
	path := find(t)
	// The program cannot choose a free port and tell it, so that another may take the one that was free a moment ago.
	for range 5 {
		if endpoint, ok := start(t, path); ok {
			return endpoint
		}
	}
	t.Fatalf("%s finds no port", program)
	return ""
}

func start(t testing.TB, path string) (endpoint string, ok bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	host := "127.0.0.1:" + strconv.Itoa(port)
	var log notes
	p, err := proc.Start(proc.Spec{
		// The address in the answer to an upload's beginning is the one that the client came by; -public-host keeps requests for
		// the JSON interface from being taken for those that have the bucket in the host's name.
		Argv:   []string{path, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", strconv.Itoa(port), "-public-host", host},
		Stdout: &log, Stderr: &log, DieWithCaller: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Signal(9); err == nil {
			p.Wait()
		}
	})
	// Only its own word that it has the port is sure: somebody else may answer there.
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "server started"); {
		select {
		case <-p.Done():
			t.Logf("%s ended: %s", program, log.String())
			return "", false
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not start: %s", program, log.String())
		}
	}
	endpoint = "http://" + host
	for {
		resp, err := http.Get(endpoint + "/_internal/healthcheck")
		if err == nil {
			resp.Body.Close()
			return endpoint, true
		}
		select {
		case <-p.Done():
			t.Fatalf("%s ended: %s", program, log.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// find looks where `make deps` puts it, then on PATH.
func find(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(dir, ".cache", "bin", program)
			if _, err := os.Stat(path); err == nil {
				return path
			}
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	need.Program(t, program, "make deps")
	return program
}

// Make makes a bucket at an emulator.
func Make(t testing.TB, endpoint, bucket string) {
	t.Helper()
	resp, err := http.Post(endpoint+"/storage/v1/b?project=test", "application/json", bytes.NewBufferString(fmt.Sprintf(`{"name":%q}`, bucket)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusConflict {
		t.Fatalf("make bucket %s: %s", bucket, resp.Status)
	}
}

// Env is an environment that has nothing but the emulator.
func Env(endpoint string) func(string) (string, bool) {
	return func(name string) (string, bool) { return endpoint, name == "STORAGE_EMULATOR_HOST" }
}

// notes is a log that may be read while it is written.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}
