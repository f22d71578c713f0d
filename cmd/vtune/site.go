package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vtune/internal/diag"
	"vtune/internal/spec"
	"vtune/internal/spec/sites"
)

func newSite(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "Site files: what a cluster wants to be told, under a name that specs use",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSiteList(a), newSiteShow(a), newSiteInit(a))
	return c
}

// listed is a site file as site list and site show give it to programs.
type listed struct {
	sites.File
	Problems []string `json:"problems"`
}

func newSiteList(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the site files that there are",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			folders := sites.FoldersOf(a.Env)
			files, err := folders.List()
			if err != nil {
				return err
			}
			all := []listed{}
			for _, f := range files {
				all = append(all, listed{f, problemsOf(f)})
			}
			if asJSON {
				return a.PrintJSON(all)
			}
			if len(all) == 0 {
				fmt.Fprintf(a.Err, "no site files (looked in %s)\n", strings.Join(folders, ", "))
			}
			t := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
			for _, l := range all {
				fmt.Fprintf(t, "%s\t%s\t%s\n", l.Name, l.Path, l.remark(a.Program))
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return c
}

func (l listed) remark(program string) string {
	switch n := len(l.Problems); {
	case l.Hidden:
		return "not used: the name stands further up"
	case n > 0:
		return fmt.Sprintf("%d wrong: %s site show %s", n, program, l.Name)
	}
	return ""
}

// problemsOf is what is wrong with a file, a line each. It is never nil, which JSON would show as null.
func problemsOf(f sites.File) []string {
	data, err := os.ReadFile(f.Path)
	if err == nil {
		err = spec.CheckSite(f.Path, data)
	}
	found := []string{}
	var ps diag.Problems
	if !errors.As(err, &ps) && err != nil {
		return append(found, err.Error())
	}
	for _, p := range ps {
		found = append(found, p.String())
	}
	return found
}

func newSiteShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show what a site file says, and what is wrong with it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, data, err := sites.FoldersOf(a.Env).Read(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Err, file)
			if _, err := a.Out.Write(data); err != nil {
				return err
			}
			return spec.CheckSite(file, data)
		},
	}
}
