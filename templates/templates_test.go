package templates_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/syntax"

	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/templates"
)

var update = flag.Bool("update", false, "rewrite the golden scripts")

func load(t *testing.T, dir string) *templates.Set {
	t.Helper()
	s, err := templates.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plain() templates.View {
	return templates.View{
		Run: "2026_11_23_10_30", Name: "vt-2026_11_23_10_30-s128-t2048-1", RunDir: "/scratch/auto-benchmark/2026_11_23_10_30",
		Agent:      "/scratch/auto-benchmark/2026_11_23_10_30/bin/vtune",
		Log:        "/scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/log",
		Assignment: "/scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/assignment.json",
		Site:       spec.Site{GPUStyle: "none"},
	}
}

// full has every field set, and in each a string that would do harm if it were not quoted.
func full() templates.View {
	v := plain()
	v.RunDir = "/scratch/it's 100% $HOME #1"
	v.Agent = v.RunDir + "/bin/vtune"
	v.Log = v.RunDir + "/jobs/s128-t2048-1/log"
	v.Assignment = v.RunDir + "/jobs/s128-t2048-1/assignment.json"
	v.Secrets = v.RunDir + "/secrets.env"
	v.SignalLead = 120
	v.Resources = record.Resources{GPUs: 2, CPUs: 16}
	v.ServerCommand = []string{"vllm", "serve", "a model\nrm -rf /", "--port", "$(id)"}
	v.BenchCommand = []string{"vllm", "bench", "serve", "--request-rate", "inf"}
	v.Site = spec.Site{
		Partition: "gpu", Account: "a team", QOS: "high", Reservation: "week-3", Constraint: "h200&ib", Time: "1-02:00:00", Memory: "512G", CPUs: 16,
		GPUStyle: "gres", GPUType: "h200", Modules: []string{"cuda/12.4", "a;b"},
		Environment: []string{`source "$HOME/venv/bin/activate"`, "export OMP_NUM_THREADS=16"},
		Directives:  map[string]string{"comment": `{"reaper": "it's #1"}`, "exclusive": "", "mail-type": "END"},
	}
	return v
}

func array() templates.View {
	v := full()
	v.Name, v.Log, v.Assignment = "vt-2026_11_23_10_30-cells", v.RunDir+"/jobs/cells/log.%a", ""
	v.Tasks, v.Throttle, v.TasksFile, v.JobsDir = 12, 4, v.RunDir+"/jobs/cells/tasks", v.RunDir+"/jobs"
	return v
}

func crew() templates.View {
	v := full()
	v.Name, v.Log, v.Assignment, v.ServerCommand, v.BenchCommand = "vt-2026_11_23_10_30-pack-1", v.RunDir+"/jobs/pack-1/log", "", nil, nil
	v.Site.Memory, v.Site.Directives, v.Resources.GPUs = "0", nil, 8
	v.Crew = templates.Crew{Order: v.RunDir + "/jobs/pack-1/crew.json", Nodes: 2, Tasks: 4, Slots: 8, Exclusive: true}
	return v
}

// serving is a job that has the winner served, from no folder of a run.
func serving(v templates.View) templates.View {
	v.RunDir, v.Log, v.Agent, v.Assignment, v.ServerCommand, v.BenchCommand = "", "", "", "", nil, nil
	v.Serve = []string{"env", "A=$HOME 'b'", "vllm", "serve", "a model\nrm -rf /", "--x", "$(id)"}
	v.Comments = []string{"What is known.", "a line\nthat is two", "$(id)"}
	return v
}

func link(v templates.View) templates.View {
	v.Assignment, v.ServerCommand, v.BenchCommand, v.Secrets, v.SignalLead, v.Resources = "", nil, nil, "", 0, record.Resources{CPUs: 1}
	v.Site.GPUStyle, v.Link = "none", 7
	return v
}

func TestGoldenScripts(t *testing.T) {
	perNode := full()
	perNode.Site.GPUStyle, perNode.Site.GPUType = "gpus-per-node", ""
	pyxis, apptainer, nodes := contained("pyxis", "registry.example#org/vllm:1"), contained("apptainer", "/images/vllm 1.sif"), full()
	nodes.Resources, nodes.Site.GPUStyle, nodes.Site.Scratch = record.Resources{GPUs: 8, Nodes: 2}, "gpus", "/local/scratch"
	bareArray := array()
	bareArray.Site, bareArray.Throttle, bareArray.Resources = spec.Site{GPUStyle: "gpus", GPUType: "a100"}, 0, record.Resources{GPUs: 1}
	for _, c := range []struct {
		file, script string
		view         templates.View
	}{
		{"slurm-plain", templates.Slurm, plain()},
		{"slurm-full", templates.Slurm, full()},
		{"slurm-gpus-per-node", templates.Slurm, perNode},
		{"slurm-apptainer", templates.Slurm, apptainer},
		{"slurm-pyxis", templates.Slurm, pyxis},
		{"slurm-nodes", templates.Slurm, nodes},
		{"slurm-array-full", templates.SlurmArray, array()},
		{"slurm-array-gpus", templates.SlurmArray, bareArray},
		{"crew-full", templates.SlurmCrew, crew()},
		{"local-plain", templates.Local, plain()},
		{"collect-plain", templates.Collect, link(plain())},
		{"collect-full", templates.Collect, link(full())},
		{"local-full", templates.Local, full()},
		{"slurm-serve-plain", templates.SlurmServe, serving(plain())},
		{"slurm-serve-full", templates.SlurmServe, serving(full())},
		{"slurm-serve-nodes", templates.SlurmServe, serving(nodes)},
		{"slurm-serve-pyxis", templates.SlurmServe, serving(pyxis)},
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
			assertDirectivesFirst(t, got)
		})
	}
}

