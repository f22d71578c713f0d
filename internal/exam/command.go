package exam

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"time"

	"vtune/internal/doctor"
	"vtune/internal/proc"
)

const (
	// versionPatience: vLLM imports torch to say its version, from a file system that may be cold.
	versionPatience = 2 * time.Minute
	smiPatience     = 30 * time.Second
	// stopGrace is for a command that did not answer in time to end by itself.
	stopGrace = 2 * time.Second
	// mostOutput of a command is kept.
	mostOutput = 64 << 10
)

// run runs a command to see what it says. What it was told in vain is over when run returns.
func run(ctx context.Context, patience time.Duration, env []string, argv ...string) doctor.Output {
	o, _ := output(ctx, patience, env, argv...)
	return o
}

func output(ctx context.Context, patience time.Duration, env []string, argv ...string) (o doctor.Output, stdout string) {
	var out, said clipped
	began := time.Now()
	p, err := proc.Start(proc.Spec{Argv: argv, Env: env, Stdout: &out, Stderr: &said, DieWithCaller: true})
	if err != nil {
		return doctor.Output{Missing: true, Line: err.Error()}, ""
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		o.TimedOut = true
	case <-ctx.Done():
		o.TimedOut = true
	}
	if _, err := p.Stop(context.WithoutCancel(ctx), stopGrace); err != nil { // also what an ended command left in its group
		o.TimedOut = true
		return o, ""
	}
	o.Seconds = time.Since(began).Seconds()
	if exit := p.Wait(); !o.TimedOut && !exit.OK() {
		o.Exit = exit.String()
	}
	o.Line = last(out.String())
	if o.Line == "" || o.Exit != "" {
		if line := last(said.String()); line != "" {
			o.Line = line
		}
	}
	return o, out.String()
}

// clipped keeps the beginning of what is written to it.
type clipped struct{ bytes.Buffer }

func (c *clipped) Write(p []byte) (int, error) {
	if room := mostOutput - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// last is the last line that is not blank, cut to what fits on a page.
func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	line := strings.TrimSpace(strings.ToValidUTF8(lines[len(lines)-1], "?"))
	return line[:min(len(line), 200)]
}

// gpus asks nvidia-smi, where there is one.
func (n *node) gpus(ctx context.Context) {
	n.found.Devices = lookup(n.Env, "CUDA_VISIBLE_DEVICES")
	o, text := output(ctx, smiPatience, n.Env, "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
	if o.Missing {
		return
	}
	n.found.SMI = &o
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || o.Exit != "" {
		return
	}
	for _, row := range rows {
		if len(row) == 3 {
			n.found.GPUs = append(n.found.GPUs, doctor.GPU{
				Name: strings.TrimSpace(row[0]), Driver: strings.TrimSpace(row[1]), Memory: strings.TrimSpace(row[2]),
			})
		}
	}
}
