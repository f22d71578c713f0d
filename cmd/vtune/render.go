package main

import (
	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/tuning"
)

func newRender(a *app) *cobra.Command {
	var r tuning.Request
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "render SPEC -o DIR",
		Short: "Write every script and assignment into a directory; nothing is submitted",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r.SpecFile = args[0]
			return a.render(r, out, asJSON)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "directory to write to (made if it is not there)")
	c.Flags().StringVar(&r.TemplateDir, "template-dir", "", "directory whose templates replace the built-in ones of the same name")
	c.Flags().BoolVar(&asJSON, "json", false, "print the directory as JSON")
	_ = c.MarkFlagRequired("output") // fails only for a flag that does not exist
	return c
}
