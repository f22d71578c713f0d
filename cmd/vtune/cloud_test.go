package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"vtune/internal/bucket/buckettest"
	"vtune/internal/record"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/gate"
)

// cloud is what of Google's a test needs: an API of TPUs and a storage emulator, both fakes that are as strict as the real ones. Its
// machines are folders in which startup scripts really run.
type cloud struct {
	*testing.T
	api  *tputest.Server
	gate *gate.Gate // before the bucket
	env  []string   // of who types vtune
}

func newCloud(t *testing.T, o tputest.Options) *cloud {
	t.Helper()
	storage := buckettest.Start(t)
	buckettest.Make(t, storage, "tuning")
	dir := t.TempDir()
	o.Path = append(o.Path, programs)
	api := tputest.New(t, o)
	g := gate.New(t, storage, api.Tokens().Check)
	api.Give("VTUNE_STORAGE_ENDPOINT="+g.URL(), "VLLM_SIM_GPU_DIR="+filepath.Join(dir, "gpus"))
	env := append(environment(dir), "HOME="+dir, "XDG_STATE_HOME=", "GOOGLE_APPLICATION_CREDENTIALS="+api.CredentialsFile(t), "VTUNE_STORAGE_ENDPOINT="+g.URL())
	return &cloud{t, api, g, append(env, api.Env()...)}
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
func (c *cloud) submit(spec string, args ...string) (run string, dir record.Dir) {
	c.Helper()
	run = vtune(c.T, c.env, append([]string{"submit", "--yes", spec}, args...)...)
	return run, c.home(run)
}

func (c *cloud) home(run string) record.Dir {
	c.Helper()
	u, err := url.Parse(run)
	if err != nil || u.Scheme != "gs" {
		c.Fatalf("submit printed %q", run)
	}
	return record.Dir(filepath.Join(c.lookup("HOME"), ".local", "state", "vtune", "gs", u.Host, u.Path))
}

func (c *cloud) lookup(name string) (value string) {
	for _, e := range c.env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// nothingLeft is what every test ends with: whatever happened, nothing costs anything any more.
func (c *cloud) nothingLeft() {
	c.Helper()
	if left := c.api.Left(); len(left) > 0 {
		c.Errorf("resources are left: %s", left)
	}
}

// A whole tuning: requests, machines, workers, the bucket, follow-ups, the answers here and there, and nothing left.
func TestARunOnTPUs(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, dir := c.submit(c.spec("cells_per_resource: 8"))
	watch := start(t, c.env, "collect", "--watch", run)
	watch.ends()
	c.nothingLeft()
	st := state(t, dir)
	if st.Phase != record.PhaseOver || st.Best == nil {
		t.Errorf("the run ended as %s with %+v", st.Phase, st.Best)
	}
}
