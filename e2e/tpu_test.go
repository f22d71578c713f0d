//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/bucket/buckettest"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs/tpu"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/gate"
)

// tpuSpec is examples/tpu-v6e in small: two spot machines for eight cells of a simulated server.
const tpuSpec = `model: llama-8b
max_model_len: 4096
tensor_parallel: 8
workload: {input_len: 3000, output_len: 20, cache_hit_pct: 60, vocab_size: 32000}
limit: {p99_e2el_ms: 12000} # with room for pauses of this machine, which are 60 times as long for the client
grid: {max_num_seqs: [2, 4], max_num_batched_tokens: [1024, 2048, 3072, 4096]}
plan: cells
test: {max_requests: 1000}
base: gs://tuning/e2e
scheduler: tpu
site: {project: %s, zone: %s, accelerator_type: v6e-8, runtime_version: v2-alpha-tpuv6e, spot: true, max_run_duration: 1h, cells_per_resource: 4}
max_chip_hours: 32
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "60", VLLM_SIM_HARDWARE: a10-like}
  secrets: [HF_TOKEN]
`

const token = "hf_e2e_secret_value"

// Fakes of Google's API and of its storage, and everything else as it is: a run on two machines, of which one is taken away, with its
// winner, its trace, and nothing left. What is secret is nowhere but on the machines.
func TestATPUTuningOnFakesOfGoogle(t *testing.T) {
	root := repository(t)
	storage := buckettest.Start(t)
	buckettest.Make(t, storage, "tuning")
	api := tputest.New(t, tputest.Options{Pace: tputest.Pace{Notice: 3 * time.Second}, Path: []string{filepath.Join(root, "bin")}})
	g := gate.New(t, storage, api.Tokens().Check)
	work := t.TempDir()
	api.Give("VTUNE_STORAGE_ENDPOINT="+g.URL(), "TPU_ACCELERATOR_TYPE=v6e-8")
	for name, value := range map[string]string{
		"HOME": work, "XDG_STATE_HOME": "", "HF_TOKEN": token, "GOOGLE_APPLICATION_CREDENTIALS": api.CredentialsFile(t),
		"VTUNE_STORAGE_ENDPOINT": g.URL(), "VTUNE_TPU_ENDPOINT": api.URL(),
	} {
		t.Setenv(name, value)
	}
	spec := filepath.Join(work, "spec.yaml")
	if err := os.WriteFile(spec, fmt.Appendf(nil, tpuSpec, api.Project(), api.Zone()), 0o644); err != nil {
		t.Fatal(err)
	}
	run := strings.TrimSpace(command(t, root, "bin/vtune", "submit", spec))
	u, err := url.Parse(run)
	if err != nil || u.Host != "tuning" {
		t.Fatalf("submit printed %q", run)
	}
	dir := record.Dir(filepath.Join(work, ".local/state/vtune/gs/tuning", u.Path))
	watch := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "vtune"), "collect", "--watch", "--grace", "30s", run)
	var said bytes.Buffer
	watch.Stdout, watch.Stderr = &said, &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for len(api.Left()) < 2 || observed(dir) < 4 {
		if time.Since(began) > bound {
			t.Fatalf("%s, %d observations after %s\n%s", api.Left(), observed(dir), bound, &said)
		}
		time.Sleep(100 * time.Millisecond)
	}
	var r record.Run
	if err := fsx.ReadJSON(dir.Run(), &r); err != nil {
		t.Fatal(err)
	}
	if err := api.Preempt(tpu.ResourceID(record.JobName(r.ID, "slice-1")), tputest.Preemption{}); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Fatalf("collect: %v\n%s", err, &said)
	}
	if left := api.Left(); len(left) > 0 {
		t.Errorf("resources are left: %s", left)
	}
	var st record.State
	if err := fsx.ReadJSON(dir.State(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Phase != record.PhaseOver || st.Best == nil || len(st.ProfileFiles) == 0 || !strings.HasSuffix(st.ProfileFiles[0], ".xplane.pb") {
		t.Errorf("%s, best %+v, trace %s\n%s", st.Phase, st.Best, st.ProfileFiles, &said)
	}
	for _, c := range st.Cells {
		if !c.Phase.Final() || c.Phase == record.WorkFailed {
			t.Errorf("%s: %s %s", c.ID, c.Phase, c.Message)
		}
	}
	t.Logf("%d requests for resources, calls of the bucket %v, %.0f s\n%s", api.Count("POST", "/queuedResources"), g.Calls(), time.Since(began).Seconds(), &said)
	nowhere(t, storage, dir, api)
}

// observed is how many observations have come here.
func observed(dir record.Dir) int {
	all, _ := filepath.Glob(filepath.Join(dir.Cells(), "*", "*", "observations", "*.json"))
	return len(all)
}

// nowhere wants the secret in no object, in no request and in no file here that others may read.
func nowhere(t *testing.T, storage string, dir record.Dir, api *tputest.Server) {
	t.Helper()
	b, err := bucket.Open(t.Context(), "tuning", buckettest.Env(storage))
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	err = b.List(t.Context(), "", "", func(o bucket.Object) error {
		objects++
		data, _, err := b.Get(t.Context(), o.Name)
		if bytes.Contains(data, []byte(token)) {
			t.Errorf("the token is in %s", o.Name)
		}
		return err
	})
	if err != nil || objects < 50 {
		t.Errorf("%d objects, %v", objects, err)
	}
	for _, r := range api.Requests() {
		if bytes.Contains([]byte(fmt.Sprint(r)), []byte(token)) {
			t.Errorf("the token is in a request: %s %s", r.Method, r.Path)
		}
	}
	err = filepath.WalkDir(string(dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == dir.Secrets() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(token)) {
			t.Errorf("the token is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir.Secrets()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secrets: %v, %v", info, err)
	}
}
