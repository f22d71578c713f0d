package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vtune/cmd/vtune/internal/backstage"
	"vtune/cmd/vtune/internal/caller"
	"vtune/internal/diag"
)

// The pages of commands and exit codes are made from what the program itself has, so that they cannot fall behind it. That of the
// spec's keys is made in internal/spec, as its table is.
func TestTheReferencePagesAreWhatIsBuilt(t *testing.T) {
	root := newRoot(&app{Caller: caller.Caller{Out: io.Discard, Err: io.Discard, Program: "vtune", Version: "v0", Now: time.Now}})
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	for path, want := range map[string]string{
		"../../docs/cli.md":        commandSections(root),
		"../../docs/exit-codes.md": exitCodeTable(),
	} {
		t.Run(strings.TrimPrefix(path, "../../"), func(t *testing.T) { between(t, path, want) })
	}
}

// between compares what stands in a page between two marks, or with -update writes it.
func between(t *testing.T, path, want string) {
	t.Helper()
	const begin, end = "-update -->\n", "<!-- end -->"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("%s has no place for what is made", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got), to be made anew with -update:\n%s", path, diff)
	}
}

func exitCodeTable() string {
	var b strings.Builder
	b.WriteString("| code | when |\n|---|---|\n")
	for _, r := range diag.ExitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", r.Code, r.What)
	}
	return b.String()
}

func commandSections(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("\n| command | does |\n|---|---|\n")
	each(root, func(c *cobra.Command) {
		if c != root {
			path := c.CommandPath()
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", path, strings.ReplaceAll(path, " ", "-"), prose(c.Short))
		}
	})
	each(root, func(c *cobra.Command) {
		if c == root {
			b.WriteString("\n## Every command\n")
		} else {
			fmt.Fprintf(&b, "\n## `%s`\n\n```text\n%s\n```\n\n%s.\n", c.CommandPath(), strings.TrimSuffix(c.UseLine(), " [flags]"), prose(c.Short))
			if c.Long != "" {
				b.WriteString("\n" + paragraphs(c.Long))
			}
		}
		flagTable(&b, c.LocalFlags())
	})
	return b.String() + "\n"
}

// each visits what help shows, without what cobra itself has below its command for completion: a page for each of four shells.
func each(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && c.Name() != "completion" {
			each(sub, visit)
		}
	}
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	rows := ""
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" || f.Name == "help" {
			return
		}
		name, usage := backstage.FlagName(f)
		def := backstage.FlagDefault(f)
		if def != "" {
			def = "`" + def + "`"
		}
		rows += fmt.Sprintf("| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), strings.ReplaceAll(prose(usage), "|", `\|`), def)
	})
	if rows != "" {
		b.WriteString("\n| flag | says | default |\n|---|---|---|\n" + rows)
	}
}

// paragraphs are a long help as Markdown, in which lines that begin with a blank are a block.
func paragraphs(text string) string {
	var b strings.Builder
	block := false
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		blank := strings.TrimSpace(line) == ""
		if is := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); is != block && !blank {
			b.WriteString(map[bool]string{true: "```text\n", false: "```\n"}[is])
			block = is
		}
		if !block {
			line = prose(line)
		}
		b.WriteString(line)
	}
	if block {
		b.WriteString("```\n")
	}
	return b.String()
}

// prose keeps Markdown from taking a <word> for a tag.
func prose(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(text)
}
