package report

import (
	"encoding/json"
	"strings"
	"testing"

	"vtune/internal/record"
)

// slowNode is a run with one cell that a slow and hot node measured.
func slowNode() record.State {
	return record.State{
		Phase: record.PhaseOver, Warnings: []string{"n3 is 23 % slower than the run's other nodes"},
		Nodes: []record.NodeState{{Node: "n3", GPUs: []string{"2 x NVIDIA H200"}, Checks: 2, TPOT: 41, Slow: 0.23}},
		Cells: []record.CellState{{Cell: record.Cell{ID: "s8-t512"}, WorkState: record.WorkState{Phase: record.WorkDone, Attempts: []record.AttemptState{
			{Job: "s8-t512-1", Node: "n3", Slow: 0.23, Throttled: []string{record.ThrottlePowerBrake}},
		}}}},
	}
}

func TestAMarkedNodeShowsInEveryReport(t *testing.T) {
	st := slowNode()
	if r := Rows(st)[0]; r.Node != "n3 (23 % slow) (throttled)" {
		t.Errorf("row %q", r.Node)
	}
	if text := Summary(record.Run{}, st, "dir", ""); !strings.Contains(text, "warning  n3 is 23 % slower than the run's other nodes\n") {
		t.Errorf("summary\n%s", text)
	}
	data, err := ResultJSON(record.Run{}, st)
	if err != nil {
		t.Fatal(err)
	}
	var d Document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Nodes) != 1 || d.Nodes[0].Slow != 0.23 || d.Cells[0].Attempts[0].Slow != 0.23 || len(d.Warnings) != 1 {
		t.Errorf("result.json\n%s", data)
	}
}

func TestANodeWithoutAMarkIsItsName(t *testing.T) {
	st := slowNode()
	st.Cells[0].Attempts[0] = record.AttemptState{Node: "n1"}
	if r := Rows(st)[0]; r.Node != "n1" {
		t.Errorf("row %q", r.Node)
	}
}
