package contest

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/cmd/bench-tuner/internal/world"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/verdict"
)

// mostLoads is where a cell's search is taken for one that does not end.
const mostLoads = 300

func (t *tuning) vtunePolicy(prune record.Prune) record.Policy {
	return record.Policy{
		Method: search.Vtune, Limits: t.scenario.Limits(), Tolerance: 0.02,
		Test:  record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxSeconds: 3600},
		Prune: prune, Emulate: record.EmulateAuto, RateRequests: 100,
	}
}

// known is what a question may be told: the greatest objective that another cell is confirmed to hold.
func (t *tuning) known() float64 {
	if t.policy.Prune == record.PruneNone {
		return 0
	}
	return t.rival
}

// hint is where a cell without observations is looked at first: at the rate of the best one.
func (t *tuning) hint() float64 {
	if len(t.policy.Limits) == 0 {
		return 0
	}
	return t.score
}

// cells gives every cell a server, one after another: a cell knows of all before it, also where slots would have let them run
// side by side. Accelerator-seconds on many slots are therefore a little too small where cells are pruned.
func (t *tuning) cells(prune record.Prune) error {
	t.policy = t.vtunePolicy(prune)
	order := slices.Clone(t.scenario.Cells)
	slices.Reverse(order)
	var states []record.CellState
	for i, c := range order {
		if t.ruledOut(&states, c) {
			continue
		}
		s := &session{t: t, cell: c}
		if err := t.open(s, i == 0, c.ID); err != nil {
			return err
		}
		state, _, err := s.search(c, nil, t.hint(), false)
		if err != nil {
			return err
		}
		states = append(states, state)
		s.stop()
	}
	return nil
}

// candidate is a cell that a column's server found likely to win.
type candidate struct {
	cell     record.Cell
	observed []record.Observation
	hint     float64
	emulated bool
}

// columns lets one server answer for all cells of a max-num-batched-tokens, and gives those that could win one of their own.
func (t *tuning) columns(prune record.Prune) error {
	t.policy = t.vtunePolicy(prune)
	var states []record.CellState
	var candidates []candidate
	var before []int
	for i, col := range search.Columns(t.scenario.Cells) {
		if i > 0 && t.allRuledOut(&states, append([]record.Cell{col.Cell}, col.Emulates...)) {
			continue
		}
		s := &session{t: t, cell: col.Cell, explore: true}
		if err := t.open(s, i == 0, fmt.Sprintf("t%d", col.Cell.MaxNumBatchedTokens)); err != nil {
			return err
		}
		before = append(before, len(t.jobs)-1)
		var native []record.Observation
		for k, c := range append([]record.Cell{col.Cell}, col.Emulates...) {
			if s.server == nil {
				break
			}
			if t.ruledOut(&states, c) {
				continue
			}
			state, d, err := s.search(c, search.Transfer(native, c.MaxNumSeqs), t.hint(), k > 0)
			if err != nil {
				return err
			}
			states = append(states, state)
			if k == 0 {
				native = state.Observations
			}
			if d.Action == search.Own {
				candidates = append(candidates, candidate{c, state.Observations, d.Hint, k > 0})
				t.rival = max(t.rival, d.Hint)
			}
		}
		s.stop()
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.hint, a.hint) })
	t.rival = 0
	for _, c := range candidates {
		if d := search.Next(search.Question{Policy: t.policy, Observed: c.observed, Best: t.known(), Emulated: c.emulated, Explore: true}); d.Action == search.Leave {
			t.tracef("  %s needs no server any more: %s", c.cell.ID, d.Reason)
			continue
		}
		if err := t.confirm(c, &states, &before); err != nil {
			return err
		}
	}
	return nil
}

// confirm gives a candidate a server of its own.
func (t *tuning) confirm(c candidate, states *[]record.CellState, before *[]int) error {
	s := &session{t: t, cell: c.cell}
	s.job = t.job("confirm "+c.cell.ID, *before...)
	// Each is decided upon when the one before it is over.
	*before = []int{len(t.jobs) - 1}
	if err := s.up(); err != nil {
		return err
	}
	if err := s.warm(); err != nil {
		return err
	}
	known := c.observed
	if c.emulated {
		known = nil
	}
	state, _, err := s.search(c.cell, known, c.hint, false)
	if err != nil {
		return err
	}
	*states = append(*states, state)
	s.stop()
	return nil
}

// open starts a job's server; the first job begins with the probe and keeps its server.
func (t *tuning) open(s *session, first bool, name string) error {
	if first {
		s.job = t.job("probe and " + name)
		if err := t.probe(s); err != nil {
			return err
		}
		return s.warm()
	}
	s.job = t.job(name, 0)
	if err := s.up(); err != nil {
		return err
	}
	return s.warm()
}

// ruledOut asks the model about a cell that has no server yet, and records what it says.
func (t *tuning) ruledOut(states *[]record.CellState, c record.Cell) bool {
	if t.policy.Prune != record.PruneModel {
		return false
	}
	bound, reason, out := search.RuledOut(t.policy, *states, c)
	if out {
		t.tracef("  %s is ruled out below %.4g: %s", c.ID, bound, reason)
		*states = append(*states, record.CellState{Cell: c, WorkState: record.WorkState{Phase: record.WorkDone, Message: reason}, Left: true, Bound: bound})
	}
	return out
}

// allRuledOut is of a column: it needs a server as long as one of its cells could win.
func (t *tuning) allRuledOut(states *[]record.CellState, cells []record.Cell) bool {
	if t.policy.Prune != record.PruneModel {
		return false
	}
	for _, c := range cells {
		if _, _, out := search.RuledOut(t.policy, *states, c); !out {
			return false
		}
	}
	for _, c := range cells {
		t.ruledOut(states, c)
	}
	return true
}

