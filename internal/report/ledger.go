package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vtune/internal/record"
)

// spending is a line of the ledger for people: one activity, or several that are all idling.
type spending struct {
	name       string
	activities []string
}

// spendings are in the order in which they happen. What a newer agent spends time on comes last, under its own name.
func spendings(l record.Ledger) []spending {
	all := []spending{
		{"starting", []string{record.SpendStarting}},
		{"under load", []string{record.SpendMeasured}},
		{"draining", []string{record.SpendDraining}},
		{"idle", []string{record.SpendClient, record.SpendCheck, record.SpendWaiting, record.SpendOther}},
		{"profile", []string{record.SpendProfile}},
		{"stopping", []string{record.SpendStopping}},
	}
	known := map[string]bool{}
	for _, s := range all {
		for _, a := range s.activities {
			known[a] = true
		}
	}
	for _, a := range slices.Sorted(maps.Keys(l)) {
		if !known[a] {
			all = append(all, spending{oneLine(a), []string{a}})
		}
	}
	return slices.DeleteFunc(all, func(s spending) bool { return spent(l, s.activities...) <= 0 })
}

func spent(l record.Ledger, activities ...string) float64 {
	sum := 0.0
	for _, a := range activities {
		sum += max(l[a], 0)
	}
	return sum
}

// underLoad is the share of the time in which servers were ready that they were under load; 0 where none was ready.
func underLoad(l record.Ledger) float64 {
	ready := spent(l, record.SpendMeasured, record.SpendDraining, record.SpendClient, record.SpendCheck, record.SpendWaiting, record.SpendOther)
	if ready <= 0 {
		return 0
	}
	return spent(l, record.SpendMeasured) / ready
}

func (s *summary) ledger(st record.State) {
	lines := spendings(st.Ledger)
	total := 0.0
	for _, l := range lines {
		total += spent(st.Ledger, l.activities...)
	}
	each, unit := 1.0, "s in jobs"
	if st.Accelerators > 0 {
		each, unit = float64(st.Accelerators), "accelerator-seconds"
	}
	if each*total < 0.05 { // shown as 0.0
		return
	}
	s.line("time", "%.1f %s, %.1f %% of them under load", each*total, unit, 100*spent(st.Ledger, record.SpendMeasured)/total)
	for _, l := range lines {
		seconds := spent(st.Ledger, l.activities...)
		s.line("", "%s", strings.TrimRight(fmt.Sprintf("%-16s%10.1f s%6.1f %%%s", l.name, each*seconds, 100*seconds/total, parts(st.Ledger, l, each)), " "))
	}
	if share := underLoad(st.Ledger); share > 0 {
		s.line("", "of the time in which a server was ready, %.1f %% was under load", 100*share)
	}
}

// parts says what a line of several activities is made of.
func parts(l record.Ledger, line spending, each float64) string {
	if len(line.activities) == 1 {
		return ""
	}
	var words []string
	for _, a := range line.activities {
		if l[a] > 0 {
			words = append(words, fmt.Sprintf("%s %.1f s", a, each*l[a]))
		}
	}
	return "  (" + strings.Join(words, ", ") + ")"
}
