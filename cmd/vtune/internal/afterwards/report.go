package afterwards

import (
	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/reading"
	"vtune/cmd/vtune/internal/telling"
)

func newReport(a *caller.Caller) *cobra.Command {
	var format, output string
	c := &cobra.Command{
		Use:   "report RUN",
		Short: "Write report.html anew, or print what a run found as text, markdown, json or csv",
		Long: `report says what a run found, also of one that goes on: which configuration wins, how sure that is, where the time went, and every load.
Without -o the page is RUN/report.html, and its path is printed; the other formats are printed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := reading.Open(c.Context(), a.World(), args[0])
			if err != nil {
				return err
			}
			return telling.Report(r, format, output, a.Out)
		},
	}
	c.Flags().StringVar(&format, "format", telling.HTML, "html, text, markdown, json or csv")
	c.Flags().StringVarP(&output, "output", "o", "", "file to write; - is stdout")
	return c
}
