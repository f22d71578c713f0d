package scripts

import (
	"fmt"
	"maps"
	"slices"
	"vtune/internal/record"
	"vtune/internal/shell"
	"vtune/internal/vllm"
	"vtune/jobs"
)

// ServeCommand is the command line that serves the winner: what was measured, without what belongs to measuring (random
// weights, the loopback address, a throw-away port). Empty without a winner. Of several nodes it is the launch program's, which
// wants to be called in a job of as many.
func (w *Writer) ServeCommand(st record.State) (string, error) {
	if st.Best == nil {
		return "", nil
	}
	j := jobs.Job(w.Spec, record.KindProfile, "", 1)
	a := w.assignment(j, nil)
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
	command, err := shell.Command(argv)
	if r := j.Resources; err == nil && r.Nodes > 1 {
		command += fmt.Sprintf("  # in a job of %d nodes with %d GPUs each", r.Nodes, r.GPUs)
	}
	return command, err
}

// settings is the start of a command line that sets variables for one command.
func settings(environment map[string]string) []string {
	argv := []string{"env"}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		argv = append(argv, name+"="+environment[name])
	}
	return argv
}
