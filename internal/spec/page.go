package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Effective is the spec as YAML with every value written out, in the table's order; Parse gives the same Spec back.
func (s *Spec) Effective() []byte {
	return page("The spec of this run, with every default written out.", func(_ string, f field) entry {
		return entry{value: yamlText(f.at(s)), comment: f.doc}
	})
}

// Template is a commented spec to start from: the third use case of auto_tune.sh's README, with every other key commented out.
func Template() []byte {
	return page("What to tune, on what, and within which limit.\nKeys that are commented out show their default or an example.", func(_ string, f field) entry {
		return f.suggestion()
	})
}

// entry is one line of a page: a value and why it is there. An off entry is commented out.
type entry struct {
	value, comment string
	off            bool
}

func (f field) suggestion() entry {
	switch {
	case f.show != "":
		return entry{value: f.show, comment: f.doc}
	case f.sketch != "":
		return entry{value: f.sketch, comment: f.doc, off: true}
	case f.def != "":
		return entry{value: f.def, comment: f.doc, off: true}
	}
	return entry{value: "0", comment: f.doc, off: true}
}

// page writes a spec by hand instead of through an encoder, which has no say over comments and blank lines.
func page(head string, write func(path string, f field) entry) []byte {
	var b strings.Builder
	for line := range strings.SplitSeq(head, "\n") {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteByte('\n')
	pageFields(&b, fields(), "", "", write)
	return []byte(b.String())
}

func pageFields(b *strings.Builder, fs []field, prefix, indent string, write func(path string, f field) entry) {
	wasGroup := false
	for _, f := range fs {
		path := join(prefix, f.key)
		if wasGroup || f.group != nil {
			b.WriteByte('\n')
		}
		if wasGroup = f.group != nil; wasGroup {
			fmt.Fprintf(b, "%s%s: # %s\n", indent, f.key, f.doc)
			pageFields(b, f.group, path, indent+"  ", write)
			continue
		}
		pageLine(b, indent, f.key, write(path, f))
	}
}

// pageLine puts the comment after the first line of a value, since the others belong to a list or mapping.
func pageLine(b *strings.Builder, indent, key string, e entry) {
	first, rest, many := strings.Cut(e.value, "\n")
	line := indent
	if e.off {
		line += "# "
	}
	line += strings.TrimRight(key+": "+first, " ")
	if e.comment != "" {
		line = fmt.Sprintf("%-50s # %s", line, e.comment)
	}
	b.WriteString(line + "\n")
	if many {
		for item := range strings.SplitSeq(rest, "\n") {
			b.WriteString(indent + "  " + item + "\n")
		}
	}
}

// yamlText writes the value p points to.
func yamlText(p any) string {
	switch p := p.(type) {
	case *int:
		return strconv.Itoa(*p)
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *float64:
		if *p == 0 {
			return "null"
		}
		return strconv.FormatFloat(*p, 'f', -1, 64)
	case *string:
		return yamlWord(*p)
	case *[]int:
		words := make([]string, len(*p))
		for i, v := range *p {
			words[i] = strconv.Itoa(v)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case *[]string:
		return yamlList(*p)
	case *map[string]string:
		return yamlMapping(*p)
	}
	return "null"
}

func yamlList(items []string) string {
	if len(items) == 0 {
		return "[]"
	}
	var b strings.Builder
	for _, item := range items {
		b.WriteString("\n- " + yamlWord(item))
	}
	return b.String()
}

func yamlMapping(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b.WriteString("\n" + yamlWord(key) + ": " + yamlWord(m[key]))
	}
	return b.String()
}

// yamlWord leaves bare what no version of YAML takes for anything but text. Go's quoting is YAML's double quoting: each escape
// that it writes means the same there.
func yamlWord(s string) string {
	bare := len(s) > 1 && isLetter(s[0])
	for i := range len(s) {
		bare = bare && (isLetter(s[i]) || s[i] >= '0' && s[i] <= '9' || strings.IndexByte("_./-", s[i]) >= 0)
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off":
		bare = false
	}
	if bare {
		return s
	}
	return strconv.Quote(s)
}

func isLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z'
}
