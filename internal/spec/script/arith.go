package script

import (
	"math"
	"regexp"
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// decimal keeps to what every reader takes for the same number: a leading zero would be octal.
var decimal = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)

// arithmetic is the value of $((...)) where each name in it has a whole number that is known.
func (e *evaluator) arithmetic(a *syntax.ArithmExp) (string, error) {
	n, err := e.number(a.X)
	return strconv.FormatInt(n, 10), err
}

func (e *evaluator) number(x syntax.ArithmExpr) (int64, error) {
	no := &unknown{syntax.Pos{}, "is only known when the script runs"}
	if x == nil {
		return 0, no
	}
	no.pos = x.Pos()
	switch x := x.(type) {
	case *syntax.ParenArithm:
		return e.number(x.X)
	case *syntax.Word:
		text, err := e.operand(x)
		if err != nil {
			return 0, err
		}
		if !decimal.MatchString(text) {
			return 0, no
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, no
		}
		return n, nil
	case *syntax.UnaryArithm:
		n, err := e.number(x.X)
		switch x.Op {
		case syntax.Minus:
			return -n, err
		case syntax.Plus:
			return n, err
		}
	case *syntax.BinaryArithm:
		l, err := e.number(x.X)
		if err != nil {
			return 0, err
		}
		r, err := e.number(x.Y)
		if err != nil {
			return 0, err
		}
		if n, ok := operate(x.Op, l, r); ok {
			return n, nil
		}
	}
	return 0, no
}

// operand is a name without a dollar, or any other word.
func (e *evaluator) operand(w *syntax.Word) (string, error) {
	if lit := w.Lit(); syntax.ValidName(lit) {
		return e.variable(lit, w.Pos())
	}
	return e.word(w)
}

func operate(op syntax.BinAritOperator, l, r int64) (int64, bool) {
	const most = math.MaxInt32 // of a factor: the product cannot overflow
	small := func(n int64) bool { return n >= -most && n <= most }
	switch op {
	case syntax.Add, syntax.Sub:
		if l > math.MaxInt64/4 || l < -math.MaxInt64/4 || r > math.MaxInt64/4 || r < -math.MaxInt64/4 {
			return 0, false
		}
		if op == syntax.Sub {
			r = -r
		}
		return l + r, true
	case syntax.Mul:
		return l * r, small(l) && small(r)
	case syntax.Quo:
		if r == 0 {
			return 0, false
		}
		return l / r, true
	case syntax.Rem:
		if r == 0 {
			return 0, false
		}
		return l % r, true
	}
	return 0, false
}
