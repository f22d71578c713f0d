package crew

import (
	"slices"
	"strings"
	"testing"

	"vtune/internal/record"
)

// A step asks for its share of everything, or steps wait for each other: by what the spec says, or else by what the allocation has.
func TestAStepAsksForItsShare(t *testing.T) {
	for _, c := range []struct {
		name  string
		order record.CrewOrder
		env   []string
		want  string
	}{
		{
			"as the spec says",
			record.CrewOrder{GPUs: "--gres=gpu:2", CPUs: 6, MemMB: 64000},
			[]string{"SLURM_CPUS_ON_NODE=64", "SLURM_MEM_PER_NODE=512000"},
			"--cpus-per-task=6 --gres=gpu:2 --mem=64000M",
		},
		{
			"by node",
			record.CrewOrder{GPUs: "--gpus-per-node=h200:2"},
			[]string{"SLURM_CPUS_ON_NODE=64", "SLURM_MEM_PER_NODE=512000"},
			"--cpus-per-task=16 --gpus-per-node=h200:2 --mem=128000M",
		},
		{"by CPU", record.CrewOrder{}, []string{"SLURM_CPUS_ON_NODE=9", "SLURM_MEM_PER_CPU=1000"}, "--cpus-per-task=2"},
		{"the whole node's", record.CrewOrder{}, nil, "--cpus-per-task=1 --mem=0M"},
	} {
		c.order.Unit = record.Unit{ID: "pack-1", Crew: &record.Crew{Slots: 8, Nodes: 2}}
		argv := Srun{Order: c.order, Env: c.env}.argv()
		got := slices.DeleteFunc(slices.Clone(argv), func(a string) bool {
			return !strings.HasPrefix(a, "--cpus-per") && !strings.HasPrefix(a, "--g") && !strings.HasPrefix(a, "--mem")
		})
		if strings.Join(got, " ") != c.want || argv[0] != "srun" || !slices.Contains(argv, "--exact") {
			t.Errorf("%s: %s, want %s", c.name, argv, c.want)
		}
	}
	order := record.CrewOrder{Unit: record.Unit{Crew: &record.Crew{Slots: 3, Nodes: 1}}}
	if n := (Srun{Order: order, Env: []string{"SLURM_CPUS_ON_NODE=64"}, SMT: true}).cpus(); n != 20 {
		t.Errorf("a third of 64 threads is %d of whole cores, want 20", n)
	}
}

func TestAStepIsNotToldWhatTheBatchStepWasTold(t *testing.T) {
	got := inner([]string{
		"HOME=/h", "SLURM_MEM_PER_NODE=1", "SLURM_JOB_ID=7", "SLURM_CONF=/c", "SLURM_NTASKS=8", "SLURMD_NODENAME=n", "SRUN_DEBUG=3", "SLURMISH=x",
	})
	if want := []string{"HOME=/h", "SLURM_JOB_ID=7", "SLURM_CONF=/c", "SLURMISH=x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
