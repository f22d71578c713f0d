package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/internal/batchfile"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec/autotune"
)

// cluster is a fake of all that submits and collects. Its runs outlive a batch that dies.
type cluster struct {
	t      *testing.T
	base   string
	mu     sync.Mutex
	runs   []*fakeRun
	steps  int // taken since the batch was called
	dies   int // at which step the batch dies; 0: never
	ending map[string]record.State
	jobs   map[string]int // submitted, by run
	first  int            // how many runs must be out before one may be over; 0: none
	out    chan struct{}  // closed when they are
}

type fakeRun struct {
	c       *cluster
	name    string
	spec    string
	over    bool
	uploads int
}

type death struct{}

// step is a moment at which a batch may die.
func (c *cluster) step() {
	c.mu.Lock()
	c.steps++
	dead := c.steps == c.dies
	c.mu.Unlock()
	if dead {
		panic(death{})
	}
}

func (c *cluster) prepare(_ context.Context, file string, _ io.Writer) (Run, error) {
	c.step()
	defer c.step()
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if r.spec == string(data) && !r.over {
			return r, nil
		}
	}
	r := &fakeRun{c: c, name: fmt.Sprintf("run_%d", len(c.runs)+1), spec: string(data)}
	if err := os.MkdirAll(string(r.Dir()), 0o755); err != nil {
		return nil, err
	}
	c.runs = append(c.runs, r)
	return r, os.WriteFile(r.Dir().Spec(), data, 0o644)
}

func (c *cluster) open(_ context.Context, place string, _ io.Writer) (Run, error) {
	for _, r := range c.runs {
		if r.Place() == place {
			return r, nil
		}
	}
	return nil, diag.Errorf(diag.Usage, "%s is no run", place)
}

func (r *fakeRun) Name() string    { return r.name }
func (r *fakeRun) Place() string   { return filepath.Join(r.c.base, "auto-benchmark", r.name) }
func (r *fakeRun) Dir() record.Dir { return record.Dir(r.Place()) }

func (r *fakeRun) PutOut(context.Context) error {
	r.c.step()
	defer r.c.step()
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.jobs[r.name] == 0 { // as the submitter does: what is there stays
		r.c.jobs[r.name]++
		if r.c.first > 0 && len(r.c.jobs) == r.c.first {
			close(r.c.out)
		}
	}
	return nil
}

func (r *fakeRun) Watch(ctx context.Context) (record.State, error) {
	r.c.step()
	if ctx.Err() != nil {
		return record.State{}, diag.Wrap(ctx.Err(), diag.Interrupted)
	}
	if r.c.first > 0 {
		select {
		case <-r.c.out:
		case <-time.After(10 * time.Second):
			return record.State{}, errors.New("the others were never submitted")
		}
	}
	r.c.mu.Lock()
	r.over = true
	r.c.mu.Unlock()
	if err := os.WriteFile(r.Dir().ResultTxt(), []byte("hash:x\n"+r.name+"\n"), 0o644); err != nil {
		return record.State{}, err
	}
	r.c.step()
	for model, st := range r.c.ending {
		if strings.Contains(r.spec, "model: "+model+"\n") {
			return st, nil
		}
	}
	return won(), nil
}

func won() record.State {
	st := record.State{Phase: record.PhaseOver, Best: &record.Best{}}
	return st
}

func noAnswer() record.State { return record.State{Phase: record.PhaseOver} }

func (c *cluster) upload(_ context.Context, r Run, to string) (string, error) {
	c.step()
	r.(*fakeRun).uploads++
	c.step()
	return to + "/" + r.Name(), nil
}

type nothing struct{}

func (nothing) Release() error { return nil }

// batch calls the command once; dead reports that it was killed.
func (c *cluster) batch(conf Config) (lines []Line, err error, dead bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, killed := p.(death); !killed {
				panic(p)
			}
			dead = true
		}
	}()
	c.steps = 0
	conf.Prepare, conf.Open, conf.Upload = c.prepare, c.open, c.upload
	conf.Hold = func(context.Context, string) (Lease, error) { return nothing{}, nil }
	if conf.Say == nil {
		conf.Say = io.Discard
	}
	b, err := Read(conf)
	if err != nil {
		return nil, err, false
	}
	lines, err = b.Do(c.t.Context())
	return lines, err, false
}

