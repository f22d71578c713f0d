package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/screen/screentest"
	"vtune/internal/bucket"
	"vtune/internal/bucket/buckettest"
	"vtune/internal/record"
	"vtune/jobs/tpu"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/gate"
)

// cloud is what of Google's a test needs: an API of TPUs and a storage emulator, both fakes that are as strict as the real ones. Its
// machines are folders in which startup scripts really run.
type cloud struct {
	*testing.T
	api     *tputest.Server
	gate    *gate.Gate // before the bucket
	storage string     // the bucket behind it
	env     []string   // of who types vtune
}

func newCloud(t *testing.T, o tputest.Options) *cloud {
	t.Helper()
	storage := buckettest.Start(t)
	buckettest.Make(t, storage, "tuning")
	dir := t.TempDir()
	o.Path = append(o.Path, programs)
	api := tputest.New(t, o)
	g := gate.New(t, storage, api.Tokens().Check)
	api.Give("VTUNE_STORAGE_ENDPOINT="+g.URL(), "TPU_ACCELERATOR_TYPE=v6e-1")
	c := &cloud{T: t, api: api, gate: g, storage: storage}
	c.env = append(environment(dir), "GOOGLE_APPLICATION_CREDENTIALS="+api.CredentialsFile(t), "VTUNE_STORAGE_ENDPOINT="+g.URL())
	c.env = append(c.env, api.Env()...)
	c.env = c.anotherHome()
	return c
}

// anotherHome is the environment of somebody who knows nothing of what was typed elsewhere.
func (c *cloud) anotherHome() []string {
	return append(c.env[:len(c.env):len(c.env)], "HOME="+c.TempDir(), "XDG_STATE_HOME=")
}

// spec is walkSpec for TPUs, with further keys of the site.
func (c *cloud) spec(site string) string {
	c.Helper()
	text := fmt.Sprintf(walkSpec, "tpu", "in-job") + fmt.Sprintf(`system: TPU
base: gs://tuning/runs
site: {project: %s, zone: %s, accelerator_type: v6e-1, runtime_version: v2-alpha-tpuv6e, max_run_duration: 1h, %s}
`, c.api.Project(), c.api.Zone(), site)
	return writeSpec(c.T, text)
}

// submit returns the run's URL and its directory here.
func (c *cloud) submit(spec string) (run string, dir record.Dir) {
	c.Helper()
	run = vtune(c.T, c.env, "submit", "--yes", spec)
	return run, c.home(c.env, run)
}

// home is the directory of a run with who has that environment.
func (c *cloud) home(env []string, run string) record.Dir {
	c.Helper()
	u, err := url.Parse(run)
	if err != nil || u.Scheme != "gs" {
		c.Fatalf("submit printed %q", run)
	}
	home := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "HOME="); ok {
			home = v
		}
	}
	return record.Dir(filepath.Join(home, ".local", "state", "vtune", "gs", u.Host, u.Path))
}

// machine is the resource of a unit of the run.
func (c *cloud) machine(dir record.Dir, unit string) string {
	c.Helper()
	var run record.Run
	readRecord(c.T, dir.Run(), &run)
	return tpu.ResourceID(record.JobName(run.ID, unit))
}

// awaits waits until something holds.
func (c *cloud) awaits(what string, holds func() bool) {
	c.Helper()
	eventually(c.T, what, holds)
}

// awaitFile waits until a file of the run is in the bucket, whoever has seen it.
func (c *cloud) awaitObject(run, name string) {
	c.Helper()
	b := c.bucket()
	u, _ := url.Parse(run)
	eventually(c.T, name+" in the bucket", func() bool {
		_, err := b.Stat(c.Context(), strings.TrimPrefix(u.Path, "/")+"/"+name)
		return err == nil
	})
}

// bucket is the run's, by the back door.
func (c *cloud) bucket() *bucket.Bucket {
	c.Helper()
	b, err := bucket.Open(c.Context(), "tuning", buckettest.Env(c.storage))
	if err != nil {
		c.Fatal(err)
	}
	return b
}

// answer is what result.txt of walkSpec says, whatever befell its run: the same cells at the same rates.
var answer = regexp.MustCompile(`^hash:0\.32\.0\+sim
max_num_seqs: 2, max_num_batched_tokens: 2048, request_rate: 1, e2el: [0-9.]+, throughput: 0\.\d\d, goodput: [0-9.]+
max_num_seqs: 4, max_num_batched_tokens: 2048, request_rate: 2, e2el: [0-9.]+, throughput: 1\.\d\d, goodput: [0-9.]+
best_max_num_seqs: 4, best_num_batched_tokens: 2048, best_throughput: 1\.\d\d, profile saved in: .*/profile
$`)

