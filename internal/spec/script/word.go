package script

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// unknown is a value that only a run could tell.
type unknown struct {
	pos syntax.Pos
	why string
}

func (u *unknown) Error() string { return u.why }

func (e *evaluator) word(w *syntax.Word) (string, error) {
	if w == nil {
		return "", nil
	}
	var b strings.Builder
	for i, part := range w.Parts {
		read := e.unquoted
		if lit, ok := part.(*syntax.Lit); ok && i == 0 && startsHome(lit.Value, len(w.Parts) == 1) {
			read = e.home
		}
		v, err := read(part)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// startsHome: bash expands a tilde only where no quote follows before the next slash.
func startsHome(s string, whole bool) bool {
	rest, ok := strings.CutPrefix(s, "~")
	return ok && (rest != "" || whole)
}

func (e *evaluator) home(p syntax.WordPart) (string, error) {
	rest := p.(*syntax.Lit).Value[len("~"):]
	if rest != "" && rest[0] != '/' || strings.Contains(rest, ":~") {
		return "", &unknown{p.Pos(), "this use of ~ is not read"}
	}
	home, err := e.variable("HOME", p.Pos())
	return home + unescape(rest, ""), err
}

func (e *evaluator) unquoted(p syntax.WordPart) (string, error) {
	if lit, ok := p.(*syntax.Lit); ok {
		if strings.Contains(lit.Value, ":~") {
			return "", &unknown{p.Pos(), "this use of ~ is not read"}
		}
		return unescape(lit.Value, ""), nil
	}
	return e.part(p, false)
}

// quotable is what a backslash quotes inside double quotes; elsewhere it quotes anything.
const quotable = "$`\"\\\n"

func (e *evaluator) part(p syntax.WordPart, inQuotes bool) (string, error) {
	switch p := p.(type) {
	case *syntax.SglQuoted:
		if p.Dollar && strings.Contains(p.Value, `\`) {
			return "", &unknown{p.Pos(), "escapes of $'...' are not read"}
		}
		return p.Value, nil
	case *syntax.DblQuoted:
		return e.quoted(p)
	case *syntax.ParamExp:
		return e.parameter(p, inQuotes)
	case *syntax.CmdSubst:
		return e.command(p)
	case *syntax.ArithmExp:
		return e.arithmetic(p)
	}
	return "", &unknown{p.Pos(), "is only known when the script runs"}
}

func (e *evaluator) quoted(q *syntax.DblQuoted) (string, error) {
	var b strings.Builder
	for _, p := range q.Parts {
		if lit, ok := p.(*syntax.Lit); ok {
			b.WriteString(unescape(lit.Value, quotable))
			continue
		}
		v, err := e.part(p, true)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// fallback is the word of ${X:-word}. Inside double quotes, single quotes and backslashes in it follow rules of their own.
func (e *evaluator) fallback(w *syntax.Word, inQuotes bool) (string, error) {
	if w == nil || !inQuotes {
		return e.word(w)
	}
	var b strings.Builder
	for _, p := range w.Parts {
		lit, ok := p.(*syntax.Lit)
		if _, single := p.(*syntax.SglQuoted); single || ok && strings.Contains(lit.Value, `\`) {
			return "", &unknown{p.Pos(), "quotes within quotes are not read"}
		}
		if ok {
			b.WriteString(lit.Value)
			continue
		}
		v, err := e.part(p, true)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// unescape removes the backslashes that quote one of the given characters, or any where none are given. A quoted newline is no
// character at all.
func unescape(s, quotable string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (quotable == "" || strings.IndexByte(quotable, s[i+1]) >= 0) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (e *evaluator) parameter(p *syntax.ParamExp, inQuotes bool) (string, error) {
	plain := p.Param != nil && !p.Excl && !p.Length && !p.Width && p.Slice == nil && p.Repl == nil && p.Names == 0
	if !plain || p.Index != nil && p.Param.Value != "BASH_SOURCE" && p.Exp != nil {
		return "", &unknown{p.Pos(), "this kind of expansion is not read"}
	}
	if p.Index != nil && p.Param.Value != "BASH_SOURCE" {
		return e.element(p)
	}
	if p.Exp == nil {
		return e.variable(p.Param.Value, p.Pos())
	}
	v, isSet := e.lookUp(p.Param.Value)
	switch p.Exp.Op {
	case syntax.DefaultUnsetOrNull, syntax.AssignUnsetOrNull:
		isSet = isSet && (v.Value != "" || v.Unknown != "")
	case syntax.DefaultUnset, syntax.AssignUnset:
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if !isSet || p.Exp.Op == syntax.AlternateUnsetOrNull && v.Value == "" && v.Unknown == "" {
			return "", nil
		}
		if v.Unknown != "" && p.Exp.Op == syntax.AlternateUnsetOrNull {
			return e.variable(p.Param.Value, p.Pos())
		}
		return e.fallback(p.Exp.Word, inQuotes)
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return e.variable(p.Param.Value, p.Pos())
	default:
		return "", &unknown{p.Pos(), "this kind of expansion is not read"}
	}
	if isSet {
		return e.variable(p.Param.Value, p.Pos())
	}
	value, err := e.fallback(p.Exp.Word, inQuotes)
	if p.Exp.Op == syntax.AssignUnset || p.Exp.Op == syntax.AssignUnsetOrNull {
		e.assign(p.Param.Value, e.told(at(p.Pos(), Variable{}), []Word{{Text: value}}, err))
	}
	return value, err
}

// element of an array: a number, counted from the end where it is negative, or all of them with spaces between.
func (e *evaluator) element(p *syntax.ParamExp) (string, error) {
	v, ok := e.set[p.Param.Value]
	no := &unknown{p.Pos(), "this kind of expansion is not read"}
	if !ok || !v.Array {
		return "", no
	}
	index := e.index(p)
	if index == "@" || index == "*" {
		return e.joined(p.Param.Value, v, p.Pos())
	}
	i, err := strconv.Atoi(index)
	if i < 0 {
		i += len(v.Items)
	}
	if err != nil || i < 0 || i >= len(v.Items) || v.Items[i].Unknown != "" || slices.ContainsFunc(v.Items[:i], func(w Word) bool { return w.Unknown != "" }) {
		return "", no
	}
	return v.Items[i].Text, nil
}

func (e *evaluator) joined(name string, v Variable, pos syntax.Pos) (string, error) {
	if v.Unknown != "" {
		return "", &unknown{pos, "$" + name + " " + v.Unknown}
	}
	return v.Value, nil
}

func (e *evaluator) lookUp(name string) (Variable, bool) {
	if name == "0" || name == "BASH_SOURCE" {
		return Variable{Value: e.name, FromFolder: true}, true
	}
	if v, ok := e.set[name]; ok {
		return v, true
	}
	v, ok := e.environment[name]
	return Variable{Value: v, FromEnvironment: true}, ok
}

func (e *evaluator) variable(name string, pos syntax.Pos) (string, error) {
	v, ok := e.lookUp(name)
	switch {
	case !ok && e.unsetEmpty && syntax.ValidName(name):
		return "", nil
	case v.Array && len(v.Items) == 0:
		return "", nil
	case v.Array && v.Items[0].Unknown == "":
		v.Value, v.Unknown = v.Items[0].Text, "" // an array without an index is its first element
	}
	switch {
	case !ok:
		return "", &unknown{pos, "$" + name + " is set neither in the file before this nor in the environment"}
	case v.Unknown != "":
		return "", &unknown{pos, "$" + name + " " + v.Unknown}
	}
	e.fromFolder = e.fromFolder || v.FromFolder
	e.fromEnvironment = e.fromEnvironment || v.FromEnvironment
	return v.Value, nil
}

// command knows the commands by which scripts find their own folder: dirname F, realpath F, and cd D && pwd.
func (e *evaluator) command(c *syntax.CmdSubst) (string, error) {
	no := &unknown{c.Pos(), "is the output of a command, only known when the script runs"}
	if len(c.Stmts) != 1 {
		return "", no
	}
	if both, ok := c.Stmts[0].Cmd.(*syntax.BinaryCmd); ok && both.Op == syntax.AndStmt {
		cd, folder := call(both.X)
		if pwd, _ := call(both.Y); cd == "cd" && pwd == "pwd" && folder != nil {
			return e.path(folder)
		}
		return "", no
	}
	switch name, file := call(c.Stmts[0]); {
	case file == nil:
	case name == "dirname":
		v, err := e.path(file)
		return filepath.Dir(v), err
	case name == "realpath" || name == "readlink":
		return e.path(file)
	}
	return "", no
}

func (e *evaluator) path(w *syntax.Word) (string, error) {
	v, err := e.word(w)
	return filepath.Clean(v), err
}

// call takes a simple command of at most one argument apart, options aside.
func call(s *syntax.Stmt) (name string, arg *syntax.Word) {
	c, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(c.Args) == 0 {
		return "", nil
	}
	for _, a := range c.Args[1:] {
		if lit := a.Lit(); lit != "" && lit[0] == '-' {
			continue
		}
		if arg != nil {
			return "", nil
		}
		arg = a
	}
	return c.Args[0].Lit(), arg
}
