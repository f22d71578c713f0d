package afterwards

import (
	"fmt"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/importing"
	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
)

func newImport(a *caller.Caller) *cobra.Command {
	r := importing.Request{Program: a.Program, Version: a.Version, User: tuning.UserName()}
	c := &cobra.Command{
		Use:   "import DIR",
		Short: "Make a run of results that auto_tune.sh or vllm bench serve left, for report and compare",
		Long: `import reads a result folder of auto_tune.sh (result.txt, bm_log_*, vllm_log_*), or a folder of results that vllm bench serve or
vllm bench sweep saved as JSON. DIR stays as it is; the run stands beside it. Where logs and result.txt contradict each other, the logs
count, and it says so. What no file tells is asked for by flags.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Dir, r.Zone, r.Step = args[0], a.Now().Location(), screen.NewCounter(a.Err, a.Now, "", 0).Progress
			imported, err := importing.Import(c.Context(), r)
			if err != nil {
				return err
			}
			imported.Explain(a.Err)
			_, err = fmt.Fprintln(a.Out, imported.Dir)
			return err
		},
	}
	f, w := c.Flags(), &r.Wish
	f.StringVarP(&r.Out, "output", "o", "", "the run's directory, which must not exist (default DIR-imported)")
	f.StringVar(&w.Model, "model", "", "the model, where it is not to be as the files say")
	f.StringVar(&w.System, "system", "", "GPU, TPU or CPU")
	f.IntVar(&w.TensorParallel, "tensor-parallel", 0, "accelerators that a server took")
	f.IntVar(&w.MaxModelLen, "max-model-len", 0, "tokens")
	f.IntVar(&w.InputLen, "input-len", 0, "tokens in, with the shared prefix")
	f.IntVar(&w.OutputLen, "output-len", 0, "tokens out")
	f.IntVar(&w.MaxNumSeqs, "max-num-seqs", 0, "of results that do not tell it")
	f.IntVar(&w.MaxNumBatchedTokens, "max-num-batched-tokens", 0, "of results that do not tell it")
	f.Float64Var(&w.LimitMS, "p99-e2el-ms", 0, "limit on P99 E2EL, where no file tells it")
	return c
}
