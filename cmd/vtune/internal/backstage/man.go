package backstage

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manPages are the pages of a command and of all below it, by file name. They are written here and not by cobra/doc, which takes help for
// Markdown: <base> is then a tag and gone, and the table of exit codes a paragraph. They bear a version and no date, so that the
// same source gives the same bytes.
func manPages(c *cobra.Command, version string) map[string]string {
	pages := map[string]string{}
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		pages[manName(c)+".1"] = manPage(c, version)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				add(sub)
			}
		}
	}
	add(c)
	return pages
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manPage(c *cobra.Command, version string) string {
	c.InitDefaultHelpFlag()
	var b strings.Builder
	root := c.Root().Name()
	fmt.Fprintf(&b, ".TH %q 1 \"\" %q \"User Commands\"\n", strings.ToUpper(manName(c)), root+" "+version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.UseLine()))
	if c.Long != "" {
		b.WriteString(".SH DESCRIPTION\n" + manText(c.Long))
	}
	if c.Example != "" {
		b.WriteString(".SH EXAMPLES\n" + manText(c.Example))
	}
	manOptions(&b, "OPTIONS", c.LocalFlags())
	manOptions(&b, "OPTIONS OF EVERY COMMAND", c.InheritedFlags())
	var also []string
	if c.HasParent() {
		also = append(also, manName(c.Parent()))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			also = append(also, manName(sub))
		}
	}
	if len(also) > 0 {
		b.WriteString(".SH SEE ALSO\n")
		for i, name := range also {
			end := ","
			if i == len(also)-1 {
				end = ""
			}
			fmt.Fprintf(&b, ".BR %s (1)%s\n", roff(name), end)
		}
	}
	return b.String()
}

// manText keeps lines that begin with a blank as they are, since those are tables and commands to type.
func manText(text string) string {
	var b strings.Builder
	table := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if is := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); is != table && line != "" {
			b.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[is])
			table = is
		}
		if line == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(roff(line) + "\n")
	}
	if table {
		b.WriteString(".fi\n")
	}
	return b.String()
}

func manOptions(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString(".SH " + title + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		name, usage := FlagName(f)
		fmt.Fprintf(b, ".TP\n.B %s\n%s", roff(name), roff(usage))
		if def := FlagDefault(f); def != "" {
			fmt.Fprintf(b, " (default: %s)", roff(def))
		}
		b.WriteString("\n")
	})
}

// FlagName is a flag as one writes it, and what its usage says: "-o, --output string".
func FlagName(f *pflag.Flag) (name, usage string) {
	value, usage := pflag.UnquoteUsage(f)
	name = "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch {
	case value != "" && f.NoOptDefVal != "":
		name += "[=" + value + "]"
	case value != "":
		name += " " + value
	}
	return name, usage
}

// FlagDefault is what holds where the flag is not given; empty: nothing that had to be said.
func FlagDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "false", "0", "[]", "0s":
		return ""
	}
	return f.DefValue
}

// roff escapes a line of text. A dot or a quotation mark at its beginning would make it a request, and a bare hyphen is typeset as one
// that no shell understands when it is copied.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}
