// Package script reads which variables a bash script sets at its top level, without running it. What only a run could tell is
// said to be unknown, with the reason; nothing is guessed and no command is executed.
package script

import (
	"bytes"
	"errors"
	"path/filepath"

	"mvdan.cc/sh/v3/syntax"
)

// Variable is what a script leaves in one variable.
type Variable struct {
	Value     string
	Line, Col int    // of the assignment that holds
	Unknown   string // why the value cannot be told; empty: it can

	FromFolder      bool // the value rests on the folder of the script
	FromEnvironment bool // the value was taken from the environment
}

// Read evaluates src, the script called name (its path, which $0 and BASH_SOURCE stand for), under an environment of
// NAME=value. The error is the bash parser's. The map holds what the script assigns, not what it inherits.
func Read(name string, src []byte, environment map[string]string) (map[string]Variable, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(src), "")
	if err != nil {
		return nil, err
	}
	e := &evaluator{name: name, environment: environment, set: map[string]Variable{}}
	e.statements(file.Stmts)
	return e.set, nil
}

type evaluator struct {
	name        string
	environment map[string]string
	set         map[string]Variable

	fromFolder, fromEnvironment bool // whether the word under evaluation touched these
}

func (e *evaluator) statements(stmts []*syntax.Stmt) {
	for _, s := range stmts {
		switch c := s.Cmd.(type) {
		case *syntax.CallExpr:
			if len(c.Args) == 0 || startsTuner(c) {
				e.assignments(c.Assigns)
			}
		case *syntax.DeclClause:
			e.assignments(c.Args)
		case *syntax.Block:
			e.statements(c.Stmts)
		case *syntax.Subshell: // what it assigns ends with it
		default:
			e.forget(c)
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

// forget marks what is assigned under a condition, in a loop or in a function: whether it comes to that, only a run can tell.
func (e *evaluator) forget(c syntax.Command) {
	if c == nil {
		return
	}
	syntax.Walk(c, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DeclClause:
			return n.Variant.Value != "local"
		case *syntax.CallExpr:
			return len(n.Args) == 0
		case *syntax.Subshell, *syntax.CmdSubst:
			return false
		case *syntax.Assign:
			if n.Name != nil && !n.Naked {
				e.set[n.Name.Value] = at(n.Pos(), Variable{Unknown: "is assigned under a condition, in a loop or in a function"})
			}
		}
		return true
	})
}

func (e *evaluator) assignments(as []*syntax.Assign) {
	for _, a := range as {
		if a.Name == nil || a.Naked {
			continue // export NAME, declare -a: nothing is assigned
		}
		e.fromFolder, e.fromEnvironment = false, false
		v := at(a.Pos(), Variable{})
		value, err := e.assigned(a)
		var u *unknown
		if errors.As(err, &u) {
			v = at(u.pos, Variable{Unknown: u.why})
		}
		v.Value, v.FromFolder, v.FromEnvironment = value, e.fromFolder, e.fromEnvironment
		e.set[a.Name.Value] = v
	}
}

func at(pos syntax.Pos, v Variable) Variable {
	v.Line, v.Col = int(pos.Line()), int(pos.Col())
	return v
}

// assigned is the value after a. An array is its elements with spaces between, as "${A[*]}" would give it.
func (e *evaluator) assigned(a *syntax.Assign) (string, error) {
	var before string
	if a.Append {
		var err error
		if before, err = e.variable(a.Name.Value, a.Pos()); err != nil {
			return "", err
		}
	}
	switch {
	case a.Index != nil:
		return "", &unknown{a.Pos(), "is assigned by element"}
	case a.Array != nil:
		for _, el := range a.Array.Elems {
			if el.Index != nil || el.Value == nil {
				return "", &unknown{el.Pos(), "is assigned by element"}
			}
			v, err := e.word(el.Value)
			if err != nil {
				return "", err
			}
			if before != "" {
				before += " "
			}
			before += v
		}
		return before, nil
	case a.Value == nil:
		return before, nil
	}
	v, err := e.word(a.Value)
	return before + v, err
}
