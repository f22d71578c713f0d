package templates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
	"vtune/internal/need"
	"vtune/internal/spec"
	"vtune/templates"
)

// onV5e is a machine of one host with an environment of its own.
func onV5e() templates.View {
	return templates.View{
		Run: "2026_11_23_10_30", System: "TPU", Site: spec.Site{Environment: []string{"source /opt/vllm/bin/activate"}},
		Machine: templates.Machine{
			Bucket: "lab-tuning", Prefix: "tuning/auto-benchmark/2026_11_23_10_30", Unit: "pool-1", AgentSHA256: strings.Repeat("0123abcd", 8),
			MaxRun: 4 * 3600, Hosts: 1,
			SelfDelete: templates.SelfDelete{Project: "lab", Zone: "us-west4-a", Resource: "vt-2026-11-23-10-30-pool-1"},
		},
	}
}

// inDocker is a v6e-8, whose vLLM comes from an image.
func inDocker() templates.View {
	v := onV5e()
	v.Site = spec.Site{Container: spec.Container{Runtime: "docker", Image: "vllm/vllm-tpu:v0.32.0", Mounts: []string{"/mnt/models:ro"}}}
	v.Secrets, v.SecretNames, v.Folders = "secrets.env", []string{"HF_TOKEN"}, []string{"/mnt/cache"}
	return v
}

// slice is a v6e-16 of four hosts, in the API's first version.
func slice() templates.View {
	v := inDocker()
	v.Machine.Hosts, v.Machine.SelfDelete.API = 4, "v2alpha1"
	return v
}

// hostile has in each field a string that would do harm if it were not quoted.
func hostile() templates.View {
	v := slice()
	const bad = "it's $(id) `id` \"x\" #1; rm -rf /\n&"
	v.Run, v.Machine.Bucket, v.Machine.Prefix, v.Machine.Unit = bad, bad, bad, bad
	v.Machine.Endpoint = "https://storage.example/$(id)"
	v.Machine.SelfDelete = templates.SelfDelete{Project: bad, Zone: bad, Resource: bad, API: "v2", Endpoint: "https://tpu.example/'$(id)"}
	v.Site.Scratch, v.Site.Proxy, v.Folders = "/scratch/it's $HOME", "http://$(id)", []string{"/cache/it's $HOME"}
	v.Site.Container.Image, v.Site.Container.Options = "image $(id)", []string{"--label=$(id) 'x'"}
	return v
}

func TestGoldenScriptsOfMachines(t *testing.T) {
	for _, c := range []struct {
		file, script string
		view         templates.View
	}{
		{"tpu-startup-v5e", templates.TPUStartup, onV5e()},
		{"tpu-job-v5e", templates.TPUJob, onV5e()},
		{"tpu-startup-docker", templates.TPUStartup, inDocker()},
		{"tpu-job-docker", templates.TPUJob, inDocker()},
		{"tpu-startup-slice", templates.TPUStartup, slice()},
		{"tpu-join-slice", templates.TPUJoin, slice()},
		{"tpu-join-v5e", templates.TPUJoin, onV5e()},
		{"launch-tpu", templates.LaunchTPU, slice()},
		{"tpu-startup-hostile", templates.TPUStartup, hostile()},
		{"tpu-job-hostile", templates.TPUJob, hostile()},
	} {
		t.Run(c.file, func(t *testing.T) {
			got, err := load(t, "").Render(c.script, c.view)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", c.file+".sh")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
			const metadataLimit = 256 << 10
			if len(got) > metadataLimit/8 {
				t.Errorf("%d bytes, of the %d that a metadata value may have", len(got), metadataLimit)
			}
			if out, err := exec.Command("bash", "-n", golden).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("bash -n: %v: %s", err, out)
			}
			need.Program(t, "shellcheck", "make deps")
			// What a site writes into its environment is its own affair.
			if out, err := exec.Command("shellcheck", "--severity=warning", "--exclude=SC1091,SC2089,SC2090", golden).CombinedOutput(); err != nil {
				t.Errorf("shellcheck: %v\n%s", err, out)
			}
		})
	}
}

