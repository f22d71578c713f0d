package vllm

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vtune/internal/record"
)

const (
	rootCause  = "(EngineCore pid=4711) ERROR 11-23 10:30:00 [core.py:1136] "
	lastWords  = "(APIServer pid=4700) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"
	freeMemory = "Free memory on device cuda:0 (8.77/139.8 GiB) on startup is less than desired GPU memory utilization (0.98, 137.0 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
	noCache    = "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine."
	tooLong    = "To serve at least one request with the models's max seq len (131072), (16.0 GiB KV cache is needed, which is larger than the available KV cache memory (3.87 GiB). Based on the available memory, the estimated maximum model length is 31680. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
)

// engineLog is a failed start as a real server prints it: the error of the engine process twice, hollow words at the end.
func engineLog(err string) string {
	return "(APIServer pid=4700) INFO 11-23 10:29:30 [utils.py:233] non-default args: {'model_tag': 'M', 'load_format': 'dummy'}\n" +
		"(APIServer pid=4700) WARNING 11-23 10:29:31 [arg_utils.py:12] If you see CUDA out of memory, lower gpu_memory_utilization\n" +
		rootCause + "EngineCore failed to start.\n" +
		rootCause + "Traceback (most recent call last):\n" +
		rootCause + "  File \"core.py\", line 1110, in run_engine_core\n" +
		rootCause + err + "\n" +
		"(EngineCore pid=4711) Process EngineCore:\n(EngineCore pid=4711) Traceback (most recent call last):\n" +
		"(EngineCore pid=4711) " + err + "\n" +
		"(APIServer pid=4700) Traceback (most recent call last):\n" + lastWords
}

