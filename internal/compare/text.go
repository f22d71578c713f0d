package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/report/layout"
)

// Formats of Print.
var Formats = []string{"text", "markdown", "json"}

// Print writes the comparison in one of the formats.
func (c Comparison) Print(w io.Writer, format string) error {
	text := ""
	switch format {
	case "text":
		text = c.Text()
	case "markdown":
		text = c.Markdown()
	case "json":
		data, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		text = string(data) + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// Share is relative: 0.02, or 2% as it is written. It is a flag's value.
type Share float64

// Set reads either form.
func (s *Share) Set(text string) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return fmt.Errorf("%q is no share: write 2%% or 0.02", text)
	}
	*s = Share(v)
	return nil
}

func (s Share) String() string { return strconv.FormatFloat(100*float64(s), 'g', 4, 64) + "%" }

// Type is what the help shows.
func (Share) Type() string { return "share" }

// fewRows that decide nothing are shown in full; of more only those that differ.
const fewRows = 12

// Text is the comparison for a terminal.
func (c Comparison) Text() string {
	var b strings.Builder
	for _, s := range []struct {
		name string
		Run
	}{{"A", c.A}, {"B", c.B}} {
		b.WriteString(layout.Broken(fmt.Sprintf("%s  %s", s.name, s.words()), 3))
	}
	for _, line := range c.differences() {
		b.WriteString(layout.Broken(line, 4))
	}
	b.WriteString("\n" + layout.Columns(c.grid(), func(column int) bool { return column > 0 && column < 4 }))
	if n := len(c.Rows) - len(c.shown()); n > 0 {
		fmt.Fprintf(&b, "and %d rows of other cells without a change beyond noise (all are in --format json)\n", n)
	}
	b.WriteString("\n" + layout.Broken("* decides, with the others so marked. Intervals are "+fmt.Sprintf("%g", 100*(1-c.Alpha))+
		" % ones, each by itself; p is adjusted for the number of tests (Holm); n are batches of a throughput, else runs.", 2))
	for _, w := range c.notes() {
		b.WriteString(layout.Broken(w, 9))
	}
	b.WriteString(layout.Broken(c.conclusion(), 2))
	for _, r := range c.Reasons {
		b.WriteString(layout.Broken("  "+r, 4))
	}
	return b.String()
}

// Markdown is the comparison for a pull request.
func (c Comparison) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", layout.Markdown(c.conclusion()))
	for _, r := range c.Reasons {
		fmt.Fprintf(&b, "- %s\n", layout.Markdown(r))
	}
	fmt.Fprintf(&b, "\n- A&#58; %s\n- B&#58; %s\n\n", layout.Markdown(c.A.words()), layout.Markdown(c.B.words()))
	for i, line := range c.grid() {
		for _, f := range line {
			fmt.Fprintf(&b, "| %s ", layout.Markdown(f))
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString("|---|---:|---:|---:|---|---|\n")
		}
	}
	if more := append(c.differences(), c.notes()...); len(more) > 0 {
		b.WriteString("\n<details><summary>what else changed, and what to know</summary>\n\n")
		for _, line := range more {
			fmt.Fprintf(&b, "- %s\n", layout.Markdown(strings.TrimSpace(line)))
		}
		b.WriteString("\n</details>\n")
	}
	return b.String()
}

func (r Run) words() string {
	words := report.OneLine(r.ID)
	if r.Server != "" {
		words += ", vLLM " + report.OneLine(r.Server)
	}
	if r.Winner == "" {
		return words + ", no winner"
	}
	words += fmt.Sprintf(", winner %s: %s req/s", report.OneLine(r.Winner), layout.Bare(r.Shown))
	if r.Likely > r.Shown {
		words += fmt.Sprintf(" shown, %s likely", layout.Bare(r.Likely))
	}
	return words
}

func (c Comparison) conclusion() string {
	switch c.Outcome {
	case Worse:
		return "B is worse than A, beyond noise"
	case Better:
		return "B is better than A, beyond noise"
	}
	return fmt.Sprintf("B is not worse than A by more than noise and %s", c.Tolerance)
}

// differences are what is not the same beside what was measured.
func (c Comparison) differences() []string {
	var lines []string
	for _, d := range c.Forced {
		lines = append(lines, "compared although "+d)
	}
	for _, d := range c.Changed {
		lines = append(lines, fmt.Sprintf("%s: %s -> %s", d.What, orNone(d.A), orNone(d.B)))
	}
	for _, d := range c.Answers[:min(len(c.Answers), fewRows)] {
		line := fmt.Sprintf("%s: %s -> %s", report.OneLine(d.Cell), d.A, d.B)
		if d.Why != "" {
			line += " (" + d.Why + ")"
		}
		lines = append(lines, line)
	}
	if n := len(c.Answers) - fewRows; n > 0 {
		lines = append(lines, fmt.Sprintf("%d more cells have another answer", n))
	}
	return lines
}

func (c Comparison) notes() []string {
	var lines []string
	for _, w := range c.Warnings {
		lines = append(lines, "warning  "+w)
	}
	return lines
}

// shown are the rows that are worth a line.
func (c Comparison) shown() []Row {
	decide, rest, differ := []Row{}, 0, []Row{}
	for _, r := range c.Rows {
		switch {
		case r.Decides:
			decide = append(decide, r)
		case r.Outcome != Noise:
			differ = append(differ, r)
			fallthrough
		default:
			rest++
		}
	}
	if rest <= fewRows {
		return c.Rows
	}
	return append(decide, differ...)
}

func (c Comparison) grid() [][]string {
	lines := [][]string{{"", "A", "B", "change", "", ""}}
	heading := ""
	for _, r := range c.shown() {
		head := fmt.Sprintf("%s (%s)", r.What, r.Unit)
		if head != heading {
			heading = head
			lines = append(lines, []string{head, "", "", "", "", ""})
		}
		whose := "  " + r.whose()
		if r.Decides {
			whose = "* " + r.whose()
		}
		if r.At > 0 {
			whose += " at " + layout.Bare(r.At)
		}
		change, p := layout.Unknown, ""
		if r.P != nil {
			p = "p" + pText(*r.Holm)
			if r.A != nil && r.B != nil {
				p += fmt.Sprintf(" n=%d+%d", r.A.N, r.B.N)
			}
			change = fmt.Sprintf("%+.1f%% (%+.1f to %+.1f)", 100**r.Change, 100**r.Low, 100**r.High)
		} else if r.Change != nil {
			change = fmt.Sprintf("%+.1f%%", 100**r.Change)
		}
		lines = append(lines, []string{whose, valueText(r.A), valueText(r.B), change, p, string(r.Outcome)})
	}
	return lines
}

func valueText(v *Value) string {
	switch {
	case v == nil:
		return ""
	case v.Low == 0:
		return layout.Bare(v.Value)
	}
	return layout.Interval(record.Interval{Value: v.Value, Low: v.Low, High: v.High})
}

func pText(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("=%.3f", p)
}
