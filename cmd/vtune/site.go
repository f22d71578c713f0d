package main

import "github.com/spf13/cobra"

func newSite(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "Site files: what a cluster wants to be told, kept apart from specs",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSiteInit(a))
	return c
}