func TestAServerThatEndedIsToldByItsOwnError(t *testing.T) {
	for _, c := range []struct {
		name    string
		exit    Exit
		log     string
		cause   record.Cause
		message string // all of it, or with a trailing … its beginning
	}{
		{"another process holds the memory", Exit{Code: 1}, engineLog("ValueError: " + freeMemory), record.CauseOOM, "ValueError: " + freeMemory},
		{"no room for cache blocks", Exit{Code: 1}, engineLog("ValueError: " + noCache), record.CauseOOM, "ValueError: " + noCache},
		{"a model length that never fits", Exit{Code: 1}, engineLog("ValueError: " + tooLong), record.CauseFlags, "ValueError: " + tooLong},
		{
			"torch out of memory",
			Exit{Code: 1},
			engineLog("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."), record.CauseOOM,
			"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
		},
		{
			"TPU out of memory",
			Exit{Code: 1},
			engineLog("jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: XLA:TPU compile permanent error."), record.CauseOOM,
			"jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: XLA:TPU compile permanent error.",
		},
		{
			"out of memory while serving",
			Exit{Code: 1, Healthy: true},
			engineLog("torch.OutOfMemoryError: CUDA out of memory."), record.CauseOOM,
			"torch.OutOfMemoryError: CUDA out of memory.",
		},
		{"out of memory although it hangs", Exit{TimedOut: true, Code: -1, Signal: "killed"}, engineLog("ValueError: " + freeMemory), record.CauseOOM, "ValueError: " + freeMemory},
		{
			"port, by uvicorn",
			Exit{Code: 1},
			"(APIServer pid=1) ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8004): address already in use\n",
			record.CausePort, "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8004): address already in use",
		},
		{
			"port, by socket",
			Exit{Code: 1},
			"(APIServer pid=1) Traceback (most recent call last):\n(APIServer pid=1) OSError: [Errno 98] Address already in use\n",
			record.CausePort, "OSError: [Errno 98] Address already in use",
		},
		{
			"unknown flag",
			Exit{Code: 2},
			"usage: vllm serve [model_tag] [options]\nvllm serve: error: unrecognized arguments: --disable-log-requests\n",
			record.CauseFlags, "vllm serve: error: unrecognized arguments: --disable-log-requests",
		},
		{
			"bad choice",
			Exit{Code: 2},
			"usage: vllm serve\nvllm serve: error: argument --load-format: invalid choice: 'x'\n",
			record.CauseFlags, "vllm serve: error: argument --load-format: invalid choice: 'x'",
		},
		{
			"validation by pydantic",
			Exit{Code: 1},
			"(APIServer pid=9) pydantic_core._pydantic_core.ValidationError: 1 validation error for SchedulerConfig\n" +
				"(APIServer pid=9)   Value error, max_num_batched_tokens (8) must be greater than or equal to max_num_seqs (16). [type=value_error, input_value=ArgsKwargs((), {'a': [1]}), input_type=ArgsKwargs]\n" +
				"(APIServer pid=9)     For further information visit https://errors.pydantic.dev/2.12/v/value_error\n",
			record.CauseFlags, "Value error, max_num_batched_tokens (8) must be greater than or equal to max_num_seqs (16).",
		},
		{
			"validation of a field",
			Exit{Code: 1},
			"pydantic_core.ValidationError: 1 validation error for ModelConfig\ndtype\n  Input should be 'auto' or 'half' [type=literal_error, input_value='x']\n",
			record.CauseFlags, "pydantic_core.ValidationError: 1 validation error for ModelConfig dtype Input should be 'auto' or 'half'",
		},
		{
			"no such model",
			Exit{Code: 1},
			"(APIServer pid=9) OSError: nosuch/model is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\n",
			record.CauseFlags, "OSError: nosuch/model is not a local folder…",
		},
		{
			"a broken installation",
			Exit{Code: 1},
			"importlib.metadata.PackageNotFoundError: No package metadata was found for vllm\n",
			record.CauseFlags, "importlib.metadata.PackageNotFoundError: No package metadata was found for vllm",
		},
		{"a prefix that is not there", Exit{Code: 127}, "/tmp/wrap: line 3: apptainer: command not found\n", record.CauseFlags, "/tmp/wrap: line 3: apptainer: command not found"},
		{
			"an error nobody foresaw",
			Exit{Code: 1},
			engineLog("RuntimeError: NCCL error: unhandled system error"), record.CauseCrash,
			"the server ended with exit code 1 before it was healthy: RuntimeError: NCCL error: unhandled system error",
		},
		{
			"a refusal is none while it serves",
			Exit{Code: 1, Healthy: true},
			engineLog("ValueError: x"), record.CauseCrash,
			"the server ended with exit code 1 while it served: ValueError: x",
		},
		{
			"killed",
			Exit{Code: -1, Signal: "killed", Healthy: true},
			"INFO 11-23 10:30:00 [loggers.py:1] Running: 8 reqs\n", record.CauseCrash,
			"the server was ended by killed while it served; its log ends in: Running: 8 reqs",
		},
		{
			"advice is no cause",
			Exit{Code: 1},
			"WARNING 11-23 10:30:00 [a.py:1] this may end in CUDA out of memory\n", record.CauseCrash,
			"the server ended with exit code 1 before it was healthy; its log ends in: this may end in CUDA out of memory",
		},
		{"silence", Exit{Code: 0}, "", record.CauseCrash, "the server ended with exit code 0 before it was healthy; its log is empty"},
		{
			"hang",
			Exit{TimedOut: true, Waited: 600 * time.Second, Code: -1, Signal: "killed"},
			"INFO 11-23 10:30:00 [a.py:1] Loading weights\n", record.CauseTimeout,
			"not healthy after 600 s; its log ends in: Loading weights",
		},
		{"colours and control characters", Exit{Code: 1}, "\x1b[31mValueError: a\x07b\x1b[0m\n", record.CauseFlags, "ValueError: ab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.exit.Log = []byte(c.log)
			f := Classify(c.exit)
			if f.Cause != c.cause {
				t.Errorf("cause %q, want %q (%s)", f.Cause, c.cause, f.Message)
			}
			if begin, cut := strings.CutSuffix(c.message, "…"); f.Message != c.message && !(cut && strings.HasPrefix(f.Message, begin)) {
				t.Errorf("message\n%q, want\n%q", f.Message, c.message)
			}
		})
	}
}

