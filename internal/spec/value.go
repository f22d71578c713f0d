package spec

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/tree"
)

// value decodes one field by the type of its place in the Spec.
func (d *decoder) value(f field, n *yaml.Node, path string) {
	switch p := f.at(d.spec).(type) {
	case *int:
		if tree.IsNull(n) { // a default of none
			return
		}
		*p = int(d.Integer(n, path, f.whole()))
	case *int64:
		*p = d.Integer(n, path, f.whole())
	case *float64:
		*p = d.Number(n, path, f.span)
	case *string:
		if f.oneOf != nil {
			*p = d.Word(n, path, f.oneOf)
			return
		}
		*p = d.Text(n, path, f.value)
	case *[]int:
		*p = d.Integers(n, path, f.whole())
	case *[]string:
		if f.orWord {
			*p = d.WordOrTexts(n, path, f.value)
			return
		}
		*p = d.Texts(n, path, f.value)
	case *map[string]string:
		*p = d.Mapping(path, f.name, f.value, d.note, n, d.under[path])
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
		d.subgroup(tree.Resolve(item), n, fmt.Sprintf("%s[%d]", path, i), f.items)
	}
}
