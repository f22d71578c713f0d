package contest

import (
	"math"

	"vtune/cmd/bench-tuner/internal/world"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/search"
)

// Requests of the script's runs.
const (
	burst  = 1000
	finite = 100
)

// autoTune is auto_tune.sh: a probe, a server for every cell, integer rates from the top, a profile.
func (t *tuning) autoTune() error {
	t.policy = record.Policy{Method: search.AutoTune, LimitMS: t.scenario.LimitMS, InfRequests: burst, RateRequests: finite}
	return t.script(func(s *session) error {
		var observed []record.Observation
		for {
			d := search.Next(search.Question{Policy: t.policy, Observed: observed})
			switch d.Action {
			case search.Try:
				if s.server == nil {
					// The script goes on with a dead server; what its client says then is no observation.
					t.tracef("    %s: the server is gone", s.cell.ID)
					return nil
				}
				o, err := s.bench(d.Load)
				if err != nil {
					return err
				}
				observed = append(observed, o)
			case search.Accept:
				rate := float64(d.Best.Load.Rate)
				if d.Best.Load.Rate.IsInf() {
					// The burst says that so many a second come out, not that they may come in for ever.
					rate = d.Best.Metrics.RequestThroughput
				}
				t.report(s.cell, rate, d.Best.Metrics.RequestThroughput)
				return nil
			default:
				return nil
			}
		}
	})
}

// report takes the cell with the greatest throughput for the answer.
func (t *tuning) report(c record.Cell, rate, throughput float64) {
	if t.answer(c, rate, throughput) {
		t.result.Reported = throughput
	}
}

// script is what auto_tune.sh and its like do around the search of a cell.
func (t *tuning) script(cell func(*session) error) error {
	probe := &session{t: t, job: t.job("probe"), cell: t.scenario.Largest(), polled: true}
	if err := t.probe(probe); err != nil {
		return err
	}
	probe.stop()
	var all []int
	for i, c := range t.scenario.Cells {
		s := &session{t: t, job: t.job(c.ID, 0), cell: c, polled: true}
		all = append(all, i+1)
		boot, err := s.start(t.util)
		if err != nil {
			return err
		}
		if boot.Err == nil {
			if err := cell(s); err != nil {
				return err
			}
		}
		// The server stops meanwhile.
		s.job.Spend(record.SpendWaiting, world.SleepAfter)
	}
	if t.result.Cell == "" {
		return nil
	}
	s := &session{t: t, job: t.job("profile", all...), polled: true}
	for _, c := range t.scenario.Cells {
		if c.ID == t.result.Cell {
			s.cell = c
		}
	}
	if boot, err := s.start(t.util); err != nil || boot.Err != nil {
		return err
	}
	if _, err := s.bench(record.Load{Rate: record.Rate(t.result.Rate), Requests: finite}); err != nil {
		return err
	}
	s.job.Spend(record.SpendProfile, world.TraceWriting)
	s.stop()
	return nil
}

// bench is a run of `vllm bench serve`: always the same seed, arrivals stretched to end on time.
func (s *session) bench(l record.Load) (record.Observation, error) {
	t := s.t
	o := record.Observation{Cell: s.cell.ID, Attempt: 1, Seq: t.number(s.cell), Load: l, Client: "vllm", Complete: true}
	if !l.Rate.IsInf() {
		s.job.Spend(record.SpendWaiting, world.SleepBefore)
	}
	s.job.Runs++
	s.job.Spend(record.SpendClient, world.ClientStart+world.Prompts(l.Requests))
	run, err := s.server.Run(world.Load{Due: load.Arrivals(load.Workload{Rate: float64(l.Rate), Requests: l.Requests, Rescale: true})})
	s.job.Spend(record.SpendMeasured, run.Seconds)
	switch {
	case died(err):
		s.server = nil
		o.Verdict, o.Cause, o.Detail = record.Invalid, record.CauseOOM, errorText(err)
	case err != nil:
		return o, err
	default:
		o.Metrics = world.Metrics(run, t.scenario.Workload)
		o.Verdict, o.Cause, o.Detail = search.Judge(t.policy, o.Metrics, l.Requests)
	}
	t.note(o, run)
	return o, nil
}

// Of the method doubling.
const (
	doublingRequests = 300
	doublingGrain    = 0.05 // where the bisection ends
	doublingLowest   = 0.05 // requests/s, below which it gives up
)

// doubling is what tuners beside the script do: rates doubled until the limit is missed, then bisected.
func (t *tuning) doubling() error {
	t.policy = record.Policy{Method: search.AutoTune, LimitMS: t.scenario.LimitMS}
	return t.script(func(s *session) error {
		// try reports the throughput; met is false also when the server died.
		try := func(rate float64) (throughput float64, met bool, err error) {
			if s.server == nil {
				return 0, false, nil
			}
			o, err := s.bench(record.Load{Rate: record.Rate(rate), Requests: doublingRequests})
			if err != nil || o.Verdict != record.Pass {
				return o.Metrics.RequestThroughput, false, err
			}
			chosen := rate
			if o.Load.Rate.IsInf() {
				chosen = o.Metrics.RequestThroughput
			}
			t.report(s.cell, chosen, o.Metrics.RequestThroughput)
			return o.Metrics.RequestThroughput, true, nil
		}
		if t.scenario.LimitMS == 0 {
			_, _, err := try(math.Inf(1))
			return err
		}
		low, high := 0.0, 1.0
		for {
			throughput, met, err := try(high)
			if err != nil {
				return err
			}
			if !met {
				break
			}
			// A server that takes half of what is offered is full: no rate asks more of it.
			if low = high; throughput < high/2 {
				return nil
			}
			high *= 2
		}
		for high-low > doublingGrain*high && high > doublingLowest && s.server != nil {
			middle := (low + high) / 2
			_, met, err := try(middle)
			if err != nil {
				return err
			}
			if met {
				low = middle
			} else {
				high = middle
			}
		}
		return nil
	})
}