// The logs were written by a real server on CPU.
func TestRealLogsAreTold(t *testing.T) {
	for name, want := range map[string]Failure{
		"start-memory.log":       {Cause: record.CauseOOM, Message: "ValueError: Available memory on node 0 (5.81/13.84 GiB) on startup is less than desired CPU memory utilization", Free: 5.81 / 13.84},
		"start-kv-too-small.log": {Cause: record.CauseFlags, Message: "ValueError: To serve at least one request with the model's max seq len (1024)"},
		"start-port-taken.log":   {Cause: record.CausePort, Message: "OSError: [Errno 98] Address already in use"},
		"start-unknown-flag.log": {Cause: record.CauseFlags, Message: "vllm: error: unrecognized arguments: --disable-log-requests"},
		"start-no-model.log":     {Cause: record.CauseFlags, Message: "huggingface_hub.errors.HFValidationError: Repo id must be in the form"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Classify(Exit{Code: 1, Log: real(t, name)})
			if got.Cause != want.Cause || math.Abs(got.Free-want.Free) > 1e-9 || !strings.HasPrefix(got.Message, want.Message) {
				t.Errorf("%s: %s", got.Cause, got.Message)
			}
		})
	}
}

func TestAFailedStartNamesTheShareOfMemoryThatIsFree(t *testing.T) {
	for line, want := range map[string]float64{
		freeMemory: 8.77 / 139.8,
		"Free memory on device cuda:0 (139.8/139.8 GiB) on startup is less than desired GPU memory utilization (1.0, 139.8 GiB).": 1,
		"Free memory on device cuda:0 (8.77/0 GiB) on startup is less than desired GPU memory utilization":                        0,
		"Free memory on device cuda:0 (9/8 GiB) on startup is less than desired GPU memory utilization":                           0,
		noCache: 0,
	} {
		if f := Classify(Exit{Code: 1, Log: []byte(engineLog("ValueError: " + line))}); f.Cause != record.CauseOOM || math.Abs(f.Free-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", line, f.Free, want)
		}
	}
}

// A start that went well complains of nothing, so its log must not tell a cause when the server is killed later.
func TestAGoodStartsLogTellsNoCause(t *testing.T) {
	got := Classify(Exit{Code: -1, Signal: "SIGKILL", Log: real(t, "start.log")})
	if got.Cause != record.CauseCrash || !strings.HasPrefix(got.Message, "the server was ended by SIGKILL before it was healthy") {
		t.Errorf("%s: %s", got.Cause, got.Message)
	}
}

// real is what a real server or client has written.
func real(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "e2e", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzAFailureAlwaysHasACauseAndAMessage(f *testing.F) {
	f.Add(engineLog("ValueError: "+freeMemory), 1, false, false)
	f.Add(string(real(f, "start-memory.log")), 1, false, false)
	f.Add("vllm serve: error: x", 2, false, false)
	f.Add("\xff\x00\n\n(a pid=1) ERROR 01-01 00:00:00 [x] ", 0, true, true)
	f.Fuzz(func(t *testing.T, log string, code int, healthy, timedOut bool) {
		got := Classify(Exit{Log: []byte(log), Code: code, Healthy: healthy, TimedOut: timedOut})
		switch got.Cause {
		case record.CauseOOM, record.CauseCrash, record.CausePort, record.CauseFlags, record.CauseTimeout:
		default:
			t.Errorf("cause %q", got.Cause)
		}
		if got.Message == "" || strings.ContainsAny(got.Message, "\n\r\x1b") {
			t.Errorf("message %q", got.Message)
		}
		if healthy && (got.Cause == record.CauseFlags || got.Cause == record.CausePort) {
			t.Errorf("%s of a server that had been healthy", got.Cause)
		}
	})
}
