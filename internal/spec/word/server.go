package word

import (
	"fmt"
	"strings"
	"time"
)

// Variable is the name of an environment variable whose value may stand in a file.
func Variable() Rule {
	return Rule{Pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, Says: "a variable's name", check: func(v string) *Fault {
		switch {
		case ownVariable(v):
			return &Fault{What: v + " is set by vtune"}
		case soundsSecret(v):
			return secretFault(v)
		}
		return nil
	}}
}

// VariableValue is what an environment variable can hold. It is not repeated in messages.
func VariableValue() Rule {
	return Rule{Pattern: `^[^\x00]*$`, Says: "a value without NUL", Secret: true}
}

// Secret is the name of an environment variable whose value must not stand in a file.
func Secret() Rule {
	return Rule{
		Pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, Says: "a variable's name; the value comes from your environment", Secret: true,
		check: func(v string) *Fault {
			if ownVariable(v) {
				return &Fault{What: v + " is set by vtune"}
			}
			return nil
		},
	}
}

func ownVariable(name string) bool {
	switch name {
	case "VLLM_API_KEY", "VLLM_SERVER_DEV_MODE", "VLLM_TORCH_PROFILER_DIR", "VTUNE_MASTER_PORT":
		return true
	}
	return false
}

func secretFault(name string) *Fault {
	return &Fault{
		What: name + " sounds like a secret, which must not stand in a file",
		Hint: "list the name under server.secrets and export the value before you submit",
	}
}

// soundsSecret goes by whole words, so that TOKENIZERS_PARALLELISM passes and HF_TOKEN does not.
func soundsSecret(name string) bool {
	words := strings.Split(strings.ToUpper(name), "_")
	for i, w := range words {
		switch w {
		case "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS", "APIKEY":
			return true
		case "KEY":
			if i > 0 && (words[i-1] == "API" || words[i-1] == "ACCESS" || words[i-1] == "PRIVATE") {
				return true
			}
		}
	}
	return false
}

// Command is one word of a command.
func Command() Rule {
	return Rule{Pattern: `^[^\x00-\x1f\x7f]+$`, Says: "a word of a command"}
}

// ServerFlag is one word that follows vLLM's own arguments.
func ServerFlag() Rule {
	return Rule{Pattern: printable, Says: "one word of a command line", check: foreignFlag}
}

// foreignFlag refuses what vtune sets itself. argparse takes underscores for dashes, values after =, parts of a JSON value
// after a dot, and any beginning of a flag that is not ambiguous; all of these would set the flag a second time.
func foreignFlag(v string) *Fault {
	if long, ok := map[string]string{"-tp": "tensor-parallel-size", "-pp": "pipeline-parallel-size", "-n": "nnodes", "-r": "node-rank"}[v]; ok {
		v = "--" + long
	}
	name, isFlag := strings.CutPrefix(v, "--")
	if !isFlag {
		return nil
	}
	var end byte
	if i := strings.IndexAny(name, "=. "); i >= 0 {
		name, end = name[:i], name[i]
	}
	name = strings.ReplaceAll(name, "_", "-")
	if name == "hf-token" {
		return &Fault{What: "--hf-token would stand in files and on command lines", Hint: "list HF_TOKEN under server.secrets"}
	}
	for _, f := range ownFlags() {
		if name != "" && strings.HasPrefix(f.name, name) {
			return &Fault{What: "--" + f.name + " is set by vtune", Hint: f.instead}
		}
	}
	if end == ' ' {
		return &Fault{What: "--" + name + " and its value are one word", Hint: "write them as two items"}
	}
	return nil
}

// ownFlags lists the flags of vllm serve that vtune sets, and the key that governs each. The load format is not among them:
// dummy weights are a default, and a flag given here overrides it.
func ownFlags() []struct{ name, instead string } {
	return []struct{ name, instead string }{
		{"model", "use model"},
		{"served-model-name", ""},
		{"host", ""},
		{"port", ""},
		{"uds", ""},
		{"api-key", ""},
		{"gpu-memory-utilization", "the probe finds it"},
		{"max-num-seqs", "use grid.max_num_seqs"},
		{"max-num-batched-tokens", "use grid.max_num_batched_tokens"},
		{"tensor-parallel-size", "use tensor_parallel"},
		{"pipeline-parallel-size", "use pipeline_parallel"},
		{"nnodes", "use site.gpus_per_node"},
		{"node-rank", ""},
		{"master-addr", "set VTUNE_MASTER_ADDR in server.environment"},
		{"master-port", ""},
		{"headless", ""},
		{"max-model-len", "use max_model_len"},
		{"download-dir", "use download_dir"},
		{"enable-prefix-caching", "it is always on, and reset between loads"},
		{"no-enable-prefix-caching", "for requests that share nothing, use workload.cache_hit_pct: 0"},
		{"profiler-config", "use profile"},
	}
}

// DurationSeconds reads what Duration allows; 0 for anything else.
func DurationSeconds(v string) float64 {
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0
	}
	return d.Seconds()
}

// Duration is a duration in Go's form, between a second and a day.
func Duration() Rule { return durationFrom("1s", "24h") }

func durationFrom(low, high string) Rule {
	least, most := DurationSeconds(low), DurationSeconds(high)
	return Rule{Pattern: printable, Says: "a duration", check: func(v string) *Fault {
		d, err := time.ParseDuration(v)
		if err != nil {
			return &Fault{What: fmt.Sprintf("%q is not a duration", v), Hint: "write it as 90s, 10m or 1h30m"}
		}
		if s := d.Seconds(); s < least || s > most {
			return &Fault{What: fmt.Sprintf("%s is not between %s and %s", v, low, high)}
		}
		return nil
	}}
}
