package scripts

import (
	"fmt"
	"maps"
	"slices"

	"vtune/internal/record"
	"vtune/internal/shell"
	"vtune/internal/vllm"
	"vtune/jobs"
	"vtune/templates"
)

// Winner is how the winner's server is started, and what a job for it needs. There is a winner.
func (w *Writer) Winner(st record.State) (vllm.Serve, record.Resources) {
	j := jobs.Job(w.Spec, record.KindProfile, "", 1)
	utilization := st.Utilization
	for _, c := range st.Cells {
		if c.Cell == st.Best.Cell && c.Utilization > 0 {
			utilization = c.Utilization // what survived the load
		}
	}
	return vllm.Serve{Server: w.assignment(j, nil).Server, Cell: st.Best.Cell, Utilization: utilization}, j.Resources
}

// ServeCommand is the command line that serves the winner: what was measured, without what belongs to measuring (random
// weights, the loopback address, a throw-away port). Empty without a winner. Of several nodes it is the launch program's, which
// wants to be called in a job of as many.
func (w *Writer) ServeCommand(st record.State) (string, error) {
	if st.Best == nil {
		return "", nil
	}
	serve, r := w.Winner(st)
	argv := serve.Public()
	if len(serve.Server.Environment) > 0 {
		argv = append(settings(serve.Server.Environment), argv...)
	}
	command, err := shell.Command(argv)
	if err == nil && r.Nodes > 1 {
		command += fmt.Sprintf("  # in a job of %d nodes with %d GPUs each", r.Nodes, r.GPUs)
	}
	return command, err
}

// ServeJob is the script of a job that serves the winner at the run's site. The run's own directory has no part in it but for what
// only that holds: secrets, and the program that starts a server on several nodes.
func (w *Writer) ServeJob(st record.State, comments []string) ([]byte, error) {
	serve, r := w.Winner(st)
	v := templates.View{
		// Not a name of the run's jobs: what ends those must not end this.
		Run: w.Run.ID, Name: "serve-" + w.Run.ID, Site: w.Spec.Site, Resources: r, SignalLead: signalLead(r.Seconds), System: w.Spec.System, SecretNames: w.Spec.Server.Secrets,
		Folders: folders(w.Spec), Serve: serve.Public(), Comments: comments,
	}
	if len(serve.Server.Environment) > 0 {
		v.Serve = append(settings(serve.Server.Environment), v.Serve...)
	}
	if len(w.Spec.Server.Secrets) > 0 {
		v.Secrets = w.Dir.Secrets()
	}
	return w.Templates.Render(templates.SlurmServe, v)
}

// settings is the start of a command line that sets variables for one command.
func settings(environment map[string]string) []string {
	argv := []string{"env"}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		argv = append(argv, name+"="+environment[name])
	}
	return argv
}
