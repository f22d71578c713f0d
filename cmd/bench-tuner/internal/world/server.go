// Package world is a scenario's machine in virtual time: what starts, loads and stops cost in accelerator-seconds, what a load's
// requests live through, and what the truth is.
package world

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/internal/record"
	"vtune/internal/sim"
	"vtune/internal/sim/uniform"
	"vtune/internal/verdict"
)

// Site is where one tuning runs. Its servers share a compile cache.
type Site struct {
	Scenario scenario.Scenario
	compiled map[string]bool
	starts   map[string]int
}

// NewSite has compiled nothing yet.
func NewSite(s scenario.Scenario) *Site {
	return &Site{Scenario: s, compiled: map[string]bool{}, starts: map[string]int{}}
}

// Server is one that is up.
type Server struct {
	Cell        record.Cell
	Utilization float64
	engine      *uniform.Engine
	output      int // tokens of an answer
}

// Boot is what a start came to.
type Boot struct {
	Seconds float64 // from spawn to the first healthy answer, or to the end of the process
	Cold    bool    // it compiled
	Err     error   // memory did not suffice
}

// Start starts a server. The server is nil where Boot.Err is set; another error is the benchmark's own.
func (s *Site) Start(c record.Cell, utilization float64) (*Server, Boot, error) {
	s.starts[c.ID]++
	// By cell and number, so that all methods meet the same deviations.
	config := s.Scenario.Config(c, utilization, scenario.Hash(s.Scenario.Seed, c.ID, fmt.Sprint(s.starts[c.ID])))
	key := sim.CompileKey(config)
	times := sim.StartTimes(config, s.compiled[key], true)
	engine, err := uniform.New(config, s.Scenario.Shape())
	var failed *sim.StartError
	switch {
	case errors.As(err, &failed) && failed.Memory:
		spent := times.Imports + times.Process
		if failed.Late {
			spent += times.Weights + times.Profiling
		}
		return nil, Boot{Seconds: spent.Seconds(), Err: err}, nil
	case err != nil:
		return nil, Boot{}, fmt.Errorf("starting %s: %w", c.ID, err)
	}
	cold := !s.compiled[key]
	s.compiled[key] = true
	return &Server{Cell: c, Utilization: utilization, engine: engine, output: s.Scenario.Workload.OutputLen}, Boot{Seconds: times.Total().Seconds(), Cold: cold}, nil
}

// Load is what a client sends: a request at each time of Due.
type Load struct {
	Due        []time.Duration
	LetIn      int     // requests that the client lets into the server at once, first come first served; 0: all
	MaxSeconds float64 // nothing is sent later than this, and of requests that were all due at once the rest is given up; 0: no bound
	// Ask is told, after every step, of the requests that are due by now and how many of them are answered; true ends the load.
	Ask func(requests []verdict.Request, answered int, now float64) bool
	// Each is told of every answer, and true ends the load.
	Each func(r verdict.Request) bool
	// Memory for Run.Requests, which is good until it is used again.
	Memory []verdict.Request
}

// Run is what became of a load.
type Run struct {
	Requests []verdict.Request // that were due before its end
	Seconds  float64           // to the last answer, or to where it was ended
	Peak     int               // most in the server at once
	Early    bool              // ended by Ask
}

// Run offers a load and leaves the server empty. The error is a *sim.StartError when memory ran out: then Run says only how long
// it took, and the server is dead.
func (s *Server) Run(l Load) (Run, error) {
	e := s.engine
	defer e.Clear()
	start := e.Now()
	end := time.Duration(math.MaxInt64)
	if l.MaxSeconds > 0 {
		end = time.Duration(l.MaxSeconds * float64(time.Second))
	}
	n := len(l.Due)
	atOnce := n == 0 || l.Due[n-1] == 0
	for n > 0 && l.Due[n-1] > end {
		n--
	}
	room := l.LetIn
	if room == 0 {
		room = math.MaxInt
	}
	run := Run{Requests: slices.Grow(l.Memory[:0], n)}
	due, sent, answered := 0, 0, 0
	arrive := func() {
		run.Requests = append(run.Requests, verdict.Request{Due: l.Due[due].Seconds()})
		due++
	}
	for {
		now := e.Now() - start
		for due < n && l.Due[due] <= now {
			arrive()
		}
		run.Seconds = now.Seconds()
		if l.Ask != nil && l.Ask(run.Requests, answered, run.Seconds) {
			run.Early = true
			return run, nil
		}
		if answered == n || atOnce && now > end {
			return run, nil
		}
		if answered == due {
			arrive() // nothing is left to do: the engine goes on with the next arrival
		}
		for ; sent < due && sent-answered < room; sent++ {
			e.Submit(start + max(l.Due[sent], now))
			run.Peak = max(run.Peak, sent+1-answered)
		}
		until := time.Duration(math.MaxInt64)
		if due < n {
			until = start + l.Due[due]
		}
		p, err := e.Step(until)
		if err != nil {
			run.Seconds = (e.Now() - start).Seconds()
			return run, err
		}
		at := (p.End - start).Seconds()
		for _, id := range p.First {
			run.Requests[id].TTFT = (at - run.Requests[id].Due) * 1e3
		}
		for _, id := range p.Last {
			r := &run.Requests[id]
			r.End, r.E2EL = at, (at-r.Due)*1e3
			if output := s.output; output > 1 {
				r.TPOT = (r.E2EL - r.TTFT) / float64(output-1)
			}
			answered++
			if l.Each != nil && l.Each(*r) {
				run.Seconds, run.Early = at, true
				return run, nil
			}
		}
	}
}
