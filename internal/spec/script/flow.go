package script

import (
	"path/filepath"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func (e *evaluator) statements(stmts []*syntax.Stmt) {
	for _, s := range stmts {
		e.statement(s)
	}
}

func (e *evaluator) statement(s *syntax.Stmt) {
	if s == nil {
		return
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		e.call(c)
	case *syntax.DeclClause:
		e.declare(c)
	case *syntax.Block:
		e.statements(c.Stmts)
	case *syntax.Subshell: // what it assigns ends with it
		e.aside(func(in *evaluator) { in.statements(c.Stmts) })
	case *syntax.TimeClause:
		e.statement(c.Stmt)
	case *syntax.IfClause:
		e.choose(c)
	case *syntax.BinaryCmd:
		e.binary(c)
	case *syntax.FuncDecl:
		e.functions = append(e.functions, c)
		e.forget(c.Body)
	case *syntax.ForClause:
		e.wait(c)
		e.forget(c)
		e.aside(func(in *evaluator) { in.statements(c.Do) })
	case *syntax.WhileClause:
		e.forget(c)
		e.aside(func(in *evaluator) { in.statements(c.Cond); in.statements(c.Do) })
	case *syntax.CaseClause:
		for _, item := range c.Items {
			e.aside(func(in *evaluator) { in.statements(item.Stmts) })
		}
		e.forget(c)
	case nil:
	default:
		e.forget(c)
	}
}

// choose takes the branch that a run would take, if that can be told, as of `if [ -z "$X" ]; then X=1; fi`.
func (e *evaluator) choose(c *syntax.IfClause) {
	holds, known := true, true
	if len(c.Cond) > 0 { // an else has none
		holds, known = e.condition(c.Cond)
	}
	switch {
	case known && holds:
		e.statements(c.Then)
	case known && c.Else != nil:
		e.choose(c.Else)
	case known:
	default:
		for b := c; b != nil; b = b.Else {
			e.aside(func(in *evaluator) { in.statements(b.Cond); in.statements(b.Then) })
		}
		e.forget(c)
	}
}

func (e *evaluator) binary(c *syntax.BinaryCmd) {
	if c.Op == syntax.AndStmt || c.Op == syntax.OrStmt {
		if holds, known := e.condition([]*syntax.Stmt{c.X}); known {
			if holds == (c.Op == syntax.AndStmt) {
				e.statement(c.Y)
			}
			return
		}
		// `vllm serve ... || exit` runs its left side whatever comes of it.
		e.statement(c.X)
		e.aside(func(in *evaluator) { in.statement(c.Y) })
		e.forget(c.Y)
		return
	}
	e.aside(func(in *evaluator) { in.statement(c.X); in.statement(c.Y) }) // a pipe's sides are subshells
}

// call reads a simple command: assignments, one of the few built-in commands that set variables, or any other.
func (e *evaluator) call(c *syntax.CallExpr) {
	if len(c.Args) == 0 || startsTuner(c) {
		e.assignments(c.Assigns, false)
	}
	if len(c.Args) == 0 {
		return
	}
	call := Call{Line: int(c.Pos().Line()), Col: int(c.Pos().Col())}
	for _, a := range c.Assigns {
		if a.Name != nil && a.Value != nil && !a.Append {
			call.Assigns = append(call.Assigns, Assign{a.Name.Value, e.one(a.Value)})
		}
	}
	for _, w := range c.Args {
		call.Words = append(call.Words, e.fields(w)...)
	}
	e.out.Calls = append(e.out.Calls, call)
	e.builtin(c)
}

func (e *evaluator) builtin(c *syntax.CallExpr) {
	name := c.Args[0].Lit()
	for _, w := range c.Args[1:] {
		arg := w.Lit()
		if arg == "" || arg[0] == '-' {
			continue
		}
		switch name {
		case "unset":
			delete(e.set, arg)
			delete(e.environment, arg)
		case "read", "readarray", "mapfile", "printf", "getopts":
			if name != "printf" || e.source(c.Args[1]) == "-v" && w == c.Args[2] {
				e.set[arg] = at(w.Pos(), Variable{Unknown: "is read when the script runs"})
			}
		}
	}
}

// startsTuner: MODEL=x TP=2 ./auto_tune.sh is how people who do not edit the script set its variables.
func startsTuner(c *syntax.CallExpr) bool {
	for _, a := range c.Args {
		if filepath.Base(a.Lit()) == "auto_tune.sh" {
			return true
		}
	}
	return false
}

// forget marks what is assigned under a condition, in a loop or in a function: whether it comes to that, only a run can tell. An array
// that grows there keeps what it surely has.
func (e *evaluator) forget(c syntax.Node) {
	if c == nil {
		return
	}
	unknown := func(name string, pos syntax.Pos, what string) {
		v := at(pos, Variable{Unknown: "is " + what + " under a condition, in a loop or in a function"})
		v.Exported = e.set[name].Exported
		e.set[name] = v
	}
	syntax.Walk(c, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DeclClause:
			return n.Variant.Value != "local"
		case *syntax.CallExpr:
			switch {
			case len(n.Args) == 0:
				return true
			case n.Args[0].Lit() == "unset":
				for _, w := range n.Args[1:] {
					if _, set := e.lookUp(w.Lit()); set {
						unknown(w.Lit(), w.Pos(), "unset")
					}
				}
			default:
				e.builtin(n)
			}
			return false
		case *syntax.Subshell, *syntax.CmdSubst:
			return false
		case *syntax.BinaryArithm:
			if n.Op >= syntax.Assgn {
				unknown(e.source(n.X), n.Pos(), "assigned")
			}
		case *syntax.UnaryArithm:
			if n.Op == syntax.Inc || n.Op == syntax.Dec {
				unknown(e.source(n.X), n.Pos(), "assigned")
			}
		case *syntax.Assign:
			if n.Name == nil || n.Naked {
				return true
			}
			if old := e.set[n.Name.Value]; n.Append && n.Array != nil && old.Array {
				for _, el := range n.Array.Elems {
					old.Items = append(old.Items[:len(old.Items):len(old.Items)], e.maybe(el))
				}
				old.Unknown = "grows under a condition, in a loop or in a function"
				e.set[n.Name.Value] = old
				return true
			}
			unknown(n.Name.Value, n.Pos(), "assigned")
		}
		return true
	})
}

