package spec

import (
	"fmt"
	"strings"
	"time"
)

// printable is any text of one line. Values reach scripts and command lines, where a control character is never meant.
const printable = `^[^\x00-\x1f\x7f]*$`

func modelName() rule {
	return rule{pattern: `^[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$`, says: "a model's name or path", check: noShellPath}
}

func absolutePath() rule {
	return rule{pattern: `^(/[^\x00-\x1f\x7f]*)?$`, says: "an absolute path: the server runs in another folder"}
}

func anyPath() rule {
	return rule{pattern: `^[^\x00-\x1f\x7f]+$`, says: "a path", check: func(v string) *fault {
		if strings.ContainsAny(v, "~$") {
			return &fault{what: fmt.Sprintf("%q: ~ and $ are not expanded", v), hint: "write the path out"}
		}
		return nil
	}}
}

func noShellPath(v string) *fault {
	for _, start := range []string{"./", "../", "~", "$"} {
		if strings.HasPrefix(v, start) {
			return &fault{what: fmt.Sprintf("%q is not a name on the hub, and the server runs in another folder", v), hint: "write an absolute path"}
		}
	}
	return nil
}

func siteName() rule {
	return rule{pattern: `^([A-Za-z0-9_][A-Za-z0-9_.,+:@-]*)?$`, says: "a name of letters, digits and _ . , + : @ -"}
}

func constraintWord() rule {
	return rule{pattern: `^([A-Za-z0-9_\[(!][A-Za-z0-9_.:=+*&|,!()\[\]-]*)?$`, says: "a constraint of features, & | , ! * ( ) [ ]"}
}

func gpuType() rule {
	return rule{pattern: `^([A-Za-z0-9_][A-Za-z0-9_.-]*)?$`, says: "a name of letters, digits and _ . -"}
}

func moduleName() rule {
	return rule{pattern: `^[A-Za-z0-9_][A-Za-z0-9_./+:@-]*$`, says: "a module's name"}
}

func variableName() rule {
	return rule{pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, says: "a variable's name", check: func(v string) *fault {
		switch {
		case ownVariable(v):
			return &fault{what: v + " is set by vtune"}
		case soundsSecret(v):
			return &fault{what: v + " sounds like a secret, which must not stand in a file", hint: "list the name under server.secrets and export the value before you submit"}
		}
		return nil
	}}
}

func variableValue() rule {
	return rule{pattern: `^[^\x00]*$`, says: "a value without NUL", secret: true}
}

func secretName() rule {
	return rule{pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, says: "a variable's name; the value comes from your environment", secret: true,
		check: func(v string) *fault {
			if ownVariable(v) {
				return &fault{what: v + " is set by vtune"}
			}
			return nil
		}}
}

func ownVariable(name string) bool {
	switch name {
	case "VLLM_API_KEY", "VLLM_SERVER_DEV_MODE", "VLLM_TORCH_PROFILER_DIR":
		return true
	}
	return false
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

func commandWord() rule {
	return rule{pattern: `^[^\x00-\x1f\x7f]+$`, says: "a word of a command"}
}

func serverFlag() rule {
	return rule{pattern: printable, says: "one word of a command line", check: foreignFlag}
}

// foreignFlag refuses what vtune sets itself. argparse takes underscores for dashes, values after =, parts of a JSON value
// after a dot, and any beginning of a flag that is not ambiguous; all of these would set the flag a second time.
func foreignFlag(v string) *fault {
	if v == "-tp" {
		v = "--tensor-parallel-size"
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
	for _, f := range ownFlags() {
		if name != "" && strings.HasPrefix(f.name, name) {
			return &fault{what: "--" + f.name + " is set by vtune", hint: f.instead}
		}
	}
	if end == ' ' {
		return &fault{what: "--" + name + " and its value are one word", hint: "write them as two items"}
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
		{"max-model-len", "use max_model_len"},
		{"download-dir", "use download_dir"},
		{"enable-prefix-caching", "it is always on, and reset between loads"},
		{"no-enable-prefix-caching", "for requests that share nothing, use workload.cache_hit_pct: 0"},
		{"profiler-config", "use profile"},
	}
}

func startTimeout() rule {
	return rule{pattern: printable, says: "a duration", check: func(v string) *fault {
		d, err := time.ParseDuration(v)
		if err != nil {
			return &fault{what: fmt.Sprintf("%q is not a duration", v), hint: "write it as 90s, 10m or 1h30m"}
		}
		if d < time.Second || d > 24*time.Hour {
			return &fault{what: fmt.Sprintf("%s is not between 1s and 24h", v)}
		}
		return nil
	}}
}