// ends wants the run to be over with the answer of an undisturbed one, here and in the bucket, and nothing to be left that costs.
func (c *cloud) ends(run string, dir record.Dir) record.State {
	c.Helper()
	st := state(c.T, dir)
	if st.Phase != record.PhaseOver {
		c.Errorf("the run ended as %s", st.Phase)
	}
	here, err := os.ReadFile(dir.ResultTxt())
	if err != nil {
		c.Fatal(err)
	}
	if !answer.Match(here) {
		c.Errorf("result.txt\n%s", here)
	}
	u, _ := url.Parse(run)
	there, _, err := c.bucket().Get(c.Context(), strings.TrimPrefix(u.Path, "/")+"/result.txt")
	if err != nil || string(there) != string(here) {
		c.Errorf("result.txt in the bucket: %v\n%s", err, there)
	}
	for _, cell := range st.Cells {
		measuredOnce(c.T, cell)
	}
	c.nothingLeft()
	return st
}

func (c *cloud) nothingLeft() {
	c.Helper()
	if left := c.api.Left(); len(left) > 0 {
		c.Errorf("resources are left: %s", left)
	}
}

// collect watches a run to its end.
func (c *cloud) collect(run string) { vtune(c.T, c.env, "collect", "--watch", "--grace", "30s", run) }

// A whole tuning: requests, machines, workers, the bucket, follow-ups, the profile, the answers here and there, and nothing left.
func TestARunOnTPUs(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, dir := c.submit(c.spec("cells_per_resource: 8, spot: true"))
	watch := start(t, c.env, "collect", "--watch", run)
	said := watch.ends()
	st := c.ends(run, dir)
	if len(st.ProfileFiles) == 0 || !strings.HasSuffix(st.ProfileFiles[0], ".xplane.pb") {
		t.Errorf("profile: %s", st.ProfileFiles)
	}
	for _, f := range st.ProfileFiles {
		if _, err := os.Stat(filepath.Join(string(dir), f)); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(said, "vllm-sim serve") {
		t.Errorf("the winner's command is missing\n%s", said)
	}
	if posts := c.api.Count("POST", "/queuedResources"); posts != 1 {
		t.Errorf("%d resources were asked for, want one for all", posts)
	}
	if said := vtune(t, c.env, "status", string(dir)); !strings.Contains(said, run+"  over") {
		t.Errorf("status by the directory here\n%s", said)
	}
	c.awaitObject(run, st.ProfileFiles[0])
	// Somebody else, who has nothing of it but its name.
	env := c.anotherHome()
	if got := vtune(t, env, "collect", run); got == "" {
		t.Error("no summary elsewhere")
	}
	mine, _ := os.ReadFile(dir.State())
	theirs, err := os.ReadFile(c.home(env, run).State())
	if err != nil || string(mine) != string(theirs) {
		t.Errorf("the state that another machine derives differs: %v\n%s\n%s", err, mine, theirs)
	}
	if got := vtune(t, c.anotherHome(), "best", run); !strings.Contains(got, "--max-num-seqs 4 ") || !strings.Contains(got, "--max-num-batched-tokens 2048") {
		t.Errorf("best elsewhere\n%s", got)
	}
	var told struct{ Best struct{ Cell record.Cell } }
	if err := json.Unmarshal([]byte(vtune(t, c.anotherHome(), "report", "--format", "json", run)), &told); err != nil || told.Best.Cell.ID != "s4-t2048" {
		t.Errorf("report elsewhere: %v, %+v", err, told)
	}
	if got := c.exits(2, c.anotherHome(), "compare", run, run); !strings.Contains(got, "nothing that decides was measured in both") {
		t.Errorf("compare elsewhere, of a run with too little to compare\n%s", got)
	}
}

// Machines of one run take from one queue. Those beyond the first are asked for when the probe has its answer: until then they would have
// nothing to do.
func TestARunOnSeveralTPUs(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, dir := c.submit(c.spec("cells_per_resource: 1"))
	if posts := c.api.Count("POST", "/queuedResources"); posts != 1 {
		t.Errorf("%d resources were asked for, want one for the probe", posts)
	}
	c.collect(run)
	c.nothingLeft()
	st := state(t, dir)
	for i, cell := range st.Cells { // who measures at the same time on one real machine finds what he finds
		if cell.Phase != record.WorkDone || len(cell.Observations) == 0 || len(cell.Attempts) != 1 {
			t.Errorf("%s: %s, %d attempts, %d observations", st.Cells[i].ID, cell.Phase, len(cell.Attempts), len(cell.Observations))
		}
	}
	if posts := c.api.Count("POST", "/queuedResources"); posts != 3 {
		t.Errorf("%d resources were asked for in all, want one for the probe and one for each cell", posts)
	}
}

// exits runs vtune and wants an exit code.
func (c *cloud) exits(code int, env []string, args ...string) string {
	c.Helper()
	cmd := exec.Command(filepath.Join(programs, "vtune"), args...)
	cmd.Env = env
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		c.Fatalf("vtune %s: %v, want exit code %d\n%s", strings.Join(args, " "), cmd.ProcessState, code, out)
	}
	return string(out)
}

