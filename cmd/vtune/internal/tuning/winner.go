package tuning

import (
	"vtune/internal/record"
	"vtune/internal/shell"
	"vtune/internal/vllm"
)

// ServeCommand is the command line that serves the winner: what was measured, without what belongs to measuring (random
// weights, the loopback address, a throw-away port). Empty without a winner.
func (t *Tuning) ServeCommand(st record.State) (string, error) {
	if st.Best == nil {
		return "", nil
	}
	a := t.assignment(record.Job{Kind: record.KindProfile, Attempt: 1}, nil)
	utilization := st.Utilization
	for _, c := range st.Cells {
		if c.Cell == st.Best.Cell && c.Utilization > 0 {
			utilization = c.Utilization // what survived the load
		}
	}
	argv := vllm.Serve{Server: a.Server, Cell: st.Best.Cell, Utilization: utilization}.Public()
	if len(a.Server.Environment) > 0 {
		argv = append(settings(a.Server.Environment), argv...)
	}
	return shell.Command(argv)
}
