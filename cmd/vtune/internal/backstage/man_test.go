package backstage

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// What help says is text, and what man reads are requests: a dot at the beginning of a line, a backslash and a hyphen are theirs.
func TestAManPageSaysWhatHelpSays(t *testing.T) {
	root := &cobra.Command{Use: "tune", Short: "Tune servers"}
	c := &cobra.Command{
		Use: "init SPEC|RUN", Short: "Write <base>/spec.yaml", Run: func(*cobra.Command, []string) {},
		Long: "init writes <base>/spec.yaml.\n.so is no request, nor is \\fB one, nor 'this'.\n\n  tune init -o -   to stdout\n  tune init\n\nThe end.",
	}
	c.Flags().StringP("output", "o", "spec.yaml", "`FILE` to write")
	c.Flags().String("every", "", "`PAUSE` between two")
	c.Flags().Lookup("every").NoOptDefVal = "1m"
	c.Flags().Bool("force", false, "replace it")
	c.Flags().Bool("secret", false, "nobody's business")
	c.Flags().Lookup("secret").Hidden = true
	hidden := &cobra.Command{Use: "agent", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(c, hidden)
	pages := manPages(root, "v1")
	want := `.TH "TUNE-INIT" 1 "" "tune v1" "User Commands"
.SH NAME
tune\-init \- Write <base>/spec.yaml
.SH SYNOPSIS
.B tune init SPEC|RUN [flags]
.SH DESCRIPTION
init writes <base>/spec.yaml.
\&.so is no request, nor is \efB one, nor \(aqthis\(aq.
.PP
.nf
  tune init \-o \-   to stdout
  tune init
.PP
.fi
The end.
.SH OPTIONS
.TP
.B \-\-every[=PAUSE]
PAUSE between two
.TP
.B \-\-force
replace it
.TP
.B \-h, \-\-help
help for init
.TP
.B \-o, \-\-output FILE
FILE to write (default: spec.yaml)
.SH SEE ALSO
.BR tune (1)
`
	if diff := cmp.Diff(want, pages["tune-init.1"]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if pages["tune-agent.1"] != "" || pages["tune.1"] == "" || len(pages) != 2 {
		t.Errorf("%d pages", len(pages))
	}
}
