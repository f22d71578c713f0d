// Package verify checks what a run says of its winner: a run of its own, with the winner as its only cell and one long load in place of
// a search. It says what that run is to do, and what came of it; the run is submitted, watched and cancelled as any other.
package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/ending"
	"vtune/cmd/vtune/internal/reading"
	"vtune/cmd/vtune/internal/refusal"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/spec"
	"vtune/internal/spec/word"
	"vtune/jobs"
)

// Help says what the command does and how it ends.
const Help = `verify starts the winner of a RUN anew, as the run served it, and puts one long load on it: requests at the claimed rate for the
whole duration, whatever is clear before. Of a run without limits the claim is its throughput, and all requests are sent at once.

The check is a run of its own below the same base, on the same site. Typed again, verify goes on with it, or tells again what it
found; --new checks once more, with other draws. Its spec is kept in the folder verify of RUN.

Exit codes: 0: the claim holds. 11: it does not hold. 9: it could not be decided, because the load was too short for a verdict, or
because nothing could be measured; so a gate that wants a proof takes any other code than 0 for a no, and one that looks for a
regression takes 11.`

// Wish is what is to be checked. A rate of 0 is what the run claims.
type Wish struct {
	Rate     float64
	Duration time.Duration
	Another  bool // once more, with other draws than the last check's
}

// Claim is a run's winner with the rate that is to be checked.
type Claim struct {
	SpecFile string // of the run that checks it
	run      *reading.Run
	best     record.Best
	verify   record.Verification
	spec     *spec.Spec
	source   []byte
}

// Of reads the claim of the run at path, and writes the spec of the run that checks it.
func Of(ctx context.Context, w tuning.World, path string, wish Wish) (*Claim, error) {
	if !(wish.Rate >= 0) || math.IsInf(wish.Rate, 0) || wish.Duration < time.Second || wish.Duration > 24*time.Hour {
		return nil, diag.Errorf(diag.Usage, "--rate must be a positive number, and --duration from 1s to 24h")
	}
	r, err := reading.Open(ctx, w, path)
	if err != nil {
		return nil, err
	}
	if err := refusal.Imported(r.Run, r.Dir, w.Program); err != nil { // its spec says local, and whoever measured it was somewhere
		return nil, err
	}
	if r.State.Best == nil {
		return nil, diag.Wrap(fmt.Errorf("run %s has no winner to verify", r.Run.ID), ending.Code(r.State),
			fmt.Sprintf("%s status %s shows how it goes", w.Program, path))
	}
	if !r.State.Phase.Over() {
		fmt.Fprintln(w.Err, "the run is not over: what is verified is the best yet")
	}
	c := &Claim{run: r, best: *r.State.Best}
	c.verify = record.Verification{Rate: wish.Rate, Seconds: wish.Duration.Seconds(), Utilization: utilization(r.State)}
	if wish.Rate == 0 {
		c.verify.Rate = claimed(c.best.Observation)
	}
	c.spec = derived(r, c.verify, wish.Duration)
	if err := c.fits(); err != nil {
		return nil, err
	}
	c.SpecFile = filepath.Join(string(r.Dir), "verify", fmt.Sprintf("%g-%s.yaml", c.verify.Rate, short(wish.Duration)))
	c.spec.Seed = seed(c.SpecFile, c.spec.Seed, wish.Another)
	c.source = c.spec.Under(fmt.Sprintf("Checks what run %s claims of its winner, found at %s req/s:\n%s", r.Run.ID, c.best.Observation.Load.Rate, c.words()))
	if err := os.MkdirAll(filepath.Dir(c.SpecFile), 0o755); err != nil {
		return nil, diag.Wrap(err, diag.Usage, "the spec of the check is kept in the run's directory: verify a copy of it")
	}
	return c, fsx.Publish(c.SpecFile, c.source, 0o644)
}

// claimed is the rate that an answer stands for; of requests sent all at once it is how many came back, to four digits.
func claimed(o record.Observation) float64 {
	rate, _ := strconv.ParseFloat(strconv.FormatFloat(search.Objective(o), 'g', 4, 64), 64) // of what was just written
	if !o.Load.Rate.IsInf() {
		rate = float64(o.Load.Rate)
	}
	return rate
}

