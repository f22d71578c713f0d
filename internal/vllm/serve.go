package vllm

import (
	"encoding/json"
	"strconv"
	"strings"

	"vtune/internal/record"
)

// Serve is one start of a server: the flags of auto_tune.sh, and what the user added.
type Serve struct {
	Server      record.Server
	Cell        record.Cell
	Utilization float64 // gpu-memory-utilization, 0 to 1
	Port        int
	Socket      string    // a Unix socket to listen at, instead of the port
	Profiler    *Profiler // nil: none
}

// Profiler asks a server for a trace: torch's, or on a TPU that of XLA, which goes by the same name.
type Profiler struct {
	Dir        string // absolute; the server writes its trace files there
	Iterations int    // engine steps to record; 0: all between start and stop, as always on a TPU
	Version    string // of the server, as far as it is known
}

// Argv is the whole command line. It holds no secret: any user of a machine can read the arguments of its processes. What only
// one of several nodes is told (its rank, the head's address) is the launch program's to add.
func (s Serve) Argv() []string {
	var argv []string
	if s.Server.Launch != "" {
		argv = append(argv, s.Server.Launch)
	}
	argv = append(argv, s.Server.Command...)
	argv = append(argv, "serve", s.Server.Model)
	if s.Profiler != nil && !s.Profiler.byEnvironment() {
		argv = append(argv, "--profiler-config", s.Profiler.config(s.Server.System))
	}
	if s.Socket != "" {
		argv = append(argv, "--uds", s.Socket)
	} else {
		argv = append(argv, "--host", Loopback, "--port", strconv.Itoa(s.Port))
	}
	argv = append(argv,
		"--gpu-memory-utilization", number(s.Utilization),
		"--max-num-seqs", strconv.Itoa(s.Cell.MaxNumSeqs),
		"--max-num-batched-tokens", strconv.Itoa(s.Cell.MaxNumBatchedTokens),
		"--tensor-parallel-size", strconv.Itoa(s.Server.TensorParallel))
	if s.Server.PipelineParallel > 1 {
		argv = append(argv, "--pipeline-parallel-size", strconv.Itoa(s.Server.PipelineParallel))
	}
	argv = append(argv, "--enable-prefix-caching")
	if !hasFlag(s.Server.Flags, "--load-format") {
		argv = append(argv, "--load-format", "dummy")
	}
	// The script passes an empty argument where no directory is set; vLLM takes that for the current directory.
	if s.Server.DownloadDir != "" {
		argv = append(argv, "--download-dir", s.Server.DownloadDir)
	}
	argv = append(argv, "--max-model-len", strconv.Itoa(s.Server.MaxModelLen))
	return append(argv, s.Server.Flags...)
}

// Env is what the server's environment needs beyond its parent's: the user's variables, then vtune's own, which must win.
// Without VLLM_SERVER_DEV_MODE the server has no route to reset its prefix cache.
func (s Serve) Env(key string) []string {
	env := environment(s.Server.Environment)
	env = append(env, "VLLM_SERVER_DEV_MODE=1", "VLLM_API_KEY="+key)
	if s.Profiler != nil && s.Profiler.byEnvironment() {
		env = append(env, "VLLM_TORCH_PROFILER_DIR="+s.Profiler.Dir)
	}
	return env
}

// byEnvironment: --profiler-config came with 0.13, and the variable was removed soon after. A version that is not known is
// taken for a new one, since an old server at least says which flag it does not know.
func (p Profiler) byEnvironment() bool {
	major, minor, ok := Release(p.Version)
	return ok && major == 0 && minor < 13
}

func (p Profiler) config(system string) string {
	c := struct {
		Profiler string `json:"profiler"`
		Dir      string `json:"torch_profiler_dir"`
		Max      int    `json:"max_iterations,omitempty"`
		Stack    *bool  `json:"torch_profiler_with_stack,omitempty"`
		Engine   bool   `json:"ignore_frontend,omitempty"` // and not the API server beside it
	}{Profiler: "torch", Dir: p.Dir}
	switch {
	case system == "TPU": // the API server's is torch's, of the host alone; its bound on steps is none there
		c.Engine = true
	case p.Iterations > 0:
		c.Max, c.Stack = p.Iterations, new(bool) // stacks are most of a trace's size, and it is bounded to be small
	}
	data, err := json.Marshal(c)
	if err != nil { // a struct of strings, numbers and booleans always marshals
		return "{}"
	}
	return string(data)
}

// hasFlag finds a flag in any spelling that vLLM's parser takes: "--a-b x", "--a-b=x", "--a_b=x".
func hasFlag(flags []string, name string) bool {
	for _, f := range flags {
		f, _, _ = strings.Cut(f, "=")
		if strings.ReplaceAll(f, "_", "-") == name {
			return true
		}
	}
	return false
}

// Public is the command line with which a person serves what was measured: without the loopback address, the throw-away port or
// socket and the random weights, which belong to measuring.
func (s Serve) Public() []string {
	s.Profiler = nil
	measured := s.Argv()
	var argv []string
	for i := 0; i < len(measured); i++ {
		ours := measured[i] == "--host" || measured[i] == "--port" || measured[i] == "--uds" || measured[i] == "--load-format" && measured[i+1] == "dummy"
		if ours {
			i++ // and its value
			continue
		}
		argv = append(argv, measured[i])
	}
	return argv
}

// PublicFlags are those of Public: what follows the model's name.
func (s Serve) PublicFlags() []string {
	before := len(s.Server.Command) + len([]string{"serve", s.Server.Model})
	if s.Server.Launch != "" {
		before++
	}
	return s.Public()[before:]
}
