//go:build e2e || e2ecompare

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vtune/internal/client"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/serving"
	"vtune/internal/vllm"
)

// repeats of each load by each client, in turn, so that whatever drifts drifts for both. Three values of one client are all above three
// of another in one of ten cases although nothing differs, and there are four comparisons; so where they disagree, both are asked three
// more times, after which it is one in 462.
const (
	repeats = 3
	rounds  = 2
)

// Both clients put the same loads on the same server and must read the same from it.
func TestBothClientsAgreeOnARealServer(t *testing.T) {
	_, model := realServer(t)
	a := cpuServer(model)
	a.Cell = record.Cell{MaxNumSeqs: 32, MaxNumBatchedTokens: 512}
	// vLLM's client sends text, which costs the server the time to make tokens of it; beside long answers that is little.
	a.Workload.OutputLen = 128
	// vLLM's own client takes so much of a core that a server beside it on two cores does a fifth less. So the server has one of its
	// own, and the clients have the other.
	pin(t, 1)
	onServers := a
	onServers.Server.Command = []string{"taskset", "-c", "0", "vllm"}
	srv := serve(t, onServers)
	setting := client.Setting{Assignment: a, Env: os.Environ(), Dir: t.TempDir(), Mark: t.Name(), LogMode: 0o600, Now: time.Now}
	clients := []struct {
		name    string
		measure func(context.Context, client.Target) (client.Measurement, error)
	}{{"vllm", client.Bench{Setting: setting}.Measure}, {"vtune", client.Own{Setting: setting}.Measure}}

	measure := func(which int, l record.Load, seed int64) record.Metrics {
		t.Helper()
		if err := srv.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		m, err := clients[which].measure(t.Context(), client.Target{
			Server: srv, Load: l, Seed: seed, Log: filepath.Join(dir, "log"), Raw: filepath.Join(dir, "raw.json"), Timelines: filepath.Join(dir, "timelines"),
		})
		if err != nil || m.Metrics.Completed != l.Requests || m.Metrics.Failed > 0 {
			t.Fatalf("%s: %+v, %v", clients[which].name, m, err)
		}
		return m.Metrics
	}
	// The first load of a server is slower than all after it.
	top := measure(1, record.Load{Rate: record.Inf, Requests: 100}, 99).RequestThroughput
	for _, l := range []record.Load{
		{Rate: record.Inf, Requests: 300},
		{Rate: record.Rate(math.Round(0.6 * top)), Requests: 120},
	} {
		var got agreement
		for round := 0; round < rounds && (round == 0 || len(got.disagreements()) > 0); round++ {
			for seed := range repeats {
				for which := range clients {
					m := measure(which, l, int64(round*repeats+seed+1))
					got.add(which, m)
					t.Logf("%-8s %-5s seed %d: %6.2f req/s, E2EL P50 %7.1f P99 %7.1f ms", l.Rate, clients[which].name, round*repeats+seed+1, m.RequestThroughput, m.E2EL.P50, m.E2EL.P99)
				}
			}
			t.Logf("%-8s %s", l.Rate, got.throughputs())
		}
		for _, d := range got.disagreements() {
			t.Errorf("at %s: %s", l.Rate, d)
		}
	}
}

// agreement is what the clients measured of one load, by client.
type agreement struct{ throughput, median, p99 [2][]float64 }

func (a *agreement) add(which int, m record.Metrics) {
	a.throughput[which] = append(a.throughput[which], m.RequestThroughput)
	a.median[which] = append(a.median[which], m.E2EL.P50)
	a.p99[which] = append(a.p99[which], m.E2EL.P99)
}

func (a *agreement) throughputs() string {
	return fmt.Sprintf("throughput %.1f %% apart; the repeats spread by up to %.1f %%",
		100*math.Abs(mean(a.throughput[1])/mean(a.throughput[0])-1), 100*max(spread(a.throughput[0]), spread(a.throughput[1])))
}

// disagreements are where the clients are further apart than either from itself.
func (a *agreement) disagreements() (found []string) {
	// Where the machine does not repeat itself to 3 %, nothing can be said to 3 %.
	within := max(0.03, spread(a.throughput[0]), spread(a.throughput[1]))
	if vllm, vtune := mean(a.throughput[0]), mean(a.throughput[1]); math.Abs(vtune/vllm-1) > within {
		found = append(found, fmt.Sprintf("throughput %.2f by vllm and %.2f by vtune, further apart than %.1f %%", vllm, vtune, 100*within))
	}
	for _, of := range []struct {
		name string
		x    [2][]float64
	}{{"P50", a.median}, {"P99", a.p99}} {
		// The ranges may miss each other by as much as throughputs may differ.
		if gap := max(slices.Min(of.x[1])-slices.Max(of.x[0]), slices.Min(of.x[0])-slices.Max(of.x[1])); gap > 0.03*mean(of.x[0]) {
			found = append(found, fmt.Sprintf("%s E2EL %.0f by vllm and %.0f by vtune, further apart than either from itself", of.name, of.x[0], of.x[1]))
		}
	}
	return found
}

// pin keeps this process, and what it starts, on one core until the test is over.
func pin(t *testing.T, core int) {
	t.Helper()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	set.Set(core)
	confine(t, &set)
	t.Cleanup(func() { confine(t, &before) })
}

// confine puts every thread of this process on a set of cores; new threads are where their makers are.
func confine(t *testing.T, set *unix.CPUSet) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SchedSetaffinity(id, set); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
}

// cpuServer is how the examples serve the model.
func cpuServer(model string) record.Assignment {
	return record.Assignment{
		Server: record.Server{
			Command: []string{"vllm"}, Model: model, System: "CPU", TensorParallel: 1, MaxModelLen: 1024,
			Flags: []string{"--dtype", "bfloat16", "--enforce-eager", "--disable-uvicorn-access-log"},
			Environment: map[string]string{
				"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
			},
		},
		Workload: record.Workload{InputLen: 256, OutputLen: 32},
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// spread of repeats, relative to their mean.
func spread(x []float64) float64 { return (slices.Max(x) - slices.Min(x)) / mean(x) }

// serve has a real server up until the test is over.
func serve(t *testing.T, a record.Assignment) *serving.Server {
	t.Helper()
	supervisor, err := proc.Supervise(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	host := serving.Host{
		Env: os.Environ(), Dir: t.TempDir(), Mark: t.Name(), Supervisor: supervisor, LogMode: 0o600, Now: time.Now,
		Port: func() (int, error) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return 0, err
			}
			defer l.Close()
			return l.Addr().(*net.TCPAddr).Port, nil
		},
		Grace: 30 * time.Second, Drain: 5 * time.Minute,
		Say: t.Logf, Secret: func(string) {}, Redact: func(s string) string { return s },
	}
	log := filepath.Join(t.TempDir(), "server.log")
	srv, err := serving.Launch(t.Context(), host, vllm.Serve{Server: a.Server, Cell: a.Cell, Utilization: 0.9}, false, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Stop(context.Background()) })
	if err := srv.BecomeHealthy(t.Context(), 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Logf("the server is up after %.1f s: %s", srv.Age().Seconds(), srv.Describe())
	return srv
}
