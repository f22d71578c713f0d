// Package notice tells of a run's end whoever asked for it: by a command, and by a webhook. What was asked for is kept in the run, so that
// it holds for whoever collects the end, which may be a link of a chain at night. A failure here is a warning: it is not the run's.
package notice

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/ending"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/deploy"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/report"
)

// Wish is what flags ask for.
type Wish struct {
	Command string // for sh -c; empty: none
	Webhook string // URL, or @FILE that has it; empty: none
}

// Check reads the URL, if it is in a file, and finds what is wrong with it. No error repeats it.
func (w *Wish) Check() error {
	if file, ok := strings.CutPrefix(w.Webhook, "@"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			return diag.Wrap(fmt.Errorf("--webhook: %w", err), diag.Usage)
		}
		w.Webhook = strings.TrimSpace(string(data))
	}
	if w.Webhook != "" && redacted(w.Webhook) == "" {
		return diag.Wrap(errors.New("--webhook is no http or https URL"), diag.Usage, "it is shown nowhere, since it may be a secret; @FILE reads it from a file")
	}
	return nil
}

// Keep puts the wish on record; what was asked for before and is not asked for anew stays. Whoever asks for something else after the end
// was told, such as another URL because that one was refused, has it told anew. The caller holds the lease.
func (w Wish) Keep(dir record.Dir, now time.Time) error {
	if w == (Wish{}) {
		return nil
	}
	var kept record.Notify
	if err := fsx.ReadJSON(dir.Notify(), &kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before := kept
	kept.Schema, kept.At = record.Schema, now.UTC()
	kept.Command, kept.Webhook = cmp.Or(w.Command, kept.Command), cmp.Or(w.Webhook, kept.Webhook)
	data, err := fsx.JSON(kept)
	if err != nil {
		return err
	}
	if err := fsx.Publish(dir.Notify(), data, 0o600); err != nil {
		return err
	}
	return forget(dir, kept.Command != before.Command, kept.Webhook != before.Webhook)
}

// forget makes another command, or another webhook, one that was not told yet. With the command the webhook is told again too, under the
// key by which it knows that.
func forget(dir record.Dir, command, webhook bool) error {
	var done record.Notified
	switch err := fsx.ReadJSON(dir.Notified(), &done); {
	case errors.Is(err, fs.ErrNotExist), err == nil && !command && !webhook:
		return nil
	case err != nil:
		return err
	case command:
		return os.Remove(dir.Notified())
	}
	done.Webhook = nil
	return fsx.PublishJSON(dir.Notified(), done)
}

// News are a run's end in words.
type News struct {
	Run      string       `json:"run"` // id
	Place    string       `json:"place"`
	Phase    record.Phase `json:"phase"`
	ExitCode diag.Code    `json:"exit_code"` // as of collect
	Best     *record.Best `json:"best"`      // null: there is no winner
	Headline string       `json:"headline"`
	Summary  string       `json:"summary"`
}

// Of is what there is to tell of a run that is over.
func Of(t *tuning.Tuning, st record.State) (News, error) {
	n := News{Run: t.Run.ID, Place: t.Place(), Phase: st.Phase, ExitCode: ending.Code(st), Best: st.Best}
	serve, err := t.ServeCommand(st)
	if err != nil {
		return n, err
	}
	n.Summary = report.Summary(t.Run, st, string(t.Dir), serve)
	n.Headline = fmt.Sprintf("vtune run %s is %s: no winner", n.Run, st.Phase)
	if st.Best != nil {
		n.Headline = fmt.Sprintf("vtune run %s is %s: %s with %.2f req/s", n.Run, st.Phase, st.Best.Cell.ID, st.Best.Observation.Metrics.RequestThroughput)
	}
	n.Headline = deploy.OneLine(n.Headline)
	return n, nil
}

// Send tells of the end of a run that is over, unless that was done. The caller holds the lease, so what was begun and has no end was begun
// by somebody who is gone: a webhook is then told again, under the same key; a command may have done its work, and is not.
func Send(ctx context.Context, w tuning.World, t *tuning.Tuning, st record.State) {
	var wish record.Notify
	switch err := fsx.ReadJSON(t.Dir.Notify(), &wish); {
	case !st.Phase.Over(), errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		fmt.Fprintln(w.Err, "warning: nobody was told of the run's end:", err)
		return
	}
	if err := send(ctx, w, t, st, wish); err != nil {
		fmt.Fprintln(w.Err, "warning: nobody was told of the run's end:", err)
	}
}

func send(ctx context.Context, w tuning.World, t *tuning.Tuning, st record.State, wish record.Notify) error {
	done := record.Notified{Schema: record.Schema, Phase: st.Phase, Begun: w.Now().UTC()}
	first, err := begin(t.Dir, &done)
	if err != nil {
		return err
	}
	post := wish.Webhook != "" && (done.Webhook == nil || !done.Webhook.OK && !done.Webhook.Final)
	if !post && !(first && wish.Command != "") {
		return nil
	}
	news, err := Of(t, st)
	if err != nil {
		return err
	}
	if first && wish.Command != "" {
		done.Command = &record.Told{Final: true, OK: true}
		note(done.Command, w, run(ctx, w, wish.Command, news), "the command of --on-done failed")
	}
	if post {
		done.Webhook = &record.Told{OK: true, Final: true}
		err := hook{Pause: time.Second, Longest: 20 * time.Second, Most: 5, Say: w.Err}.post(ctx, wish.Webhook, news)
		var refused *refusedError
		done.Webhook.Final = err == nil || errors.As(err, &refused)
		note(done.Webhook, w, err, "the webhook at "+redacted(wish.Webhook)+" was not told")
	}
	data, err := fsx.JSON(done)
	if err != nil {
		return err
	}
	return fsx.Publish(t.Dir.Notified(), data, 0o644)
}

// begin takes the telling over. Where it was begun before, done is how far that went.
func begin(dir record.Dir, done *record.Notified) (first bool, err error) {
	data, err := fsx.JSON(done)
	if err != nil {
		return false, err
	}
	err = fsx.PublishNew(dir.Notified(), data, 0o644)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	return false, fsx.ReadJSON(dir.Notified(), done)
}

func note(told *record.Told, w tuning.World, err error, what string) {
	told.At = w.Now().UTC()
	if err == nil {
		return
	}
	told.OK, told.Detail = false, deploy.OneLine(err.Error())
	fmt.Fprintf(w.Err, "warning: %s: %s\n", what, told.Detail)
}

// commandTime is what a command may take. A link of a chain has minutes for all it does.
const commandTime = 2 * time.Minute

// run runs the command in a process group of its own, which ends with it. What it is told is in its environment and on its standard input,
// and never in its words.
func run(ctx context.Context, w tuning.World, command string, news News) error {
	best := ""
	if news.Best != nil {
		best = news.Best.Cell.ID
	}
	env := w.Env
	for _, v := range []struct{ name, value string }{
		{"RUN", news.Place}, {"RUN_ID", news.Run}, {"PHASE", string(news.Phase)}, {"EXIT_CODE", fmt.Sprint(int(news.ExitCode))}, {"BEST_CELL", best}, {"SUMMARY", news.Headline},
	} {
		env = append(env[:len(env):len(env)], "VTUNE_"+v.name+"="+v.value)
	}
	p, err := proc.Start(proc.Spec{
		Argv: []string{"/bin/sh", "-c", command}, Env: env, Stdin: strings.NewReader(news.Summary), Stdout: w.Err, Stderr: w.Err,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	select {
	case <-p.Done():
	case <-ctx.Done():
		err = fmt.Errorf("it was ended: %w", context.Cause(ctx))
	}
	// Also what it left behind in its group.
	exit, stop := p.Stop(context.WithoutCancel(ctx), 5*time.Second)
	switch {
	case err != nil || stop != nil:
		return errors.Join(err, stop)
	case exit.Signal != 0:
		return fmt.Errorf("ended by signal %d", int(exit.Signal))
	case exit.Code != 0:
		return fmt.Errorf("exit code %d", exit.Code)
	}
	return nil
}

// body of a webhook: the news, and a text as chat programs take it, in which nothing is markup.
func body(n News) ([]byte, error) {
	return json.Marshal(struct {
		News
		Text string `json:"text"`
	}{n, strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(n.Headline)})
}
