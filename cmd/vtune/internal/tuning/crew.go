package tuning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/templates"
)

// This file is the part of an open run that has to do with crews: allocations that work off several jobs (see record.Crew).

// crewable refuses what shares of an allocation cannot be cut for.
func crewable(s *spec.Spec) error {
	if !jobs.Packs(s) && !jobs.OneJob(s) {
		return nil
	}
	r := jobs.Job(s, record.KindProbe, "", 1).Resources
	switch {
	case r.Nodes > 1:
		return diag.Wrap(errors.New("a server that spans nodes has an allocation of its own"), diag.Spec, "write site.pack: off and site.shape: jobs")
	case jobs.Packs(s) && r.GPUs == 0:
		return diag.Wrap(fmt.Errorf("site.pack: %s deals out a node's GPUs, and no server takes any", s.Site.Pack), diag.Spec, "write site.pack: off")
	case jobs.Packs(s) && s.Site.GPUStyle == "none":
		return diag.Wrap(fmt.Errorf("site.pack: %s deals out a node's GPUs, which Slurm is not asked for", s.Site.Pack), diag.Spec,
			"write site.gpu_style: gres or gpus-per-node")
	}
	return nil
}

// writeCrew writes what a crew is to do, and the script that its allocation begins with.
func (t *Tuning) writeCrew(u record.Unit) error {
	if err := os.MkdirAll(t.Dir.Job(u.ID), 0o755); err != nil {
		return err
	}
	share := u.Jobs[0].Resources
	style := t.spec.Site.GPUStyle
	if style == "gpus" {
		// That many of the whole allocation Slurm deals out to its nodes as it likes, such as seven and one.
		style = "gpus-per-node"
	}
	order := record.CrewOrder{Schema: record.Schema, Run: t.Run.ID, Unit: u, CPUs: share.CPUs, MemMB: share.MemMB}
	if share.GPUs > 0 && style != "none" {
		order.GPUs = "--" + style + "=" + gpuCount(style, t.spec.Site.GPUType, share.GPUs)
	}
	if err := fsx.PublishJSON(t.Dir.CrewOrder(u.ID), order); err != nil {
		return err
	}
	v := t.view(u.ID, u.Jobs[0])
	n := u.Crew.PerNode()
	v.Crew = templates.Crew{Order: t.Dir.CrewOrder(u.ID), Nodes: u.Crew.Nodes, Tasks: n, Slots: u.Crew.Slots, Exclusive: jobs.Exclusive(t.spec)}
	if share.CPUs == 0 && !v.Crew.Exclusive {
		// A task has a CPU, or what the site gives for each GPU. A CPU may be half a core, and a step gets whole ones: with one for
		// each job, every second step would wait.
		v.Crew.Tasks = 2 * n
	}
	v.Site.GPUStyle, v.Resources.GPUs = style, n*share.GPUs
	switch {
	case v.Crew.Exclusive:
		v.Site.Memory = "0" // all that the node has
		if share.GPUs > 0 {
			v.Resources.GPUs = max(v.Resources.GPUs, t.spec.Site.GPUsPerNode)
		}
	case share.MemMB > 0:
		v.Site.Memory = fmt.Sprintf("%dM", n*share.MemMB)
	}
	return t.writeScript(u.ID, templates.SlurmCrew, v)
}

// gpuCount is the value of a GPU option, as slurm-directives.tmpl writes it.
func gpuCount(style, kind string, n int) string {
	count := fmt.Sprint(n)
	if kind != "" {
		count = kind + ":" + count
	}
	if style == "gres" {
		count = "gpu:" + count
	}
	return count
}

// crewFollowUps writes what goes on in crews, or alone where nothing is to share an allocation with. While a crew is fed, each
// job is a unit of its own, for it to take.
func (t *Tuning) crewFollowUps(cells, others []record.Job, known map[string]collect.FollowUp, fed bool) ([]record.Unit, error) {
	var units []record.Unit
	alone := func(js []record.Job) {
		for _, j := range js {
			units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
		}
	}
	all := append(others, cells...)
	switch {
	case fed:
		alone(all)
	case jobs.OneJob(t.spec) && len(all) > 0:
		units = append(units, jobs.WholeCrew(t.spec, t.freeNumber("crew"), all, nil))
	case len(cells) > 1:
		alone(others)
		units = append(units, jobs.Crews(t.spec, t.freeNumber("pack"), cells)...)
	default:
		alone(all)
	}
	for _, u := range units {
		if err := t.writeUnit(u, known); err != nil {
			return nil, fmt.Errorf("follow-up %s: %w", u.ID, err)
		}
	}
	return units, nil
}

