package spec

import "vtune/internal/spec/table"

// Line is one line of a page: a value and why it is there. An Off line is commented out.
type Line = table.Line

// Effective is the spec as YAML with every value written out, in the table's order; Parse gives the same Spec back. Keys of another
// scheduler are left out, since they would be refused.
func (s *Spec) Effective() []byte {
	return s.Under("The spec of this run, with every default and what its site file said written out.")
}

// Under is Effective with other words at its head.
func (s *Spec) Under(head string) []byte {
	known := table.Without(fields(), func(f field) bool { return ofOtherScheduler(f, s) })
	return table.Page(head, known, func(_ string, f field) Line {
		return Line{Value: f.Text(s), Comment: f.Doc}
	})
}

// Template is a commented spec to start from: the third use case of auto_tune.sh's README, with every other key commented out.
func Template() []byte {
	return table.Page("What to tune, on what, and within which limit.\nKeys that are commented out show their default or an example.", fields(), func(_ string, f field) Line {
		return f.Suggestion()
	})
}

// Page is a spec with the given lines, by path; what the table says of a key follows their comments. All others are commented out.
func Page(head string, lines map[string]Line) []byte {
	return table.Page(head, fields(), offUnless(lines))
}

// SitePage is Page for the site file of a Slurm cluster.
func SitePage(head string, lines map[string]Line) []byte {
	return table.Page(head, table.Without(siteFileFields(), func(f field) bool { return f.Scheduler != "" }), offUnless(lines))
}

func offUnless(lines map[string]Line) func(string, field) Line {
	return func(path string, f field) Line {
		l, ok := lines[path]
		if !ok {
			l = f.Suggestion()
			l.Off = true
			return l
		}
		l.Comment += f.Doc
		return l
	}
}
