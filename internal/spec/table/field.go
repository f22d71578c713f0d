// Package table is how the keys of a YAML file are told of: each once, in a table by which it is read here, and from which pages for
// people and a JSON Schema for editors are made. S is what a file is read into.
package table

import (
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Field is one key of the file.
type Field[S any] struct {
	Key string
	Doc string // one short line, with units

	// At points to the value inside an S; its type decides how the value is read and written: *bool, *int, *int64, *float64, *string,
	// *[]int, *[]string or *map[string]string. Nil for a group.
	At    func(*S) any
	Group []Field[S]
	// Items make the value a list of groups: the keys of one, whose places in an S are those of the list's last item. Each then gives
	// an S for every item.
	Items []Field[S]
	Each  func(*S) []*S

	Required  bool
	OfSite    bool            // a site file may say it too, though it is no key of the site
	Default   string          // YAML; empty: the zero value of the type
	Derive    func(*S) string // what holds instead, where the default rests on other keys; called when those are known
	Method    string          // the only method that knows the key; empty: every method
	Scheduler string          // the only scheduler that knows the key; empty: every scheduler

	OneOf    []string  // text: the words allowed
	Min, Max int64     // whole numbers and items of number lists; max 0: the greatest int32
	Span     word.Span // other numbers
	Value    word.Rule // text, items of text lists, values of a mapping
	Name     word.Rule // keys of a mapping
	OrWord   bool      // text list: a single word stands for a list of one

	Show   string // what a page to start from writes; without it the line is written commented out
	Brief  string // of a group: what its only line, commented out, shows where nothing of the group is written
	Sketch string // what the commented-out line shows instead of the default
}

// Whole is what a whole number may be.
func (f Field[S]) Whole() word.Whole { return word.Whole{Min: f.Min, Max: f.Max} }

// Mandatory reports whether a file without this key is refused, which for a group is so when one of its keys is required.
func (f Field[S]) Mandatory() bool {
	for _, g := range f.Group {
		if g.Mandatory() {
			return true
		}
	}
	return f.Required
}

// Walk visits every key that has a value, with its path.
func Walk[S any](fs []Field[S], prefix string, visit func(f Field[S], path string)) {
	for _, f := range fs {
		path := tree.Join(prefix, f.Key)
		if f.Group != nil {
			Walk(f.Group, path, visit)
			continue
		}
		visit(f, path)
	}
}

// Without is the table less the keys that leave names. A group of which nothing is left is left out itself.
func Without[S any](fs []Field[S], leave func(Field[S]) bool) []Field[S] {
	var kept []Field[S]
	for _, f := range fs {
		switch {
		case f.Group != nil:
			if f.Group = Without(f.Group, leave); f.Group != nil {
				kept = append(kept, f)
			}
		case !leave(f):
			kept = append(kept, f)
		}
	}
	return kept
}