// freeNumber is the first number of a kind of unit that none has gone out with.
func (t *Tuning) freeNumber(kind string) int {
	for n := 1; ; n++ {
		if _, err := os.Stat(t.Dir.Intent(fmt.Sprintf("%s-%d", kind, n))); errors.Is(err, fs.ErrNotExist) {
			return n
		}
	}
}

// feeder is the crew that takes on further jobs now, if any does.
func (t *Tuning) feeder(ctx context.Context) (*outUnit, error) {
	if !jobs.OneJob(t.spec) {
		return nil, nil
	}
	units, err := t.recorded()
	if err != nil {
		return nil, err
	}
	list, err := t.scheduler.List(ctx, t.Run.ID)
	if err != nil {
		return nil, err
	}
	living := map[string]bool{}
	for _, s := range list {
		living[s.ID] = !s.State.Ended() && s.State != jobs.Stuck
	}
	for _, u := range units {
		if u.Crew != nil && u.Crew.Feed && living[u.id] && !t.closed(u.ID) {
			return &u, nil
		}
	}
	return nil, nil
}

// closed reports whether a crew begins nothing more.
func (t *Tuning) closed(crew string) bool {
	var a record.Aboard
	return fsx.ReadJSON(t.Dir.Aboard(crew), &a) == nil && a.Closed
}

// feed puts units into a crew's queue and records them as out; crews are not fed to a crew. It returns the units that are left to the
// scheduler: without a crew, all of them. One that the crew does not come to is found unbegun when the allocation is over.
func (t *Tuning) feed(crew *outUnit, units []record.Unit) (rest []record.Unit, err error) {
	if crew == nil {
		return units, nil
	}
	queue := t.Dir.Queue(crew.ID)
	if err := os.MkdirAll(queue, 0o755); err != nil {
		return nil, err
	}
	there, err := os.ReadDir(queue)
	if err != nil {
		return nil, err
	}
	for i, u := range units {
		if u.Crew != nil {
			rest = append(rest, u)
			continue
		}
		in := record.Intent{Schema: record.Schema, Name: record.JobName(t.Run.ID, u.ID), Unit: u, At: t.world.Now()}
		out := record.Submitted{Schema: record.Schema, Name: in.Name, ID: crew.id, Cluster: crew.cluster, Crew: crew.ID, At: in.At}
		err := fsx.PublishJSON(t.Dir.Intent(u.ID), in)
		if err == nil {
			err = fsx.PublishJSON(t.Dir.Queued(crew.ID, len(there)+i+1, u.ID), u.Jobs[0])
		}
		if err == nil {
			err = fsx.PublishJSON(t.Dir.Submitted(u.ID), out)
		}
		if err != nil {
			return nil, fmt.Errorf("feed %s to %s: %w", u.ID, crew.ID, err)
		}
	}
	return rest, nil
}

// members are the jobs of a unit, with those that ride on the first.
func (u outUnit) members() []record.Job { return slices.Concat(u.Jobs, u.Riders) }

// inCrew reports whether the unit's jobs are worked off by a crew, its own or the one it was fed to.
func (u outUnit) inCrew() bool { return u.Crew != nil || u.crew != "" }

// seenInCrew says of each job of a unit how it fares, by the scheduler's word v on the allocation and by the crew's on the job.
func (t *Tuning) seenInCrew(u outUnit, v collect.Seen) []collect.Seen {
	crew := cmp.Or(u.crew, u.ID)
	_, err := os.Stat(t.Dir.CrewBegun(crew))
	var seen []collect.Seen
	for i, j := range u.members() {
		of := j
		if i >= len(u.Jobs) {
			of = u.Jobs[0] // a rider shares its carrier's step
		}
		var step *record.Step
		if s := (record.Step{}); fsx.ReadJSON(t.Dir.Step(of.ID), &s) == nil {
			step = &s
		}
		s := inCrew(v, step, err == nil, t.claimed(of), t.stopped(j))
		s.Job = j.ID
		if s.Word == wordWaiting {
			s.Reason = "in " + crew
		}
		seen = append(seen, s)
	}
	return seen
}

