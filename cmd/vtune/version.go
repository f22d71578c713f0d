package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// version is set by the linker where Go itself cannot know it; see caller.Built.
var version string

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, as --version does",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.Out, "%s version %s\n", a.Program, a.Version)
			return err
		},
	}
}
