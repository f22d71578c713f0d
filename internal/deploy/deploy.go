// Package deploy says a run's winner in the forms in which servers are started elsewhere: vLLM's own config file, variables of a
// shell, values for a Kubernetes manifest, and data. It is pure: values in, text out. A string of a person's comes out of each form as it
// went in, or the form is an error.
package deploy

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"vtune/internal/record"
)

// Winner is the server that a run chose: as it was measured, but for what belongs to measuring.
type Winner struct {
	Schema       int                `json:"schema"`
	Run          record.Run         `json:"run"`
	Phase        record.Phase       `json:"phase"`
	Place        string             `json:"place"` // the run's directory, or its URL
	Simulated    bool               `json:"simulated"`
	Version      string             `json:"server_version,omitempty"`
	Cell         record.Cell        `json:"cell"`
	Model        string             `json:"model"`
	System       string             `json:"system"`
	Prefix       []string           `json:"command_prefix"` // before vLLM's own arguments: the launch program of several nodes, then the executable
	Argv         []string           `json:"argv"`           // the whole command line
	Flags        []string           `json:"flags"`          // what follows the model in Argv
	Environment  map[string]string  `json:"environment,omitempty"`
	Secrets      []string           `json:"secrets,omitempty"` // names of variables, whose values are nowhere here
	DownloadDir  string             `json:"download_dir,omitempty"`
	Resources    record.Resources   `json:"resources"`
	Utilization  float64            `json:"gpu_memory_utilization"`
	MaxModelLen  int                `json:"max_model_len"`
	Parallel     Parallel           `json:"parallel"`
	Workload     record.Workload    `json:"workload"`
	Policy       record.Policy      `json:"policy"`
	Observation  record.Observation `json:"observation"`                // on which the claim rests: rate, intervals, seed
	StartSeconds float64            `json:"measured_start_s,omitempty"` // the longest start of the server, with whatever weights it had
	StartTimeout float64            `json:"start_timeout_s"`
	Warnings     []string           `json:"warnings,omitempty"`
}

// Parallel is how many accelerators the server takes, and how.
type Parallel struct {
	Tensor   int `json:"tensor"`
	Pipeline int `json:"pipeline"`
}

// About is what every form says in comments: which run, which server, what it holds and how sure that is. Each is one line.
func (w Winner) About() []string {
	o := w.Observation
	lines := []string{fmt.Sprintf("The winner of run %s (%s).", w.Run.ID, w.Place)}
	if !w.Phase.Over() {
		lines[0] = fmt.Sprintf("The best yet of run %s (%s), which is not over: another cell may win.", w.Run.ID, w.Place)
	}
	if w.Phase == record.PhaseCancelled {
		lines[0] = fmt.Sprintf("The best of run %s (%s), which was cancelled: another cell might have won.", w.Run.ID, w.Place)
	}
	if w.Simulated {
		lines = append(lines, "NOT A REAL SERVER: the engine was a simulation, whose numbers say how vtune works, and not what a machine does.")
	}
	version := w.Version
	if version == "" {
		version = "of unknown version"
	}
	lines = append(lines,
		fmt.Sprintf("Measured %s with vLLM %s: max_num_seqs %d, max_num_batched_tokens %d.", o.Ended.UTC().Format(time.DateOnly), version, w.Cell.MaxNumSeqs, w.Cell.MaxNumBatchedTokens),
		fmt.Sprintf("Load: %d tokens in (%d %% of them a common prefix), %d out.", w.Workload.InputLen, w.Workload.CacheHitPct, w.Workload.OutputLen))
	held := fmt.Sprintf("It holds %s req/s", o.Load.Rate)
	if o.Load.Rate.IsInf() {
		held = fmt.Sprintf("It completes %.2f req/s of as many as come", o.Metrics.RequestThroughput)
	}
	if limits := w.Policy.LimitText(); limits != "" {
		held += " within " + limits
	}
	lines = append(lines, held+".")
	if s := o.Steady; s != nil {
		lines = append(lines, fmt.Sprintf("Completed in the steady state: %.2f req/s (%.2f to %.2f), over %d requests.", s.Throughput.Value, s.Throughput.Low, s.Throughput.High, s.Requests))
	}
	for _, l := range o.Standings {
		line := fmt.Sprintf("Beyond %s: %.2f %% (%.4g %% allowed; by count alone %.2f to %.2f).", l.Limit, 100*l.Share.Value, 100*l.Limit.Share(), 100*l.Share.Low, 100*l.Share.High)
		if l.Metric == record.Goodput {
			line = fmt.Sprintf("Not within all limits: %.2f %% (%.4g %% allowed).", 100*l.Share.Value, 100*l.Limit.Share())
		}
		lines = append(lines, line)
	}
	for _, warning := range w.Warnings {
		lines = append(lines, "Warning: "+warning)
	}
	for i := range lines {
		lines[i] = OneLine(lines[i])
	}
	return lines
}

// OneLine is text that no reader of any form takes for more than one line: YAML 1.1 ends one at U+0085 and U+2028 too.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// comments are lines behind a number sign.
func comments(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.TrimRight("# "+OneLine(line), " ") + "\n")
	}
	return b.String()
}
