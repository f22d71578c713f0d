package report

import (
	"slices"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Document is result.json: everything that is known about a run. Its parts are the records themselves, under the names that
// they have on disk; Units says what their numbers are counted in. It is a function of the run's directory alone, so it holds
// no time of its own, and the same directory gives the same bytes.
type Document struct {
	Schema        int                `json:"schema"`
	Run           record.Run         `json:"run"` // with vtune's version and the sums of the spec and of the agent
	Phase         record.Phase       `json:"phase"`
	Over          bool               `json:"over"` // nothing will be added
	ServerVersion string             `json:"server_version,omitempty"`
	Simulated     bool               `json:"simulated"` // the server says that it is a simulation
	Units         Units              `json:"units"`
	Policy        record.Policy      `json:"policy"`
	Utilization   float64            `json:"gpu_memory_utilization,omitempty"` // the probe's answer
	Best          *record.Best       `json:"best"`                             // null: nothing was accepted (so far)
	Cells         []CellDocument     `json:"cells"`                            // grid order
	Probe         record.WorkState   `json:"probe"`
	Profile       ProfileDocument    `json:"profile"`
	Ledger        record.Ledger      `json:"ledger_s,omitempty"` // where the time of all attempts went
	Accelerators  int                `json:"accelerators,omitempty"`
	UnderLoad     float64            `json:"share_under_load,omitempty"` // of the time in which servers were ready, 0 to 1
	Nodes         []record.NodeState `json:"nodes,omitempty"`
	Packed        []record.Beside    `json:"packed,omitempty"` // what cells lost by sharing their node
	Warnings      []string           `json:"warnings,omitempty"`
}

// CellDocument is one cell with all of its observations, valid and invalid.
type CellDocument struct {
	record.CellState
	Answer Answer `json:"answer"`
}

// ProfileDocument is the profile of the best cell.
type ProfileDocument struct {
	record.WorkState
	Files []string `json:"files,omitempty"` // relative to the run
}

// Answer is what a run says about a cell.
type Answer string

const (
	AnswerAccepted Answer = "accepted" // meets the limit at the accepted observation's rate
	AnswerMissed   Answer = "missed"   // misses the limit at every rate
	AnswerUnsure   Answer = "unsure"   // no rate could be shown to hold the limit within the budget, nor that none does
	AnswerLeft     Answer = "left"     // not measured to its end, because it cannot win: it stays below its bound
	AnswerFailed   Answer = "failed"   // there is no answer, for the cell's cause
	AnswerSkipped  Answer = "skipped"  // rightly not tried
	AnswerOpen     Answer = "open"     // not known yet
)

// answerOf goes by the phase first: what was accepted is an answer only when the cell is final.
func answerOf(c record.CellState, p record.Policy) Answer {
	switch {
	case c.Phase == record.WorkDone && c.Accepted != nil:
		return AnswerAccepted
	case c.Left && c.Phase.Final():
		return AnswerLeft
	case c.Phase == record.WorkDone && len(p.SLOs()) > 0 && slices.ContainsFunc(c.Observations, unsure):
		return AnswerUnsure
	case c.Phase == record.WorkDone && len(p.SLOs()) > 0:
		return AnswerMissed
	case c.Phase == record.WorkDone, c.Phase == record.WorkFailed:
		return AnswerFailed
	case c.Phase == record.WorkSkipped:
		return AnswerSkipped
	}
	return AnswerOpen
}

// unsure is a run that could have been an answer, and ended before its verdict was sure.
func unsure(o record.Observation) bool {
	return o.Verdict == record.Unsure && (o.Load.Purpose == record.Confirm || o.Load.Purpose == record.Verify)
}

// Units of the numbers whose names do not bear it (as ttft_ms and duration_s do), by those names.
type Units struct {
	RequestRate       string `json:"request_rate"`
	RequestThroughput string `json:"request_throughput"`
	RequestGoodput    string `json:"request_goodput"`
	OutputThroughput  string `json:"output_throughput"`
	Seconds           string `json:"seconds"`
	Share             string `json:"share"`
	Bound             string `json:"bound"`
	Utilization       string `json:"gpu_memory_utilization"`
}

// ResultJSON is result.json, a Document. It fails only on numbers that JSON does not have, which no record can hold.
func ResultJSON(run record.Run, st record.State) ([]byte, error) {
	d := Document{
		Schema: record.Schema, Run: run, Phase: st.Phase, Over: st.Phase.Over(),
		ServerVersion: st.ServerVersion, Simulated: Simulated(st.ServerVersion),
		Units: Units{
			RequestRate: "requests/s, or inf for all at once", RequestThroughput: "requests/s", RequestGoodput: "requests/s",
			OutputThroughput: "tokens/s", Seconds: "s", Share: "of requests (of ITL: of gaps) beyond a limit, 0 to 1",
			Bound: "requests/s, which a cell that was left does not reach", Utilization: "share of the accelerator's memory, 0 to 1",
		},
		Policy: st.Policy, Utilization: st.Utilization, Best: st.Best, Cells: []CellDocument{},
		Probe: st.Probe, Profile: ProfileDocument{st.Profile, st.ProfileFiles}, Ledger: st.Ledger,
		Accelerators: st.Accelerators, UnderLoad: underLoad(st.Ledger), Nodes: st.Nodes, Packed: st.Packed, Warnings: st.Warnings,
	}
	for _, c := range st.Cells {
		d.Cells = append(d.Cells, CellDocument{c, answerOf(c, st.Policy)})
	}
	return fsx.JSON(d)
}
