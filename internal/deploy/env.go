package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"vtune/internal/shell"
)

// Env is the winner as NAME=value lines for a shell: `set -a; . FILE; set +a`. The values are quoted as bash reads them; docker's --env-file
// knows no quotes, and so is not what this is for. First the server's own variables, then what else a script wants to know.
func Env(w Winner) (string, error) {
	command, err := shell.Command(w.Argv)
	if err != nil {
		return "", err
	}
	about := append(w.About(), "For bash: set -a; . FILE; set +a. The server's own variables come first; then those for your scripts, such as",
		`  exec vllm serve "$VTUNE_MODEL" --max-num-seqs "$VTUNE_MAX_NUM_SEQS" ...`, `or, all of it: eval "exec $VTUNE_SERVE"`)
	if len(w.Secrets) > 0 {
		about = append(about, "The server also had these, whose values are not here: "+strings.Join(w.Secrets, ", "))
	}
	var b strings.Builder
	b.WriteString(comments(about))
	lines := settings(w.Environment)
	if len(lines) > 0 {
		lines = lines[1:] // env
	}
	for _, v := range []struct{ name, value string }{
		{"RUN", w.Run.ID},
		{"VLLM_VERSION", w.Version},
		{"MODEL", w.Model},
		{"MAX_NUM_SEQS", strconv.Itoa(w.Cell.MaxNumSeqs)},
		{"MAX_NUM_BATCHED_TOKENS", strconv.Itoa(w.Cell.MaxNumBatchedTokens)},
		{"GPU_MEMORY_UTILIZATION", strconv.FormatFloat(w.Utilization, 'f', -1, 64)},
		{"TENSOR_PARALLEL_SIZE", strconv.Itoa(w.Parallel.Tensor)},
		{"PIPELINE_PARALLEL_SIZE", strconv.Itoa(w.Parallel.Pipeline)},
		{"MAX_MODEL_LEN", strconv.Itoa(w.MaxModelLen)},
		{"REQUEST_RATE", w.Observation.Load.Rate.String()},
		{"SERVE", command},
	} {
		lines = append(lines, "VTUNE_"+v.name+"="+v.value)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		word, err := shell.Word(value)
		if err != nil {
			return "", fmt.Errorf("variable %s: %w", name, err)
		}
		fmt.Fprintf(&b, "%s=%s\n", name, word)
	}
	return b.String(), nil
}

// settings is the start of a command line that sets variables for one command; empty for none.
func settings(environment map[string]string) []string {
	if len(environment) == 0 {
		return nil
	}
	argv := []string{"env"}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		argv = append(argv, name+"="+environment[name])
	}
	return argv
}