// search is one cell's, on the session's server: its own, or one that emulates it.
func (s *session) search(c record.Cell, observed []record.Observation, hint float64, emulated bool) (record.CellState, search.Decision, error) {
	t := s.t
	for range mostLoads {
		d := search.Next(search.Question{Policy: t.policy, Observed: observed, Best: t.known(), Hint: hint, Emulated: emulated, Explore: s.explore})
		if d.Action != search.Try {
			return s.over(c, observed, emulated, d), d, nil
		}
		l := d.Load
		if emulated {
			l.LetIn = c.MaxNumSeqs
		}
		o, alive, err := s.measure(c, l, emulated)
		if err != nil {
			return record.CellState{}, d, err
		}
		if alive {
			observed = append(observed, o)
			continue
		}
		if !t.lower(s.cell) {
			d := search.Decision{Action: search.GiveUp, Cause: record.CauseOOM, Reason: "memory runs out under load at every utilization"}
			return s.over(c, observed, emulated, d), d, nil
		}
		if err := s.up(); err != nil {
			return record.CellState{}, d, err
		}
		if err := s.warm(); err != nil {
			return record.CellState{}, d, err
		}
	}
	t.result.Trouble = fmt.Sprintf("the search of %s does not end", c.ID)
	d := search.Decision{Action: search.GiveUp, Cause: record.CauseAgent, Reason: t.result.Trouble}
	return s.over(c, observed, emulated, d), d, nil
}

// over is a cell's state when its search has ended.
func (s *session) over(c record.Cell, observed []record.Observation, emulated bool, d search.Decision) record.CellState {
	t := s.t
	state := record.CellState{
		Cell: c, WorkState: record.WorkState{Phase: record.WorkDone, Cause: d.Cause, Message: d.Reason},
		Observations: observed, Emulated: emulated, Utilization: t.lowered[c.ID],
	}
	switch d.Action {
	case search.Accept:
		if emulated {
			t.result.Trouble = fmt.Sprintf("the emulated cell %s was accepted", c.ID)
			break
		}
		state.Accepted = d.Best
		rate := float64(d.Best.Load.Rate)
		if d.Best.Load.Rate.IsInf() {
			rate = d.Best.Metrics.RequestThroughput
		}
		t.rival = max(t.rival, search.Rival(*d.Best))
		// Whoever may be the winner is profiled while its server is up.
		if t.answer(c, rate, search.Objective(*d.Best)) {
			s.job.Spend(record.SpendProfile, world.BoundProfile)
		}
		t.tracef("    %s: accept %.4g", c.ID, search.Objective(*d.Best))
		return state
	case search.Leave:
		state.Left, state.Bound = true, d.Bound
	case search.GiveUp:
		if d.Cause != record.CauseNone {
			state.Phase = record.WorkFailed
		}
	}
	t.tracef("    %s: %s %s bound %.4g hint %.4g cause %q", c.ID, d.Action, d.Reason, d.Bound, d.Hint, d.Cause)
	return state
}

// warm sends one request, so that the first of a load is not the server's first.
func (s *session) warm() error {
	run, err := s.server.Run(world.Load{Due: load.Arrivals(load.Workload{Rate: math.Inf(1), Requests: 1})})
	s.job.Spend(record.SpendWaiting, run.Seconds)
	if died(err) {
		return nil // the load will find the same
	}
	return err
}

// measure makes one observation. alive is false when memory ran out.
func (s *session) measure(c record.Cell, l record.Load, emulated bool) (o record.Observation, alive bool, err error) {
	t := s.t
	n := t.number(c)
	seed := scenario.Hash(t.scenario.Seed, "run", c.ID, fmt.Sprint(n))
	o = record.Observation{
		Schema: record.Schema, Cell: c.ID, Attempt: 1, Seq: n, Load: l, Client: "vtune", Seed: int64(seed >> 1), Emulated: emulated, Complete: true,
	}
	rule := verdict.Of(t.policy, l)
	asked := 0
	var outcome verdict.Outcome
	ask := func(requests []verdict.Request, answered int, now float64) bool {
		// Of a test that looks after every answer, most looks would say the same again.
		if events := len(requests) + answered; events < asked+max(8, asked/25) {
			return false
		} else {
			asked = events
		}
		outcome = rule.Judge(requests, now, false)
		return outcome.Sure()
	}
	s.job.Runs++
	run, err := s.server.Run(world.Load{
		Due:   load.Arrivals(load.Workload{Rate: float64(l.Rate), Requests: l.Requests, Seed: seed}),
		LetIn: l.LetIn, MaxSeconds: t.policy.Test.MaxSeconds, Ask: ask,
	})
	s.job.Spend(record.SpendMeasured, run.Seconds)
	if died(err) {
		s.server = nil
		o.Verdict, o.Cause, o.Detail = record.Invalid, record.CauseOOM, errorText(err)
		t.note(o, run)
		return o, false, nil
	}
	if err != nil {
		return o, true, err
	}
	s.job.Spend(record.SpendWaiting, world.Drain)
	if !run.Early {
		outcome = rule.Judge(run.Requests, run.Seconds, true)
	}
	o.Verdict, o.Detail, o.Standings = outcome.Verdict, outcome.Reason, outcome.Standings
	o.Steady = &outcome.Steady
	o.Steady.Peak, o.Steady.Early, o.Steady.Reason = run.Peak, run.Early, outcome.Reason
	o.Metrics = world.Metrics(run, t.scenario.Workload)
	t.note(o, run)
	return o, true, nil
}
