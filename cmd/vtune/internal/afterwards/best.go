// Package afterwards has the commands about runs that are over, whoever made them: they read, and start nothing.
package afterwards

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/winner"
	"vtune/internal/diag"
	"vtune/internal/fsx"
)

// Commands are all of them.
func Commands(a *caller.Caller) []*cobra.Command {
	return []*cobra.Command{newReport(a), newBest(a), newCompare(a), newImport(a)}
}

func newBest(a *caller.Caller) *cobra.Command {
	var r winner.Request
	c := &cobra.Command{
		Use:   "best RUN",
		Short: "The winner, ready to use: its command line, vLLM's config file, a job, a manifest",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if r.Output == "-" {
				r.Output = ""
			}
			text, err := winner.Text(c.Context(), a.World(), args[0], r)
			if err != nil {
				return err
			}
			if r.Output == "" {
				_, err = a.Out.Write(text)
				return err
			}
			perm := fs.FileMode(0o644)
			if r.Format == "sbatch" {
				perm = 0o755
			}
			if err := fsx.Deliver(r.Output, text, perm); err != nil {
				return diag.Wrap(err, diag.Usage, "name a file that can be written with -o")
			}
			fmt.Fprintln(a.Err, "wrote", r.Output)
			return nil
		},
	}
	c.Flags().StringVar(&r.Format, "format", "command", "one of "+strings.Join(winner.Formats(), ", "))
	c.Flags().StringVarP(&r.Output, "output", "o", "", "file to write; - is stdout, which is the default")
	c.Flags().StringVar(&r.Site, "site", "", "of --format sbatch: name or file of the site that serves (default: the run's own)")
	c.Flags().StringVar(&r.Image, "image", "", "of --format k8s: container image (default: of the version that was measured)")
	c.Flags().StringVar(&r.TemplateDir, "template-dir", "", "directory whose templates replace the run's of the same name")
	return c
}
