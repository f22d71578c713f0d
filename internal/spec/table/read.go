package table

import (
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Keys sorts the pairs of n by key, and tells unknown keys and second definitions. A required key that was only misspelled is one
// mistake, not two. At the top, keys that begin with x- are the author's own.
func Keys[S any](r *tree.Reader, n *yaml.Node, prefix string, fs []Field[S]) (given map[string]*yaml.Node, misspelled map[string]bool) {
	given, misspelled = map[string]*yaml.Node{}, map[string]bool{}
	var known []string
	isKnown := map[string]bool{}
	for _, f := range fs {
		known, isKnown[f.Key] = append(known, f.Key), true
	}
	for _, p := range r.Pairs(n, prefix) {
		key := p.Key.Value
		switch {
		case prefix == "" && strings.HasPrefix(key, "x-"):
		case isKnown[key]:
			given[key] = p.Value
		default:
			near := word.Nearest(key, known)
			misspelled[near] = true
			r.Problem(p.Key, tree.Join(prefix, key), "unknown key", unknownHint(key, near, known))
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

// Read puts what is written at n into s. Of a mapping, below may have keys that n has not, and at hears where the value of each path
// stands. Lists of groups are the caller's.
func (f Field[S]) Read(r *tree.Reader, s *S, n, below *yaml.Node, path string, at func(path string, n *yaml.Node)) {
	switch p := f.At(s).(type) {
	case *bool:
		*p = r.Truth(n, path)
	case *int:
		if tree.IsNull(n) { // a default of none
			return
		}
		*p = int(r.Integer(n, path, f.Whole()))
	case *int64:
		*p = r.Integer(n, path, f.Whole())
	case *float64:
		*p = r.Number(n, path, f.Span)
	case *string:
		if f.OneOf != nil {
			*p = r.Word(n, path, f.OneOf)
			return
		}
		*p = r.Text(n, path, f.Value)
	case *[]int:
		*p = r.Integers(n, path, f.Whole())
	case *[]string:
		if f.OrWord {
			*p = r.WordOrTexts(n, path, f.Value)
			return
		}
		*p = r.Texts(n, path, f.Value)
	case *map[string]string:
		*p = r.Mapping(path, f.Name, f.Value, at, n, below)
	}
}
