package main

import (
	"github.com/spf13/cobra"

	"vtune/internal/spec"
)

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the spec, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(spec.Schema())
			return err
		},
	}
}
