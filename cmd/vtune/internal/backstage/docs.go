package backstage

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
)

// newDocs writes what comes with an installed program. A command and no program of its own, since only here all commands are known, and
// only a program that is called by its name knows what it is called. Hidden, because make calls it.
func newDocs(a *caller.Caller) *cobra.Command {
	return &cobra.Command{
		Use:    "docs DIR",
		Short:  "Write man pages and completions into DIR (called by make install and make release)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			man, completions := filepath.Join(args[0], "man"), filepath.Join(args[0], "completions")
			for _, dir := range []string{man, completions} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			root := c.Root()
			for name, page := range manPages(root, a.Version) {
				if err := os.WriteFile(filepath.Join(man, name), []byte(page), 0o644); err != nil {
					return err
				}
			}
			return completionFiles(root, func(name string) string { return filepath.Join(completions, name) })
		},
	}
}

// completionFiles have the names by which each shell finds them, but for PowerShell, which has a profile load them.
func completionFiles(root *cobra.Command, at func(name string) string) error {
	name := root.Name()
	if err := root.GenBashCompletionFileV2(at(name+".bash"), true); err != nil {
		return err
	}
	if err := root.GenZshCompletionFile(at("_" + name)); err != nil {
		return err
	}
	if err := root.GenFishCompletionFile(at(name+".fish"), true); err != nil {
		return err
	}
	return root.GenPowerShellCompletionFileWithDesc(at(name + ".ps1"))
}
