package spec

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// value decodes one field by the type of its place in the Spec.
func (d *decoder) value(f field, n *yaml.Node, path string) {
	switch p := f.at(d.spec).(type) {
	case *int:
		if tree.IsNull(n) { // a default of none
			return
		}
		*p = int(d.integer(f, n, path))
	case *int64:
		*p = d.integer(f, n, path)
	case *float64:
		*p = d.number(f, n, path)
	case *string:
		*p = d.text(f, n, path)
	case *[]int:
		*p = d.integers(f, n, path)
	case *[]string:
		*p = d.texts(f, n, path)
	case *map[string]string:
		*p = d.mapping(f, n, path)
	case *[]Limit:
		d.limits(f, n, path)
	}
}

// integer takes plain decimal numbers only. 010 is eight to YAML 1.1 and ten to YAML 1.2 (and to the author), 1_000 is a number
// to the one and a text to the other: neither is guessed.
func (d *decoder) integer(f field, n *yaml.Node, path string) int64 {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		d.problem(n, path, "wants a whole number, got "+tree.Describe(n), wholeNumberHint(n))
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if digits := strings.TrimLeft(n.Value, "+-"); err != nil || len(digits) > 1 && digits[0] == '0' {
		d.problem(n, path, "wants a decimal number, got "+n.Value, decimalHint(n.Value))
		return 0
	}
	if v < f.min || v > f.greatest() {
		d.problem(n, path, fmt.Sprintf("%d is not %s", v, f.whole()), "")
		return 0
	}
	return v
}

func (f field) whole() string {
	if f.max == 0 {
		return fmt.Sprintf("%d or more (at most %d)", f.min, f.greatest())
	}
	return fmt.Sprintf("between %d and %d", f.min, f.max)
}

func wholeNumberHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	plain := strings.ReplaceAll(n.Value, "_", "")
	if v, err := strconv.ParseFloat(plain, 64); err == nil && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return fmt.Sprintf("write %.0f, without quotes", v)
	}
	return ""
}

func decimalHint(v string) string {
	plain := strings.ReplaceAll(v, "_", "")
	octal, err := strconv.ParseInt(plain, 0, 64)
	if err != nil {
		return ""
	}
	if decimal, err := strconv.ParseInt(plain, 10, 64); err == nil && decimal != octal {
		return fmt.Sprintf("YAML may read it as octal: write %d or %d", decimal, octal)
	}
	return fmt.Sprintf("write %d", octal)
}

// number decodes a decimal number; null is 0, which no span has in it.
func (d *decoder) number(f field, n *yaml.Node, path string) float64 {
	if tree.IsNull(n) {
		return 0
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" {
		d.problem(n, path, "wants a number, got "+tree.Describe(n), "")
		return 0
	}
	digits := strings.TrimLeft(n.Value, "+-")
	v, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case strings.ContainsAny(digits, "_xXoObB") || len(digits) > 1 && digits[0] == '0' && digits[1] != '.':
		d.problem(n, path, "wants a decimal number, got "+n.Value, decimalHint(n.Value))
		return 0
	case err != nil || math.IsInf(v, 0) || math.IsNaN(v):
		d.problem(n, path, n.Value+" is not a finite number", f.span.Hint)
		return 0
	}
	if bad := f.span.Test(n.Value, v); bad != nil {
		d.problem(n, path, bad.What, bad.Hint)
		return 0
	}
	return v
}

// limits decodes a list of groups. An item that has a problem stays in the list, so that an item's index is its node's.
func (d *decoder) limits(f field, n *yaml.Node, path string) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "wants a list, got "+tree.Describe(n), "write - {metric: e2el, percentile: 99, ms: 500}")
		return
	}
	for i, item := range n.Content {
		d.spec.Limits = append(d.spec.Limits, Limit{})
		d.subgroup(tree.Resolve(item), n, fmt.Sprintf("%s[%d]", path, i), f.items)
	}
}

// text takes what is written, also where YAML sees a number: time: 60 and account: 0123 mean these characters.
func (d *decoder) text(f field, n *yaml.Node, path string) string {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		d.problem(n, path, "wants text, got "+tree.Describe(n), "put it in quotes")
		return ""
	}
	if !isText(n) {
		d.problem(n, path, "wants text, got "+tree.Describe(n), "")
		return ""
	}
	if f.oneOf != nil {
		if slices.Contains(f.oneOf, n.Value) {
			return n.Value
		}
		hint := word.DidYouMean(n.Value, f.oneOf)
		d.problem(n, path, fmt.Sprintf("%q is not %s", tree.Shorten(n.Value), alternatives(f.oneOf)), hint)
		return ""
	}
	d.testRule(f.value, n, path)
	return n.Value
}

// describe tells the kind of n, but not its text where that may be a secret.
func (f field) describe(n *yaml.Node) string {
	if f.value.Secret && n.Kind == yaml.ScalarNode {
		return "a single value"
	}
	return tree.Describe(n)
}

func isText(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!timestamp":
		return true
	}
	return false
}

func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (d *decoder) testRule(r word.Rule, n *yaml.Node, path string) {
	bad := r.Test(n.Value)
	if bad == nil {
		return
	}
	at := *n
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && bad.Offset > 0:
		at.Column += 1 + bad.Offset
	default:
		at.Column += bad.Offset
	}
	d.problem(&at, path, bad.What, bad.Hint)
}

func (d *decoder) integers(f field, n *yaml.Node, path string) []int {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "wants a list, got "+tree.Describe(n), listHint(n))
		return nil
	}
	if len(n.Content) == 0 {
		d.problem(n, path, "is empty", "write at least one value")
	}
	var out []int
	first := map[int64]int{}
	for i, item := range n.Content {
		item, at := tree.Resolve(item), fmt.Sprintf("%s[%d]", path, i)
		v := d.integer(f, item, at)
		if d.bad[at] {
			continue
		}
		if before, ok := first[v]; ok {
			d.problem(item, at, fmt.Sprintf("%d stands at [%d] already", v, before), "")
			continue
		}
		first[v] = i
		out = append(out, int(v))
	}
	return out
}

// listHint turns the script's "128 256", and a single value, into a list.
func listHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || len(n.Value) > 80 {
		return ""
	}
	words := strings.FieldsFunc(n.Value, func(r rune) bool { return r == ' ' || r == ',' })
	return "write [" + strings.Join(words, ", ") + "]"
}

func (d *decoder) texts(f field, n *yaml.Node, path string) []string {
	if f.orWord && isText(n) {
		if strings.Contains(n.Value, " ") && !strings.Contains(n.Value, "/") {
			d.problem(n, path, fmt.Sprintf("%q is one executable", tree.Shorten(n.Value)), listHint(n))
			return nil
		}
		return []string{d.text(f, n, path)}
	}
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "wants a list, got "+f.describe(n), "")
		return nil
	}
	if f.orWord && len(n.Content) == 0 {
		d.problem(n, path, "is empty", "write an executable")
	}
	var out []string
	for i, item := range n.Content {
		out = append(out, d.text(f, tree.Resolve(item), fmt.Sprintf("%s[%d]", path, i)))
	}
	return out
}

func (d *decoder) mapping(f field, n *yaml.Node, path string) map[string]string {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "wants keys and values, got "+f.describe(n), "")
		return nil
	}
	var out map[string]string
	for _, p := range d.pairs(n, path) {
		at := join(path, p.key.Value)
		d.testRule(f.name, p.key, at)
		if d.bad[at] {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		if tree.IsNull(p.value) {
			out[p.key.Value] = ""
			continue
		}
		out[p.key.Value] = d.text(f, p.value, at)
	}
	return out
}
