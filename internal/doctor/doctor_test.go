package doctor_test

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/doctor"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/slurm"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// world is everything that can be wrong, and is well.
type world struct {
	text    string // of the spec
	cluster slurm.Cluster
	facts   doctor.Facts
	assumed float64 // throughput; 0: the usual one
}

func well() *world {
	w := &world{text: `model: org/name
workload: {input_len: 100, output_len: 10}
limit: {p99_e2el_ms: 500}
grid: {max_num_seqs: [4, 8], max_num_batched_tokens: [64]}
tensor_parallel: 2
scheduler: slurm
plan: cells
server: {secrets: [HF_TOKEN]}
site: {partition: gpu, account: team, qos: high, time: "2:00:00", cpus: 16, memory: 64G, gpu_type: h200, collector: {partition: cpu}}
`}
	w.cluster = slurm.Cluster{
		Name: "big", Version: "22.05.8", MaxArraySize: 1001, MinJobAge: 5 * time.Minute, JobRequeue: true, Accounting: true,
		Enforce: []string{"associations", "limits", "qos"},
		Partitions: []slurm.Partition{
			{Name: "cpu", Default: true, State: "UP", MaxTime: 24 * time.Hour, Nodes: []string{"c1"}},
			{Name: "gpu", State: "UP", MaxTime: 8 * time.Hour, DefaultTime: time.Hour, Nodes: []string{"g1", "g2"}},
		},
		Nodes: []slurm.Node{
			{Name: "c1", State: "idle", CPUs: 128, MemoryMB: 256000},
			{Name: "g1", State: "idle", CPUs: 64, MemoryMB: 512000, GPUs: []slurm.GPUs{{Type: "h200", Count: 8}}, Features: []string{"ib"}},
			{Name: "g2", State: "mixed", CPUs: 64, MemoryMB: 512000, GPUs: []slurm.GPUs{{Type: "h200", Count: 4}}},
		},
		Associations: []slurm.Association{{Account: "team", Default: true, QOS: []string{"high", "low"}, MaxSubmit: 100}, {Account: "other"}},
		QOS:          []slurm.QOS{{Name: "high"}, {Name: "low"}, {Name: "secret"}},
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	w.facts = doctor.Facts{
		Scheduler: "slurm", AnswerSeconds: 0.012, Base: &doctor.Disk{Path: "/scratch/me", Magic: 0x0BD00BD0, Free: 5 << 40},
		Job: &doctor.Job{
			ID: "17", Waited: 3, Started: true, State: "COMPLETED",
			Greeting: &doctor.Greeting{Made: at.Add(2 * time.Second), Seen: at.Add(300 * time.Millisecond)}, // its clock is 2 s ahead
			Rounds: []doctor.Round{{
				Sent: at.Add(time.Second), Seen: at.Add(3100 * time.Millisecond), Answered: at.Add(3100 * time.Millisecond), Back: at.Add(1300 * time.Millisecond),
			}},
			Findings: &doctor.Findings{
				Host: "g1", CPUs: 1, Dir: doctor.Disk{Magic: 0x0BD00BD0}, Fsync: 0.004, Rename: 0.0005, Answered: 1,
				Temp: doctor.Disk{Path: "/tmp", Magic: 0x58465342, Free: 100 << 30}, Devices: "0,1",
				SMI: &doctor.Output{}, GPUs: []doctor.GPU{{"NVIDIA H200", "570.86", "143771 MiB"}, {"NVIDIA H200", "570.86", "143771 MiB"}},
				Version: doctor.Output{Line: "0.32.0", Seconds: 8.2}, Model: doctor.Model{Asked: true, Status: 200, Token: true},
			},
		},
	}
	return w
}

// site replaces a part of the spec's text.
func (w *world) site(old, text string) {
	if !strings.Contains(w.text, old) {
		panic(old)
	}
	w.text = strings.Replace(w.text, old, text, 1)
}

func (w *world) diagnose(t *testing.T) []doctor.Line {
	t.Helper()
	s, err := spec.Parse("spec.yaml", []byte(w.text))
	if err != nil {
		t.Fatal(err)
	}
	f := w.facts
	f.Spec, f.Plan = s, jobs.Plan(s, jobs.Options{MaxArray: w.cluster.MaxArraySize, AssumedThroughput: w.assumed})
	if f.Unreachable == "" && f.Missing == nil && f.Scheduler == "slurm" {
		f.Cluster = &w.cluster
	}
	return doctor.Diagnose(f)
}

func TestTheLinesOfAWorldThatIsWell(t *testing.T) {
	got := doctor.Text(well().diagnose(t))
	const golden = "testdata/well.txt"
	if *update {
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
	for _, l := range well().diagnose(t) {
		if l.Level != doctor.OK || l.Remedy != "" {
			t.Errorf("%+v", l)
		}
	}
}

// Each thing that can be wrong is one line that says so, with its remedy, and the lines about all else stay as they are.
func TestEachFaultIsToldWithItsRemedy(t *testing.T) {
	job := func(change func(*doctor.Job)) func(*world) { return func(w *world) { change(w.facts.Job) } }
	found := func(change func(*doctor.Findings)) func(*world) {
		return job(func(j *doctor.Job) { change(j.Findings) })
	}
	unseen := func(change func(*doctor.Job)) func(*world) {
		return job(func(j *doctor.Job) {
			j.Findings, j.Greeting, j.Rounds, j.Folder = nil, nil, nil, "/scratch/me/.doctor"
			change(j)
		})
	}
	slow := 40 * time.Second
	for _, c := range []struct {
		name  string
		wrong func(*world)
		check string
		level doctor.Level
		says  string
		hint  string
	}{
		{"no commands", func(w *world) { w.facts.Missing = []string{"sbatch", "squeue"} }, "slurm", doctor.Fail, "no sbatch, squeue", "login node"},
		{"no controller", func(w *world) { w.facts.Unreachable = "timed out" }, "slurm", doctor.Fail, "timed out", "scontrol ping"},
		{"forgets soon", func(w *world) {
			w.cluster.Accounting, w.cluster.MinJobAge = false, 5*time.Second
			w.site("account: team, ", "")
		}, "accounting", doctor.Warn, "forgotten after 5s", "MinJobAge=300"},
		{"no arrays", func(w *world) { w.cluster.MaxArraySize = 0 }, "arrays", doctor.Warn, "no arrays", "call of its own"},
		{"no such partition", func(w *world) { w.site("partition: gpu", "partition: gpuu") }, "partition", doctor.Fail, "no gpuu", "cpu, gpu"},
		{"no default partition", func(w *world) { w.site("partition: gpu, ", ""); w.cluster.Partitions[0].Default = false }, "partition", doctor.Fail, "no default", "cpu, gpu"},
		{"partition down", func(w *world) { w.cluster.Partitions[1].State = "DRAIN" }, "partition", doctor.Fail, "gpu is DRAIN", "UP"},
		{"partition of others", func(w *world) { w.cluster.Partitions[1].AllowAccounts = []string{"them"} }, "partition", doctor.Fail, "account team", "them"},
		{"partition without the QOS", func(w *world) { w.cluster.Partitions[1].AllowQOS = []string{"low"} }, "partition", doctor.Fail, "QOS high", "low"},
		{"account of others", func(w *world) { w.site("account: team", "account: them") }, "account", doctor.Fail, "them is none of yours", "team, other"},
		{"account of others, not enforced", func(w *world) { w.site("account: team", "account: them"); w.cluster.Enforce = nil }, "account", doctor.Warn, "not enforced", "team, other"},
		{"no account", func(w *world) { w.site("account: team, ", ""); w.cluster.Associations[0].Default = false }, "account", doctor.Fail, "no default", "site.account"},
		{"no such QOS", func(w *world) { w.site("qos: high", "qos: highest") }, "qos", doctor.Fail, "no highest", "high, low"},
		{"QOS of others", func(w *world) { w.site("qos: high", "qos: secret") }, "qos", doctor.Fail, "may not use secret", "high, low"},
		{"no such collector partition", func(w *world) { w.site("partition: cpu", "partition: none") }, "collector", doctor.Fail, "no partition none", "cpu, gpu"},
		{"collector partition down", func(w *world) { w.cluster.Partitions[0].State = "DOWN" }, "collector", doctor.Warn, "cpu is DOWN", "UP"},
		{"more GPUs than a node has", func(w *world) { w.site("tensor_parallel: 2", "tensor_parallel: 16"); w.facts.Job = nil }, "nodes", doctor.Fail, "16 h200", "8 h200, 64 CPUs"},
		{"GPUs of another type", func(w *world) { w.site("gpu_type: h200", "gpu_type: a100") }, "nodes", doctor.Fail, "0 of the nodes", "no GPU"},
		{"more CPUs than a node has", func(w *world) { w.site("cpus: 16", "cpus: 65") }, "nodes", doctor.Fail, "65 CPUs", "site.cpus"},
		{"more memory than a node has", func(w *world) { w.site("memory: 64G", "memory: 1T") }, "nodes", doctor.Fail, "1024 GiB", "site.memory"},
		{"a feature that no node has", func(w *world) { w.site("cpus: 16", "cpus: 16, constraint: ib&fast") }, "nodes", doctor.Fail, "0 of the nodes", "site.constraint"},
		{"more GPUs than the QOS allows", func(w *world) { w.cluster.QOS[0].MaxTRESPerUser = "cpu=99,gres/gpu=1" }, "limits", doctor.Fail, "QOS high allows you 1 GPU at once", "tensor_parallel"},
		{"more GPUs than the default QOS allows", func(w *world) {
			w.site("qos: high, ", "")
			w.cluster.Associations[0].DefaultQOS, w.cluster.QOS[1].MaxTRESPerUser = "low", "gres/gpu:h200=1"
		}, "limits", doctor.Fail, "QOS low allows you 1 GPU at once", "site.qos"},
		{"all nodes away", func(w *world) { w.cluster.Nodes[1].State, w.cluster.Nodes[2].State = "drained", "down" }, "nodes", doctor.Warn, "0 can be used", "sinfo -R"},
		{"time above the partition's", func(w *world) { w.site("2:00:00", "9:00:00") }, "time", doctor.Fail, "partition gpu allows 08:00:00", "08:00:00"},
		{"time above the QOS's", func(w *world) { w.cluster.QOS[0].MaxWall = time.Hour }, "time", doctor.Fail, "QOS high allows 01:00:00", "01:00:00"},
		{"time above the account's", func(w *world) { w.cluster.Associations[0].MaxWall = time.Hour }, "time", doctor.Fail, "account team allows 01:00:00", "01:00:00"},
		{"too little time", func(w *world) { w.site("2:00:00", "0:05:00"); w.assumed = 5 }, "time", doctor.Fail, "00:05:00; the longest job takes 6 min", "00:14:00"},
		{"time that gets short", func(w *world) { w.site("2:00:00", "0:10:00"); w.assumed = 5 }, "time", doctor.Warn, "14 min at worst", "00:14:00"},
		{"too little time by default", func(w *world) { w.site(`time: "2:00:00", `, ""); w.cluster.Partitions[1].DefaultTime = time.Minute }, "time", doctor.Fail, "the default of partition gpu is 00:01:00", "site.time"},
		{"base that cannot be looked at", func(w *world) { w.facts.Base, w.facts.BaseProblem = nil, "permission denied" }, "base", doctor.Fail, "permission denied", "as base"},
		{"base without programs", func(w *world) { w.facts.Base.NoExec = true }, "base", doctor.Fail, "noexec", "agent"},
		{"base that is full", func(w *world) { w.facts.Base.Free = 1 << 20 }, "base", doctor.Warn, "1 MiB free", "room"},
		{"base in memory", func(w *world) { w.facts.Base.Magic, w.facts.Job = 0x01021994, nil }, "base", doctor.Warn, "tmpfs", "shared"},
		{"base in /tmp", func(w *world) { w.facts.Base.Path, w.facts.Job = "/tmp/x", nil }, "base", doctor.Warn, "/tmp/x", "shared"},
		{"secret not set", func(w *world) {
			w.facts.Secrets = doctor.Problem{What: "HF_TOKEN is not set", Remedy: "export HF_TOKEN"}
		}, "secrets", doctor.Fail, "HF_TOKEN is not set", "export HF_TOKEN"},
		{"job not submitted", job(func(j *doctor.Job) { *j = doctor.Job{Skipped: true} }), "job", doctor.Warn, "none was submitted", "mend"},
		{"job refused", unseen(func(j *doctor.Job) { j.Refused = "Invalid qos specification" }), "job", doctor.Fail, "Invalid qos", "site.qos"},
		{"queue full", unseen(func(j *doctor.Job) { j.Refused, j.Later = "no more now", true }), "job", doctor.Warn, "no more now", "again"},
		{"answer lost", unseen(func(j *doctor.Job) { j.Refused, j.Unsure = "timed out", true }), "job", doctor.Fail, "timed out", "ends by itself"},
		{"job waits", unseen(func(j *doctor.Job) { j.Started, j.State, j.Reason, j.Waited = false, "PENDING", "PartitionDown", 300 }), "job", doctor.Warn, "waited 300 s and was cancelled: PENDING, PartitionDown", "site.partition"},
		{"job says nothing", unseen(func(j *doctor.Job) { j.State = "RUNNING" }), "job", doctor.Fail, "said nothing for too long", "/scratch/me/.doctor"},
		{"module is not there", unseen(func(j *doctor.Job) { j.Over, j.Log = true, "Unable to locate a modulefile for cuda" }), "job", doctor.Fail, "modulefile for cuda", "site.modules"},
		{"no programs from base", unseen(func(j *doctor.Job) { j.Over, j.Log = true, "bin/vtune: Permission denied" }), "job", doctor.Fail, "Permission denied", "noexec"},
		{"base is not shared", unseen(func(j *doctor.Job) { j.Over = true }), "shared", doctor.Fail, "nothing that it wrote is seen here", "share with this machine"},
		{"nothing of ours is seen there", job(func(j *doctor.Job) { j.Rounds, j.Findings.Answered = nil, 0 }), "shared", doctor.Fail, "not seen on g1", "acdirmax"},
		{"files are seen late", job(func(j *doctor.Job) {
			j.Greeting.Seen = j.Greeting.Seen.Add(slow)
		}), "shared", doctor.Warn, "seen here within 40.4 s", "--grace 2m42s"},
		{"clocks differ", job(func(j *doctor.Job) {
			j.Greeting.Made = j.Greeting.Made.Add(slow)
			j.Rounds[0].Seen, j.Rounds[0].Answered = j.Rounds[0].Seen.Add(slow), j.Rounds[0].Answered.Add(slow)
		}), "clocks", doctor.Warn, "between +41.8 s and +42.1 s", "NTP"},
		{"claims can be made twice", found(func(f *doctor.Findings) { f.Claims = "twice" }), "claims", doctor.Fail, "twice", "another file system"},
		{"no TMPDIR", found(func(f *doctor.Findings) { f.TempProblem = "no such folder" }), "tmpdir", doctor.Fail, "no such folder", "TMPDIR"},
		{"no sockets", found(func(f *doctor.Findings) { f.Socket = "not supported" }), "tmpdir", doctor.Fail, "not supported", "socket"},
		{"TMPDIR is full", found(func(f *doctor.Findings) { f.Temp.Free = 0 }), "tmpdir", doctor.Warn, "0 MiB free", "room"},
		{"no nvidia-smi", found(func(f *doctor.Findings) { f.SMI = nil }), "gpus", doctor.Warn, "no nvidia-smi", "gpu_style"},
		{"a driver that is not well", found(func(f *doctor.Findings) { f.SMI.Exit, f.SMI.Line = "9:0", "no communication with the driver" }), "gpus", doctor.Fail, "no communication", "driver"},
		{"a driver that hangs", found(func(f *doctor.Findings) { f.SMI.TimedOut = true }), "gpus", doctor.Fail, "does not answer", "administrators"},
		{"too few GPUs", found(func(f *doctor.Findings) { f.GPUs = f.GPUs[:1] }), "gpus", doctor.Fail, "1 GPU on g1", "tensor_parallel"},
		{"GPUs of everybody", found(func(f *doctor.Findings) { f.GPUs, f.Devices = append(f.GPUs, f.GPUs[0]), "" }), "gpus", doctor.Warn, "3 GPUs", "exclusive"},
		{"no vLLM", found(func(f *doctor.Findings) { f.Version = doctor.Output{Missing: true, Line: "vllm: not found"} }), "vllm", doctor.Fail, "not found", "site.modules"},
		{"a broken vLLM", found(func(f *doctor.Findings) { f.Version = doctor.Output{Exit: "1:0", Line: "ImportError: libcudart"} }), "vllm", doctor.Fail, "ImportError", "server.command"},
		{"a slow vLLM", found(func(f *doctor.Findings) { f.Version = doctor.Output{TimedOut: true, Seconds: 120} }), "vllm", doctor.Warn, "120 s", "fast disk"},
		{"another program", found(func(f *doctor.Findings) { f.Version.Line = "hello" }), "vllm", doctor.Warn, `"hello"`, "server.command"},
		{"model's folder not there", found(func(f *doctor.Findings) { f.Model = doctor.Model{Local: true} }), "model", doctor.Fail, "no config.json", "folder"},
		{"no way to the hub", found(func(f *doctor.Findings) { f.Model = doctor.Model{Asked: true, Error: "no route"} }), "model", doctor.Fail, "no route", "HF_HOME"},
		{"no way to the hub, but a cache", found(func(f *doctor.Findings) { f.Model = doctor.Model{Asked: true, Error: "no route", Folder: "/cache/x"} }), "model", doctor.Warn, "no route", "HF_HUB_OFFLINE"},
		{"offline and not cached", found(func(f *doctor.Findings) { f.Model = doctor.Model{} }), "model", doctor.Fail, "HF_HUB_OFFLINE", "HF_HOME"},
		{"no token", found(func(f *doctor.Findings) { f.Model = doctor.Model{Asked: true, Status: 401} }), "model", doctor.Fail, "without a token (401)", "server.secrets"},
		{"a token without rights", found(func(f *doctor.Findings) { f.Model.Status = 403 }), "model", doctor.Fail, "refuses", "terms"},
		{"no such model", found(func(f *doctor.Findings) { f.Model.Status = 404 }), "model", doctor.Fail, "404", "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := well()
			c.wrong(w)
			lines := w.diagnose(t)
			i := slices.IndexFunc(lines, func(l doctor.Line) bool { return l.Check == c.check && l.Level != doctor.OK })
			if i < 0 {
				t.Fatalf("no line of %s says so:\n%s", c.check, doctor.Text(lines))
			}
			l := lines[i]
			if l.Level != c.level || !strings.Contains(l.Says, c.says) || !strings.Contains(l.Remedy+l.Says, c.hint) {
				t.Errorf("%+v", l)
			}
			if doctor.Failed(lines) != (c.level == doctor.Fail) {
				t.Errorf("failed: %v\n%s", doctor.Failed(lines), doctor.Text(lines))
			}
			for _, other := range lines {
				if other.Check != c.check && other.Level == doctor.Fail {
					t.Errorf("another line: %+v", other)
				}
				if (other.Level != doctor.OK) != (other.Remedy != "") {
					t.Errorf("a remedy where none is needed, or none where one is: %+v", other)
				}
			}
		})
	}
}

func TestWhatExceedsTheQueueGoesOutInPortions(t *testing.T) {
	w := well()
	w.site("[4, 8]", "[4, 8, 16, 32]")
	w.site("[64]", "[64, 128]")
	w.cluster.Associations[0].MaxSubmit = 3
	lines := w.diagnose(t)
	if text := doctor.Text(lines); !strings.Contains(text, "8 jobs in 2 calls of sbatch; the queue takes 3 of yours at once, so they go out in 3 portions") {
		t.Error(text)
	}
}

// The script's procedure has no times in its counts: they follow from its runs.
func TestTheScriptsLongestJobIsAWalkThatNeverMeetsItsLimit(t *testing.T) {
	w := well()
	w.site("plan: cells", "method: auto_tune")
	// 50 s to start, 1000 requests at 20/s, and 100 at each of 21/s to 1/s: 100 x H(21) s. Nine starts of the probe are 450 s.
	if text := doctor.Text(w.diagnose(t)); !strings.Contains(text, "takes 3 min, 8 min at worst") {
		t.Error(text)
	}
}

func TestWithoutASpecOnlyTheClusterIsTold(t *testing.T) {
	w := well()
	var checks []string
	for _, l := range doctor.Diagnose(doctor.Facts{Scheduler: "slurm", Cluster: &w.cluster}) {
		checks = append(checks, l.Check)
	}
	if got := strings.Join(checks, " "); got != "slurm partition partition accounting arrays requeue" {
		t.Error(got)
	}
	none := doctor.Diagnose(doctor.Facts{Scheduler: "slurm", Missing: []string{"sbatch"}})
	if len(none) != 1 || none[0].Level != doctor.Warn {
		t.Errorf("a machine without Slurm: %+v", none)
	}
}

func TestOnThisMachineNothingIsAskedOfSlurm(t *testing.T) {
	w := well()
	w.site("scheduler: slurm", "scheduler: local")
	w.site(", collector: {partition: cpu}", "")
	w.facts.Scheduler, w.facts.Slots, w.facts.Base.Magic = "local", 1, 0x01021994
	lines := w.diagnose(t)
	text := doctor.Text(lines)
	if strings.Contains(text, "slurm") || strings.Contains(text, "partition") || doctor.Failed(lines) {
		t.Error(text)
	}
	if !strings.Contains(text, "warn  gpus     this machine has 1 slot, and a server takes 2") {
		t.Error(text)
	}
}

// Whatever the clocks and the delays are, the true difference lies between the bounds, which are no farther apart than the fastest
// round took, and no true delay is above its bound.
func TestClocksAndDelaysLieWithinTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		ahead := time.Duration(rapid.IntRange(-100_000, 100_000).Draw(t, "ahead")) * time.Millisecond
		delay := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 90_000).Draw(t, name)) * time.Millisecond
		}
		first := delay("first")
		at, slowestHere, slowestThere := start.Add(first), first, time.Duration(0)
		g := doctor.Greeting{Made: start.Add(ahead), Seen: at}
		fastest := time.Hour
		var rounds []doctor.Round
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			there, here := delay("there"), delay("here")
			seen := at.Add(there)
			rounds = append(rounds, doctor.Round{Sent: at, Seen: seen.Add(ahead), Answered: seen.Add(ahead), Back: seen.Add(here)})
			at = seen.Add(here)
			slowestHere, slowestThere, fastest = max(slowestHere, here), max(slowestThere, there), min(fastest, there+here)
		}
		low, high, ok := doctor.Clocks(rounds)
		if !ok || ahead < low || ahead > high || high-low > fastest {
			t.Fatalf("%s is not between %s and %s, or that is more than the fastest round took: %s", ahead, low, high, fastest)
		}
		if here, there := doctor.Delays(g, rounds); here < slowestHere || there < slowestThere {
			t.Fatalf("bounds %s and %s, delays %s and %s", here, there, slowestHere, slowestThere)
		}
	})
}

func TestFindingsSurviveTheirFile(t *testing.T) {
	want := well().facts.Job.Findings
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got doctor.Findings
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Error(diff)
	}
}
