package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vtune/internal/proc"
	"vtune/internal/vllm"
)

// clientGrace is what a client that is no longer wanted gets to end by itself.
const clientGrace = 2 * time.Second

// benchClient measures with `vllm bench serve`, a process of its own for each load.
type benchClient struct{ w *work }

// exitError is the end of a client that did not end well.
type exitError struct {
	exit proc.Exit
	last string
}

func (e *exitError) Error() string {
	how := fmt.Sprintf("exit code %d", e.exit.Code)
	if e.exit.Signal != 0 {
		how = signalName(e.exit.Signal)
	}
	if e.last == "" {
		return fmt.Sprintf("the client ended with %s; its log is empty", how)
	}
	return fmt.Sprintf("the client ended with %s; its log ends in: %s", how, e.last)
}

func (c benchClient) Measure(ctx context.Context, t target) (measurement, error) {
	b := vllm.Bench{
		Server: c.w.a.Server, Workload: c.w.a.Workload, Load: t.Load, LimitMS: c.w.a.Policy.LimitMS, Seed: c.w.a.Seed,
		Port: t.Server.port, Profile: t.Profile, ResultDir: filepath.Dir(t.Raw), ResultFile: filepath.Base(t.Raw),
	}
	log, err := os.OpenFile(t.Log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, c.w.logMode())
	if err != nil {
		return measurement{}, err
	}
	defer log.Close()
	env := slices.Concat(c.w.c.Env, b.Env(t.Server.key))
	p, err := proc.Start(proc.Spec{
		Argv: b.Argv(), Env: append(env, direct(env)...), Dir: string(c.w.dir),
		Stdout: log, Stderr: log, Mark: c.w.mark, DieWithCaller: true,
	})
	if err != nil {
		return measurement{}, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
	}
	// Also after its end, for what it may have left in its group.
	exit, err := p.Stop(context.WithoutCancel(ctx), clientGrace)
	switch {
	case ctx.Err() != nil:
		return measurement{}, context.Cause(ctx)
	case err != nil:
		return measurement{}, err
	case !exit.OK():
		return measurement{}, &exitError{exit, lastLine(t.Log)}
	}
	data, err := os.ReadFile(t.Raw)
	if err != nil {
		return measurement{}, errors.New("the client ended well and left no result: " + lastLine(t.Log))
	}
	r, err := vllm.ParseBench(data)
	if err != nil {
		return measurement{}, err
	}
	return measurement{Metrics: r.Metrics}, nil
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

// lastLine of a log, for a message; empty when there is none.
func lastLine(path string) string {
	data, err := tail(path, 0)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	const enough = 300
	last := bytes.ToValidUTF8(bytes.TrimSpace(lines[len(lines)-1]), []byte("?"))
	return string(last[:min(len(last), enough)])
}