func (t *Tuning) claimed(j record.Job) bool {
	_, err := os.Stat(string(t.Dir.Attempt(j.Kind, j.Cell, j.Attempt)))
	return err == nil
}

// stopped reports whether the job's own last word is that somebody told it to end.
func (t *Tuning) stopped(j record.Job) bool {
	var r record.Result
	return fsx.ReadJSON(t.Dir.Attempt(j.Kind, j.Cell, j.Attempt).Result(), &r) == nil && r.Cause == record.CauseStopped
}

// What status shows of a job where the allocation's own word would mislead.
const (
	wordWaiting = "WAITING"
	wordStep    = "STEP OVER"
	wordUnbegun = "NOT BEGUN"
)

// inCrew is how a job fares: v is the allocation's standing, step what the crew says of the job (nil: nothing yet), begun whether the
// crew has begun its work at all, claimed whether the job's agent has, stopped whether that was told to end.
//
// A step's exit code is believed last: where a whole allocation is ended, srun exits with 0, whatever its tasks did.
func inCrew(v collect.Seen, step *record.Step, begun, claimed, stopped bool) collect.Seen {
	switch {
	case step == nil && v.Over:
		// Who ended the allocation ended what it was for; anything else that befell it says nothing about a job that never began.
		if begun && v.Cause != record.CauseStopped {
			v.Cause, v.Word, v.Reason = record.CauseUnbegun, wordUnbegun, "its allocation ended before its turn ("+v.Word+")"
		}
	case step == nil:
		if begun {
			v.Word = wordWaiting
		}
	case step.Cancelled && step.Over():
		v.Over, v.Cause, v.Word, v.Exit = true, record.CauseStopped, "CANCELLED", step.ExitCode
	case !step.Over(), stopped, v.Over && v.Cause != record.CauseNone && v.Cause != record.CauseAgent:
		// It lives, or it ended with the allocation, whose end says why.
	default:
		v.Over, v.Word, v.Exit, v.Cause = true, wordStep, step.ExitCode, record.CauseAgent
		switch {
		case step.ExitCode == "0:0":
			v.Cause = record.CauseNone
		case !claimed:
			v.Cause = record.CauseLaunch
		}
	}
	return v
}

// cancelInCrews ends jobs of crews. The crew is told of single ones, and goes on with the others; an allocation of which nothing else
// is wanted is returned, to be ended as a whole. One that is fed lives on for what may come, unless the run was cancelled.
func (t *Tuning) cancelInCrews(units []outUnit, wanted map[string]bool) ([]jobs.Handle, error) {
	members := map[jobs.Handle][]record.Job{}
	fed := map[jobs.Handle]bool{}
	var unwanted []string
	for _, u := range units {
		if !u.inCrew() {
			continue
		}
		h := jobs.Handle{ID: u.id, Cluster: u.cluster}
		members[h] = append(members[h], u.members()...)
		fed[h] = fed[h] || u.Crew != nil && u.Crew.Feed
		for i, j := range u.members() {
			if wanted[j.ID] && i < len(u.Jobs) {
				unwanted = append(unwanted, j.ID)
			} else if wanted[j.ID] && !wanted[u.Jobs[0].ID] {
				unwanted = append(unwanted, u.Jobs[0].ID) // a rider ends with its carrier, as outside of crews
			}
		}
	}
	_, err := os.Stat(t.Dir.Cancelled())
	cancelled := err == nil
	var whole []jobs.Handle
	for h, js := range members {
		any := slices.ContainsFunc(js, func(j record.Job) bool { return wanted[j.ID] })
		needed := slices.ContainsFunc(js, func(j record.Job) bool { return !wanted[j.ID] && !t.over(j) })
		if any && !needed && (cancelled || !fed[h]) {
			whole = append(whole, h)
		}
	}
	for _, id := range unwanted {
		// Also where the whole allocation is ended: a crew that begins at this moment reads it.
		if _, err := os.Stat(t.Dir.Unwanted(id)); err == nil {
			continue
		}
		if err := fsx.PublishJSON(t.Dir.Unwanted(id), struct{}{}); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

// over reports whether a job of a crew can add nothing more.
func (t *Tuning) over(j record.Job) bool {
	var s record.Step
	for _, path := range []string{t.Dir.Attempt(j.Kind, j.Cell, j.Attempt).Result(), t.Dir.Ended(j.ID)} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return fsx.ReadJSON(t.Dir.Step(j.ID), &s) == nil && s.Over()
}
