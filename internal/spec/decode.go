package spec

import (
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// decoder walks the YAML tree along the table of fields.
type decoder struct {
	*tree.Reader
	spec  *Spec
	seen  map[string]*yaml.Node // what is written, by path
	under map[string]*yaml.Node // what a site file says, by the spec's paths: it holds where the spec says nothing
}

func newDecoder(file string) *decoder {
	return &decoder{tree.NewReader(file), &Spec{}, map[string]*yaml.Node{}, map[string]*yaml.Node{}}
}

func (d *decoder) note(path string, n *yaml.Node) { d.seen[path] = n }

// group decodes the mapping n. A nil or null n is an empty mapping: defaults hold, and required keys are missing.
func (d *decoder) group(n *yaml.Node, prefix string, fs []field) {
	given, misspelled := d.keys(n, prefix, fs)
	for _, f := range fs {
		path := tree.Join(prefix, f.Key)
		v := given[f.Key]
		if below := d.under[path]; below != nil && tree.IsNull(v) {
			v = below
		}
		switch {
		case f.Group != nil:
			d.subgroup(v, n, path, f.Group)
		case !tree.IsNull(v):
			d.note(path, v)
			d.value(f, v, path)
		case f.Required && misspelled[f.Key]:
			d.Spoil(path)
		case f.Required:
			d.missing(n, v, path)
		case f.Default != "" && !restsOnOthers(f):
			d.value(f, tree.Literal(f.Default), path)
		}
	}
}

func (d *decoder) subgroup(v, parent *yaml.Node, path string, fs []field) {
	if !tree.IsNull(v) && v.Kind != yaml.MappingNode {
		d.Problem(v, path, "wants keys and values, got "+tree.Describe(v), "")
		for _, f := range fs {
			d.Spoil(tree.Join(path, f.Key))
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
		d.Problem(v, path, "has no value", "")
		return
	}
	d.Problem(parent, path, "is missing", "")
}

// keys sorts the pairs of n by key, and tells unknown keys and second definitions. A required key that was only misspelled is
// one mistake, not two.
func (d *decoder) keys(n *yaml.Node, prefix string, fs []field) (given map[string]*yaml.Node, misspelled map[string]bool) {
	given, misspelled = map[string]*yaml.Node{}, map[string]bool{}
	var known []string
	isKnown := map[string]bool{}
	for _, f := range fs {
		known, isKnown[f.Key] = append(known, f.Key), true
	}
	for _, p := range d.Pairs(n, prefix) {
		key := p.Key.Value
		switch {
		case prefix == "" && strings.HasPrefix(key, "x-"):
		case isKnown[key]:
			given[key] = p.Value
		default:
			near := word.Nearest(key, known)
			misspelled[near] = true
			d.Problem(p.Key, tree.Join(prefix, key), "unknown key", unknownHint(key, near, known))
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

// restsOnOthers: derive knows the default, when the keys are known that it rests on.
func restsOnOthers(f field) bool { return f.Derive != nil || f.Method != "" || f.Scheduler != "" }

// derive fills in the defaults that rest on other keys. It needs those to be right.
func (d *decoder) derive(fs []field, prefix string) {
	if len(d.Problems) > 0 {
		return
	}
	for _, f := range fs {
		path := tree.Join(prefix, f.Key)
		switch {
		case f.Group != nil:
			d.derive(f.Group, path)
		case d.seen[path] != nil || !restsOnOthers(f) || ofOtherMethod(f, d.spec) || ofOtherScheduler(f, d.spec):
		case f.Derive != nil:
			d.value(f, tree.Literal(f.Derive(d.spec)), path)
		case f.Default != "":
			d.value(f, tree.Literal(f.Default), path)
		}
	}
}
