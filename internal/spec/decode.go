package spec

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/diag"
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// decoder walks the YAML tree along the table of fields. It decodes by hand, because yaml's own decoder stops being strict about
// types where it can convert, reports no columns, and knows nothing of ranges.
type decoder struct {
	file     string
	spec     *Spec
	problems diag.Problems
	seen     map[string]*yaml.Node // what the file says, by path
	bad      map[string]bool       // paths without a usable value: what is checked across keys leaves them alone
}

func (d *decoder) problem(n *yaml.Node, path, what, hint string) {
	d.problems = append(d.problems, diag.Problem{Pos: diag.Pos{File: d.file, Line: n.Line, Col: n.Column}, Path: path, What: what, Hint: hint})
	d.bad[path] = true
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

// group decodes the mapping n. A nil or null n is an empty mapping: defaults hold, and required keys are missing.
func (d *decoder) group(n *yaml.Node, prefix string, fs []field) {
	given, misspelled := d.keys(n, prefix, fs)
	for _, f := range fs {
		path := join(prefix, f.key)
		v := given[f.key]
		switch {
		case f.group != nil:
			d.subgroup(v, n, path, f.group)
		case !tree.IsNull(v):
			d.seen[path] = v
			d.value(f, v, path)
		case f.required && misspelled[f.key]:
			d.bad[path] = true
		case f.required:
			d.missing(n, v, path)
		case f.def != "" && f.method == "": // else derive, when the method is known
			d.value(f, tree.Literal(f.def), path)
		}
	}
}

func (d *decoder) subgroup(v, parent *yaml.Node, path string, fs []field) {
	if !tree.IsNull(v) && v.Kind != yaml.MappingNode {
		d.problem(v, path, "wants keys and values, got "+tree.Describe(v), "")
		for _, f := range fs {
			d.bad[join(path, f.key)] = true
		}
		return
	}
	if tree.IsNull(v) {
		v = &yaml.Node{Kind: yaml.MappingNode, Line: parent.Line, Column: parent.Column}
	}
	d.group(v, path, fs)
}

func (d *decoder) missing(parent, v *yaml.Node, path string) {
	if v != nil {
		d.problem(v, path, "has no value", "")
		return
	}
	d.problem(parent, path, "is missing", "")
}

// keys sorts the pairs of n by key, and tells unknown keys and second definitions. A required key that was only misspelled is
// one mistake, not two.
func (d *decoder) keys(n *yaml.Node, prefix string, fs []field) (given map[string]*yaml.Node, misspelled map[string]bool) {
	given, misspelled = map[string]*yaml.Node{}, map[string]bool{}
	var known []string
	isKnown := map[string]bool{}
	for _, f := range fs {
		known, isKnown[f.key] = append(known, f.key), true
	}
	for _, p := range d.pairs(n, prefix) {
		key := p.key.Value
		switch {
		case prefix == "" && strings.HasPrefix(key, "x-"):
		case isKnown[key]:
			given[key] = p.value
		default:
			near := word.Nearest(key, known)
			misspelled[near] = true
			d.problem(p.key, join(prefix, key), "unknown key", unknownHint(key, near, known))
		}
	}
	return given, misspelled
}

func unknownHint(key, near string, known []string) string {
	if near != "" {
		return word.DidYouMean(key, []string{near})
	}
	return "the keys here are " + strings.Join(known, ", ")
}

type pair struct{ key, value *yaml.Node }

// pairs lists the keys and values of mapping n with merges (<<) resolved: a key written out goes before a merged one, and an
// earlier merge before a later one, as YAML has it.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	taken := map[string]int{}
	var out []pair
	var visit func(m *yaml.Node)
	visited := map[*yaml.Node]bool{}
	visit = func(m *yaml.Node) {
		if visited[m] {
			return
		}
		visited[m] = true
		var merges []*yaml.Node
		own := map[string]bool{}
		for i := 0; i+1 < len(m.Content); i += 2 {
			key, value := m.Content[i], m.Content[i+1]
			switch {
			case key.Kind != yaml.ScalarNode:
				d.problem(key, path, "wants a word as a key, got "+tree.Describe(key), "")
			case key.Tag == "!!merge":
				merges = append(merges, value)
			case own[key.Value]:
				d.problem(key, join(path, key.Value), fmt.Sprintf("stands here a second time, first in line %d", out[taken[key.Value]].key.Line), "")
			default:
				own[key.Value] = true
				if _, ok := taken[key.Value]; !ok {
					taken[key.Value] = len(out)
					out = append(out, pair{key, tree.Resolve(value)})
				}
			}
		}
		for _, merge := range merges {
			sources := []*yaml.Node{tree.Resolve(merge)}
			if sources[0] != nil && sources[0].Kind == yaml.SequenceNode {
				sources = sources[0].Content
			}
			for _, s := range sources {
				if s = tree.Resolve(s); s == nil || s.Kind != yaml.MappingNode {
					d.problem(merge, join(path, "<<"), "wants an anchor of keys and values", "define it under a key that starts with x-")
					continue
				}
				visit(s)
			}
		}
	}
	visit(n)
	return out
}

// derive fills in the defaults that rest on other keys. It needs those to be right.
func (d *decoder) derive(fs []field, prefix string) {
	if len(d.problems) > 0 {
		return
	}
	for _, f := range fs {
		path := join(prefix, f.key)
		switch foreign := f.foreign(d.spec.Method); {
		case f.group != nil:
			d.derive(f.group, path)
		case d.seen[path] != nil || foreign:
		case f.derive != nil:
			d.value(f, tree.Literal(f.derive(d.spec)), path)
		case f.def != "" && f.method != "":
			d.value(f, tree.Literal(f.def), path)
		}
	}
}
