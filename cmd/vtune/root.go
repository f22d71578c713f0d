package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/afterwards"
	"vtune/cmd/vtune/internal/backstage"
	"vtune/internal/diag"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   a.Program,
		Short: "Tune vLLM servers on a cluster",
		Long: a.Program + ` finds the max-num-seqs and max-num-batched-tokens with which a vLLM server sustains the highest request rate
within your latency limits, as jobs on Slurm, on Cloud TPU or on this machine.

  ` + a.Program + ` init -o spec.yaml     a commented spec to start from
  ` + a.Program + ` run spec.yaml         submit, watch and sum up, for people at a terminal

RUN is a run's directory, or its gs:// URL, as submit prints it. stdout is the answer, stderr the conversation.

Exit codes:
` + exitTable(),
		Version:       a.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	inGroup(root, "Before a run:", newInit(a), newSite(a), newDoctor(a), newPlan(a), newRender(a), newSchema(a))
	inGroup(root, "Runs:", newSubmit(a), newCollect(a), newRun(a), newStatus(a), newRepeat(a), newCancel(a), newBatch(a))
	inGroup(root, "What came of them:", append(afterwards.Commands(&a.Caller), newVerify(a))...)
	root.AddCommand(newVersion(a))
	root.AddCommand(backstage.Commands(&a.Caller)...)
	a.note(root.Commands())
	return root
}

// inGroup adds commands under a title of their own in the help.
func inGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, c := range commands {
		c.GroupID = title
	}
	root.AddCommand(commands...)
}

// note makes commands say that their arguments were right.
func (a *app) note(commands []*cobra.Command) {
	for _, c := range commands {
		a.note(c.Commands())
		if run := c.RunE; run != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				a.understood = true
				return run(c, args)
			}
		}
	}
}

// misunderstood gives an error from before a command began its work, which is then about its arguments, the code and the hint of
// a usage error. cobra has several ways to find arguments wrong, and no common mark on their errors.
func (a *app) misunderstood(c *cobra.Command, err error) error {
	if err == nil || a.understood {
		return err
	}
	see := "see: " + c.CommandPath() + " --help"
	if what, near, ok := strings.Cut(err.Error(), "Did you mean this?"); ok {
		return diag.Wrap(errors.New(strings.TrimSpace(what)), diag.Usage, "did you mean "+strings.Join(strings.Fields(near), " or ")+"?", see)
	}
	if strings.Contains(err.Error(), " arg(s)") {
		return diag.Wrap(err, diag.Usage, "it is called: "+c.UseLine(), see)
	}
	return diag.Wrap(err, diag.Usage, see)
}

func exitTable() string {
	var b strings.Builder
	for _, r := range diag.ExitCodes() {
		fmt.Fprintf(&b, "  %3d  %s\n", r.Code, r.What)
	}
	return strings.TrimRight(b.String(), "\n")
}

var errInterrupted = errors.New("interrupted")