func assertDirectivesFirst(t *testing.T, script []byte) {
	t.Helper()
	f, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(script), "")
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.Count(script[:bytes.LastIndex(script, []byte("#SBATCH"))+1], []byte("\n")) + 1
	if first := int(f.Stmts[0].Pos().Line()); bytes.Contains(script, []byte("#SBATCH")) && first < last {
		t.Errorf("the first command is in line %d, the last directive in line %d", first, last)
	}
}

// TestTheAgentRunsWithTheSitesEnvironment runs rendered scripts for real: with an agent that says what it was given, from a
// directory whose name needs quoting.
func TestTheAgentRunsWithTheSitesEnvironment(t *testing.T) {
	v := full()
	dir := filepath.Join(t.TempDir(), "it's $HOME #1")
	v.RunDir, v.Agent, v.Assignment, v.Secrets = dir, filepath.Join(dir, "agent"), filepath.Join(dir, "job 1.json"), filepath.Join(dir, "secrets")
	v.Site.Modules, v.Site.Environment = []string{"cu'da"}, []string{"FROM_SITE=here", "export FROM_SITE"}
	write(t, v.Agent, "#!/bin/bash\nprintf '%s\\n' \"$@\" \"$TOKEN\" \"$FROM_SITE\"\n")
	write(t, v.Secrets, "TOKEN=secret\n")
	for _, name := range []string{templates.Slurm, templates.Local} {
		script, err := load(t, "").Render(name, v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		write(t, path, string(script))
		cmd := exec.Command(path)
		cmd.Env = append(os.Environ(), "BASH_FUNC_module%%=() { echo module \"$@\"; }")
		out, err := cmd.CombinedOutput()
		want := "module load cu'da\nagent\n" + v.Assignment + "\nsecret\nhere\n"
		if err != nil || string(out) != want {
			t.Errorf("%s: %v: got\n%swant\n%s", name, err, out, want)
		}
	}
}

func TestATaskRunsTheScriptOfItsJobIntoItsLog(t *testing.T) {
	v := array()
	v.RunDir = filepath.Join(t.TempDir(), "it's 1")
	v.JobsDir, v.TasksFile = filepath.Join(v.RunDir, "jobs"), filepath.Join(v.RunDir, "tasks")
	write(t, v.TasksFile, "one\ntwo\n")
	for _, job := range []string{"one", "two"} {
		write(t, filepath.Join(v.JobsDir, job, "script"), "echo this is "+job+"; echo bad >&2\n")
	}
	script, err := load(t, "").Render(templates.SlurmArray, v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(v.RunDir, "array")
	write(t, path, string(script))
	run := func(task string) (string, error) {
		cmd := exec.Command(path)
		cmd.Env = append(os.Environ(), "SLURM_ARRAY_TASK_ID="+task)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("1"); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
	log, err := os.ReadFile(filepath.Join(v.JobsDir, "two", "log"))
	if err != nil || string(log) != "this is two\nbad\n" {
		t.Errorf("log of two: %q, %v", log, err)
	}
	if _, err := os.Stat(filepath.Join(v.JobsDir, "one", "log")); err == nil {
		t.Error("task 1 ran the job of task 0")
	}
	if out, err := run("2"); err == nil || !strings.Contains(out, "names no such task") {
		t.Errorf("a task without a job: %v: %s", err, out)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestASitesTemplateReplacesOnlyItsNamesake(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "slurm.tmpl"), "#!/bin/bash\n{{sbatch \"comment\" (upper .Name)}}\nexec srun --export=ALL apptainer exec image {{sh .Agent}} agent {{sh .Assignment}}\n")
	write(t, filepath.Join(dir, ".slurm.tmpl.swp"), "{{")
	s := load(t, dir)
	got, err := s.Render(templates.Slurm, plain())
	if err != nil || !strings.Contains(string(got), "#SBATCH --comment=VT-2026") || !strings.Contains(string(got), "apptainer exec image /scratch") {
		t.Errorf("%v:\n%s", err, got)
	}
	got, err = s.Render(templates.Local, plain())
	if want, wantErr := load(t, "").Render(templates.Local, plain()); err != nil || wantErr != nil || string(got) != string(want) {
		t.Errorf("local changed: %v %v\n%s", err, wantErr, got)
	}
}

func TestABadTemplateIsRefusedWithItsPlace(t *testing.T) {
	const agent = "exec {{sh .Agent}} agent {{sh .Assignment}}\n"
	for _, c := range []struct{ name, file, text, want string }{
		{"does not parse", "slurm.tmpl", "#!/bin/bash\n{{if}}\n" + agent, "slurm.tmpl:2: missing value for if"},
		{"names no field", "slurm.tmpl", "#!/bin/bash\n# {{.Hosts}}\n" + agent, "slurm.tmpl:2:4: "},
		{"names an unsafe function", "slurm.tmpl", "#!/bin/bash\n" + `{{quote .Run}}` + "\n" + agent, `slurm.tmpl:2: function "quote" not defined`},
		{"reads the environment", "local.tmpl", "#!/bin/bash\n" + `{{env "HOME"}}` + "\n" + agent, `local.tmpl:2: function "env" not defined`},
		{"is not bash", "slurm.tmpl", "#!/bin/bash\nif true\n" + agent, "slurm.tmpl:2: not bash: "},
		{"has no interpreter", "slurm.tmpl", agent, "slurm.tmpl:1: the script does not begin with #!"},
		{"lacks the agent", "slurm.tmpl", "#!/bin/bash\necho done\n", "slurm.tmpl:2: the last command does not run the agent"},
		{"has no command", "local.tmpl", "#!/bin/bash\n# {{.Agent}} agent {{.Assignment}}\n", "local.tmpl:2: the last command does not run the agent"},
		{"goes on after the agent", "slurm.tmpl", "#!/bin/bash\n" + agent + "echo done\n", "slurm.tmpl:3: the last command does not run the agent"},
		{"runs the agent on a condition", "slurm.tmpl", "#!/bin/bash\ntest -e x && " + agent, "slurm.tmpl:2: the last command does not run the agent"},
		{"runs the agent in the background", "slurm.tmpl", "#!/bin/bash\nexec {{sh .Agent}} agent {{sh .Assignment}} &\n", "slurm.tmpl:2: the last command does not run the agent"},
		{"runs the agent below bash", "slurm.tmpl", "#!/bin/bash\n{{sh .Agent}} agent {{sh .Assignment}}\n", "slurm.tmpl:2: the last command does not run the agent"},
		{"runs the agent below srun below bash", "slurm.tmpl", "#!/bin/bash\nsrun {{sh .Agent}} agent {{sh .Assignment}}\n", "slurm.tmpl:2: the last command does not run the agent"},
		{"only prints the agent's line", "slurm.tmpl", "#!/bin/bash\nexec echo '{{.Agent}} agent {{.Assignment}}'\n", "slurm.tmpl:2: the last command does not run the agent"},
		{"runs another assignment", "slurm.tmpl", "#!/bin/bash\nexec {{sh .Agent}} agent /tmp/x\n", "slurm.tmpl:2: the last command does not run the agent"},
		{"hides a directive", "slurm.tmpl", "#!/bin/bash\ncd /\n#SBATCH --mem=1G\n" + agent, "slurm.tmpl:3: a #SBATCH line after the first command"},
		{"breaks a part", "slurm-directives.tmpl", "{{sbatch \"a b\" \"c\"}}\n", `slurm-directives.tmpl:1:2: `},
		{"crew that runs an agent", "crew.tmpl", "#!/bin/bash\n" + agent, "crew.tmpl:2: the last command does not run the agent"},
		{"crew with another order", "crew.tmpl", "#!/bin/bash\nexec {{sh .Agent}} crew /tmp/x\n", "crew.tmpl:2: the last command does not run the agent"},
		{"array that runs nothing", "slurm-array.tmpl", "#!/bin/bash\necho {{sh .TasksFile}} $SLURM_ARRAY_TASK_ID\n", "slurm-array.tmpl:2: the last command does not run the agent"},
		{"array that ignores its index", "slurm-array.tmpl", "#!/bin/bash\nread job <{{sh .TasksFile}}\nexec bash {{sh .JobsDir}}/\"$job\"/script\n", "slurm-array.tmpl:3: the last command does not run the agent"},
		{"link that is another's", "collect.tmpl", "#!/bin/bash\nexec {{sh .Agent}} link {{sh .RunDir}} 99\n", "collect.tmpl:2: the last command does not run the agent"},
		{"serving job that runs something else", "slurm-serve.tmpl", "#!/bin/bash\nexec vllm serve other\n", "slurm-serve.tmpl:2: the last command does not run the server"},
		{"serving job with another address", "slurm-serve.tmpl", "#!/bin/bash\nexec {{cmd .Serve}}\n", "slurm-serve.tmpl:2: the last command does not run the server"},
		{"manifest with a field that is none", "kubernetes.tmpl", "kind: {{.Kube.Kind}}\n", "kubernetes.tmpl:1:13: "},
		{"unknown name", "slrum.tmpl", agent, "slrum.tmpl: no template has this name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, c.file), c.text)
			_, err := templates.Load(dir)
			if err == nil {
				t.Fatal("it is taken")
			}
			if !strings.HasPrefix(err.Error(), filepath.Join(dir, c.want)) {
				t.Errorf("got  %v\nwant %s", err, filepath.Join(dir, c.want))
			}
			if code := diag.CodeOf(err); code != diag.Spec {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestEveryBadTemplateIsNamedAtOnce(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"slurm.tmpl", "local.tmpl", "slurm-array.tmpl"} {
		write(t, filepath.Join(dir, name), "{{")
	}
	_, err := templates.Load(dir)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsRenderedFromAViewThatWouldBreakTheScript(t *testing.T) {
	for name, breakIt := range map[string]func(*templates.View){
		"newline in a directive":     func(v *templates.View) { v.Site.Partition = "gpu\nrm -rf /" },
		"newline in a directive 2":   func(v *templates.View) { v.Site.Directives = map[string]string{"comment": "a\n#SBATCH --x"} },
		"option that is none":        func(v *templates.View) { v.Site.Directives = map[string]string{"a b": "c"} },
		"NUL in a command":           func(v *templates.View) { v.ServerCommand = []string{"a\x00"} },
		"environment that is open":   func(v *templates.View) { v.Site.Environment = []string{"if true; then"} },
		"environment with heredoc":   func(v *templates.View) { v.Site.Environment = []string{"cat <<EOF"} },
		"environment with #SBATCH":   func(v *templates.View) { v.Site.Environment = []string{"cd /", "#SBATCH --mem=1"} },
		"backslash in the log":       func(v *templates.View) { v.Log = `/a\b` },
		"GPUs without a known style": func(v *templates.View) { v.Site.GPUStyle = "" },
	} {
		v := full()
		breakIt(&v)
		if script, err := load(t, "").Render(templates.Slurm, v); err == nil || script != nil {
			t.Errorf("%s: got\n%s", name, script)
		}
	}
	if script, err := load(t, "").Render("tpu", full()); err == nil {
		t.Errorf("an unknown script: got\n%s", script)
	}
}
