package spec

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/table"
	"vtune/internal/spec/tree"
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
	given, misspelled := table.Keys(d.Reader, n, prefix, fs)
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
		case d.seen[path] != nil || !restsOnOthers(f) || ofOtherMethod(f, d.spec): // what is of another scheduler, checkSchedulers takes out
		case f.Derive != nil:
			d.value(f, tree.Literal(f.Derive(d.spec)), path)
		case f.Default != "":
			d.value(f, tree.Literal(f.Default), path)
		}
	}
}

func (d *decoder) value(f field, n *yaml.Node, path string) {
	if f.Items != nil {
		d.limits(f, n, path)
		return
	}
	f.Read(d.Reader, d.spec, n, d.under[path], path, d.note)
}

// limits decodes a list of groups. An item that has a problem stays in the list, so that an item's index is its node's.
func (d *decoder) limits(f field, n *yaml.Node, path string) {
	if n.Kind != yaml.SequenceNode {
		d.Problem(n, path, "wants a list, got "+tree.Describe(n), "write - {metric: e2el, percentile: 99, ms: 500}")
		return
	}
	for i, item := range n.Content {
		d.spec.Limits = append(d.spec.Limits, Limit{})
		d.subgroup(tree.Resolve(item), n, fmt.Sprintf("%s[%d]", path, i), f.Items)
	}
}