func newCluster(t *testing.T, text string) (*cluster, Config) {
	dir := t.TempDir()
	c := &cluster{t: t, base: dir, jobs: map[string]int{}, ending: map[string]record.State{}}
	file := filepath.Join(dir, "runs.json")
	if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return c, Config{File: file}
}

func read(t *testing.T, c Config) string {
	t.Helper()
	data, err := os.ReadFile(c.File)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const two = `[
  {"model": "one", "tp": 1.0e0, "tp_": null},
  {"model": "two"}
]
`

func TestEachEntryIsTunedAndItsOutcomeStandsInTheFile(t *testing.T) {
	c, conf := newCluster(t, strings.Replace(two, `"tp": 1.0e0, "tp_": null`, `"input_len":  100`, 1))
	c.ending["two"] = noAnswer()
	lines, err, _ := c.batch(conf)
	if err != nil || Worst(lines) != diag.NoAnswer {
		t.Fatalf("%v, %+v", err, lines)
	}
	const want = `[
  {"model": "one", "input_len":  100, "run_id": "run_1", "status": "SUCCESS", "results": "hash:x\nrun_1"},
  {"model": "two","run_id": "run_2","status": "FAILURE","results": "hash:x\nrun_2"}
]
`
	if got := read(t, conf); got != want {
		t.Errorf("got\n%s", got)
	}
	if info, err := os.Stat(conf.File); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	// What has a status is left alone, and counts; what failed is tried again when asked to.
	if lines, err, _ = c.batch(conf); err != nil || len(c.runs) != 2 || Worst(lines) != diag.NoAnswer {
		t.Fatalf("%v, %d runs, %+v", err, len(c.runs), lines)
	}
	conf.Retry = true
	delete(c.ending, "two")
	if lines, err, _ = c.batch(conf); err != nil || len(c.runs) != 3 || Worst(lines) != diag.OK {
		t.Fatalf("%v, %d runs, %+v", err, len(c.runs), lines)
	}
	if got := read(t, conf); got != strings.NewReplacer("run_2", "run_3", "FAILURE", "SUCCESS").Replace(want) {
		t.Errorf("got\n%s", got)
	}
}

func TestABatchThatIsKilledAnywhereGoesOnAndSubmitsNothingTwice(t *testing.T) {
	const text = `[{"model": "one"}, {"model": "one", "name": "again"}]`
	whole := ""
	for at := 0; ; at++ {
		c, conf := newCluster(t, text)
		conf.GCS, c.dies = "gs://b/p", at
		_, err, dead := c.batch(conf)
		if err != nil {
			t.Fatal(err)
		}
		if at > 0 && !dead {
			if at < 12 {
				t.Fatalf("only %d steps", at)
			}
			return
		}
		c.dies = 0
		if lines, err, _ := c.batch(conf); err != nil || Worst(lines) != diag.OK {
			t.Fatalf("killed at step %d: %v, %+v", at, err, lines)
		}
		got := strings.ReplaceAll(read(t, conf), c.base, "")
		if at == 0 {
			whole = got
		}
		if got != whole {
			t.Errorf("killed at step %d, the file is\n%s\nwant\n%s", at, got, whole)
		}
		if len(c.runs) != 2 {
			t.Errorf("killed at step %d: %d runs", at, len(c.runs))
		}
		for name, n := range c.jobs {
			if n != 1 {
				t.Errorf("killed at step %d: %s was submitted %d times", at, name, n)
			}
		}
	}
}

func TestOnAClusterAllEntriesAreSubmittedBeforeTheFirstIsOver(t *testing.T) {
	c, conf := newCluster(t, two)
	conf.File = filepath.Join(c.base, "runs.json")
	if err := os.WriteFile(conf.File, []byte(`[{"model": "one"}, {"model": "two"}, {"model": "one", "name": "again"}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	conf.Common = &autotune.Common{File: "base.yaml", Folder: c.base, Data: []byte("scheduler: slurm\n")}
	c.ending["two"] = noAnswer()
	c.first, c.out = 3, make(chan struct{})
	lines, err, _ := c.batch(conf)
	if err != nil || len(c.jobs) != 3 || len(lines) != 3 {
		t.Fatalf("%v, %v, %+v", err, c.jobs, lines)
	}
	f, err := batchfile.Parse("", []byte(read(t, conf)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"SUCCESS", "FAILURE", "SUCCESS"} {
		if o := f.Entries[i].Outcome; o.Status != want || o.RunID != fmt.Sprintf("run_%d", i+1) {
			t.Errorf("entry %d: %+v", i+1, o)
		}
	}
}

func TestWhatIsWrongWithEntriesIsToldBeforeAnythingIsSubmitted(t *testing.T) {
	for text, want := range map[string]string{
		"[\n {\"model\": 7, \"modle\": \"x\"}]":                       "runs.json:2:15: modle: is none of auto_tune.sh's variables",
		"[{\"tp\": {}}]":                                              "runs.json:1:3: tp: wants a number or a text",
		"[{\"tp\": 1, \"TP\": 2}]":                                    "runs.json:1:12: TP: is the same variable as tp",
		"[{\"tp\": 1}, {\"tp\": \"two\"}]":                            `runs.json:1:14: TP: wants a whole number`,
		"[{\"run_id\": \"../x\"}]":                                    `runs.json:1:2: run_id: "../x" is no run's name`,
		"[{\"vllm_x\": [1]}]":                                         "runs.json:1:3: vllm_x: wants a number or a text, for the server's environment",
		"[{\"tp\": \"x\", \"status\": \"SUCCESS\"}, {\"tp\": \"y\"}]": "runs.json:1:37: TP: wants a whole number", // the first is done with
	} {
		c, conf := newCluster(t, text)
		_, err, _ := c.batch(conf)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
		if diag.CodeOf(err) != diag.Spec || len(c.runs) > 0 || read(t, conf) != text {
			t.Errorf("%s: exit code %d, %d runs", text, diag.CodeOf(err), len(c.runs))
		}
	}
}

func TestKeysAreVariablesInAnyCase(t *testing.T) {
	f, err := batchfile.Parse("r", []byte(`[{"Max-Latency-Allowed-ms": 5e2, "NUM_SEQS_LIST": [8, "16"], "name": "nightly", "comment": [1], "hf_hub_offline": true,
		"vllm_use_v1": 1, "HF_TOKEN": "secret", "CUDA_VISIBLE_DEVICES": 0, "tp": null}]`))
	if err != nil {
		t.Fatal(err)
	}
	set, warnings, ps := settings(f.Entries[0])
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if len(set.Variables) != 2 || set.Variables[0].Name != "MAX_LATENCY_ALLOWED_MS" || set.Variables[0].Value != "5e2" || set.Variables[1].Value != "8 16" {
		t.Errorf("%+v", set.Variables)
	}
	if len(set.Environment) != 1 || set.Environment[0].Value != "true" {
		t.Errorf("%+v", set.Environment)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"name: none of auto_tune.sh's variables", "comment: ", "one engine", "sounds like a secret", "the scheduler's to say"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning says %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "secret\"") {
		t.Errorf("the secret is told:\n%s", all)
	}
}

func TestAFileThatCannotBeWrittenIsFoundBeforeAnythingIsSubmitted(t *testing.T) {
	c, conf := newCluster(t, `[{"model": "one"}]`)
	if err := os.WriteFile(conf.File+".d", nil, 0o644); err != nil { // where the specs' folder should be; root may write anywhere else
		t.Fatal(err)
	}
	if _, err, _ := c.batch(conf); diag.CodeOf(err) != diag.Usage || len(c.runs) > 0 {
		t.Errorf("%v, %d runs", err, len(c.runs))
	}
}

func TestAnAuthorMayEditTheFileWhileItIsWorkedOff(t *testing.T) {
	c, conf := newCluster(t, `[{"model": "one"}, {"model": "two"}]`)
	b, err := openBook(conf.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf.File, []byte(`[{"model": "new"}, {"model": "one"},
 {"model": "two, now another"}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.note(0, batchfile.Outcome{RunID: "r"}); err != nil {
		t.Fatal(err)
	}
	if err := b.note(1, batchfile.Outcome{RunID: "r"}); err == nil || !strings.Contains(err.Error(), "entry 2 was changed or taken out") {
		t.Errorf("got %v", err)
	}
	if got := read(t, conf); got != `[{"model": "new"}, {"model": "one","run_id": "r"},
 {"model": "two, now another"}]` {
		t.Errorf("got %s", got)
	}
	_ = c
}

func TestALinkToAFileStaysALink(t *testing.T) {
	c, conf := newCluster(t, `[{"model": "one"}]`)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(conf.File, link); err != nil {
		t.Fatal(err)
	}
	at := conf
	at.File = link
	if _, err, _ := c.batch(at); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 || !strings.Contains(read(t, conf), "SUCCESS") {
		t.Errorf("%v %v %s", info.Mode(), err, read(t, conf))
	}
}

func TestWhatTheFileSaysOfAnEntryThatIsDoneHasItsExitCode(t *testing.T) {
	for _, c := range []struct {
		status, results string
		want            diag.Code
	}{
		{"SUCCESS", "hash:x\nbest_max_num_seqs: 8, best_num_batched_tokens: 64, best_throughput: 1", diag.OK},
		{"SUCCESS", "best_max_num_seqs: 0, best_num_batched_tokens: 0, best_throughput: 0", diag.Infeasible},
		{"SUCCESS", "max_num_seqs: 8, max_num_batched_tokens: 64 failed: out-of-memory: x\nbest_max_num_seqs: 8, ", diag.FailedCells},
		{"SUCCESS", "max_num_seqs: 8, max_num_batched_tokens: 64, request_rate: 1, \nbest_max_num_seqs: 8, profile not saved: the profile failed: boom", diag.OK},
		{"FAILURE", "", diag.NoAnswer},
		{"WARNING_NO_RESULT_FILE", "", diag.NoAnswer},
		{"", "", diag.Unfinished},
	} {
		if got := codeOf(batchfile.Outcome{Status: c.status, Results: c.results}); got != c.want {
			t.Errorf("%s %q: %d, want %d", c.status, c.results, got, c.want)
		}
	}
	if got := Worst([]Line{{Code: diag.FailedCells}, {Code: diag.Infeasible}, {Code: diag.OK}}); got != diag.Infeasible {
		t.Errorf("worst %d", got)
	}
	if got := Worst([]Line{{Code: diag.Code(77)}}); got != diag.Internal {
		t.Errorf("an unknown code gives %d", got)
	}
}

func TestWhatAFileSaysOfItsEntriesMovesNoCursor(t *testing.T) {
	const evil = "x\x1b[31m\ny"
	var b strings.Builder
	if err := Summary(&b, []Line{{Entry: 1, Outcome: batchfile.Outcome{RunID: evil, Status: evil}, Error: evil}}); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Contains(text, "\x1b") || strings.Count(text, "\n") != 3 {
		t.Errorf("%q", text)
	}
}

func TestAnEntryWhoseRunIsGoneSaysWhatToDo(t *testing.T) {
	c, conf := newCluster(t, `[{"model": "one", "run_id": "gone"}, {"model": "two"}]`)
	var say strings.Builder
	conf.Say = &say
	lines, err, _ := c.batch(conf)
	if err != nil || lines[0].Code != diag.Usage || lines[1].Code != diag.OK {
		t.Errorf("%v %+v", err, lines)
	}
	if !strings.Contains(say.String(), "1: hint: entry 1 has a run_id that leads nowhere: take it out to start another run\n") {
		t.Errorf("it said\n%s", say.String())
	}
}

func TestWhenTheSchedulerIsGoneTheRestIsLeft(t *testing.T) {
	c, conf := newCluster(t, `[{"model": "one"}, {"model": "two"}]`)
	calls := 0
	conf.Hold = nil
	b, err := Read(Config{
		File: conf.File, Say: io.Discard,
		Prepare: func(context.Context, string, io.Writer) (Run, error) {
			calls++
			return nil, diag.Wrap(errors.New("no answer"), diag.Scheduler)
		},
		Hold: func(context.Context, string) (Lease, error) { return nothing{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := b.Do(c.t.Context())
	if err != nil || calls != 1 || Worst(lines) != diag.Scheduler || lines[1].Code != diag.Unfinished {
		t.Errorf("%v, %d calls, %+v", err, calls, lines)
	}
}

func TestAnEntryWithoutAnAnswerSaysWhy(t *testing.T) {
	var b strings.Builder
	if err := Summary(&b, []Line{{Entry: 1, Outcome: batchfile.Outcome{Status: batchfile.Failure}, Code: diag.NoAnswer}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "none: the probe or every cell failed") {
		t.Error(b.String())
	}
}
