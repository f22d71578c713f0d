package script

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func (e *evaluator) assignments(as []*syntax.Assign, exported bool) {
	for _, a := range as {
		if a.Name == nil || a.Naked {
			continue // export NAME, declare -a: nothing is assigned
		}
		e.fromFolder, e.fromEnvironment = false, false
		v := at(a.Pos(), Variable{})
		if items, array, err := e.assigned(a); array {
			v = e.array(v, items)
		} else {
			v = e.told(v, items, err)
		}
		v.FromFolder, v.FromEnvironment = e.fromFolder, e.fromEnvironment
		v.Exported = exported || e.set[a.Name.Value].Exported
		e.assign(a.Name.Value, v)
	}
}

func (e *evaluator) assign(name string, v Variable) {
	e.set[name] = v
	if _, ok := e.out.First[name]; !ok && !e.guessing {
		e.out.First[name] = v
	}
}

func (e *evaluator) told(v Variable, value []Word, err error) Variable {
	var u *unknown
	if errors.As(err, &u) {
		return at(u.pos, Variable{Unknown: u.why})
	}
	for _, w := range value {
		v.Value += w.Text
	}
	return v
}

// array knows as much as its elements: one that cannot be told leaves the others.
func (e *evaluator) array(v Variable, items []Word) Variable {
	v.Items, v.Array = items, true
	var texts []string
	for _, w := range items {
		texts = append(texts, w.Text)
		if w.Unknown != "" && v.Unknown == "" {
			v.Unknown, v.Line, v.Col = w.Unknown, w.Line, w.Col
		}
	}
	v.Value = strings.Join(texts, " ")
	return v
}

// assigned is the value after a: the elements of an array, or pieces to be joined.
func (e *evaluator) assigned(a *syntax.Assign) (value []Word, array bool, err error) {
	if a.Index != nil {
		return nil, false, &unknown{a.Pos(), "is assigned by element"}
	}
	if a.Append {
		switch old, ok := e.set[a.Name.Value]; {
		case ok && old.Array && a.Array != nil:
			value = append(value, old.Items...)
		case ok && old.Array:
			return nil, false, &unknown{a.Pos(), "is assigned by element"}
		default:
			before, err := e.variable(a.Name.Value, a.Pos())
			if err != nil {
				return nil, false, err
			}
			if before != "" || a.Array == nil {
				value = append(value, Word{Text: before})
			}
		}
	}
	if a.Array != nil {
		for _, el := range a.Array.Elems {
			if el.Index != nil || el.Value == nil {
				return nil, false, &unknown{el.Pos(), "is assigned by element"}
			}
			value = append(value, e.fields(el.Value)...)
		}
		return value, true, nil
	}
	if a.Value == nil {
		return value, false, nil
	}
	v, err := e.word(a.Value)
	return append(value, Word{Text: v}), false, err
}

// one is a word that stays one, as in an assignment.
func (e *evaluator) one(w *syntax.Word) Word {
	text, err := e.word(w)
	return e.placed(w, text, err)
}

func (e *evaluator) placed(n syntax.Node, text string, err error) Word {
	w := Word{Text: text, Source: e.source(n), Line: int(n.Pos().Line()), Col: int(n.Pos().Col())}
	var u *unknown
	if errors.As(err, &u) {
		w.Text, w.Unknown = "", u.why
	}
	return w
}

// fields are the words that one becomes: an array's elements, and what falls apart at spaces because no quotes hold it together.
func (e *evaluator) fields(w *syntax.Word) []Word {
	if items, ok := e.elements(w); ok {
		return items
	}
	one := e.one(w)
	expanded, quoted := e.splits(w)
	switch blank := strings.ContainsAny(one.Text, " \t\n"); {
	case one.Unknown != "" || !expanded || quoted && !blank:
		return []Word{one}
	case quoted:
		one.Text, one.Unknown = "", "falls apart at some spaces and not at others"
		return []Word{one}
	}
	var all []Word
	for _, f := range strings.Fields(one.Text) {
		part := one
		part.Text = f
		all = append(all, part)
	}
	return all
}

// elements is "${A[@]}" or ${A[*]} as a whole word.
func (e *evaluator) elements(w *syntax.Word) ([]Word, bool) {
	parts := w.Parts
	quoted, isQuoted := parts[0].(*syntax.DblQuoted)
	if isQuoted && len(parts) == 1 {
		parts = quoted.Parts
	}
	if len(parts) != 1 {
		return nil, false
	}
	p, ok := parts[0].(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Exp != nil || p.Length || p.Slice != nil || p.Repl != nil || p.Excl {
		return nil, false
	}
	index := e.index(p)
	v, set := e.set[p.Param.Value]
	if index != "@" && (index != "*" || isQuoted) || !set || !v.Array {
		return nil, false
	}
	return v.Items, true
}

// index is what stands in brackets behind a parameter.
func (e *evaluator) index(p *syntax.ParamExp) string {
	if p.Index == nil {
		return ""
	}
	return e.source(p.Index)
}

// splits reports whether something in w is expanded outside of quotes, and whether something in it, however deep, is quoted.
func (e *evaluator) splits(w *syntax.Word) (expanded, quoted bool) {
	for _, p := range w.Parts {
		switch p.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst:
			expanded = true
		}
	}
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DblQuoted, *syntax.SglQuoted:
			quoted = true
		case *syntax.Lit:
			quoted = quoted || strings.Contains(n.Value, `\`)
		}
		return true
	})
	return expanded, quoted
}
