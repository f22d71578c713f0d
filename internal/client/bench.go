package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vtune/internal/proc"
	"vtune/internal/serving"
	"vtune/internal/vllm"
)

// grace is what a client that is no longer wanted gets to end by itself.
const grace = 2 * time.Second

// Bench measures with `vllm bench serve`, a process of its own for each load.
type Bench struct{ Setting }

// ExitError is the end of a client that did not end well.
type ExitError struct {
	Exit proc.Exit
	last string
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit code %d", e.Exit.Code)
	if e.Exit.Signal != 0 {
		how = serving.SignalName(e.Exit.Signal)
	}
	if e.last == "" {
		return fmt.Sprintf("the client ended with %s; its log is empty", how)
	}
	return fmt.Sprintf("the client ended with %s; its log ends in: %s", how, e.last)
}

// Measure puts the load on the server. An error means that there are no numbers. It ends what it started before it returns, also
// when ctx ends.
func (c Bench) Measure(ctx context.Context, t Target) (Measurement, error) {
	b := vllm.Bench{
		Server: c.Assignment.Server, Workload: c.Assignment.Workload, Load: t.Load, LimitMS: c.Assignment.Policy.LimitMS, Seed: t.Seed,
		Port: t.Server.Port, Profile: t.Profile, ResultDir: filepath.Dir(t.Raw), ResultFile: filepath.Base(t.Raw),
	}
	log, err := os.OpenFile(t.Log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, c.LogMode)
	if err != nil {
		return Measurement{}, err
	}
	defer log.Close()
	env := slices.Concat(c.Env, b.Env(t.Server.Key))
	p, err := proc.Start(proc.Spec{
		Argv: b.Argv(), Env: append(env, direct(env)...), Dir: c.Dir,
		Stdout: log, Stderr: log, Mark: c.Mark, DieWithCaller: true,
	})
	if err != nil {
		return Measurement{}, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
	}
	// Also after its end, for what it may have left in its group.
	exit, err := p.Stop(context.WithoutCancel(ctx), grace)
	switch {
	case ctx.Err() != nil:
		return Measurement{}, context.Cause(ctx)
	case err != nil:
		return Measurement{}, err
	case !exit.OK():
		return Measurement{}, &ExitError{exit, lastLine(t.Log)}
	}
	data, err := os.ReadFile(t.Raw)
	if err != nil {
		return Measurement{}, errors.New("the client ended well and left no result: " + lastLine(t.Log))
	}
	r, err := vllm.ParseBench(data)
	if err != nil {
		return Measurement{}, err
	}
	return Measurement{Metrics: r.Metrics, Loading: time.Duration(r.Metrics.Seconds * float64(time.Second))}, nil
}

// direct keeps the client from asking a proxy for the loopback interface: it heeds the variables that clusters set for
// downloads, which it may need for the tokenizer.
func direct(env []string) []string {
	hosts := vllm.Loopback
	if others := cmp.Or(lookup(env, "no_proxy"), lookup(env, "NO_PROXY")); others != "" {
		hosts += "," + others
	}
	return []string{"no_proxy=" + hosts, "NO_PROXY=" + hosts}
}

func lookup(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// lastLine of a log, for a message; empty when there is none.
func lastLine(path string) string {
	data, err := serving.Tail(path, 0)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	const enough = 300
	last := bytes.ToValidUTF8(bytes.TrimSpace(lines[len(lines)-1]), []byte("?"))
	return string(last[:min(len(last), enough)])
}
