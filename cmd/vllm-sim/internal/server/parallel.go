package server

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/cmd/vllm-sim/internal/engine"
)

// parallel is how the model is spread over GPUs and nodes.
type parallel struct {
	tensor, pipeline int
	nodes, rank      int
	host             string
	port             int
	headless         bool
	backend          string // mp, ray, or empty for vLLM's choice
}

func (p *parallel) flags() []cli.Flag {
	return []cli.Flag{
		cli.Int("tensor-parallel-size", &p.tensor), cli.Int("tp", &p.tensor),
		cli.Int("pipeline-parallel-size", &p.pipeline), cli.Int("pp", &p.pipeline),
		cli.Int("nnodes", &p.nodes), cli.Int("n", &p.nodes), cli.Int("node-rank", &p.rank), cli.Int("r", &p.rank),
		cli.String("master-addr", &p.host), cli.Int("master-port", &p.port), cli.String("distributed-executor-backend", &p.backend),
		{Name: "headless", Bool: true, Set: func(string) error { p.headless = true; return nil }},
	}
}

// check refuses what vLLM refuses, in its words where it has any.
func (p *parallel) check() error {
	const launch = "ValueError: Invalid data-parallel launch options: "
	world := p.tensor * p.pipeline
	switch {
	case p.tensor < 1 || p.pipeline < 1: // the first is refused later, with the rest of the engine's options
		if p.pipeline < 1 {
			return fmt.Errorf("ValueError: pipeline_parallel_size must be at least 1, got %d.", p.pipeline)
		}
	case p.backend != "" && p.backend != "mp" && p.backend != "ray":
		return fmt.Errorf("ValueError: Unknown distributed executor backend: %s", p.backend)
	case p.nodes < 1:
		return fmt.Errorf("ValueError: nnodes must be at least 1, got %d.", p.nodes)
	case p.nodes == 1 && (p.headless || p.rank != 0):
		return errors.New("ValueError: --headless and --node-rank are simulated for the nodes of --nnodes only")
	case p.nodes == 1:
	case p.backend == "ray":
		return errors.New("ValueError: nnodes > 1 can only be set when distributed executor backend is mp, uni or external_launcher.")
	case world%p.nodes != 0:
		return fmt.Errorf(launch+"`--nnodes %d` must evenly divide the total world size (%d). Adjust `--nnodes`, `--data-parallel-size`, `--pipeline-parallel-size`, `--tensor-parallel-size`, or `--prefill-context-parallel-size`.", p.nodes, world)
	case p.rank < 0 || p.rank >= p.nodes:
		return fmt.Errorf(launch+"`--node-rank` must be between 0 and %d; got `--node-rank %d`. Set it to this node's zero-based index.", p.nodes-1, p.rank)
	case p.headless != (p.rank > 0): // the real ones wait for each other for ever
		return fmt.Errorf("ValueError: of %d nodes only rank 0 has an API server; rank %d was started with --headless=%v", p.nodes, p.rank, p.headless)
	case p.port < 1 || p.port > 65535:
		return fmt.Errorf("ValueError: --master-port %d is no port", p.port)
	}
	return nil
}

// devices are the GPUs of this node that the server takes. Of those that Ray finds on other nodes the simulation knows nothing.
func (p *parallel) devices(visible string) ([]string, error) {
	n := p.tensor * p.pipeline / p.nodes
	if p.backend == "ray" && visible != "" {
		n = min(n, strings.Count(visible, ",")+1)
	}
	return engine.VisibleDevices(visible, n)
}

func (p *parallel) group(model string) *engine.Group {
	if p.nodes == 1 {
		return nil
	}
	return &engine.Group{
		Nodes: p.nodes, Rank: p.rank, Tensor: p.tensor, Pipeline: p.pipeline, Model: model,
		Address: net.JoinHostPort(p.host, strconv.Itoa(p.port)),
	}
}

var errNoRay = errors.New("ConnectionError: Could not find any running Ray instance. Please specify the one to connect to by setting `--address` flag or `RAY_ADDRESS` environment variable.")

// findRay knocks at a cluster's door.
func findRay(address string) error {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return fmt.Errorf("%w (%w)", errNoRay, err)
	}
	return c.Close()
}
