package tree

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/diag"
	"vtune/internal/spec/word"
)

// Reader turns nodes into values and collects what is wrong with them. It decodes by hand, because yaml's own decoder stops being
// strict about types where it can convert, reports no columns, and knows nothing of ranges.
type Reader struct {
	Problems diag.Problems

	file      string
	elsewhere map[*yaml.Node]string // nodes of another file
	lacks     string                // how a path begins here that in the other file begins without it
	bad       map[string]bool       // paths without a usable value
}

// NewReader reads nodes of file, the name that positions carry.
func NewReader(file string) *Reader {
	return &Reader{file: file, elsewhere: map[*yaml.Node]string{}, bad: map[string]bool{}}
}

// Adopt lets the nodes below root stand in another file, in which paths begin without prefix.
func (r *Reader) Adopt(root *yaml.Node, file, prefix string) {
	r.elsewhere[root], r.lacks = file, prefix
	for _, n := range root.Content {
		if r.elsewhere[n] == "" {
			r.Adopt(n, file, prefix)
		}
	}
}

// Own reports whether n stands in the reader's own file.
func (r *Reader) Own(n *yaml.Node) bool { return r.elsewhere[n] == "" }

// Position is where n stands.
func (r *Reader) Position(n *yaml.Node) diag.Pos {
	file := r.file
	if !r.Own(n) {
		file = r.elsewhere[n]
	}
	return diag.Pos{File: file, Line: n.Line, Col: n.Column}
}

// Problem is one at n, and leaves path without a value that could be used.
func (r *Reader) Problem(n *yaml.Node, path, what, hint string) { r.problem(n, 0, path, what, hint) }

func (r *Reader) problem(n *yaml.Node, offset int, path, what, hint string) {
	pos, shown := r.Position(n), path
	pos.Col += offset
	if !r.Own(n) {
		shown = strings.TrimPrefix(path, r.lacks)
	}
	r.Problems = append(r.Problems, diag.Problem{Pos: pos, Path: shown, What: what, Hint: hint})
	r.bad[path] = true
}

// Spoil leaves paths without a value that could be used, for a reason that is a problem already.
func (r *Reader) Spoil(paths ...string) {
	for _, p := range paths {
		r.bad[p] = true
	}
}

// Sound reports whether none of the paths has a problem.
func (r *Reader) Sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return r.bad[p] })
}

// Join is the path of a key.
func Join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

// Pair is a key with its value.
type Pair struct{ Key, Value *yaml.Node }

// Pairs lists the keys and values of mapping n with merges (<<) resolved: a key written out goes before a merged one, and an
// earlier merge before a later one, as YAML has it.
func (r *Reader) Pairs(n *yaml.Node, path string) []Pair {
	taken := map[string]int{}
	var out []Pair
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
				r.Problem(key, path, "wants a word as a key, got "+Describe(key), "")
			case key.Tag == "!!merge":
				merges = append(merges, value)
			case own[key.Value]:
				r.Problem(key, Join(path, key.Value), fmt.Sprintf("stands here a second time, first in line %d", out[taken[key.Value]].Key.Line), "")
			default:
				own[key.Value] = true
				if _, ok := taken[key.Value]; !ok {
					taken[key.Value] = len(out)
					out = append(out, Pair{key, Resolve(value)})
				}
			}
		}
		for _, merge := range merges {
			sources := []*yaml.Node{Resolve(merge)}
			if sources[0] != nil && sources[0].Kind == yaml.SequenceNode {
				sources = sources[0].Content
			}
			for _, s := range sources {
				if s = Resolve(s); s == nil || s.Kind != yaml.MappingNode {
					r.Problem(merge, Join(path, "<<"), "wants an anchor of keys and values", "define it under a key that starts with x-")
					continue
				}
				visit(s)
			}
		}
	}
	visit(n)
	return out
}

// Child is the value of a key of n, nil where n has none.
func (r *Reader) Child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for _, p := range r.Pairs(n, "") {
		if p.Key.Value == key {
			return p.Value
		}
	}
	return nil
}