func (e *evaluator) maybe(el *syntax.ArrayElem) Word {
	return Word{Source: e.source(el), Unknown: "is added under a condition, in a loop or in a function", Line: int(el.Pos().Line()), Col: int(el.Pos().Col())}
}

func (e *evaluator) declare(c *syntax.DeclClause) {
	exported := c.Variant.Value == "export"
	for _, a := range c.Args {
		if a.Naked && a.Value != nil && a.Value.Lit() == "-x" {
			exported = true
		}
		if v, ok := e.set[name(a)]; ok && a.Naked && exported {
			v.Exported = true
			e.set[name(a)] = v
		}
	}
	e.assignments(c.Args, exported)
}

func name(a *syntax.Assign) string {
	if a.Name == nil {
		return ""
	}
	return a.Name.Value
}

// wait notes `for i in {1..60}; do ... sleep 10`.
func (e *evaluator) wait(c *syntax.ForClause) {
	iter, ok := c.Loop.(*syntax.WordIter)
	if !ok || len(iter.Items) != 1 {
		return
	}
	first, last, _ := strings.Cut(strings.Trim(iter.Items[0].Lit(), "{}"), "..")
	from, err := strconv.Atoi(first)
	to, terr := strconv.Atoi(last)
	if err != nil || terr != nil || to < from {
		return
	}
	var pause float64
	syntax.Walk(c, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) == 2 && call.Args[0].Lit() == "sleep" {
			if s, err := strconv.ParseFloat(strings.TrimSuffix(call.Args[1].Lit(), "s"), 64); err == nil {
				pause += s
			}
		}
		return true
	})
	if pause > 0 {
		e.out.Waits = append(e.out.Waits, Wait{int(c.Pos().Line()), int(c.Pos().Col()), pause * float64(to-from+1)})
	}
}
