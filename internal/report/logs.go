package report

import (
	"fmt"
	"math"
	"path/filepath"

	"vtune/internal/record"
)

// Link is a name that auto_tune.sh gave a log, and the file of the run that holds it. Both are relative to the run.
type Link struct {
	Name   string
	Target string
}

// Logs are the script's names for the run's logs. The script writes over a log when it measures again, so the latest attempt's
// server and a load's last observation have the name; the others keep their own.
func Logs(st record.State) []Link {
	var links []Link
	add := func(target, format string, args ...any) {
		if filepath.IsLocal(target) { // a record cannot point out of its run
			links = append(links, Link{Name: fmt.Sprintf(format, args...), Target: target})
		}
	}
	for _, l := range probeLogs(st) {
		add(l.Target, "%s", l.Name)
	}
	for _, c := range st.Cells {
		add(serverLog(c.WorkState), "vllm_log_%d_%d.txt", c.MaxNumSeqs, c.MaxNumBatchedTokens)
		last := map[record.Rate]string{}
		var rates []record.Rate
		for _, o := range c.Observations {
			if o.LogFile == "" {
				continue
			}
			if _, seen := last[o.Load.Rate]; !seen {
				rates = append(rates, o.Load.Rate)
			}
			last[o.Load.Rate] = o.LogFile
		}
		if c.Accepted != nil && c.Accepted.LogFile != "" { // of several runs at one rate, the one that is the answer
			last[c.Accepted.Load.Rate] = c.Accepted.LogFile
		}
		for _, r := range rates {
			add(last[r], "bm_log_%d_%d_requestrate_%s.txt", c.MaxNumSeqs, c.MaxNumBatchedTokens, r)
		}
	}
	add(profileLog(st), "vllm_log_BEST_PROFILE.txt")
	if n := profiled(st.Profile); n > 0 && st.Best != nil {
		dir := record.Dir("").Attempt(record.KindProfile, "", n)
		add(dir.BenchLog(1, st.Best.Observation.Load.Rate), "bm_log_BEST_PROFILE.txt")
	}
	return links
}

func serverLog(w record.WorkState) string {
	log := ""
	for _, a := range w.Attempts {
		if a.ServerLog != "" {
			log = a.ServerLog
		}
	}
	return log
}

// profileLog is of the server that was profiled: where no job did that, it was the winner's own.
func profileLog(st record.State) string {
	if len(st.Profile.Attempts) > 0 || len(st.ProfileFiles) == 0 || st.Best == nil {
		return serverLog(st.Profile)
	}
	for _, c := range st.Cells {
		if c.Cell == st.Best.Cell {
			return serverLog(c.WorkState)
		}
	}
	return ""
}

// profiled is the attempt that put the profile's load on its server, or 0.
func profiled(w record.WorkState) int {
	n := 0
	for _, a := range w.Attempts {
		if a.Outcome == record.OutcomeDone || a.Observed > 0 {
			n = a.Attempt
		}
	}
	return n
}

// probeLogs are the servers that the probe started, each under its utilisation; the last start at a value has the name.
func probeLogs(st record.State) []Link {
	last := map[int]string{}
	for _, a := range st.Probe.Attempts {
		for _, start := range a.Starts {
			if start.LogFile != "" {
				last[int(math.Round(start.Utilization*100))] = start.LogFile
			}
		}
	}
	var links []Link
	for percent := 100; percent > 0; percent-- {
		if target, ok := last[percent]; ok {
			links = append(links, Link{Name: "vllm_log_gpu_memory_utilization_" + asBC(percent) + ".log", Target: target})
		}
	}
	return links
}

// asBC is a utilisation as it stands in the script's names: the first is written in the script, the others are what bc prints,
// which has no zero before the point.
func asBC(percent int) string {
	if percent == 98 {
		return "0.98"
	}
	return fmt.Sprintf(".%02d", percent)
}