// utilization that the winner was measured with.
func utilization(st record.State) float64 {
	for _, c := range st.Cells {
		if c.Cell == st.Best.Cell && c.Utilization > 0 {
			return c.Utilization
		}
	}
	return st.Utilization
}

// derived is the run's own spec with the claim in place of the grid. The seed is another one, so that no lucky draw is repeated; an
// allocation for many cells is too large for one.
func derived(r *reading.Run, v record.Verification, duration time.Duration) *spec.Spec {
	s := *r.Spec
	s.Method, s.Client, s.RateSearch, s.Profile.With = spec.MethodVtune, "vtune", "in-job", "none"
	s.Grid = spec.Grid{MaxNumSeqs: []int{r.State.Best.Cell.MaxNumSeqs}, MaxNumBatchedTokens: []int{r.State.Best.Cell.MaxNumBatchedTokens}}
	s.Verify = spec.Verify{Rate: v.Rate, Duration: short(duration), Utilization: v.Utilization}
	s.Seed = next(s.Seed)
	s.Site.Shape, s.Site.Nodes = "jobs", 1
	if !word.InBucket(s.Base) { // which is relative to the folder of the spec that the run was made from
		s.Base = filepath.Dir(filepath.Dir(string(r.Dir)))
	}
	return &s
}

func next(seed int64) int64 { return (seed + 1) % (1 << 32) }

// seed is that of the last check, which the spec on file still tells, or the one after it; the first where there was no check.
func seed(file string, first int64, another bool) int64 {
	last, err := spec.Load(file)
	switch {
	case err != nil:
		return first
	case another:
		return next(last.Seed)
	}
	return last.Seed
}

// fits refuses a load that no job may live through: it would be begun again and again.
func (c *Claim) fits() error {
	most := c.spec.Site.TimeSeconds()
	if jobs.Pooled(c.spec) {
		most = c.spec.Site.TPU.MaxRunSeconds()
	}
	left := most - jobs.StartSeconds
	if most == 0 || c.verify.Seconds <= float64(left) {
		return nil
	}
	return diag.Wrap(fmt.Errorf("a load of %g s does not fit into a job of %d s, of which a server's start takes some %d", c.verify.Seconds, most, jobs.StartSeconds),
		diag.Usage, fmt.Sprintf("write --duration %ds or less", max(left, 1)))
}

// short is a duration as a person writes it.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-len("0s")]
		}
	}
	return text
}

// words are the claim in a sentence.
func (c *Claim) words() string {
	text := fmt.Sprintf("max_num_seqs %d, max_num_batched_tokens %d", c.best.Cell.MaxNumSeqs, c.best.Cell.MaxNumBatchedTokens)
	p := jobs.Plan(c.spec, jobs.Options{}).Policy
	if len(p.SLOs()) == 0 {
		return fmt.Sprintf("%s reach %g req/s", text, c.verify.Rate)
	}
	return fmt.Sprintf("%s hold %g req/s with %s", text, c.verify.Rate, p.LimitText())
}

// Templates are the folder of job templates that the run was made with; empty: the built-in ones.
func (c *Claim) Templates() string {
	dir := c.run.Dir.Templates()
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// Before is what the newest check of the same claim found, if one is over.
func (c *Claim) Before(ctx context.Context, w tuning.World) (f Finding, over bool) {
	base, err := tuning.Base(w, c.SpecFile, c.spec)
	if err != nil {
		return f, false
	}
	sum := sha256.Sum256(c.source)
	dirs, _ := fsx.Below(base, "*") // the pattern is sound
	newest := time.Time{}
	for _, dir := range dirs {
		var run record.Run
		if fsx.ReadJSON(record.Dir(dir).Run(), &run) != nil || run.SpecSHA256 != hex.EncodeToString(sum[:]) || run.Created.Before(newest) {
			continue
		}
		r, err := reading.Open(ctx, w, dir)
		if err != nil || r.State.Phase == record.PhaseCancelled {
			continue
		}
		newest, over = run.Created, r.State.Phase.Over()
		if place := run.Bucket; place != "" {
			f = c.Find(place, dir, r.State)
		} else {
			f = c.Find(dir, dir, r.State)
		}
	}
	return f, over
}
