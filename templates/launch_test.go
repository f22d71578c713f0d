package templates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/templates"
)

// twoNodes is a server of 16 GPUs on two nodes.
func twoNodes() templates.View {
	v := plain()
	v.Resources, v.Site = record.Resources{GPUs: 8, Nodes: 2}, spec.Site{GPUStyle: "gres"}
	return v
}

func TestGoldenScriptsOfSeveralNodes(t *testing.T) {
	total, none := twoNodes(), twoNodes()
	total.Site.GPUStyle, none.Site.GPUStyle = "gpus", "none"
	total.ServerCommand = []string{"/run/bin/launch", "vllm", "serve"}
	for _, c := range []struct {
		file, script string
		view         templates.View
	}{
		{"launch-mp", templates.LaunchMP, twoNodes()},
		{"launch-mp-gpus", templates.LaunchMP, total},
		{"launch-mp-no-gpus", templates.LaunchMP, none},
		{"launch-ray", templates.LaunchRay, twoNodes()},
		{"slurm-two-nodes", templates.Slurm, total},
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
			if out, err := exec.Command("bash", "-n", golden).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("bash -n: %v: %s", err, out)
			}
		})
	}
}

// srunStandIn runs a step's tasks one after another, as nodes 0 and 1, and is strict: an option that it does not know, or a word of
// the job's environment that it must not be given, ends it.
const srunStandIn = `#!/bin/bash
nodes=1
while [[ $1 == --* ]]; do
  case $1 in
    --nodes=*) nodes=${1#*=} ;;
    --ntasks=* | --ntasks-per-node=1 | --relative=0 | --overlap | --input=none | --export=ALL | --mpi=none | --cpu-bind=none | --mem=0) ;;
    --kill-on-bad-exit=1 | --wait=10 | --disable-status | --gres=gpu:8) ;;
    *) echo "srun stand-in: $1?" >&2; exit 2 ;;
  esac
  shift
done
if [ "$SLURM_JOB_ID $SLURM_CONF" != "7 /conf" ]; then echo "srun stand-in: no job" >&2; exit 2; fi
if [ -n "$SLURM_MEM_PER_NODE$SLURM_CPU_BIND$SLURM_NNODES$SRUN_CPUS_PER_TASK" ]; then echo "srun stand-in: the agent's own step" >&2; exit 2; fi
for ((n = 0; n < nodes; n++)); do SLURM_NODEID=$n "$@" || exit; done
`

// TestTheServersCommandLineReachesEveryRankAsItWas runs the launch program with a stand-in for srun, and words that bash would
// change if it saw them.
func TestTheServersCommandLineReachesEveryRankAsItWas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's 1")
	script, err := load(t, "").Render(templates.LaunchMP, twoNodes())
	if err != nil {
		t.Fatal(err)
	}
	launch := filepath.Join(dir, "launch")
	write(t, launch, string(script))
	write(t, filepath.Join(dir, "srun"), srunStandIn)
	write(t, filepath.Join(dir, "hostname"), "#!/bin/bash\necho first-node\n")
	write(t, filepath.Join(dir, "my vllm"), "#!/bin/bash\nprintf '[%s]' \"$@\"\necho\n")
	words := []string{"serve", "a b", "$HOME", "it's", `"`, "", "*", "--x={\"a\": [1, 2]}", "new\nline", `back\slash`}
	run := func(env ...string) string {
		t.Helper()
		cmd := exec.Command(launch, append([]string{filepath.Join(dir, "my vllm")}, words...)...)
		cmd.Env = append([]string{
			"PATH=" + dir + ":" + os.Getenv("PATH"), "SLURM_JOB_ID=7", "SLURM_CONF=/conf", "HOSTNAME=login",
			"SLURM_NNODES=9", "SLURM_MEM_PER_NODE=1", "SLURM_CPU_BIND=mask_cpu:0x1", "SRUN_CPUS_PER_TASK=1", "SLURM_NODEID=5",
		}, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	given := "[" + strings.Join(words, "][") + "][--distributed-executor-backend][mp][--nnodes][2][--node-rank]"
	want := given + "[0][--master-addr][first-node][--master-port][4711]\n" + given + "[1][--master-addr][first-node][--master-port][4711][--headless]\n"
	if d := cmp.Diff(want, run("VTUNE_MASTER_PORT=4711")); d != "" {
		t.Error(d)
	}
	if out := run("VTUNE_MASTER_ADDR=ib0.example"); !strings.Contains(out, "[--master-addr][ib0.example][--master-port][29501]") {
		t.Errorf("by hand, and on a network of one's own: %s", out)
	}
}

func TestALaunchTemplateThatWouldLoseTheServerIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"does not run on the nodes":  "#!/bin/bash\nexec \"$@\"\n",
		"stays in between":           "#!/bin/bash\nsrun bash -c x rank \"$@\"\n",
		"splits the words":           "#!/bin/bash\nexec srun bash -c x rank $@\n",
		"joins the words":            "#!/bin/bash\nexec srun bash -c x rank \"$*\"\n",
		"drops the first word":       "#!/bin/bash\nexec srun bash -c x rank \"${@:2}\"\n",
		"puts words after them":      "#!/bin/bash\nexec srun \"$@\" --headless\n",
		"hands on only a part":       "#!/bin/bash\nexec srun vllm \"x$@\"\n",
		"does so under a condition":  "#!/bin/bash\ntrue && exec srun \"$@\"\n",
		"is not bash":                "#!/bin/bash\nexec srun \"$@\n",
		"is empty":                   "#!/bin/bash\n",
		"names a field there is not": "#!/bin/bash\nexec srun --nodes={{.Hosts}} \"$@\"\n",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "launch-mp.tmpl"), text)
		if _, err := templates.Load(dir); err == nil {
			t.Errorf("a template that %s is taken", name)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "launch-mp.tmpl"), "#!/bin/bash\nmodule load cuda\nexec srun --nodes={{.NodeCount}} apptainer exec image /opt/rank \"$@\"\n")
	if got, err := load(t, dir).Render(templates.LaunchMP, twoNodes()); err != nil || !strings.Contains(string(got), "--nodes=2 apptainer") {
		t.Errorf("a site's own: %v\n%s", err, got)
	}
}
