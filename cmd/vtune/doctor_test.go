package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/doctor"
)

var updateDoctor = flag.Bool("update-doctor", false, "rewrite the golden file of the doctor's output")

// patient is a spec that is well, in a folder of its own with a model.
type patient struct {
	dir, text string
	env       []string
}

func newPatient(t *testing.T, env []string) *patient {
	t.Helper()
	p := &patient{dir: t.TempDir(), env: env}
	p.write(t, "model/config.json", "{}")
	p.write(t, "bin/nvidia-smi", "#!/bin/bash\necho 'NVIDIA H200, 570.86.15, 143771 MiB'\necho 'NVIDIA H200, 570.86.15, 143771 MiB'\n")
	p.text = `model: ` + p.dir + `/model
tensor_parallel: 2
workload: {input_len: 100, output_len: 10}
limit: {p99_e2el_ms: 500}
grid: {max_num_seqs: [4, 8], max_num_batched_tokens: [64]}
scheduler: slurm
server: {command: vllm-sim, secrets: [MY_TOKEN]}
site: {partition: gpu, gpu_type: h200, cpus: 4, memory: 1G, time: "30", environment: ["export PATH=` + p.dir + `/bin:$PATH"]}
`
	p.env = append(slices.Clone(env), "MY_TOKEN=swordfish-1234")
	return p
}

func (p *patient) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// change replaces a part of the spec.
func (p *patient) change(t *testing.T, old, text string) {
	t.Helper()
	if !strings.Contains(p.text, old) {
		t.Fatalf("no %q in\n%s", old, p.text)
	}
	p.text = strings.Replace(p.text, old, text, 1)
}

// examine runs the doctor and returns what it prints on stdout and stderr, and its exit code.
func (p *patient) examine(t *testing.T, args ...string) (out, said string, code int) {
	t.Helper()
	c := p.command(t, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), c.ProcessState.ExitCode()
}

func (p *patient) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(filepath.Join(programs, "vtune"), append([]string{"doctor", p.write(t, "spec.yaml", p.text)}, args...)...)
	c.Env = p.env
	return c
}

