// Package imports reads what tuning without vtune left behind: auto_tune.sh's result.txt, what `vllm bench serve` printed into a log or
// saved as JSON, and what a server said of itself when it started. Bytes in, values out; what a file does not say is zero, and what
// cannot be read is a problem with its place in the file.
//
// The client's log is the one place in this program where numbers come out of a text for people: the script saved nothing else.
package imports

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/record"
)

// Told is what a program was told on its command line, as far as a file says so; zero is not known.
type Told struct {
	Model               string
	MaxNumSeqs          int
	MaxNumBatchedTokens int
	TensorParallel      int
	MaxModelLen         int
	Utilization         float64 // gpu-memory-utilization, 0 to 1

	// Of a load client. InputLen is without the prefix that all requests share.
	InputLen, PrefixLen, OutputLen int
	Requests                       int
	Rate                           record.Rate
	Concurrency                    int // requests that the client lets into the server at once; 0: all
	Seed                           int64
	LimitMS                        float64 // of --goodput e2el:MS
	Host                           string  // of the server
}

// take notes one argument, under its name as Python writes it; names that mean nothing here are passed over.
func (t *Told) take(name, value string) error {
	var err error
	count := func(to *int, most int) {
		var n int
		if n, err = strconv.Atoi(value); err != nil || n < 0 || n > most {
			err = fmt.Errorf("%s: %.40q is no count", name, value)
			return
		}
		*to = n
	}
	switch strings.ReplaceAll(strings.ToLower(name), "-", "_") {
	case "model":
		t.Model = value
	case "max_num_seqs":
		count(&t.MaxNumSeqs, mostTokens)
	case "max_num_batched_tokens":
		count(&t.MaxNumBatchedTokens, mostTokens)
	case "tensor_parallel_size", "tensor_parallel", "tp":
		count(&t.TensorParallel, 1<<10)
	case "max_model_len":
		count(&t.MaxModelLen, mostTokens)
	case "gpu_memory_utilization":
		if t.Utilization, err = number(value); err == nil && t.Utilization > 1 {
			err = fmt.Errorf("%s: %.40q is no share", name, value)
		}
	case "random_input_len":
		count(&t.InputLen, mostTokens)
	case "random_prefix_len":
		count(&t.PrefixLen, mostTokens)
	case "random_output_len":
		count(&t.OutputLen, mostTokens)
	case "num_prompts":
		count(&t.Requests, mostRequests)
	case "max_concurrency":
		count(&t.Concurrency, mostRequests)
	case "seed":
		t.Seed, err = strconv.ParseInt(value, 10, 64)
	case "host":
		t.Host = value
	case "request_rate":
		t.Rate, err = Rate(value)
	}
	return err
}

const (
	mostTokens   = math.MaxInt32
	mostRequests = math.MaxInt32
)

// Or is t with what only other knows.
func (t Told) Or(other Told) Told {
	t.Model, t.Host = cmp.Or(t.Model, other.Model), cmp.Or(t.Host, other.Host)
	t.MaxNumSeqs, t.MaxNumBatchedTokens = cmp.Or(t.MaxNumSeqs, other.MaxNumSeqs), cmp.Or(t.MaxNumBatchedTokens, other.MaxNumBatchedTokens)
	t.TensorParallel, t.MaxModelLen = cmp.Or(t.TensorParallel, other.TensorParallel), cmp.Or(t.MaxModelLen, other.MaxModelLen)
	t.Utilization, t.LimitMS = cmp.Or(t.Utilization, other.Utilization), cmp.Or(t.LimitMS, other.LimitMS)
	t.InputLen, t.PrefixLen, t.OutputLen = cmp.Or(t.InputLen, other.InputLen), cmp.Or(t.PrefixLen, other.PrefixLen), cmp.Or(t.OutputLen, other.OutputLen)
	t.Requests, t.Rate, t.Concurrency = cmp.Or(t.Requests, other.Requests), cmp.Or(t.Rate, other.Rate), cmp.Or(t.Concurrency, other.Concurrency)
	t.Seed = cmp.Or(t.Seed, other.Seed)
	return t
}

// Rate reads a request rate as the client writes it: inf, or requests a second.
func Rate(text string) (record.Rate, error) {
	if text == "inf" {
		return record.Inf, nil
	}
	f, err := number(text)
	if err == nil && f == 0 {
		err = fmt.Errorf("a request rate of %.40q", text)
	}
	return record.Rate(f), err
}

// number reads a plain decimal number that is not negative; words that Go takes for numbers (0x10, 1_000, nan) are none.
func number(text string) (float64, error) {
	if text == "" || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, fmt.Errorf("%.40q is no number", text)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%.40q is no number that can be", text)
	}
	return f, nil
}

// lines of a text by number, without their ends, which may be another system's.
func lines(data []byte) []string {
	all := strings.Split(string(data), "\n")
	for i, l := range all {
		all[i] = strings.TrimRight(l, "\r")
	}
	return all
}

func problem(file string, line, col int, format string, args ...any) diag.Problem {
	return diag.Problem{Pos: diag.Pos{File: file, Line: line, Col: col}, What: fmt.Sprintf(format, args...)}
}