// Text takes what is written, also where YAML sees a number: time: 60 and account: 0123 mean these characters.
func (r *Reader) Text(n *yaml.Node, path string, rule word.Rule) string {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		r.Problem(n, path, "wants text, got "+Describe(n), "put it in quotes")
		return ""
	}
	if !IsText(n) {
		r.Problem(n, path, "wants text, got "+Describe(n), "")
		return ""
	}
	r.test(rule, n, path)
	return n.Value
}

// Truth is true or false. yes and on are these in YAML 1.1 and text in YAML 1.2: neither is guessed.
func (r *Reader) Truth(n *yaml.Node, path string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		r.Problem(n, path, "wants true or false, got "+Describe(n), "")
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// Word is a text out of several.
func (r *Reader) Word(n *yaml.Node, path string, oneOf []string) string {
	v := r.Text(n, path, word.Rule{})
	if slices.Contains(oneOf, v) || !r.Sound(path) {
		return v
	}
	r.Problem(n, path, fmt.Sprintf("%q is not %s", Shorten(v), alternatives(oneOf)), word.DidYouMean(v, oneOf))
	return ""
}

func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (r *Reader) test(rule word.Rule, n *yaml.Node, path string) {
	bad := rule.Test(n.Value)
	if bad == nil {
		return
	}
	offset := bad.Offset
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		offset = 0
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && bad.Offset > 0:
		offset++
	}
	r.problem(n, offset, path, bad.What, bad.Hint)
}

// Texts is a list of texts.
func (r *Reader) Texts(n *yaml.Node, path string, rule word.Rule) []string {
	if n.Kind != yaml.SequenceNode {
		r.Problem(n, path, "wants a list, got "+describe(n, rule), "")
		return nil
	}
	var out []string
	for i, item := range n.Content {
		out = append(out, r.Text(Resolve(item), fmt.Sprintf("%s[%d]", path, i), rule))
	}
	return out
}

// WordOrTexts takes a single word for a list of one, and no empty list.
func (r *Reader) WordOrTexts(n *yaml.Node, path string, rule word.Rule) []string {
	switch {
	case IsText(n) && strings.Contains(n.Value, " ") && !strings.Contains(n.Value, "/"):
		r.Problem(n, path, fmt.Sprintf("%q is one executable", Shorten(n.Value)), listHint(n))
		return nil
	case IsText(n):
		return []string{r.Text(n, path, rule)}
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		r.Problem(n, path, "is empty", "write an executable")
	}
	return r.Texts(n, path, rule)
}

// describe tells the kind of n, but not its text where that may be a secret.
func describe(n *yaml.Node, rule word.Rule) string {
	if rule.Secret && n.Kind == yaml.ScalarNode {
		return "a single value"
	}
	return Describe(n)
}

// listHint turns the script's "128 256", and a single value, into a list.
func listHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || len(n.Value) > 80 {
		return ""
	}
	words := strings.FieldsFunc(n.Value, func(r rune) bool { return r == ' ' || r == ',' })
	return "write [" + strings.Join(words, ", ") + "]"
}

// Mapping is keys with texts: those of the first node, and of each further one those that are still missing. at hears where the
// value of each path stands.
func (r *Reader) Mapping(path string, key, value word.Rule, at func(path string, n *yaml.Node), nodes ...*yaml.Node) map[string]string {
	var out map[string]string
	for _, n := range nodes {
		if IsNull(n) {
			continue
		}
		if n.Kind != yaml.MappingNode {
			r.Problem(n, path, "wants keys and values, got "+describe(n, value), "")
			return nil
		}
		for _, p := range r.Pairs(n, path) {
			name, item := p.Key.Value, Join(path, p.Key.Value)
			if _, taken := out[name]; taken {
				continue
			}
			r.test(key, p.Key, item)
			if !r.Sound(item) {
				continue
			}
			if out == nil {
				out = map[string]string{}
			}
			at(item, p.Value)
			out[name] = ""
			if !IsNull(p.Value) {
				out[name] = r.Text(p.Value, item, value)
			}
		}
	}
	return out
}
