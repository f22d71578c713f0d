package table

import (
	"fmt"
	"strings"

	"vtune/internal/spec/tree"
)

// Line is one line of a page: a value and why it is there. An Off line is commented out.
type Line struct {
	Value, Comment string
	Off            bool
}

// Page is a file with a comment at its head and a line for each key. It is written by hand instead of through an encoder, which has no
// say over comments and blank lines.
func Page[S any](head string, fs []Field[S], write func(path string, f Field[S]) Line) []byte {
	var b strings.Builder
	for line := range strings.SplitSeq(head, "\n") {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteByte('\n')
	pageFields(&b, fs, "", "", write)
	return []byte(b.String())
}

// Suggestion is the key's line on a page to start from.
func (f Field[S]) Suggestion() Line {
	switch {
	case f.Show != "":
		return Line{Value: f.Show, Comment: f.Doc}
	case f.Sketch != "":
		return Line{Value: f.Sketch, Comment: f.Doc, Off: true}
	case f.Default != "":
		return Line{Value: f.Default, Comment: f.Doc, Off: true}
	}
	return Line{Value: "0", Comment: f.Doc, Off: true}
}

func pageFields[S any](b *strings.Builder, fs []Field[S], prefix, indent string, write func(path string, f Field[S]) Line) {
	wasGroup := false
	for _, f := range fs {
		path := tree.Join(prefix, f.Key)
		isGroup := f.Group != nil
		var line Line
		switch {
		case !isGroup:
			line = write(path, f)
		case f.Brief != "" && allOff(f.Group, path, write):
			isGroup, line = false, Line{Value: f.Brief, Comment: f.Doc, Off: true}
		}
		if wasGroup || isGroup {
			b.WriteByte('\n')
		}
		if wasGroup = isGroup; isGroup {
			fmt.Fprintf(b, "%s%s: # %s\n", indent, f.Key, f.Doc)
			pageFields(b, f.Group, path, indent+"  ", write)
			continue
		}
		pageLine(b, indent, f.Key, line)
	}
}

func allOff[S any](fs []Field[S], prefix string, write func(path string, f Field[S]) Line) bool {
	off := true
	Walk(fs, prefix, func(f Field[S], path string) { off = off && write(path, f).Off })
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

// Text is the key's value in s. Where s has none, as of a key that its method does not know, that is null.
func (f Field[S]) Text(s *S) string {
	if f.Items != nil {
		return f.listText(s)
	}
	p := f.At(s)
	switch v := p.(type) {
	case *int:
		if *v == 0 && f.Min > 0 {
			return "null"
		}
	case *string:
		if *v == "" && (f.Method != "" || f.OneOf != nil) {
			return "null"
		}
	}
	return tree.Text(p)
}

func (f Field[S]) listText(s *S) string {
	var b strings.Builder
	for _, one := range f.Each(s) {
		var words []string
		for _, item := range f.Items {
			words = append(words, item.Key+": "+item.Text(one))
		}
		b.WriteString("\n- {" + strings.Join(words, ", ") + "}")
	}
	if b.Len() == 0 {
		return "[]"
	}
	return b.String()
}
