package gate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/jobs/tpu/tputest/gate"
)

// store is behind the gate: it keeps what was put whole.
type store struct {
	sync.Mutex
	objects map[string]string
	partial int
	auth    string
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	s.auth += r.Header.Get("Authorization")
	if r.Method == http.MethodPost {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			s.partial++
			return
		}
		s.objects[r.URL.Query().Get("name")] = string(data)
		fmt.Fprint(w, "{}")
		return
	}
	fmt.Fprint(w, s.objects[strings.TrimPrefix(r.URL.Path, "/storage/v1/b/k/o/")])
}

func open(t *testing.T, check gate.Check) (*gate.Gate, *store) {
	t.Helper()
	s := &store{objects: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return gate.New(t, server.URL+"/", check), s
}

func send(t *testing.T, req *http.Request) (int, string, http.Header, error) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true} // else net/http itself asks again on a connection that was used before
	res, err := tr.RoundTrip(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), res.Header, err
}

func put(t *testing.T, g *gate.Gate, name, data string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+"upload/storage/v1/b/k/o?uploadType=media&name="+name, strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	code, _, _, err := send(t, req)
	return code, err
}

func get(t *testing.T, g *gate.Gate, token, name string) (int, string, http.Header, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL()+"storage/v1/b/k/o/"+name+"?alt=media", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, req)
}

func TestOnlyAGoodTokenPasses(t *testing.T) {
	g, s := open(t, func(token string, _ ...string) (bool, bool) { return token != "bad", token == "good" })
	for token, want := range map[string]int{"good": 200, "bad": 401, "": 401, "narrow": 403} {
		if code, _, _, err := get(t, g, token, "x"); err != nil || code != want {
			t.Errorf("the token %q gives %d: %v", token, code, err)
		}
	}
	if s.auth != "" {
		t.Error("the token went on to the emulator")
	}
	if n := g.Calls()["get"]; n != 4 {
		t.Errorf("%d calls counted", n)
	}
}

func TestWhatIsLostWasDoneAndWhatIsDroppedWasNot(t *testing.T) {
	g, s := open(t, nil)
	g.Inject(gate.Fault{Kind: "put", Name: "lost", Effect: gate.Lost})
	g.Inject(gate.Fault{Kind: "put", Name: "dropped", Effect: gate.Dropped})
	for _, name := range []string{"lost", "dropped"} {
		if code, err := put(t, g, name, "data"); err == nil {
			t.Errorf("%s was answered with %d", name, code)
		}
	}
	if s.objects["lost"] != "data" || s.objects["dropped"] != "" {
		t.Errorf("there is %v", s.objects)
	}
	if code, err := put(t, g, "dropped", "data"); err != nil || code != 200 {
		t.Errorf("a fault of one time hits twice: %d, %v", code, err)
	}
}

func TestATransferIsCutInTheMiddle(t *testing.T) {
	g, s := open(t, nil)
	big := string(bytes.Repeat([]byte("0123456789"), 50_000))
	g.Inject(gate.Fault{Kind: "put", Effect: gate.CutUpload})
	if code, err := put(t, g, "big", big); err == nil {
		t.Errorf("a cut upload was answered with %d", code)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.Lock()
		partial, whole := s.partial, s.objects["big"]
		s.Unlock()
		if whole != "" {
			t.Fatal("the emulator has the whole object")
		}
		if partial == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the emulator did not see the upload end")
		}
	}
	if _, err := put(t, g, "big", big); err != nil {
		t.Fatal(err)
	}
	g.Inject(gate.Fault{Kind: "get", Effect: gate.CutDownload})
	if _, data, _, err := get(t, g, "", "big"); !errors.Is(err, io.ErrUnexpectedEOF) || len(data) == 0 || len(data) == len(big) {
		t.Errorf("a cut download gives %d bytes and %v", len(data), err)
	}
	if _, data, _, err := get(t, g, "", "big"); err != nil || data != big {
		t.Errorf("an uncut download gives %d bytes and %v", len(data), err)
	}
}

func TestTheGateComesBackAtItsAddressAndSkewsTheDate(t *testing.T) {
	g, _ := open(t, nil)
	if err := g.Down(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := get(t, g, "", "x"); err == nil {
		t.Error("a closed gate answers")
	}
	if err := g.Up(); err != nil {
		t.Fatal(err)
	}
	g.Skew(time.Hour)
	_, _, h, err := get(t, g, "", "x")
	if err != nil {
		t.Fatal(err)
	}
	if at, err := http.ParseTime(h.Get("Date")); err != nil || time.Until(at) < 59*time.Minute || len(h["Date"]) != 1 {
		t.Errorf("the date is %q: %v", h["Date"], err)
	}
	g.Inject(gate.Fault{Times: -1, Share: 0.5, Effect: gate.Unavailable})
	codes := map[int]int{}
	for range 40 {
		code, _, _, err := get(t, g, "", "x")
		if err != nil {
			t.Fatal(err)
		}
		codes[code]++
	}
	if codes[200] < 8 || codes[503] < 8 {
		t.Errorf("half of the answers are to be 503: %v", codes)
	}
}

func TestKindsAreToldFromEachOther(t *testing.T) {
	g, _ := open(t, nil)
	for _, c := range []struct{ method, path, kind string }{
		{"GET", "storage/v1/b/k", "bucket"},
		{"GET", "storage/v1/b/k/o?prefix=a/", "list"},
		{"GET", "storage/v1/b/k/o/a%2Fo%2Fb", "stat"},
		{"GET", "storage/v1/b/k/o/a%2Fb?alt=media", "get"},
		{"GET", "download/storage/v1/b/k/o/a%2Fb?alt=media", "get"},
		{"DELETE", "storage/v1/b/k/o/a", "delete"},
		{"POST", "upload/storage/v1/b/k/o?uploadType=resumable", "put"},
		{"PUT", "upload/storage/v1/b/k/o?upload_id=1", "chunk"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, g.URL()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := send(t, req); err != nil {
			t.Fatal(err)
		}
		if log := g.Log(); log[len(log)-1].Kind != c.kind {
			t.Errorf("%s %s is %q, want %s", c.method, c.path, log[len(log)-1].Kind, c.kind)
		}
	}
}
