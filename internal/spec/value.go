package spec

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/tree"
)

// value decodes one field by the type of its place in the Spec.
func (d *decoder) value(f field, n *yaml.Node, path string) {
	switch p := f.At(d.spec).(type) {
	case *bool:
		*p = d.Truth(n, path)
	case *int:
		if tree.IsNull(n) { // a default of none
			return
		}
		*p = int(d.Integer(n, path, f.Whole()))
	case *int64:
		*p = d.Integer(n, path, f.Whole())
	case *float64:
		*p = d.Number(n, path, f.Span)
	case *string:
		if f.OneOf != nil {
			*p = d.Word(n, path, f.OneOf)
			return
		}
		*p = d.Text(n, path, f.Value)
	case *[]int:
		*p = d.Integers(n, path, f.Whole())
	case *[]string:
		if f.OrWord {
			*p = d.WordOrTexts(n, path, f.Value)
			return
		}
		*p = d.Texts(n, path, f.Value)
	case *map[string]string:
		*p = d.Mapping(path, f.Name, f.Value, d.note, n, d.under[path])
	case *[]Limit:
		d.limits(f, n, path)
	}
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
