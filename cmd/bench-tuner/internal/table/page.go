package table

import (
	"fmt"
	"strings"

	"vtune/cmd/bench-tuner/internal/contest"
)

// Page is the committed one. It holds nothing that another run of the same command would not say again.
func Page(rows []Row, command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The tuner's own benchmark\n\n    %s\n\n%s", command, about)
	for _, p := range parts(rows) {
		fmt.Fprintf(&b, "\n## %s\n\n", strings.ToUpper(p.title[:1])+p.title[1:])
		for i, g := range p.grid {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(g, " | "))
			if i == 0 {
				fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(g)))
			}
		}
		for _, n := range p.notes {
			fmt.Fprintf(&b, "\n%s\n", n)
		}
	}
	b.WriteString("\n## Goals\n\n")
	for _, g := range Goals(rows) {
		fmt.Fprintf(&b, "    %s\n", g)
	}
	return b.String()
}

const about = `Methods of tuning against simulated vLLM servers (internal/sim), in virtual time and with the truth known. A scenario is a
machine, a model, a workload, a limit and a grid of max-num-seqs x max-num-batched-tokens, drawn from the seed. Steps take
2 % more or less by chance; a server's start has a pace of its own.

* auto_tune: the script's procedure. doubling: rates doubled from 1 req/s until the limit is missed, then bisected to 5 %, 300 prompts
  each with the vllm client; otherwise as the script. columns and cells: vtune's two shapes, with its three ways of pruning; they ask
  internal/search and internal/verdict what the agent and the collector ask. Where cells are pruned, each knows of all before
  it, also where slots would have let them run side by side: on 8 slots the true cost is a little higher.
* acc-s: accelerator-seconds, over all jobs from a server's start to its stop, times its GPUs. Times are those of a real
  server on an H200: starts with a cold or warm compile cache, client start-up, sleeps of the script, load with its drain, writing traces.
* ratio, wall: to auto_tune's in the same scenario. Wall clock on so many slots for servers, jobs in their order.
* Truth of a cell under a limit: the highest rate at which at most 1 % of 30,000 requests are beyond the limit and the queue does not grow, on a
  server without a pace of its own; that of the best cell is known to 0.4 %, those near it are placed to 0.8 %. Without a limit: the
  saturated throughput.
* regret: how far below the best truth the answer is, where its rate counts up to what its cell truly holds; 100 % without an answer.
* false accepts: of the answers, those with more than 1.5 % of 30,000 requests beyond the limit at the rate of the answer. A burst that
  auto_tune accepts stands for the throughput that it reports.
* found: scenarios with an answer, of those in which a cell holds any rate.
`

// Trace is everything about one scenario, for the eye.
func Trace(r Row) string {
	var b strings.Builder
	s := r.Scenario
	fmt.Fprintf(&b, "scenario %s  %s %s tp%d  in %d out %d hit %d%%  %s limit %.0f ms (unloaded %.0f)  saturated %.3g/s  held %.1f GiB\n", s.ID, s.Hardware, s.Model,
		s.TP, s.Workload.InputLen, s.Workload.OutputLen, s.Workload.CacheHitPct, s.Kind, s.LimitMS, s.UnloadedMS, s.Saturated, s.HeldGiB)
	fmt.Fprintf(&b, "  truth: best %.4g on %s; of each cell / saturated:", r.Truth.Best, r.Truth.Cell)
	for _, c := range s.Cells {
		fmt.Fprintf(&b, " %s=%.4g/%.4g", c.ID, r.Truth.Cells[c.ID], r.Truth.Saturated[c.ID])
	}
	b.WriteString("\n")
	for _, m := range r.Results {
		fmt.Fprintf(&b, " %s\n%s\n", m.Method, strings.Join(m.Trace, "\n"))
		fmt.Fprintf(&b, "  = %s\n", verdictOn(m))
	}
	b.WriteString("\n")
	return b.String()
}

func verdictOn(m contest.Result) string {
	answer := "no answer"
	if m.Cell != "" {
		answer = fmt.Sprintf("%s at %.4g, regret %.1f %%, %.2f %% beyond the limit in the long run", m.Cell, m.Rate, 100*m.Regret, 100*m.Share)
	}
	if m.False {
		answer += ", FALSE ACCEPT"
	}
	if m.Trouble != "" {
		answer += ", TROUBLE: " + m.Trouble
	}
	return fmt.Sprintf("%s; %.0f accelerator-seconds, wall %.0f s and %.0f s, %d starts, %d runs", answer, m.Seconds, m.Wall[0], m.Wall[1], m.Starts, m.Runs)
}