// What may cost is asked for before the first request, and what is cancelled is gone: the run's own and nothing else.
func TestNothingIsAskedForThatNobodyAgreedTo(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	spec := c.spec("cells_per_resource: 8")
	if said := c.exits(2, c.env, "submit", spec); !strings.Contains(said, "chip-hours") || !strings.Contains(said, "--yes") {
		t.Errorf("it said\n%s", said)
	}
	if said := c.exits(2, c.env, "submit", "--max-chip-hours", "0.5", spec); !strings.Contains(said, "no more than 0.5") {
		t.Errorf("it said\n%s", said)
	}
	if n := c.api.Count("POST", "/queuedResources"); n != 0 {
		t.Fatalf("%d requests", n)
	}
	run, _ := c.submit(spec)
	c.awaits("the machine", func() bool { return len(c.api.Left()) == 1 })
	if said := c.exits(0, c.anotherHome(), "cancel", run, "--all-orphans"); !strings.Contains(said, "no resource") {
		t.Errorf("elsewhere, before anybody collects, the run's own machine is taken for nobody's\n%s", said)
	}
	c.exits(0, c.env, "cancel", run)
	c.awaits("the machine to be gone", func() bool { return len(c.api.Left()) == 0 })
	// What a run has lost sight of is found by its label.
	another, dir := c.submit(spec)
	if err := os.RemoveAll(dir.Job("slice-1")); err != nil {
		t.Fatal(err)
	}
	if said := c.exits(0, c.env, "cancel", another, "--all-orphans"); !strings.Contains(said, c.machine(dir, "slice-1")) || len(c.api.Left()) != 1 {
		t.Errorf("orphans\n%s", said)
	}
	c.exits(0, c.env, "cancel", another, "--all-orphans", "--yes")
	c.awaits("the orphan to be gone", func() bool { return len(c.api.Left()) == 0 })
}

// A person at a terminal is asked, and what is not a yes is a no.
func TestAPersonAtATerminalIsAskedWhetherItMayBeSpent(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	spec := c.spec("cells_per_resource: 8")
	for _, answer := range []struct {
		typed     string
		code      int
		resources int
	}{{"", 2, 0}, {"\n", 2, 0}, {"no\n", 2, 0}, {"y\n", 0, 1}} {
		screen, keyboard := screentest.Terminal(t, 80, 24)
		cmd := exec.Command(filepath.Join(programs, "vtune"), "submit", spec)
		cmd.Env, cmd.Stdin, cmd.Stderr = c.env, strings.NewReader(answer.typed), keyboard
		_ = cmd.Run() // its exit code is looked at below
		keyboard.Close()
		said, _ := io.ReadAll(screen) // ends in an error when the other side is closed
		if code := cmd.ProcessState.ExitCode(); code != answer.code || len(c.api.Left()) != answer.resources ||
			!strings.Contains(string(said), "worst case: 1 resource x 1 chip x 1 h = 1 chip-hours") || !strings.Contains(string(said), "Go on? [y/N]") {
			t.Errorf("after %q: exit code %d, %s\n%s", answer.typed, code, c.api.Left(), said)
		}
	}
}

// What Google will not take is told with the line that says it.
func TestARefusalOfGooglesNamesTheLineThatCausedIt(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	spec := c.spec("cells_per_resource: 8, service_account: nobody@nowhere.iam.gserviceaccount.com")
	c.api.Refuse(400, "The service account nobody@nowhere.iam.gserviceaccount.com does not exist")
	if said := c.exits(4, c.env, "submit", "--yes", spec); !strings.Contains(said, "spec.yaml:14:") || !strings.Contains(said, "site.service_account") {
		t.Errorf("it said\n%s", said)
	}
	c.nothingLeft()
}

// slowly gives each phase time for something to happen in it.
var slowly = tputest.Options{Pace: tputest.Pace{Notice: 3 * time.Second}}