func TestAMachinesTemplateThatWouldLoseItsAgentIsRefused(t *testing.T) {
	const (
		check  = `[ "$(sha256sum <"$agent")" = {{sh (printf "%s  -" .Machine.AgentSHA256)}} ] || exit 1` + "\n"
		chmod  = "chmod 0755 \"$agent\"\n"
		worker = "\"$agent\" worker --bucket {{sh .Machine.URL}} --unit {{sh .Machine.Unit}} --dir \"$dir\"\n"
	)
	for name, c := range map[string]struct{ file, text, want string }{
		"no check":                     {"tpu-startup.tmpl", chmod + worker, "the agent's SHA-256 is not checked"},
		"a check of another sum":       {"tpu-startup.tmpl", strings.Replace(check, ".Machine.AgentSHA256", ".Machine.Unit", 1) + chmod + worker, "the agent's SHA-256 is not checked"},
		"a check without consequences": {"tpu-startup.tmpl", strings.Replace(check, "exit 1", "echo bad", 1) + chmod + worker, "the agent's SHA-256 is not checked"},
		"a check that ends well":       {"tpu-startup.tmpl", strings.Replace(check, "exit 1", "exit 0", 1) + chmod + worker, "the agent's SHA-256 is not checked"},
		"a check of nothing":           {"tpu-startup.tmpl", strings.Replace(check, "sha256sum", "cat", 1) + chmod + worker, "the agent's SHA-256 is not checked"},
		"a check that is inverted":     {"tpu-startup.tmpl", strings.Replace(check, "[", "! [", 1) + chmod + worker, "the agent's SHA-256 is not checked"},
		"executable before the check":  {"tpu-startup.tmpl", chmod + check + worker, "this comes before the agent's SHA-256 is checked"},
		"installed before the check":   {"tpu-startup.tmpl", "install -m 0755 a \"$agent\"\n" + check + worker, "this comes before the agent's SHA-256 is checked"},
		"run before the check":         {"tpu-startup.tmpl", worker + check + chmod, "this comes before the agent's SHA-256 is checked"},
		"no worker":                    {"tpu-startup.tmpl", check + chmod, "the worker is not run"},
		"another unit's worker":        {"tpu-startup.tmpl", check + chmod + strings.Replace(worker, "{{sh .Machine.Unit}}", "x", 1), "the worker is not run"},
		"another run's worker":         {"tpu-startup.tmpl", check + chmod + strings.Replace(worker, "{{sh .Machine.URL}}", "gs://x/y", 1), "the worker is not run"},
		"nothing at all":               {"tpu-startup.tmpl", "", "the agent's SHA-256 is not checked"},
		"a job without its agent":      {"tpu-job.tmpl", "echo \"$1\" agent \"$2\"\n", "the last command does not run the agent"},
		"a job below bash":             {"tpu-job.tmpl", "\"$1\" agent \"$2\"\n", "the last command does not run the agent"},
		"a job of another assignment":  {"tpu-job.tmpl", "exec \"$1\" agent \"$3\"\n", "the last command does not run the agent"},
		"a job whose words are split":  {"tpu-job.tmpl", "exec $1 agent $2\n", "the last command does not run the agent"},
		"a job that is empty":          {"tpu-job.tmpl", "", "the last command does not run the agent"},
		"a launch without the server":  {"launch-tpu.tmpl", "ray start\n", "no command runs the server"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, c.file), "#!/bin/bash\n"+c.text)
		if _, err := templates.Load(dir); err == nil || !strings.Contains(err.Error(), c.want) || diag.CodeOf(err) != diag.Spec {
			t.Errorf("%s: got %v", name, err)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tpu-startup.tmpl"), "#!/bin/bash\nagent=/x dir=/y\n"+check+chmod+"setsid "+worker)
	write(t, filepath.Join(dir, "tpu-job.tmpl"), "#!/bin/bash\nexec podman run --volume=<(date) image \"$1\" agent \"$2\"\n")
	if _, err := templates.Load(dir); err != nil {
		t.Errorf("a site's own: %v", err)
	}
}
