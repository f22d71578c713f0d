// Package bench is `vllm-sim bench serve`: the command line, the table and the
// JSON of vLLM's client around internal/load.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/internal/load"
	"vtune/internal/sim"
)

// benchOptions is the command line of `bench serve`, defaulted.
type benchOptions struct {
	own         cli.SimOptions
	backend     string
	label       string
	tokenizer   string
	target      load.Target
	work        load.Workload
	metrics     []load.Metric
	concurrency *int
	profile     bool
	save        bool
	dir, file   string
	warmups     int
	started     time.Time
}

func parseBench(args []string, env func(string) string) (benchOptions, error) {
	own, err := cli.SimDefaults(env)
	if err != nil {
		return benchOptions{}, err
	}
	o := benchOptions{own: own, backend: "openai"}
	o.work = load.Workload{Requests: 1000, Burstiness: 1, Rescale: true, InputLen: 1024, OutputLen: 128, IgnoreEOS: true, From: load.FromSent}
	host, port, base, dataset := "127.0.0.1", 8000, "", "random"
	rate, goodput, headers, extra := "inf", []string{}, []string{}, ""
	metrics, percentiles := "ttft,tpot,itl", "99"
	seed, temperature, concurrency, ready := 0, math.NaN(), 0, 0
	flags := append(o.own.Flags(),
		cli.String("backend", &o.backend), cli.String("model", &o.work.Model), cli.String("label", &o.label),
		cli.String("tokenizer", &o.tokenizer), cli.String("dataset-name", &dataset),
		cli.Int("random-input-len", &o.work.InputLen), cli.Int("random-output-len", &o.work.OutputLen), cli.Int("random-prefix-len", &o.work.PrefixLen),
		cli.Int("input-len", &o.work.InputLen), cli.Int("output-len", &o.work.OutputLen),
		cli.String("request-rate", &rate), cli.Float("burstiness", &o.work.Burstiness), cli.Int("num-prompts", &o.work.Requests),
		cli.Int("max-concurrency", &concurrency), cli.Int("num-warmups", &o.warmups), cli.Int("ready-check-timeout-sec", &ready),
		cli.String("percentile-metrics", &metrics), cli.String("metric-percentiles", &percentiles), cli.String("percentiles", &percentiles),
		cli.Flag{Name: "goodput", Set: func(v string) error { goodput = append(goodput, v); return nil }},
		cli.Flag{Name: "header", Set: func(v string) error { headers = append(headers, v); return nil }},
		cli.String("host", &host), cli.Int("port", &port), cli.String("base-url", &base), cli.String("endpoint", &o.target.Endpoint),
		cli.Flag{Name: "save-result", Bool: true, Set: func(string) error { o.save = true; return nil }},
		cli.String("result-dir", &o.dir), cli.String("result-filename", &o.file),
		cli.Flag{Name: "profile", Bool: true, Set: func(string) error { o.profile = true; return nil }},
		cli.Int("seed", &seed), cli.Float("temperature", &temperature), cli.String("extra-body", &extra),
	)
	flags = append(flags, cli.Ignored(false, "ignore-eos", "disable-tqdm", "trust-remote-code", "skip-tokenizer-init")...)
	const prog = "vllm bench serve"
	if _, err := cli.Parse(prog, flags, 0, joinLists(args, "goodput", "header")); err != nil {
		return o, err
	}
	wrong := func(name string, err error) error {
		return cli.UsageError{Prog: prog, Message: fmt.Sprintf("argument --%s: %v", name, err)}
	}
	if o.work.Rate, err = strconv.ParseFloat(rate, 64); err != nil {
		return o, wrong("request-rate", fmt.Errorf("invalid float value: %s", cli.Quote(rate)))
	}
	if dataset != "random" {
		return o, wrong("dataset-name", errors.New("the simulation has the random dataset only"))
	}
	if o.work.Goodput, err = parseGoodput(goodput); err != nil {
		return o, wrong("goodput", err)
	}
	if o.work.Percentiles, err = parsePercentiles(percentiles); err != nil {
		return o, wrong("metric-percentiles", err)
	}
	for _, name := range strings.Split(metrics, ",") {
		o.metrics = append(o.metrics, load.Metric(strings.TrimSpace(name)))
	}
	o.target.Header, err = parseHeaders(headers)
	if err != nil {
		return o, wrong("header", err)
	}
	if extra != "" {
		if err := json.Unmarshal([]byte(extra), &o.work.ExtraBody); err != nil {
			return o, wrong("extra-body", err)
		}
	}
	if err := o.own.Check(); err != nil {
		return o, cli.UsageError{Prog: prog, Message: err.Error()}
	}
	if !math.IsNaN(temperature) {
		o.work.Temperature = &temperature
	}
	if concurrency != 0 {
		o.work.LetIn, o.concurrency = concurrency, &concurrency
	}
	o.work.Seed = uint64(seed)
	shape, err := cli.ModelShape(o.own.Model, o.work.Model)
	if err != nil {
		return o, err
	}
	o.work.Vocab = shape.Vocabulary
	if o.target.BaseURL = base; base == "" {
		o.target.BaseURL = "http://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	o.target.APIKey, o.target.TimeScale = env("OPENAI_API_KEY"), o.own.Scale
	if o.label == "" {
		o.label = o.backend
	}
	return o, nil
}

// joinLists turns the values of an option that takes several words
// (`--goodput ttft:100 e2el:500`) into one word each with its own option.
func joinLists(args []string, names ...string) []string {
	var out []string
	list := ""
	for _, word := range args {
		switch {
		case cli.LooksLikeFlag(word):
			list = ""
			if slices.Contains(names, strings.TrimLeft(word, "-")) {
				list = word
				continue
			}
			out = append(out, word)
		case list != "":
			out = append(out, list+"="+word)
		default:
			out = append(out, word)
		}
	}
	return out
}

// parseGoodput reads "metric:milliseconds" words. ITL is refused as vLLM does.
func parseGoodput(words []string) ([]load.Objective, error) {
	var objectives []load.Objective
	for _, word := range words {
		name, value, ok := strings.Cut(word, ":")
		metric := load.Metric(name)
		if !ok || metric != load.TTFT && metric != load.TPOT && metric != load.E2EL {
			return nil, fmt.Errorf("%q is not ttft:MS, tpot:MS or e2el:MS", word)
		}
		limit, err := strconv.ParseFloat(value, 64)
		if err != nil || !(limit >= 0) {
			return nil, fmt.Errorf("%q has no limit in milliseconds", word)
		}
		if slices.ContainsFunc(objectives, func(o load.Objective) bool { return o.Metric == metric }) {
			return nil, fmt.Errorf("%s is given twice", metric)
		}
		objectives = append(objectives, load.Objective{Metric: metric, LimitMS: limit})
	}
	return objectives, nil
}

func parsePercentiles(text string) ([]float64, error) {
	var out []float64
	for word := range strings.SplitSeq(text, ",") {
		p, err := strconv.ParseFloat(strings.TrimSpace(word), 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return nil, fmt.Errorf("%q is not a percentile", word)
		}
		out = append(out, p)
	}
	return out, nil
}

func parseHeaders(words []string) (http.Header, error) {
	headers := http.Header{}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not KEY=VALUE", word)
		}
		headers.Set(key, value)
	}
	return headers, nil
}

