package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkSubmitTenThousandCells submits 100 x 100 cells to a real Slurm with the usual MaxArraySize of 1001, and reports how often
// sbatch was called, what vtune itself used of the CPU, and how much memory it had at most. The run directory is in memory where it
// can be: what a disk's file system costs for thirty thousand new names differs by a factor of a hundred, and is not vtune's.
func BenchmarkSubmitTenThousandCells(b *testing.B) {
	bin := b.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "vtune"), ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	sbatch, err := exec.LookPath("sbatch")
	if err != nil {
		b.Skip("no sbatch")
	}
	calls := filepath.Join(bin, "calls")
	counting := fmt.Sprintf("#!/bin/sh\necho >>%s\nexec %s \"$@\"\n", calls, sbatch)
	if err := os.WriteFile(filepath.Join(bin, "sbatch"), []byte(counting), 0o755); err != nil {
		b.Fatal(err)
	}
	c := startCluster(b, "MaxArraySize=1001", "MaxJobCount=50000")
	if out, err := inEnv(c.env, "scontrol", "update", "PartitionName=gpu", "State=DOWN").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	var seqs, tokens []string
	for i := range 100 {
		seqs, tokens = append(seqs, fmt.Sprint(i+1)), append(tokens, fmt.Sprint(256+i))
	}
	spec := filepath.Join(bin, "spec.yaml")
	base, err := os.MkdirTemp("/dev/shm", "vtune-bench-")
	if err != nil {
		base = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(base) })
	text := fmt.Sprintf("base: "+base+"\nmodel: m\nmax_model_len: 1024\nplan: cells\nscheduler: slurm\nworkload: {input_len: 64, output_len: 2}\ngrid:\n  max_num_seqs: [%s]\n  max_num_batched_tokens: [%s]\n",
		strings.Join(seqs, ", "), strings.Join(tokens, ", "))
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		os.Remove(calls)
		x := inEnv(append(slices.Clone(c.env), "PATH="+bin+":"+os.Getenv("PATH")), filepath.Join(bin, "vtune"), "submit", "--new", spec)
		if out, err := x.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		made, err := os.ReadFile(calls)
		if err != nil {
			b.Fatal(err)
		}
		n := strings.Count(string(made), "\n")
		if n > 12 {
			b.Errorf("sbatch was called %d times", n)
		}
		used := x.ProcessState.SysUsage().(*syscall.Rusage)
		b.ReportMetric(float64(n), "sbatch-calls")
		b.ReportMetric((x.ProcessState.UserTime() + x.ProcessState.SystemTime()).Seconds(), "cpu-s")
		b.ReportMetric(float64(used.Maxrss)/1024, "MiB")
	}
}

func inEnv(env []string, name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = env
	return c
}
