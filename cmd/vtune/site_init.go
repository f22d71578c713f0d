package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/checkup"
	"vtune/internal/diag"
	"vtune/internal/spec/sites"
	"vtune/internal/spec/word"
	"vtune/internal/survey"
)

func newSiteInit(a *app) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Look at the cluster and write a commented site file for it",
		Long: `init asks Slurm for its partitions, nodes, accounts and limits, and writes what it found as a site file, with what must be
chosen in comments. NAME is the cluster's own by default; a spec names it as site.use. An existing file is never replaced.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cluster, err := checkup.Describe(c.Context(), a.World())
			if err != nil {
				return diag.Wrap(err, diag.Scheduler, "run this where Slurm's commands work, on a login node")
			}
			for _, p := range cluster.Problems {
				fmt.Fprintln(a.Err, "note:", caller.OneLine(p))
			}
			name := cluster.Name
			if len(args) > 0 {
				name = args[0]
			}
			if bad := word.FileName().Test(name); name == "" || bad != nil {
				return diag.Errorf(diag.Usage, "%q is not %s", name, word.FileName().Says)
			}
			page := survey.Page(cluster)
			if out == "-" {
				_, err := a.Out.Write(page)
				return err
			}
			if out == "" {
				out = filepath.Join(sites.FoldersOf(a.Env)[0], name+".yaml")
			}
			if err := createSite(out, page); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "wrote %s\nnext: look through it, and write into a spec:\n  scheduler: slurm\n  site: {use: %s}\n", out, name)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file to write; - is stdout (default: ~/.config/vtune/sites/NAME.yaml)")
	return c
}

func createSite(path string, page []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return diag.Wrap(err, diag.Usage, "name another file with -o")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return diag.Wrap(fmt.Errorf("%s exists", path), diag.Usage, "name another file with -o, or remove this one")
	}
	if err != nil {
		return diag.Wrap(err, diag.Usage, "name a file that can be written with -o")
	}
	_, err = f.Write(page)
	return errors.Join(err, f.Close())
}