// left is what is in the folder of runs.
func (p *patient) left(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.dir, "auto-benchmark"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// living are the jobs that are not over.
func living(t *testing.T, env []string) string {
	t.Helper()
	return strings.TrimSpace(slurm(t, env, "squeue", "-h", "-t", "PENDING,RUNNING,SUSPENDED", "-o", "%j"))
}

// masked replaces what differs from machine to machine and from time to time.
func masked(text, dir string) string {
	host, _ := os.Hostname()
	text = strings.NewReplacer(dir, "DIR", " on "+host, " on HOST").Replace(text)
	for _, m := range []struct{ pattern, by string }{
		{`[+-]?[0-9.]+ (ms|s)\b`, "N $1"},
		{`[0-9]+ (MiB|GiB|TiB) free`, "N GiB free"},
		{`slurm( +)[0-9][0-9.]+`, "slurm${1}VERSION"},
		{`is [A-Za-z0-9]+, N GiB`, "is DISK, N GiB"},
		{`shared( +)[A-Za-z0-9]+ on`, "shared${1}DISK on"},
		{`with [0-9]+ CPUs?`, "with N CPUs"},
		{`tmpdir( +)\S+`, "tmpdir${1}TMPDIR"},
		{`\b[0-9]+ ran on`, "ID ran on"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.by)
	}
	return text
}

func TestTheDoctorOnAClusterThatIsWell(t *testing.T) {
	t.Parallel()
	env := lab(t)
	p := newPatient(t, env)
	out, said, code := p.examine(t)
	if code != 0 {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
	got := masked(out, p.dir)
	const golden = "testdata/doctor.golden"
	if *updateDoctor {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(out+said, "swordfish") {
		t.Error("the secret was told")
	}
	if left, jobs := p.left(t), living(t, env); len(left) > 0 || jobs != "" {
		t.Errorf("left: %v, %s", left, jobs)
	}
	out, _, code = p.examine(t, "--json", "--no-job")
	var answer struct {
		Lines []doctor.Line
		Facts map[string]any
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || len(answer.Lines) == 0 || answer.Facts["scheduler"] != "slurm" || answer.Facts["job"] != nil {
		t.Errorf("%v, exit code %d\n%s", err, code, out)
	}
}

// Each fault is told by the doctor on a real cluster, and whatever happens nothing is left in the queue.
func TestTheDoctorTellsFaultsOnACluster(t *testing.T) {
	t.Parallel()
	env := lab(t)
	slurm(t, env, "scontrol", "create", "PartitionName=short", "Nodes=node1", "MaxTime=10")
	slurm(t, env, "scontrol", "create", "PartitionName=away", "Nodes=node4", "MaxTime=60")
	slurm(t, env, "scontrol", "update", "NodeName=node4", "State=DRAIN", "Reason=test")
	for _, c := range []struct {
		name  string
		wrong func(*testing.T, *patient) (args []string)
		code  int
		lines []string // patterns of lines
		kept  bool
	}{
		{
			"a partition that is not there", func(t *testing.T, p *patient) []string { p.change(t, "partition: gpu", "partition: gpuu"); return nil },
			10,
			[]string{`fail +partition +there is no gpuu\n +remedy: write one of gpu, short, away`, `warn +job +none was submitted`},
			false,
		},
		{
			"a node has fewer GPUs", func(t *testing.T, p *patient) []string {
				p.change(t, "tensor_parallel: 2", "tensor_parallel: 9")
				return nil
			},
			10,
			[]string{`fail +nodes +a job asks for 9 h200.*0 of the nodes.*8 h200`},
			false,
		},
		{
			"the partition's time limit is too short", func(t *testing.T, p *patient) []string { p.change(t, "partition: gpu", "partition: short"); return nil },
			10,
			[]string{`fail +time +site.time is 00:30:00, and partition short allows 00:10:00`, `ok +job `},
			false,
		},
		{"the nodes are drained", func(t *testing.T, p *patient) []string {
			p.change(t, "partition: gpu", "partition: away")
			return []string{"--wait", "1s"}
		}, 0, []string{`warn +nodes +.*1 node has that, of which 0 can be used now`, `warn +job +\d+ waited \d+ s and was cancelled: PENDING`}, false},
		{
			"vLLM is not on the PATH", func(t *testing.T, p *patient) []string { p.change(t, "vllm-sim", "vllm-nowhere"); return nil },
			10,
			[]string{`fail +vllm +.*vllm-nowhere.*not found`},
			false,
		},
		{
			"the model is not there", func(t *testing.T, p *patient) []string { p.change(t, "/model\n", "/nothing\n"); return nil },
			10,
			[]string{`fail +model +/.*/nothing has no config.json`},
			false,
		},
		{
			"a secret is not set", func(t *testing.T, p *patient) []string { p.change(t, "MY_TOKEN", "OTHER_TOKEN"); return nil },
			10,
			[]string{`fail +secrets +.*OTHER_TOKEN`, `warn +job +none was submitted`},
			false,
		},
		{"the site's environment does not load", func(t *testing.T, p *patient) []string {
			p.change(t, `environment: [`, `environment: ["module() { echo no modulefile for $2; exit 1; }", "module load cuda", `)
			return []string{"--grace", "300ms"}
		}, 10, []string{`fail +job +\d+ did not get as far as the agent: FAILED.*no modulefile for cuda`, `remedy: see site.modules.*\.doctor-`}, true},
		{"the nodes have another disk there", func(t *testing.T, p *patient) []string {
			// The job sees all that was there when it began, and nothing of what it does is seen here.
			p.write(t, "elsewhere", `#!/bin/bash
cp -r "$(dirname "$(dirname "$(dirname "$3")")")" "`+p.dir+`/other" && exec "$1" "$2" "`+p.dir+`/other/jobs/exam/assignment.json" >/dev/null 2>&1
`)
			p.write(t, "templates/slurm.tmpl", "#!/bin/bash\n{{template \"slurm-directives.tmpl\" .}}\nexec "+p.dir+"/elsewhere {{sh .Agent}} agent {{sh .Assignment}}\n")
			return []string{"--grace", "500ms", "--template-dir", filepath.Join(p.dir, "templates")}
		}, 10, []string{`fail +shared +\d+ is over \(COMPLETED.*\) and nothing that it wrote is seen here`}, true},
		{"a container that is well", func(t *testing.T, p *patient) []string {
			p.write(t, "bin/apptainer", "#!/bin/bash\nexport APPTAINER_CONTAINER=/image.sif\nwhile [ \"$1\" != /image.sif ]; do shift; done; shift; exec \"$@\"\n")
			p.change(t, "gpu_type: h200", "gpu_type: h200, container: {runtime: apptainer, image: /image.sif}")
			return nil
		}, 0, []string{`warn +container +seen from here: .*image.sif`, `ok +container +the job runs in /image.sif`, `ok +vllm `}, false},
		{"a container whose runtime is not there", func(t *testing.T, p *patient) []string {
			p.change(t, "gpu_type: h200", "gpu_type: h200, container: {runtime: apptainer, image: /image.sif}")
			return []string{"--grace", "300ms"}
		}, 10, []string{`fail +job .*apptainer: .*not found`, `remedy: see site.container;`}, true},
		{
			"sbatch refuses the job", func(t *testing.T, p *patient) []string {
				p.change(t, "gpu_type: h200", "gpu_type: h200, reservation: no")
				return nil
			},
			10,
			[]string{`fail +job +.*[Rr]eservation.*\n +remedy: see site.reservation`},
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, env)
			out, said, code := p.examine(t, c.wrong(t, p)...)
			if code != c.code {
				t.Errorf("exit code %d\n%s%s", code, out, said)
			}
			for _, line := range c.lines {
				if !regexp.MustCompile(line).MatchString(out) {
					t.Errorf("no %s in\n%s%s", line, out, said)
				}
			}
			left := p.left(t)
			if (len(left) > 0) != c.kept {
				t.Errorf("left: %v", left)
			}
			for _, dir := range left {
				if _, err := os.Stat(filepath.Join(p.dir, "auto-benchmark", dir, "secrets.env")); err == nil {
					t.Error("the secrets were left")
				}
			}
		})
	}
	t.Cleanup(func() {
		if jobs := living(t, env); jobs != "" {
			t.Errorf("in the queue: %s", jobs)
		}
	})
}

func TestAnInterruptedDoctorLeavesNothingInTheQueue(t *testing.T) {
	t.Parallel()
	env := lab(t)
	slurm(t, env, "scontrol", "update", "PartitionName=gpu", "State=UP", "MaxNodes=1")
	for _, n := range []string{"node1", "node2", "node3", "node4"} {
		slurm(t, env, "scontrol", "update", "NodeName="+n, "State=DRAIN", "Reason=test")
	}
	p := newPatient(t, env)
	c := p.command(t)
	said := &lines{}
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !strings.Contains(said.String(), "looks around"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it said %s", said)
		}
	}
	if !strings.Contains(living(t, env), "doctor") {
		t.Error("there is no job")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("%v: %s", err, said)
	}
	if left, jobs := p.left(t), living(t, env); len(left) > 0 || jobs != "" {
		t.Errorf("left: %v, %s", left, jobs)
	}
}

// lines is what a running command says.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTheDoctorAndSiteInitKnowAccounts(t *testing.T) {
	t.Parallel()
	env := startAccounts(t).env
	slurm(t, env, "sacctmgr", "-i", "add", "qos", "fast")
	user := strings.TrimSpace(slurm(t, env, "id", "-un"))
	slurm(t, env, "sacctmgr", "-i", "modify", "user", user, "where", "account=lab", "set", "maxsubmitjobs=2", "qos+=fast")
	slurm(t, env, "scontrol", "create", "PartitionName=cpu", "Nodes=node2", "MaxTime=90")

	p := newPatient(t, env)
	p.change(t, "[4, 8]", "[4, 8, 16, 32]")
	p.change(t, "grid:", "plan: cells\ngrid:")
	out, said, code := p.examine(t)
	if code != 0 || !regexp.MustCompile(`(?s)ok +accounting .*ok +account +lab, your default.*ok +limits +4 jobs .*takes 2 of yours at once, so they go out in 2 portions.*ok +job `).MatchString(out) {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
	p.change(t, "partition: gpu", "partition: gpu, account: theirs, qos: faster")
	out, _, code = p.examine(t)
	if code != 10 || !strings.Contains(out, "theirs is none of yours") || !strings.Contains(out, " as site.account") || !strings.Contains(out, "there is no faster") {
		t.Errorf("exit code %d\n%s", code, out)
	}

	env = append(env, "HOME="+p.dir, "XDG_CONFIG_HOME=")
	vtune(t, env, "site", "init", "mine")
	site := vtune(t, env, "site", "show", "mine")
	for _, want := range []string{"\npartition: gpu ", "\naccount: lab ", "\ngpu_type: h200\n", "fast", `"04:00:00"`} {
		if !strings.Contains(site, want) {
			t.Errorf("no %q in\n%s", want, site)
		}
	}
	acceptedBySlurm(t, env, "mine")
}

// acceptedBySlurm renders a spec that uses a site and asks sbatch whether it would take its first script.
func acceptedBySlurm(t *testing.T, env []string, site string) {
	t.Helper()
	p := newPatient(t, env)
	head, _, _ := strings.Cut(p.text, "site: ")
	p.text = head + "site: {use: " + site + "}\n"
	vtune(t, p.env, "render", p.write(t, "spec.yaml", p.text), "-o", filepath.Join(p.dir, "out"))
	said := slurm(t, env, "sbatch", "--test-only", filepath.Join(p.dir, "out", "jobs", "probe-1", "script"))
	if !strings.Contains(said, "to start at") {
		t.Error(said)
	}
}

func TestSiteInitWritesWhatSlurmAccepts(t *testing.T) {
	t.Parallel()
	env := lab(t)
	slurm(t, env, "scontrol", "create", "PartitionName=long", "Nodes=node1", "MaxTime=10-0")
	home := t.TempDir()
	env = append(env, "HOME="+home, "XDG_CONFIG_HOME=")
	vtune(t, env, "site", "init")
	text, err := os.ReadFile(filepath.Join(home, ".config/vtune/sites/lab.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "# partition: long                  # 1 x 8 h200, at most 10-00:00:00 a job") {
		t.Errorf("%s", text)
	}
	acceptedBySlurm(t, env, "lab")

	c := exec.Command(filepath.Join(programs, "vtune"), "site", "init")
	c.Env = env
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "hint: name another file with -o, or remove this one") {
		t.Errorf("a second time: %v\n%s", err, out)
	}
	if again, err := os.ReadFile(filepath.Join(home, ".config/vtune/sites/lab.yaml")); err != nil || string(again) != string(text) {
		t.Errorf("the file was changed: %v\n%s", err, again)
	}
}
