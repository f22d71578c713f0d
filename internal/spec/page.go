package spec

import (
	"fmt"
	"strings"

	"vtune/internal/spec/tree"
)

// Effective is the spec as YAML with every value written out, in the table's order; Parse gives the same Spec back.
func (s *Spec) Effective() []byte {
	return page("The spec of this run, with every default and what its site file said written out.", fields(), func(_ string, f field) Line {
		return Line{Value: f.text(s), Comment: f.doc}
	})
}

// Template is a commented spec to start from: the third use case of auto_tune.sh's README, with every other key commented out.
func Template() []byte {
	return page("What to tune, on what, and within which limit.\nKeys that are commented out show their default or an example.", fields(), func(_ string, f field) Line {
		return f.suggestion()
	})
}

// Line is one line of a page: a value and why it is there. An Off line is commented out.
type Line struct {
	Value, Comment string
	Off            bool
}

// Page is a spec with the given lines, by path; what the table says of a key follows their comments. All others are commented out.
func Page(head string, lines map[string]Line) []byte {
	return page(head, fields(), offUnless(lines))
}

// SitePage is Page for a site file.
func SitePage(head string, lines map[string]Line) []byte {
	return page(head, siteFileFields(), offUnless(lines))
}

func offUnless(lines map[string]Line) func(string, field) Line {
	return func(path string, f field) Line {
		l, ok := lines[path]
		if !ok {
			l = f.suggestion()
			l.Off = true
			return l
		}
		l.Comment += f.doc
		return l
	}
}

func (f field) suggestion() Line {
	switch {
	case f.show != "":
		return Line{Value: f.show, Comment: f.doc}
	case f.sketch != "":
		return Line{Value: f.sketch, Comment: f.doc, Off: true}
	case f.def != "":
		return Line{Value: f.def, Comment: f.doc, Off: true}
	}
	return Line{Value: "0", Comment: f.doc, Off: true}
}

// page writes a spec by hand instead of through an encoder, which has no say over comments and blank lines.
func page(head string, fs []field, write func(path string, f field) Line) []byte {
	var b strings.Builder
	for line := range strings.SplitSeq(head, "\n") {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteByte('\n')
	pageFields(&b, fs, "", "", write)
	return []byte(b.String())
}

func pageFields(b *strings.Builder, fs []field, prefix, indent string, write func(path string, f field) Line) {
	wasGroup := false
	for _, f := range fs {
		path := tree.Join(prefix, f.key)
		isGroup := f.group != nil
		var line Line
		switch {
		case !isGroup:
			line = write(path, f)
		case f.brief != "" && allOff(f.group, path, write):
			isGroup, line = false, Line{Value: f.brief, Comment: f.doc, Off: true}
		}
		if wasGroup || isGroup {
			b.WriteByte('\n')
		}
		if wasGroup = isGroup; isGroup {
			fmt.Fprintf(b, "%s%s: # %s\n", indent, f.key, f.doc)
			pageFields(b, f.group, path, indent+"  ", write)
			continue
		}
		pageLine(b, indent, f.key, line)
	}
}

func allOff(fs []field, prefix string, write func(path string, f field) Line) bool {
	off := true
	walk(fs, prefix, func(f field, path string) { off = off && write(path, f).Off })
	return off
}

// pageLine puts the comment after the first line of a value, since the others belong to a list or mapping.
func pageLine(b *strings.Builder, indent, key string, e Line) {
	first, rest, many := strings.Cut(e.Value, "\n")
	line := indent
	if e.Off {
		line += "# "
	}
	line += strings.TrimRight(key+": "+first, " ")
	if e.Comment != "" {
		line = fmt.Sprintf("%-50s # %s", line, e.Comment)
	}
	b.WriteString(line + "\n")
	if many {
		for item := range strings.SplitSeq(rest, "\n") {
			b.WriteString(indent + "  " + item + "\n")
		}
	}
}

// text is the key's value in s. Where s has none, as of a key that its method does not know, that is null.
func (f field) text(s *Spec) string {
	p := f.at(s)
	switch v := p.(type) {
	case *[]Limit:
		return f.listText(*v)
	case *int:
		if *v == 0 && f.min > 0 {
			return "null"
		}
	case *string:
		if *v == "" && (f.foreign(s.Method) || f.oneOf != nil) {
			return "null"
		}
	}
	return tree.Text(p)
}

func (f field) listText(limits []Limit) string {
	if len(limits) == 0 {
		return "[]"
	}
	var b strings.Builder
	for _, l := range limits {
		var words []string
		for _, item := range f.items {
			words = append(words, item.key+": "+item.text(&Spec{Limits: []Limit{l}}))
		}
		b.WriteString("\n- {" + strings.Join(words, ", ") + "}")
	}
	return b.String()
}
