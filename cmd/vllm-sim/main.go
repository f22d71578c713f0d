// Command vllm-sim is a simulated `vllm`: it takes the flags that vtune passes
// to `vllm serve` and `vllm bench serve`, speaks the same HTTP, logs, fails and
// takes as long as the real one, and holds no model and no GPU. It says so in
// its log, its version and its list of models.
//
// Like the real server it is two processes: the API server, and an engine
// process that holds the (simulated) GPU memory and survives when only the
// first is killed. The engine's behaviour is internal/sim; this command adds
// the clock, the processes and the network.
//
// Its own options, each also by environment so that a spec's
// server.environment reaches them:
//
//	--time-scale X      VLLM_SIM_TIME_SCALE  virtual seconds per real second (1)
//	--sim-hardware H    VLLM_SIM_HARDWARE    h200-like, h100-like, a10-like (h200-like)
//	--sim-model M       VLLM_SIM_MODEL       8b, 70b, tiny (config.json of the model, else its name)
//	--sim-noise X       VLLM_SIM_NOISE       relative deviation of a step's time (0.02)
//	                    VLLM_SIM_SLOW        how many times as long a server takes for everything, by node
//	                                         (SLURMD_NODENAME, else the host's name): node3=1.3,node4=2
//	                    VLLM_SIM_FAIL        faults to inject, see internal/engine/faults.go
//	                    VLLM_SIM_GPU_DIR     where GPU memory is booked (vllm-sim-<uid> under the temporary directory)
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"vtune/cmd/vllm-sim/internal/bench"
	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/cmd/vllm-sim/internal/engine"
	"vtune/cmd/vllm-sim/internal/server"
)

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	os.Exit(run(os.Args[1:], cli.World{
		Env: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals,
	}))
}

// run returns the exit code: 0, 1 for a failure, 2 for wrong arguments.
func run(args []string, w cli.World) int {
	err := dispatch(args, w)
	var usage cli.UsageError
	var exit cli.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(w.Stderr, usage)
		return 2
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintln(w.Stderr, err)
	return 1
}

func dispatch(args []string, w cli.World) error {
	const usage = "invalid choice (choose from serve, bench)"
	switch {
	case len(args) == 0:
		return cli.UsageError{Prog: "vllm", Message: "a subcommand is required (serve, bench serve)"}
	case args[0] == "--version" || args[0] == "-v":
		fmt.Fprintln(w.Stdout, cli.Version)
		return nil
	case args[0] == "serve":
		return server.Serve(args[1:], w)
	case args[0] == engine.Command:
		return engine.Run(w)
	case args[0] == "bench" && len(args) > 1 && args[1] == "serve":
		return bench.Run(args[2:], w)
	case cli.LooksLikeFlag(args[0]):
		return cli.UsageError{Prog: "vllm", Message: "unrecognized arguments: " + args[0]}
	}
	return cli.UsageError{Prog: "vllm", Message: "argument subparser: " + usage}
}
