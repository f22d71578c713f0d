// Package table adds up what methods came to, as text for a terminal and as the page that is committed.
package table

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vtune/cmd/bench-tuner/internal/contest"
	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/cmd/bench-tuner/internal/world"
	"vtune/internal/record"
	"vtune/internal/stat"
)

// Row is one scenario with its truth and all methods' results.
type Row struct {
	Scenario scenario.Scenario `json:"scenario"`
	Truth    world.Truth       `json:"truth"`
	Results  []contest.Result  `json:"results"`
}

// line is a method's summary over scenarios.
type line struct {
	method          string
	n               int
	seconds, ratio  [2]float64               // median and P95; the ratio is to the first method in the same scenario
	wall            [2]float64               // median ratio on 1 and 8 slots
	starts, runs    float64                  // medians
	regret          [2]float64               // median and P95 where there is something to find
	near            float64                  // share of those scenarios with at most 2 % regret
	wrong, answers  int                      // false accepts; scenarios with an answer and a limit
	reports, short  int                      // answers that report a throughput; of these, false accepts even at that rate
	spent           [len(activities)]float64 // shares of the time, the mean over scenarios
	found, feasible int
	trouble         int
}

func quantile(v []float64, p float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return stat.Percentile(s, p)
}

func both(v []float64) [2]float64 { return [2]float64{quantile(v, 50), quantile(v, 95)} }

// summarize lines up the methods over the rows that keep keeps.
func summarize(rows []Row, keep func(Row) bool) []line {
	var lines []line
	for m := range rows[0].Results {
		l := line{method: rows[0].Results[m].Method}
		var seconds, ratio, wall1, wall8, starts, runs, regret []float64
		near := 0
		for _, row := range rows {
			if !keep(row) {
				continue
			}
			l.n++
			r, base := row.Results[m], row.Results[0]
			seconds = append(seconds, r.Seconds)
			ratio = append(ratio, r.Seconds/base.Seconds)
			wall1, wall8 = append(wall1, r.Wall[0]/base.Wall[0]), append(wall8, r.Wall[1]/base.Wall[1])
			starts, runs = append(starts, float64(r.Starts)), append(runs, float64(r.Runs))
			if r.Feasible {
				l.feasible++
				regret = append(regret, r.Regret)
				if r.Regret <= goalRegret {
					near++
				}
				if r.Cell != "" {
					l.found++
				}
			}
			if r.Cell != "" && row.Scenario.LimitMS > 0 {
				l.answers++
				if r.False {
					l.wrong++
				}
				if r.Reported > 0 {
					l.reports++
				}
				if r.Reported > 0 && r.Short {
					l.short++
				}
			}
			for i, a := range activities {
				l.spent[i] += r.Ledger[a] * float64(row.Scenario.TP) / r.Seconds
			}
			if r.Trouble != "" {
				l.trouble++
			}
		}
		l.seconds, l.ratio, l.regret = both(seconds), both(ratio), both(regret)
		l.wall = [2]float64{quantile(wall1, 50), quantile(wall8, 50)}
		l.starts, l.runs = quantile(starts, 50), quantile(runs, 50)
		for i := range l.spent {
			l.spent[i] /= float64(l.n)
		}
		l.near = float64(near) / math.Max(1, float64(l.feasible))
		lines = append(lines, l)
	}
	return lines
}

func limited(r Row) bool   { return r.Scenario.LimitMS > 0 }
func unlimited(r Row) bool { return r.Scenario.LimitMS == 0 }

// activities of the second table; the rest are stops.
var activities = [...]string{record.SpendStarting, record.SpendMeasured, record.SpendClient, record.SpendWaiting, record.SpendProfile}

var head = []string{
	"method", "acc-s median", "P95", "ratio median", "P95", "wall 1 slot", "8 slots", "starts", "runs", "regret median", "P95", "<= 2 %",
	"false accepts", "found",
}

func (l line) cells() []string {
	wrong := "-"
	if l.answers > 0 {
		wrong = fmt.Sprintf("%d of %d (%s)", l.wrong, l.answers, percent(float64(l.wrong)/float64(l.answers)))
	}
	name := l.method
	if l.trouble > 0 {
		name += fmt.Sprintf(" (!%d)", l.trouble)
	}
	return []string{
		name, fmt.Sprintf("%.0f", l.seconds[0]), fmt.Sprintf("%.0f", l.seconds[1]), fmt.Sprintf("%.3f", l.ratio[0]), fmt.Sprintf("%.3f", l.ratio[1]),
		fmt.Sprintf("%.3f", l.wall[0]), fmt.Sprintf("%.3f", l.wall[1]), fmt.Sprintf("%.0f", l.starts), fmt.Sprintf("%.0f", l.runs),
		percent(l.regret[0]), percent(l.regret[1]), percent(l.near), wrong, fmt.Sprintf("%d of %d", l.found, l.feasible),
	}
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

// part is one of the tables, with its title, and what is to be said below it.
type part struct {
	title string
	grid  [][]string
	notes []string
}

func parts(rows []Row) []part {
	var ps []part
	for _, p := range []struct {
		title string
		keep  func(Row) bool
	}{{"with a limit on P99 E2EL", limited}, {"without a limit", unlimited}} {
		lines := linesOf(rows, p.keep)
		if len(lines) == 0 {
			continue
		}
		answers := part{title: fmt.Sprintf("%d scenarios %s", lines[0].n, p.title), grid: [][]string{head}}
		spent := part{title: "where the time goes " + p.title, grid: [][]string{append([]string{"method"}, activities[:]...)}}
		for _, l := range lines {
			answers.grid = append(answers.grid, l.cells())
			row := []string{l.method}
			for _, share := range l.spent {
				row = append(row, percent(share))
			}
			spent.grid = append(spent.grid, row)
			if l.reports > 0 {
				answers.notes = append(answers.notes, fmt.Sprintf("%s, judged at the throughput that its answer reports instead of its request rate: %d of %d are false accepts (%s).",
					l.method, l.short, l.reports, percent(float64(l.short)/float64(l.reports))))
			}
		}
		ps = append(ps, answers, spent)
	}
	return ps
}

// linesOf is empty where no row is kept.
func linesOf(rows []Row, keep func(Row) bool) []line {
	if !slices.ContainsFunc(rows, keep) {
		return nil
	}
	return summarize(rows, keep)
}

// Text is for a terminal.
func Text(rows []Row) string {
	var b strings.Builder
	for _, p := range parts(rows) {
		widths := make([]int, len(p.grid[0]))
		for _, g := range p.grid {
			for i, c := range g {
				widths[i] = max(widths[i], len(c))
			}
		}
		fmt.Fprintf(&b, "%s\n", p.title)
		for _, g := range p.grid {
			for i, c := range g {
				if i == 0 {
					fmt.Fprintf(&b, "  %-*s", widths[i], c)
				} else {
					fmt.Fprintf(&b, "  %*s", widths[i], c)
				}
			}
			b.WriteString("\n")
		}
		for _, n := range p.notes {
			fmt.Fprintf(&b, "  %s\n", n)
		}
		b.WriteString("\n")
	}
	for _, g := range Goals(rows) {
		fmt.Fprintf(&b, "%s\n", g)
	}
	return b.String()
}