// Run is `vllm bench serve`: like the real one it ends with exit code 0
// however many requests failed.
func Run(args []string, w cli.World) error {
	o, err := parseBench(args, w.Env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case s := <-w.Signals:
			cancel(fmt.Errorf("ended by a signal: %v", s))
		case <-ctx.Done():
		}
	}()
	fmt.Fprintf(w.Stdout, "vllm-sim %s bench serve: a simulation, %gx time\n", cli.Version, o.own.Scale)
	select {
	case <-time.After(time.Duration(float64(sim.ClientStart) / o.own.Scale)):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	o.started = time.Now()
	if o.work.Model == "" {
		o.work.Model, err = o.firstModel(ctx)
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(w.Stdout, "Starting initial single prompt test run...")
	for range 1 + o.warmups {
		if err := load.Once(ctx, o.target, o.work); err != nil {
			// Since its ready check is off by default, the real client goes on.
			fmt.Fprintln(w.Stderr, "Initial test run failed:", err)
			break
		}
	}
	if o.profile {
		o.post(ctx, w, "/start_profile", "Profiler started")
	}
	fmt.Fprintf(w.Stdout, "Starting main benchmark run...\nTraffic request rate: %v\n", o.rate())
	report, err := load.Run(ctx, o.target, o.work, nil)
	if err != nil {
		return err
	}
	o.print(w.Stdout, report.Summary)
	if o.profile {
		o.post(ctx, w, "/stop_profile", "Profiler stopped")
	}
	if !o.save {
		return nil
	}
	return o.write(report.Summary)
}

// post starts and stops the profiler; the real client prints and goes on, too.
func (o benchOptions) post(ctx context.Context, w cli.World, path, done string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.target.BaseURL+path, nil)
	if err == nil {
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err == nil {
			err = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
	}
	if err != nil {
		done = fmt.Sprintf("%s failed: %v", path, err)
	}
	fmt.Fprintln(w.Stdout, done)
}

// firstModel asks the server what it serves.
func (o benchOptions) firstModel(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.target.BaseURL+"/v1/models", nil)
	if err != nil {
		return "", fmt.Errorf("find the model: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+o.target.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("find the model: %w", err)
	}
	defer resp.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return "", fmt.Errorf("find the model: %w", err)
	}
	if len(list.Data) == 0 {
		return "", errors.New("find the model: the server lists none")
	}
	return list.Data[0].ID, nil
}

// rate is a number, or "inf", which JSON has no number for.
func (o benchOptions) rate() any {
	if math.IsInf(o.work.Rate, 1) {
		return "inf"
	}
	return o.work.Rate
}

// path is where the result goes, by the real client's rules.
func (o benchOptions) path() string {
	name := o.file
	if name == "" {
		concurrency := ""
		if o.concurrency != nil {
			concurrency = fmt.Sprintf("-concurrency%d", *o.concurrency)
		}
		name = fmt.Sprintf("%s-%vqps%s-%s-%s.json", o.label, o.rate(), concurrency, filepath.Base(o.work.Model), o.started.Format("20060102-150405"))
	}
	return filepath.Join(o.dir, name)
}

// write writes in place and not atomically: readers of the real client's file
// have to cope with half of it, so they shall meet that here.
func (o benchOptions) write(s load.Summary) error {
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o777); err != nil {
			return fmt.Errorf("save result: %w", err)
		}
	}
	text, err := json.Marshal(o.fields(s))
	if err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	if err := os.WriteFile(o.path(), text, 0o666); err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	return nil
}
