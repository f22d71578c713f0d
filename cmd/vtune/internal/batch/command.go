package batch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/bucket"
	"vtune/internal/diag"
	"vtune/internal/report"
	"vtune/internal/spec/autotune"
	"vtune/internal/spec/sites"
)

// Help of the command.
const Help = `RUNS.json is a list of objects, whose keys are auto_tune.sh's variables in any case:

  [{"model": "org/model", "tp": 1, "input_len": 1800, "output_len": 20, "max_latency_allowed_ms": 500}]

Each entry becomes a run. When it is over, run_id, status (SUCCESS, FAILURE or WARNING_NO_RESULT_FILE), results (the text of
result.txt) and gcs_results are written into the entry; everything else in the file stays as it is, to the byte. On a cluster all
entries are submitted at once, on this machine one is tuned after the other.

What a file cannot say (site, scheduler, flags of the server) stands in a spec, or a part of one, given with --spec. The specs that
come of it are in RUNS.json.d/.

Killed at any moment, the same command goes on: entries with a status are left alone (those without SUCCESS unless --retry-failed
is given), runs that have begun are gone on with, and nothing is submitted twice. The exit code is that of the worst entry.`

// Options are what the command was asked for.
type Options struct {
	File, Spec, GCS     string
	Retry, DryRun, JSON bool
	Request             tuning.Request
}

// Command is the batch from its arguments to its answer.
func Command(ctx context.Context, who caller.Caller, o Options, h Hands) error {
	c := Config{File: o.File, Retry: o.Retry, GCS: o.GCS, Say: who.Err, Again: who.Program + " batch " + o.File}.equip(who, o.Request, h)
	var err error
	if c.Common, err = common(o.Spec, who.Env); err != nil {
		return err
	}
	if err := reachable(ctx, o.GCS, who); err != nil {
		return err
	}
	b, err := Read(c)
	if err != nil {
		return err
	}
	if o.DryRun {
		return show(b, who, h, o.JSON)
	}
	lines, err := b.Do(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		err = who.PrintJSON(lines)
	} else {
		err = Summary(who.Out, lines)
	}
	if err != nil {
		return err
	}
	return caller.Exit(Worst(lines))
}

func common(file string, env []string) (*autotune.Common, error) {
	if file == "" {
		return &autotune.Common{Sites: sites.FoldersOf(env).Read}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage)
	}
	folder, err := filepath.Abs(filepath.Dir(file))
	return &autotune.Common{File: file, Folder: folder, Data: data, Sites: sites.FoldersOf(env).Read}, err
}

// reachable finds a mistyped URL or missing credentials before hours are spent on what is to go there.
func reachable(ctx context.Context, url string, who caller.Caller) error {
	if url == "" {
		return nil
	}
	at, err := bucket.Parse(url)
	if err != nil {
		return diag.Wrap(err, diag.Usage)
	}
	w := who.World()
	_, err = bucket.Open(ctx, at.Bucket, w.Getenv)
	return err
}

// planned is what a dry run has to say of an entry.
type planned struct {
	Entry  int    `json:"entry"`
	Action Action `json:"action"`
	RunID  string `json:"run_id,omitempty"`
}

func show(b *Batch, who caller.Caller, h Hands, asJSON bool) error {
	all := []planned{}
	for _, it := range b.Items {
		all = append(all, planned{it.Entry, it.Action, it.outcome.RunID})
		for _, w := range it.Warnings {
			fmt.Fprintf(who.Err, "%d: note: %s\n", it.Entry, w)
		}
	}
	if asJSON {
		return who.PrintJSON(all)
	}
	for _, it := range b.Items {
		fmt.Fprintf(who.Out, "entry %d: %s", it.Entry, it.Action)
		if it.outcome.RunID != "" {
			fmt.Fprintf(who.Out, " (run %s)", report.OneLine(it.outcome.RunID))
		}
		fmt.Fprintln(who.Out)
		if it.Action == Submit {
			if err := h.Show(it.Spec); err != nil {
				return err
			}
		}
	}
	return nil
}
