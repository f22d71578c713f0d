package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// rank starts one rank of a server of two stages on two nodes of a GPU each; more are further arguments.
func (m *machine) rank(port, n int, more ...string) *process {
	m.t.Helper()
	args := append([]string{"--pipeline-parallel-size", "2", "--nnodes", "2", "--node-rank", fmt.Sprint(n), "--master-addr", "127.0.0.1", "--master-port", fmt.Sprint(port)}, more...)
	if n > 0 {
		args = append(args, "--headless")
	}
	was := m.env
	defer func() { m.env = was }()
	m.env = append(m.env[:len(m.env):len(m.env)], fmt.Sprintf("SLURMD_NODENAME=node%d", n), "CUDA_VISIBLE_DEVICES=0")
	return m.launch(args...)
}

func (p *process) says(what string) {
	p.t.Helper()
	await(p.t, what, func() bool { return strings.Contains(p.output(), what) })
}

func (p *process) healthy() bool {
	resp, err := http.Get(p.url("/health"))
	if err == nil {
		resp.Body.Close()
	}
	return err == nil && resp.StatusCode == http.StatusOK
}

func TestAServerOnTwoNodesIsHealthyWhenAllRanksAreThere(t *testing.T) {
	m := newMachine(t)
	port := freePort(t)
	head := m.rank(port, 0)
	head.says("DP group leader")
	if strings.Contains(head.output(), "Model loading took") || head.healthy() {
		t.Fatalf("the head does not wait:\n%s", head.output())
	}
	other := m.rank(port, 1)
	await(t, "health", head.healthy)
	other.says("holds 1 simulated GPUs")
	// Each node has a GPU 0, and on each it is taken.
	for n := range 2 {
		m.env = append(m.env, fmt.Sprintf("SLURMD_NODENAME=node%d", n), "CUDA_VISIBLE_DEVICES=0")
		late := m.launch()
		if code := late.exit(); code != 1 || !strings.Contains(late.output(), "Free memory on device") {
			t.Errorf("GPU 0 of node %d was free: exit code %d\n%s", n, code, late.output())
		}
	}
	for _, p := range []*process{other, head} { // both are told, one a little sooner
		if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*process{other, head} {
		if code := p.exit(); code != 0 || strings.Contains(p.output(), "ERROR") {
			t.Errorf("exit code %d\n%s", code, p.output())
		}
	}
}

func TestTheLossOfARankEndsTheHead(t *testing.T) {
	m := newMachine(t)
	port := freePort(t)
	head, other := m.rank(port, 0), m.rank(port, 1)
	await(t, "health", head.healthy)
	other.killGroup()
	if code := head.exit(); code != 1 || !strings.Contains(head.output(), "RuntimeError: [gloo/transport/tcp/pair.cc] Connection closed by peer") {
		t.Errorf("exit code %d\n%s", code, head.output())
	}
}

// A headless rank does not end by itself: the real one may hang in a collective, so whoever starts ranks must end them.
func TestARankThatLostItsHeadStays(t *testing.T) {
	m := newMachine(t)
	port := freePort(t)
	head, other := m.rank(port, 0), m.rank(port, 1)
	await(t, "health", head.healthy)
	head.killGroup()
	other.says("the head has gone")
	select {
	case <-other.done:
		t.Fatalf("it ended:\n%s", other.output())
	default:
	}
	if err := other.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := other.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, other.output())
	}
}

func TestRanksThatWereToldDifferentThingsDoNotServe(t *testing.T) {
	m := newMachine(t)
	for _, more := range [][]string{{"--tensor-parallel-size", "2", "--pipeline-parallel-size", "1"}, {"--nnodes", "1", "--node-rank", "0"}} {
		port := freePort(t)
		head := m.rank(port, 0)
		other := m.rank(port, 1, more...)
		if code := other.exit(); code != 1 {
			t.Errorf("%v: exit code %d\n%s", more, code, other.output())
		}
		if more[0] == "--nnodes" { // which it refuses before it meets anybody
			head.killGroup()
			continue
		}
		if code := head.exit(); code != 1 || !strings.Contains(head.output(), "was started as") {
			t.Errorf("%v: the head: exit code %d\n%s", more, code, head.output())
		}
	}
	port := freePort(t)
	head := m.rank(port, 0, "--nnodes", "3", "--pipeline-parallel-size", "3")
	for range 2 {
		m.rank(port, 1, "--nnodes", "3", "--pipeline-parallel-size", "3")
	}
	if code := head.exit(); code != 1 || !strings.Contains(head.output(), "node rank 1 came twice") {
		t.Errorf("a rank twice: exit code %d\n%s", code, head.output())
	}
}

func TestATakenMeetingPointIsTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	head := newMachine(t).rank(l.Addr().(*net.TCPAddr).Port, 0)
	if code := head.exit(); code != 1 || !strings.Contains(head.output(), "torch.distributed.DistNetworkError: The server socket has failed to listen") || !strings.Contains(head.output(), "address already in use") {
		t.Errorf("exit code %d\n%s", code, head.output())
	}
}

func TestWrongPlacesInAGroupAreRefused(t *testing.T) {
	m := newMachine(t)
	for want, args := range map[string][]string{
		"`--nnodes 3` must evenly divide the total world size (4).":                                     {"-tp", "4", "-n", "3"},
		"`--node-rank` must be between 0 and 1; got `--node-rank 2`.":                                   {"-tp", "4", "-n", "2", "-r", "2", "--headless"},
		"of 2 nodes only rank 0 has an API server; rank 1 was started with --headless=false":            {"-tp", "2", "-n", "2", "-r", "1"},
		"of 2 nodes only rank 0 has an API server; rank 0 was started with --headless=true":             {"-tp", "2", "-n", "2", "--headless"},
		"--headless and --node-rank are simulated for the nodes of --nnodes only":                       {"--headless"},
		"nnodes > 1 can only be set when distributed executor backend is mp, uni or external_launcher.": {"-pp", "2", "-n", "2", "--distributed-executor-backend", "ray"},
		"Unknown distributed executor backend: smoke":                                                   {"--distributed-executor-backend", "smoke"},
		"pipeline_parallel_size must be at least 1, got 0.":                                             {"-pp", "0"},
		"pipeline_parallel_size must be from 1 to the number of layers (8), got 9.":                     {"-pp", "9"},
		"World size (2) is larger than the number of available GPUs (1) in this node.":                  {"-pp", "2"},
		"ConnectionError: Could not find any running Ray instance.":                                     {"-pp", "2", "--distributed-executor-backend", "ray"},
	} {
		m.env = append(m.env, "CUDA_VISIBLE_DEVICES=0")
		if strings.Contains(want, "layers") {
			m.env = append(m.env, "CUDA_VISIBLE_DEVICES=")
		}
		p := m.launch(args...)
		if code := p.exit(); code != 1 || !strings.Contains(p.output(), want) {
			t.Errorf("%v: exit code %d, want %s\n%s", args, code, want, p.output())
		}
	}
}
