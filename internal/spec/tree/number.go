package tree

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/word"
)

// Integer takes plain decimal numbers only. 010 is eight to YAML 1.1 and ten to YAML 1.2 (and to the author), 1_000 is a number
// to the one and a text to the other: neither is guessed.
func (r *Reader) Integer(n *yaml.Node, path string, whole word.Whole) int64 {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		r.Problem(n, path, "wants a whole number, got "+Describe(n), wholeNumberHint(n))
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if digits := strings.TrimLeft(n.Value, "+-"); err != nil || len(digits) > 1 && digits[0] == '0' {
		r.Problem(n, path, "wants a decimal number, got "+n.Value, decimalHint(n.Value))
		return 0
	}
	if v < whole.Min || v > whole.Greatest() {
		r.Problem(n, path, fmt.Sprintf("%d is not %s", v, whole), "")
		return 0
	}
	return v
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

// Number is a decimal number; null is 0, which no span has in it.
func (r *Reader) Number(n *yaml.Node, path string, span word.Span) float64 {
	if IsNull(n) {
		return 0
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" {
		r.Problem(n, path, "wants a number, got "+Describe(n), "")
		return 0
	}
	digits := strings.TrimLeft(n.Value, "+-")
	v, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case strings.ContainsAny(digits, "_xXoObB") || len(digits) > 1 && digits[0] == '0' && digits[1] != '.':
		r.Problem(n, path, "wants a decimal number, got "+n.Value, decimalHint(n.Value))
		return 0
	case err != nil || math.IsInf(v, 0) || math.IsNaN(v):
		r.Problem(n, path, n.Value+" is not a finite number", span.Hint)
		return 0
	}
	if bad := span.Test(n.Value, v); bad != nil {
		r.Problem(n, path, bad.What, bad.Hint)
		return 0
	}
	return v
}

// Integers is a list of at least one whole number, each of them once. Items with a problem are left out.
func (r *Reader) Integers(n *yaml.Node, path string, whole word.Whole) []int {
	if n.Kind != yaml.SequenceNode {
		r.Problem(n, path, "wants a list, got "+Describe(n), listHint(n))
		return nil
	}
	if len(n.Content) == 0 {
		r.Problem(n, path, "is empty", "write at least one value")
	}
	var out []int
	first := map[int64]int{}
	for i, item := range n.Content {
		item, at := Resolve(item), fmt.Sprintf("%s[%d]", path, i)
		v := r.Integer(item, at, whole)
		if !r.Sound(at) {
			continue
		}
		if before, ok := first[v]; ok {
			r.Problem(item, at, fmt.Sprintf("%d stands at [%d] already", v, before), "")
			continue
		}
		first[v] = i
		out = append(out, int(v))
	}
	return out
}
