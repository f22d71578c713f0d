package survey_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/spec"
	"vtune/internal/survey"
	"vtune/jobs/slurm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func gpus(name, kind string, n int) slurm.Node {
	return slurm.Node{Name: name, State: "idle", CPUs: 96, MemoryMB: 1_000_000, GPUs: []slurm.GPUs{{Type: kind, Count: n}}}
}

// clusters by what is particular about them.
func clusters() map[string]slurm.Cluster {
	plain := slurm.Cluster{
		Name: "plain", Version: "22.05.8",
		Partitions: []slurm.Partition{{Name: "gpu", Default: true, State: "UP", Nodes: []string{"g1", "g2"}}},
		Nodes:      []slurm.Node{gpus("g1", "h200", 8), gpus("g2", "h200", 8)},
	}
	types := slurm.Cluster{
		Name: "types", Version: "24.11.1",
		Partitions: []slurm.Partition{
			{Name: "cpu", Default: true, State: "UP", MaxTime: 48 * time.Hour, Nodes: []string{"c1"}},
			{Name: "small", State: "UP", MaxTime: time.Hour, Nodes: []string{"g1"}},
			{Name: "mixed", State: "UP", MaxTime: 24 * time.Hour, Nodes: []string{"g1", "g2", "g3"}},
			{Name: "broken", State: "DOWN", Nodes: []string{"g4"}},
		},
		Nodes: []slurm.Node{
			{Name: "c1", CPUs: 128, MemoryMB: 512_000}, gpus("g1", "a100", 4), gpus("g2", "h100", 8), gpus("g3", "h100", 8), gpus("g4", "h200", 80),
		},
	}
	none := slurm.Cluster{
		Name: "none", Version: "23.02.6",
		Partitions: []slurm.Partition{{Name: "batch", State: "UP", MaxTime: 30 * time.Minute, Nodes: []string{"c1", "c2"}}, {Name: "debug", Default: true, State: "UP", Nodes: []string{"c1"}}},
		Nodes:      []slurm.Node{{Name: "c1", CPUs: 64, MemoryMB: 256_000}, {Name: "c2", CPUs: 64, MemoryMB: 256_000}},
	}
	limits := slurm.Cluster{
		Name: "limits", Version: "22.05.8", Accounting: true, Enforce: []string{"associations", "limits", "qos"},
		Partitions: []slurm.Partition{
			{Name: "theirs", Default: true, State: "UP", Nodes: []string{"g1", "g2"}, AllowAccounts: []string{"them"}},
			{Name: "ours", State: "UP", MaxTime: 12 * time.Hour, Nodes: []string{"g1"}, AllowAccounts: []string{"team", "lab"}},
		},
		Nodes: []slurm.Node{gpus("g1", "", 8), gpus("g2", "", 8)},
		Associations: []slurm.Association{
			{Account: "home", Default: true}, {Account: "team", QOS: []string{"normal", "short"}, DefaultQOS: "short"}, {Account: "lab", Partition: "other"}, {Account: "lab"},
		},
		QOS: []slurm.QOS{{Name: "short", MaxWall: 90 * time.Minute, MaxJobsPerUser: 2, MaxTRESPerUser: "gres/gpu=4"}, {Name: "normal"}},
	}
	return map[string]slurm.Cluster{"plain": plain, "types": types, "none": none, "limits": limits, "empty": {Name: "empty"}}
}

// asSite puts a page where a spec has its site.
func asSite(page []byte) string {
	var b strings.Builder
	b.WriteString("model: m\nworkload: {input_len: 100, output_len: 10}\ngrid: {max_num_seqs: [4], max_num_batched_tokens: [64]}\nscheduler: slurm\nsite:\n")
	for line := range strings.Lines(string(page)) {
		b.WriteString("  " + line)
	}
	return b.String()
}

func parse(t *testing.T, page []byte) spec.Site {
	t.Helper()
	s, err := spec.Parse("site.yaml", []byte(asSite(page)))
	if err != nil {
		t.Fatalf("%v\n%s", err, page)
	}
	return s.Site
}

func TestAPageForEachKindOfCluster(t *testing.T) {
	for name, c := range clusters() {
		t.Run(name, func(t *testing.T) {
			got := survey.Page(c)
			golden := filepath.Join("testdata", name+".yaml")
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
			if err := spec.CheckSite(golden, got); err != nil {
				t.Error(err)
			}
		})
	}
}

// A suggestion is of use only if it may be taken: every line that is commented out is right where its mark is taken away.
func TestEverySuggestionCanBeTaken(t *testing.T) {
	for name, c := range clusters() {
		lines := strings.Split(string(survey.Page(c)), "\n")
		taken := 0
		for i, line := range lines {
			key, _, found := strings.Cut(strings.TrimPrefix(line, "# "), ":")
			if !strings.HasPrefix(line, "# ") || !found || strings.ContainsAny(key, " ") {
				continue
			}
			changed := append([]string{}, lines...)
			for j := range changed { // a key that is there already is replaced
				if strings.HasPrefix(changed[j], key+":") {
					changed[j] = ""
				}
			}
			changed[i] = strings.TrimPrefix(line, "# ")
			for j := i + 1; j < len(lines) && strings.HasPrefix(lines[j], "#   "); j++ {
				changed[j] = strings.TrimPrefix(lines[j], "# ")
			}
			if err := spec.CheckSite("site.yaml", []byte(strings.Join(changed, "\n"))); err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
			taken++
		}
		if taken < 5 {
			t.Errorf("%s: %d suggestions", name, taken)
		}
	}
}

func TestWhatIsChosen(t *testing.T) {
	cs := clusters()
	for name, want := range map[string]spec.Site{
		"plain":  {Partition: "gpu", GPUStyle: "gres", GPUType: "h200", GPUsPerNode: 8, Time: "04:00:00"},
		"types":  {Partition: "mixed", GPUStyle: "gres", GPUsPerNode: 4, Time: "04:00:00", Collector: spec.Collector{Partition: "cpu"}},
		"none":   {Partition: "debug", GPUStyle: "none", Time: "04:00:00", Collector: spec.Collector{Partition: "batch"}},
		"limits": {Partition: "ours", Account: "team", QOS: "short", GPUStyle: "gres", GPUsPerNode: 8, Time: "01:30:00"},
	} {
		s := parse(t, survey.Page(cs[name]))
		got := spec.Site{
			Partition: s.Partition, Account: s.Account, QOS: s.QOS, GPUStyle: s.GPUStyle, GPUType: s.GPUType, GPUsPerNode: s.GPUsPerNode,
			Time: s.Time, Collector: s.Collector,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What administrators call things shall not end a comment, or begin a key.
func TestNamesOfTheClusterStayWhereTheyBelong(t *testing.T) {
	c := clusters()["plain"]
	c.Name = "x\npartition: evil"
	c.Partitions[0].Nodes = nil
	c.Partitions = append(c.Partitions, slurm.Partition{Name: "a\"b: c # d\n- e", State: "UP\nx: y"})
	if s := parse(t, survey.Page(c)); s.Partition != "gpu" {
		t.Errorf("%q", s.Partition)
	}
}
