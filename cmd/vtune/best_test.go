package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A real Slurm takes the serving job of a run that was made elsewhere, and the job serves: at the address that its log tells, for who has
// the key.
func TestTheWinnersJobServesOnARealCluster(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := t.TempDir()
	site := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(site, []byte("{partition: gpu, time: 5, gpu_style: gres, cpus: 1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "serve.sbatch")
	vtune(t, env, "best", "../../testdata/runs/demo", "--format", "sbatch", "--site", site, "-o", script)
	submit := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "sbatch", append(args, script)...)
		c.Env, c.Dir = env, dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("sbatch %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	submit("--test-only")
	job := submit("--parsable")
	address := regexp.MustCompile(`serving at (http://\S+):(\d+)/v1 with the key in (\S+)`)
	var said []string
	eventually(t, "the address", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "slurm-"+job+".out"))
		said = address.FindStringSubmatch(string(log))
		return said != nil
	})
	key, err := os.ReadFile(said[3])
	if err != nil || len(strings.TrimSpace(string(key))) != 64 {
		t.Errorf("key %q, %v", key, err)
	}
	if info, err := os.Stat(said[3]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	models := func(key string) int {
		// By address, and not by the node's name, which is not everywhere one that resolves.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+said[2]+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	eventually(t, "the server", func() bool { return models(strings.TrimSpace(string(key))) == http.StatusOK })
	if got := models("another key"); got != http.StatusUnauthorized {
		t.Errorf("with another key: %d", got)
	}
	slurm(t, env, "scancel", job)
	eventually(t, "the job's end", func() bool { return slurm(t, env, "squeue", "--noheader") == "" })
}
