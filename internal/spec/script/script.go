// Package script reads what a bash script sets and which commands it calls, without running it. What only a run could tell is said to
// be unknown, with the reason; nothing is guessed and no command is executed.
package script

import (
	"bytes"
	"maps"

	"mvdan.cc/sh/v3/syntax"
)

// Script is what was read.
type Script struct {
	Set   map[string]Variable // what the script leaves in its variables; not what it inherits
	First map[string]Variable // what it assigned first
	Calls []Call              // every command with its words, those in functions last
	Waits []Wait
}

// Variable is what a script leaves in one variable.
type Variable struct {
	Value     string // of an array: its elements with spaces between, as "${A[*]}" gives it
	Items     []Word // of an array
	Array     bool
	Line, Col int    // of the assignment that holds
	Unknown   string // why the value cannot be told; empty: it can
	Exported  bool

	FromFolder      bool // the value rests on the folder of the script
	FromEnvironment bool // the value was taken from the environment
}

// Call is one simple command.
type Call struct {
	Line, Col int
	Assigns   []Assign // NAME=value in front of it
	Words     []Word   // after expansion, as far as that is known
}

// Assign is a variable that one command alone is given.
type Assign struct {
	Name string
	Word
}

// Word is one word of a command.
type Word struct {
	Text      string
	Source    string // as it is written
	Unknown   string // why Text cannot be told; empty: it can
	Line, Col int
}

// Wait is a loop over {1..N} that sleeps in each round.
type Wait struct {
	Line, Col int
	Seconds   float64
}

// Read evaluates src, the script called name (its path, which $0 and BASH_SOURCE stand for), under an environment of NAME=value. The
// error is the bash parser's.
func Read(name string, src []byte, environment map[string]string) (*Script, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(src), "")
	if err != nil {
		return nil, err
	}
	e := &evaluator{name: name, src: src, environment: maps.Clone(environment), set: map[string]Variable{}, out: &Script{First: map[string]Variable{}}}
	if e.environment == nil {
		e.environment = map[string]string{}
	}
	e.statements(file.Stmts)
	e.out.Set = maps.Clone(e.set)
	// A function is called after the script's variables have their values, and sees them.
	for _, f := range e.functions {
		e.aside(func(inner *evaluator) { inner.statement(f.Body) })
	}
	return e.out, nil
}

type evaluator struct {
	name        string
	src         []byte
	environment map[string]string
	set         map[string]Variable
	functions   []*syntax.FuncDecl
	out         *Script
	guessing    bool // in a part of which it is not known whether, or how often, it is run
	unsetEmpty  bool // in a condition, where what is not set is empty

	fromFolder, fromEnvironment bool // whether the word under evaluation touched these
}

// aside reads a part for its commands; what it assigns does not last.
func (e *evaluator) aside(read func(*evaluator)) {
	inner := *e
	inner.set, inner.environment, inner.guessing = maps.Clone(e.set), maps.Clone(e.environment), true
	read(&inner)
	e.functions = inner.functions
}

func at(pos syntax.Pos, v Variable) Variable {
	v.Line, v.Col = int(pos.Line()), int(pos.Col())
	return v
}

// source is a node as it is written.
func (e *evaluator) source(n syntax.Node) string {
	from, to := int(n.Pos().Offset()), int(n.End().Offset())
	if from < 0 || to > len(e.src) || from > to {
		return ""
	}
	return string(e.src[from:to])
}
