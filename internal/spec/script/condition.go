package script

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// condition says whether the commands succeed, where they are tests of texts alone. In a test, what is not set is empty.
func (e *evaluator) condition(stmts []*syntax.Stmt) (holds, known bool) {
	if len(stmts) != 1 {
		return false, false
	}
	s := stmts[0]
	inner := *e
	inner.unsetEmpty = true
	switch c := s.Cmd.(type) {
	case *syntax.TestClause:
		holds, known = inner.test(c.X)
	case *syntax.CallExpr:
		holds, known = inner.bracket(c)
	case *syntax.BinaryCmd:
		x, xKnown := e.condition([]*syntax.Stmt{c.X})
		y, yKnown := e.condition([]*syntax.Stmt{c.Y})
		if known = xKnown && yKnown; c.Op == syntax.AndStmt {
			holds = x && y
		} else {
			holds, known = x || y, known && c.Op == syntax.OrStmt
		}
	}
	return holds != s.Negated, known
}

// bracket is [ ... ] or test.
func (e *evaluator) bracket(c *syntax.CallExpr) (holds, known bool) {
	args := c.Args
	switch {
	case len(args) == 0:
		return false, false
	case args[0].Lit() == "[":
		args = args[1:max(1, len(args)-1)]
	case args[0].Lit() == "test":
		args = args[1:]
	default:
		return false, false
	}
	var texts []string
	for _, a := range args {
		expanded, quoted := e.splits(a)
		t, err := e.word(a)
		if err != nil || expanded && strings.ContainsAny(t, " \t\n*?[") {
			return false, false // it may be several words
		}
		if t != "" || !expanded || quoted {
			texts = append(texts, t) // else there is no word, and [ -n $EMPTY ] holds
		}
	}
	not := len(texts) > 1 && texts[0] == "!"
	if not {
		texts = texts[1:]
	}
	switch len(texts) {
	case 0:
		holds, known = false, true
	case 1:
		holds, known = texts[0] != "", true
	case 2:
		holds, known = unary(texts[0], texts[1])
	case 3:
		holds, known = compare(texts[1], texts[0], texts[2])
	}
	return holds != not, known
}

func unary(op, text string) (holds, known bool) {
	switch op {
	case "-z":
		return text == "", true
	case "-n":
		return text != "", true
	}
	return false, false
}

func compare(op, x, y string) (holds, known bool) {
	switch op {
	case "=", "==":
		return x == y, true
	case "!=":
		return x != y, true
	}
	return false, false
}

// test is what stands in [[ ]], where words do not fall apart.
func (e *evaluator) test(x syntax.TestExpr) (holds, known bool) {
	switch x := x.(type) {
	case *syntax.ParenTest:
		return e.test(x.X)
	case *syntax.Word:
		t, err := e.word(x)
		return t != "", err == nil
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			holds, known = e.test(x.X)
			return !holds, known
		}
		w, ok := x.X.(*syntax.Word)
		if !ok {
			return false, false
		}
		t, err := e.word(w)
		holds, known = unary(x.Op.String(), t)
		return holds, known && err == nil
	case *syntax.BinaryTest:
		if x.Op == syntax.AndTest || x.Op == syntax.OrTest {
			l, lKnown := e.test(x.X)
			r, rKnown := e.test(x.Y)
			if x.Op == syntax.AndTest {
				return l && r, lKnown && rKnown
			}
			return l || r, lKnown && rKnown
		}
		l, lok := x.X.(*syntax.Word)
		r, rok := x.Y.(*syntax.Word)
		if !lok || !rok || strings.ContainsAny(e.source(r), "*?[(\\") {
			return false, false // a pattern
		}
		lt, lerr := e.word(l)
		rt, rerr := e.word(r)
		holds, known = compare(x.Op.String(), lt, rt)
		return holds, known && lerr == nil && rerr == nil
	}
	return false, false
}
