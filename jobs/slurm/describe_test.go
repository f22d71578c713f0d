package slurm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/jobs"
)

func TestANodesStateIsOneWord(t *testing.T) {
	for in, want := range map[string]string{
		"IDLE": "idle", "MIXED": "mixed", "ALLOCATED": "allocated", "DOWN": "down", "DOWN+DRAIN": "down", "IDLE+DRAIN": "drained", "MIXED+DRAIN": "draining",
		"ALLOCATED+DRAIN": "draining", "IDLE+COMPLETING+DRAIN": "draining", "IDLE+NOT_RESPONDING": "not responding", "DOWN+NOT_RESPONDING": "down",
		"IDLE+MAINTENANCE": "maintenance", "IDLE+POWERED_DOWN": "powered down", "IDLE+CLOUD": "idle", "UNKNOWN": "unknown", "": "",
	} {
		if got := nodeState(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestANodesGPUsAreReadInEveryForm(t *testing.T) {
	for in, want := range map[string][]GPUs{
		"gpu:h200:8": {{"h200", 8}}, "gpu:8": {{"", 8}}, "gpu": {{"", 1}}, "gpu:h100:4(S:0-1)": {{"h100", 4}}, "(null)": nil, "": nil, "shard:16,mps:100": nil,
		"gpu:a100:4(S:0,2),gpu:v100:2(S:1),shard:8": {{"a100", 4}, {"v100", 2}}, "gpu:a100_3g.20gb:2": {{"a100_3g.20gb", 2}}, "gpu:t4": {{"t4", 1}},
	} {
		if got := gpus(in); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", in, got, want)
		}
	}
}

func TestATimeIsReadAsSlurmWritesIt(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"00:10:00": 10 * time.Minute, "1-02:03:04": 26*time.Hour + 3*time.Minute + 4*time.Second, "UNLIMITED": 0, "NONE": 0, "INFINITE": 0, "": 0, "10": 0,
		"-1-00:00:00": 0, "999999999-00:00:00": 0,
	} {
		if got := span(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// limitedCluster has limits on every level, each on its own when the others are taken away.
func limitedCluster() Cluster {
	return Cluster{
		Enforce: []string{"associations", "limits", "qos"},
		Partitions: []Partition{
			{Name: "gpu", Default: true}, {Name: "few", QOS: "part"}, {Name: "own"},
		},
		Associations: []Association{
			{Account: "a", Default: true, QOS: []string{"fast", "normal"}, MaxSubmit: 20, GrpSubmit: 40},
			{Account: "a", Partition: "own", MaxSubmit: 7},
			{Account: "b", QOS: []string{"slow"}, MaxSubmit: 50},
			{Account: "c", DefaultQOS: "fast", MaxSubmit: 60},
		},
		QOS: []QOS{
			{Name: "normal"},
			{Name: "fast", MaxSubmitPerUser: 30},
			{Name: "slow", GrpSubmit: 9},
			{Name: "part", MaxSubmitPerUser: 3},
			{Name: "over", MaxSubmitPerUser: 5, Flags: []string{"OverPartQOS"}},
			{Name: "shared", MaxSubmitPerAccount: 25},
			{Name: "wide", MaxSubmitPerUser: 100, GrpSubmit: 80},
		},
	}
}

func TestTheLeastLimitThatHoldsIsTold(t *testing.T) {
	for _, c := range []struct {
		account, partition, qos string
		want                    int
	}{
		{"", "", "", 20},       // the default association; QOS normal, because it may have several
		{"a", "gpu", "", 20},   //
		{"a", "own", "", 7},    // an association for one partition
		{"", "", "fast", 30},   // in the place of the association's
		{"", "", "shared", 25}, // a limit for each account also takes that place
		{"", "", "wide", 80},   // for all together too, though more than the association's
		{"b", "", "", 9},       // its only QOS
		{"c", "", "", 30},      // its default QOS
		{"", "few", "", 3},     // the partition's QOS
		{"", "few", "fast", 3}, // goes before the job's
		{"", "few", "over", 5}, // unless that one says otherwise
		{"", "few", "slow", 3}, // and where it says nothing, the job's holds too: 9 for all
		{"nosuch", "", "", 0},  //
		{"", "", "nosuch", 20}, //
		{"", "nosuch", "", 20}, //
	} {
		if got := limitedCluster().MaxSubmit(c.account, c.partition, c.qos); got != c.want {
			t.Errorf("account %q, partition %q, QOS %q: got %d, want %d", c.account, c.partition, c.qos, got, c.want)
		}
	}
	loose := limitedCluster()
	loose.Enforce = []string{"associations"}
	if got := loose.MaxSubmit("", "", ""); got != 0 {
		t.Errorf("limits that are not kept: got %d", got)
	}
}

func TestAPartitionIsFoundByNameOrAsTheDefault(t *testing.T) {
	c := limitedCluster()
	for name, want := range map[string]string{"": "gpu", "gpu": "gpu", "few": "few"} {
		if p, ok := c.Partition(name); !ok || p.Name != want {
			t.Errorf("%q: got %+v, %t", name, p, ok)
		}
	}
	if p, ok := c.Partition("nosuch"); ok {
		t.Errorf("got %+v", p)
	}
	if p, ok := (Cluster{}).Partition(""); ok {
		t.Errorf("got %+v", p)
	}
}

// TestAPartThatCannotBeReadIsTold uses made-up answers, each of which fails in its turn.
func TestAPartThatCannotBeReadIsTold(t *testing.T) {
	good := map[string]string{
		"scontrol show config":       "ClusterName = c\nMaxArraySize = 10\nMinJobAge = 5 sec\nJobRequeue = 1\nAccountingStorageEnforce = none\nAccountingStorageType = accounting_storage/slurmdbd\n",
		"scontrol show partition -o": "PartitionName=gpu Default=YES QoS=N/A MaxTime=UNLIMITED State=UP AllowAccounts=ALL AllowQos=ALL\n",
		"scontrol show node -o":      "NodeName=n1 CPUTot=4 RealMemory=100 Gres=(null) AvailableFeatures=a,b State=IDLE Partitions=gpu OS=Linux 6 #1 SMP \n",
		"sinfo --version":            "slurm 25.05.1\n", "id -un": "me\n", "sacctmgr -n -P show": "",
	}
	for failing := range good {
		s := &Scheduler{run: func(_ context.Context, name string, args ...string) result {
			line := strings.Join(append([]string{name}, args...), " ")
			for command, answer := range good {
				if strings.HasPrefix(line, command) {
					if command == failing {
						return result{name: name, stderr: name + ": error: gone\n", err: errors.New("exit status 1")}
					}
					return result{name: name, stdout: answer}
				}
			}
			t.Errorf("%s is run", line)
			return result{}
		}}
		got, err := s.Describe(t.Context())
		if failing == "scontrol show config" {
			if !errors.Is(err, jobs.ErrUnavailable) {
				t.Errorf("without the controller: %v", err)
			}
			continue
		}
		told := len(got.Problems) > 0 && strings.HasPrefix(got.Problems[0].Error(), failing) && errors.Is(got.Problems[0], jobs.ErrUnavailable)
		if err != nil || !told {
			t.Errorf("without %s: %v, %v", failing, got.Problems, err)
		}
		want := Cluster{
			Name: "c", Version: "25.05.1", MaxArraySize: 10, MinJobAge: 5 * time.Second, JobRequeue: true,
			Partitions: []Partition{{Name: "gpu", Default: true, State: "UP", Nodes: []string{"n1"}}},
			Nodes:      []Node{{Name: "n1", State: "idle", CPUs: 4, MemoryMB: 100, Features: []string{"a", "b"}}},
		}
		switch failing {
		case "sinfo --version":
			want.Version, want.Accounting = "", true
		case "scontrol show partition -o":
			want.Partitions, want.Accounting = nil, true
		case "scontrol show node -o":
			want.Nodes, want.Partitions[0].Nodes, want.Accounting = nil, nil, true
		}
		got.Problems = nil
		got.QOS = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("without %s: %s", failing, diff)
		}
	}
}

func TestTheGroupLimitsOfAccountsHoldForThoseBelow(t *testing.T) {
	got := associations("dept||gpu|fast||1|2||50|1-00:00:00\nlab|dept|||||||10|\n", "root||||||||5|\ndept|root|||||||30|\nlab|dept|||||||20|\nx|y||||||||\ny|x||||||||\n", "lab")
	want := []Association{
		{Account: "dept", Partition: "gpu", QOS: []string{"fast"}, MaxJobs: 1, MaxSubmit: 2, GrpSubmit: 5, MaxWall: 24 * time.Hour},
		{Account: "lab", Default: true, GrpSubmit: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if circle := associations("x||||||||1|\n", "x|y||||||||\ny|x||||||||\n", ""); len(circle) != 1 {
		t.Errorf("accounts in a circle: %+v", circle)
	}
}

func FuzzADescription(f *testing.F) {
	f.Add("PartitionName=gpu Default=YES State=UP MaxTime=1-00:00:00", "NodeName=n1 State=IDLE+DRAIN Gres=gpu:h200:8(S:0-1) Partitions=gpu Reason=a b [x]", "a|b||q|||2|||1-00:00:00\n")
	f.Fuzz(func(t *testing.T, partition, node, assoc string) {
		s := &Scheduler{run: func(_ context.Context, name string, args ...string) result {
			switch {
			case slices.Contains(args, "config"):
				return result{stdout: "MaxArraySize = 10\nMinJobAge = 5 sec\nAccountingStorageType = accounting_storage/slurmdbd\nAccountingStorageEnforce = limits\n"}
			case slices.Contains(args, "partition"):
				return result{stdout: partition}
			case slices.Contains(args, "node"):
				return result{stdout: node}
			default:
				return result{stdout: assoc}
			}
		}}
		c, err := s.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := c.MaxSubmit("", "", ""); n < 0 {
			t.Errorf("%d jobs", n)
		}
		for _, n := range c.Nodes {
			for _, g := range n.GPUs {
				if g.Count < 0 || n.CPUs < 0 || n.MemoryMB < 0 {
					t.Errorf("%+v", n)
				}
			}
		}
	})
}
