package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// receiver is a webhook that gives its answers one after the other, the last one for ever.
type receiver struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	heard   []heard
	url     string
}

type heard struct {
	key  string
	body string
}

func answer(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

// dropped is a connection that ends without an answer.
func dropped(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		c.Close()
	}
}

func newReceiver(t *testing.T, answers ...func(http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = strings.Replace(s.URL, "http://", "http://user:s3cret@", 1) + "/hook/s3cret?token=s3cret"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, _ := io.ReadAll(req.Body)
	r.heard = append(r.heard, heard{req.Header.Get("Idempotency-Key"), string(data)})
	next := r.answers[0]
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	next(w)
}

var quick = hook{Pause: time.Millisecond, Longest: 2 * time.Millisecond, Most: 5, Say: io.Discard}

func TestAWebhookIsToldAgainUntilItAnswers(t *testing.T) {
	r := newReceiver(t, answer(503), dropped, answer(429), answer(408), answer(200))
	if err := quick.post(t.Context(), r.url, News{Run: "run-1", Headline: "h"}); err != nil {
		t.Fatal(err)
	}
	if len(r.heard) != 5 {
		t.Fatalf("%d requests, want 5", len(r.heard))
	}
	for _, h := range r.heard {
		if h != r.heard[0] || h.key != "run-1" {
			t.Errorf("%+v differs from the first, %+v", h, r.heard[0])
		}
	}
}

func TestARefusalIsFinal(t *testing.T) {
	for _, code := range []int{400, 401, 404, 410, 302} {
		r := newReceiver(t, answer(code))
		var refused *refusedError
		if err := quick.post(t.Context(), r.url, News{Run: "r"}); !errors.As(err, &refused) || len(r.heard) != 1 {
			t.Errorf("%d: %v after %d requests", code, err, len(r.heard))
		}
	}
}

func TestTriesHaveAnEnd(t *testing.T) {
	r := newReceiver(t, answer(500))
	var refused *refusedError
	if err := quick.post(t.Context(), r.url, News{Run: "r"}); err == nil || errors.As(err, &refused) || len(r.heard) != 6 {
		t.Errorf("%v after %d requests", err, len(r.heard))
	}
}

func TestAPauseIsAsLongAsTheServerAsksWithinReason(t *testing.T) {
	asked := func(s string) *http.Response { return &http.Response{Header: http.Header{"Retry-After": {s}}} }
	for _, c := range []struct {
		try  int
		resp *http.Response
		want time.Duration
	}{
		{0, nil, time.Second},
		{2, nil, 4 * time.Second},
		{9, nil, 20 * time.Second},
		{99, nil, 20 * time.Second},
		{0, asked("7"), 7 * time.Second},
		{0, asked("86400"), time.Minute},
		{0, asked("soon"), time.Second},
		{9, asked("1"), 20 * time.Second},
	} {
		if got := backoff(time.Second, 20*time.Second, c.try, c.resp); got != c.want {
			t.Errorf("try %d, %v: %v, want %v", c.try, c.resp, got, c.want)
		}
	}
}

// A webhook's URL is its password.
func TestNothingRepeatsAWebhooksURL(t *testing.T) {
	var said bytes.Buffer
	loud := quick
	loud.Say, loud.Most = &said, 1
	for _, to := range []string{newReceiver(t, answer(500)).url, newReceiver(t, dropped).url, newReceiver(t, answer(403)).url, "http://user:s3cret@localhost:1/s3cret", "http://[s3cret/s3cret"} {
		err := loud.post(t.Context(), to, News{})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
	for _, bad := range []string{"s3cret", "ftp://host/s3cret", "http:///s3cret", "http://a b/s3cret", "://s3cret"} {
		err := (&Wish{Webhook: bad}).Check()
		if diag.CodeOf(err) != diag.Usage || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
	if strings.Contains(said.String(), "s3cret") || !strings.Contains(said.String(), "is told again (1 of 1)") {
		t.Error(said.String())
	}
}

func TestAChatProgramFindsNoMarkupInTheText(t *testing.T) {
	data, err := body(News{Headline: "<!channel> & co"})
	var got struct{ Text string }
	if err := errors.Join(err, json.Unmarshal(data, &got)); err != nil || got.Text != "&lt;!channel&gt; &amp; co" {
		t.Errorf("%q, %v", got.Text, err)
	}
}

// open is a run that is over.
func open(t *testing.T, said io.Writer) (*tuning.Tuning, tuning.World, record.State) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../../../testdata/runs/demo")); err != nil {
		t.Fatal(err)
	}
	w := tuning.World{Now: time.Now, Program: "vtune", Err: said, Env: []string{"PATH=" + os.Getenv("PATH"), "HERE=" + t.TempDir()}}
	run, err := tuning.Open(t.Context(), w, dir)
	if err != nil {
		t.Fatal(err)
	}
	var st record.State
	if err := fsx.ReadJSON(run.Dir.State(), &st); err != nil {
		t.Fatal(err)
	}
	return run, w, st
}

func keep(t *testing.T, run *tuning.Tuning, wish Wish) {
	t.Helper()
	if err := errors.Join(wish.Check(), wish.Keep(run.Dir, time.Now())); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestARunsEndIsToldOnce(t *testing.T) {
	var said bytes.Buffer
	run, w, st := open(t, &said)
	here, _ := w.Getenv("HERE")
	r := newReceiver(t, answer(204))
	keep(t, run, Wish{Command: `cat >"$HERE/summary"; echo "$VTUNE_RUN|$VTUNE_RUN_ID|$VTUNE_PHASE|$VTUNE_EXIT_CODE|$VTUNE_BEST_CELL|$VTUNE_SUMMARY" >>"$HERE/told"`, Webhook: r.url})
	for range 3 {
		Send(t.Context(), w, run, st)
	}
	want := string(run.Dir) + "|2026_11_30_19_55-f05eb35f|over|0|s16-t2048|vtune run 2026_11_30_19_55-f05eb35f is over: s16-t2048 with 1.05 req/s\n"
	if got := read(t, filepath.Join(here, "told")); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if got := read(t, filepath.Join(here, "summary")); !strings.Contains(got, "serve it ") {
		t.Errorf("the summary on stdin is %q", got)
	}
	var news News
	if len(r.heard) != 1 || json.Unmarshal([]byte(r.heard[0].body), &news) != nil || news.Phase != record.PhaseOver || news.Best == nil || !strings.Contains(news.Summary, "winner") {
		t.Errorf("the webhook heard %+v", r.heard)
	}
	if said.Len() > 0 {
		t.Errorf("said %q", said.String())
	}
	if info, err := os.Stat(run.Dir.Notify()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if strings.Contains(read(t, run.Dir.Notified()), "s3cret") {
		t.Error("the record that others can read has the URL")
	}
}

// A URL that was refused is asked for again as it should be, and a command that failed as well.
func TestWhoAsksForSomethingElseIsToldAlthoughTheEndWasTold(t *testing.T) {
	run, w, st := open(t, io.Discard)
	here, _ := w.Getenv("HERE")
	wrong, right := newReceiver(t, answer(404)), newReceiver(t, answer(200))
	for _, wish := range []Wish{
		{Command: `echo one >>"$HERE/told"`, Webhook: wrong.url},
		{Webhook: right.url},
		{Webhook: right.url},
		{Command: `echo two >>"$HERE/told"`},
		{Command: `echo two >>"$HERE/told"`},
	} {
		keep(t, run, wish)
		for range 2 {
			Send(t.Context(), w, run, st)
		}
	}
	if got := read(t, filepath.Join(here, "told")); got != "one\ntwo\n" {
		t.Errorf("the commands told %q", got)
	}
	if len(wrong.heard) != 1 || len(right.heard) != 2 {
		t.Errorf("the webhooks heard it %d and %d times", len(wrong.heard), len(right.heard))
	}
}

func TestARunThatIsNotOverIsNotTold(t *testing.T) {
	run, w, st := open(t, io.Discard)
	r := newReceiver(t, answer(200))
	keep(t, run, Wish{Webhook: r.url})
	st.Phase = record.PhaseMeasuring
	Send(t.Context(), w, run, st)
	st.Phase = record.PhaseCancelled
	Send(t.Context(), w, run, st)
	if len(r.heard) != 1 || !strings.Contains(r.heard[0].body, `"phase":"cancelled","exit_code":8`) {
		t.Errorf("%+v", r.heard)
	}
}

// Who died in between may have run the command; whether the webhook heard of it, its key tells.
func TestWhatWasBegunAndHasNoEndIsToldAgainByTheWebhookAlone(t *testing.T) {
	run, w, st := open(t, io.Discard)
	here, _ := w.Getenv("HERE")
	r := newReceiver(t, answer(200))
	keep(t, run, Wish{Command: `echo >"$HERE/told"`, Webhook: r.url})
	if _, err := begin(run.Dir, &record.Notified{Schema: record.Schema}); err != nil {
		t.Fatal(err)
	}
	Send(t.Context(), w, run, st)
	if _, err := os.Stat(filepath.Join(here, "told")); err == nil || len(r.heard) != 1 {
		t.Errorf("the command ran, or the webhook heard %d times", len(r.heard))
	}
}

func TestAWebhookThatWasAwayIsToldByTheNextCollector(t *testing.T) {
	run, w, st := open(t, io.Discard)
	ctx, cancel := context.WithCancel(t.Context())
	away := func(rw http.ResponseWriter) {
		rw.WriteHeader(http.StatusBadGateway)
		cancel() // this collector waits no longer
	}
	r := newReceiver(t, away, answer(200))
	keep(t, run, Wish{Webhook: r.url})
	Send(ctx, w, run, st)
	for range 2 {
		Send(t.Context(), w, run, st)
	}
	if len(r.heard) != 2 || r.heard[0] != r.heard[1] {
		t.Errorf("%+v", r.heard)
	}
}

func TestAFailureIsAWarningAndNoMore(t *testing.T) {
	var said bytes.Buffer
	run, w, st := open(t, &said)
	r := newReceiver(t, answer(404))
	keep(t, run, Wish{Command: "echo to the conversation; exit 3", Webhook: r.url})
	for range 2 {
		Send(t.Context(), w, run, st)
	}
	for _, want := range []string{"to the conversation\n", "warning: the command of --on-done failed: exit code 3\n", "was not told: it answered 404 Not Found\n"} {
		if strings.Count(said.String(), want) != 1 {
			t.Errorf("%q is not said once:\n%s", want, said.String())
		}
	}
}

// What a command leaves in its group ends with it: nobody would ever look for it.
func TestWhatACommandLeavesBehindIsEnded(t *testing.T) {
	run, w, st := open(t, io.Discard)
	here, _ := w.Getenv("HERE")
	keep(t, run, Wish{Command: `sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >"$HERE/pid"`})
	Send(t.Context(), w, run, st)
	pid := strings.TrimSpace(read(t, filepath.Join(here, "pid")))
	if cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.HasPrefix(string(cmdline), "sleep") {
		t.Errorf("%s is still there", pid)
	}
}

func TestAWishIsKeptBesideEarlierOnes(t *testing.T) {
	run, _, _ := open(t, io.Discard)
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("https://example.org/hook\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keep(t, run, Wish{Command: "true"})
	keep(t, run, Wish{})
	keep(t, run, Wish{Webhook: "@" + file})
	var got record.Notify
	if err := fsx.ReadJSON(run.Dir.Notify(), &got); err != nil || got.Command != "true" || got.Webhook != "https://example.org/hook" {
		t.Errorf("%+v, %v", got, err)
	}
}
