package spec

import (
	"fmt"
	"os"
	"slices"

	"gopkg.in/yaml.v3"

	"vtune/internal/diag"
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Sites finds a site file by the name that site.use gives it. Its error is shown at that name, with the first of its hints.
type Sites func(name string) (file string, data []byte, err error)

// Load is LoadWith without site files, as for an effective spec, which needs none.
func Load(path string) (*Spec, error) { return LoadWith(path, nil) }

// LoadWith reads and parses the spec at path. A file that cannot be read is an error with exit code Spec; problems of its content
// are diag.Problems.
func LoadWith(path string, sites Sites) (*Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, diag.Wrap(fmt.Errorf("read spec: %w", err), diag.Spec)
	}
	return ParseWith(path, data, sites)
}

// Parse is ParseWith without site files.
func Parse(file string, data []byte) (*Spec, error) { return ParseWith(file, data, nil) }

// ParseWith reads a spec, takes over what the site file says that it names, fills in every default and validates. The error is
// diag.Problems with every problem of the spec, and of the site file, in the order of their lines; file is the name that positions
// in the spec carry. The Spec says all that the site file said, and names it no more.
func ParseWith(file string, data []byte, sites Sites) (*Spec, error) {
	d := newDecoder(file)
	d.read(file, data, sites)
	d.Problems.Sort()
	if err := d.Problems.Err(); err != nil {
		return nil, err
	}
	return d.spec, nil
}

// Elsewhere is an effective spec as it would be on the Slurm cluster of a site file. What it says of its own site and results is left out.
func Elsewhere(file string, data []byte, site string, sites Sites) (*Spec, error) {
	root, problem := tree.Read(file, data, "")
	if problem != nil {
		return nil, diag.Problems{*problem}
	}
	kept := []*yaml.Node{tree.Literal("scheduler"), tree.Literal("slurm"), tree.Literal("site"), tree.Literal("{use: " + tree.Word(site) + "}")}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if !slices.Contains([]string{"scheduler", "site", "base", "max_chip_hours"}, root.Content[i].Value) {
			kept = append(kept, root.Content[i], root.Content[i+1])
		}
	}
	root.Content = kept
	moved, err := yaml.Marshal(root)
	if err != nil {
		return nil, err
	}
	return ParseWith(file, moved, sites)
}

// Locate finds where the values of a spec are written, by path (site.partition, site.directives.exclude), in the spec or in its
// site file; what rests on a default is not there. Of a spec with problems it finds what it can.
func Locate(file string, data []byte, sites Sites) map[string]diag.Pos {
	d := newDecoder(file)
	d.read(file, data, sites)
	places := map[string]diag.Pos{}
	for path, n := range d.seen {
		places[path] = d.Position(n)
	}
	return places
}

func (d *decoder) read(file string, data []byte, sites Sites) {
	root, problem := tree.Read(file, data, "write a spec to start from with the init command")
	if problem != nil {
		d.Problems = diag.Problems{*problem}
		return
	}
	d.useSite(root, sites)
	d.group(root, "", fields())
	d.derive(fields(), "")
	d.crossCheck()
	d.spec.Site.Use = ""
	if short := d.spec.Limit.P99E2ELMS; short > 0 {
		d.spec.Limits, d.spec.Limit = []Limit{{Metric: "e2el", Percentile: 99, MS: short}}, P99{}
	}
}

// useSite reads the site file that the spec names.
func (d *decoder) useSite(root *yaml.Node, sites Sites) {
	const path = "site.use"
	silent := tree.NewReader("") // what is wrong with these keys is told when all are read
	n := silent.Child(silent.Child(root, "site"), "use")
	if tree.IsNull(n) {
		return
	}
	name := silent.Text(n, path, word.FileName())
	if name == "" || !silent.Sound(path) {
		return
	}
	if sites == nil {
		d.Problem(n, path, "there are no site files here", "write the keys of the site out")
		return
	}
	file, data, err := sites(name)
	if err != nil {
		hint := ""
		if hints := diag.HintsOf(err); len(hints) > 0 {
			hint = hints[0]
		}
		d.Problem(n, path, err.Error(), hint)
		return
	}
	d.readSite(file, data)
}
