package spec

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/spec/tree"
)

// The reference of the spec's keys is made from the table by which specs are read, so that the page cannot fall behind it.
func TestTheReferencePageHasEveryKeyOfTheSpec(t *testing.T) {
	const path, begin, end = "../../docs/spec.md", "-update -->\n", "<!-- end -->"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatal("the document has no place for the tables")
	}
	var b strings.Builder
	b.WriteString("\n## At the top\n")
	reference(&b, fields(), "")
	want := b.String() + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the reference (-want +got), to be made anew with -update:\n%s", diff)
	}
}

// reference is a table of the keys that have values, and below it a section for each group.
func reference(b *strings.Builder, fs []field, prefix string) {
	b.WriteString("\n| key | means | value | default | for |\n|---|---|---|---|---|\n")
	for _, f := range fs {
		path := tree.Join(prefix, f.Key)
		if f.Group != nil {
			fmt.Fprintf(b, "| [`%s`](#%s) | %s | keys, see there | | |\n", path, anchor(path), cell(f.Doc))
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", path, cell(f.Doc), cell(kind(f)), standard(f), knownTo(f))
	}
	for _, f := range fs {
		switch path := tree.Join(prefix, f.Key); {
		case f.Group != nil:
			fmt.Fprintf(b, "\n## `%s`\n\n%s.\n", path, capital(f.Doc))
			reference(b, f.Group, path)
		case f.Items != nil:
			fmt.Fprintf(b, "\n## `%s[]`\n\nEach item of `%s` has these keys.\n", path, path)
			reference(b, f.Items, path+"[]")
		}
	}
}

// kind is what a value may be, in the words of the rules that test it.
func kind(f field) string {
	if f.Items != nil {
		return "list of [keys](#" + anchor(f.Key+"[]") + ")"
	}
	switch f.At(&Spec{}).(type) {
	case *bool:
		return "`true` or `false`"
	case *int, *int64:
		return "whole number" + bounds(f)
	case *float64:
		return "number " + f.Span.String()
	case *[]int:
		return "list of different whole numbers" + bounds(f)
	case *[]string:
		if f.OrWord {
			return f.Value.Says + ", or a list of such"
		}
		return "list: " + f.Value.Says
	case *map[string]string:
		return "mapping of " + f.Name.Says + " to " + f.Value.Says
	}
	if f.OneOf != nil {
		return "`" + strings.Join(f.OneOf, "`, `") + "`"
	}
	return f.Value.Says
}

func bounds(f field) string {
	if f.Max == 0 {
		return fmt.Sprintf(", at least %d", f.Min)
	}
	return fmt.Sprintf(" from %d to %d", f.Min, f.Max)
}

func standard(f field) string {
	switch {
	case f.Required:
		return "**required**"
	case f.Derive != nil:
		return "rests on other keys"
	case f.Default != "":
		return "`" + f.Default + "`"
	}
	return ""
}

// knownTo is who takes the key, where that is not everybody.
func knownTo(f field) string {
	var who []string
	if f.Scheduler != "" {
		who = append(who, "`scheduler: "+f.Scheduler+"`")
	}
	if f.Method != "" {
		who = append(who, "`method: "+f.Method+"`")
	}
	return strings.Join(who, ", ")
}

// cell is text inside a table. What looks like a tag to Markdown would not be shown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + cell(text[1:]) }

// anchor is how GitHub calls a heading.
func anchor(heading string) string {
	return strings.NewReplacer(".", "", "[", "", "]", "").Replace(heading)
}
