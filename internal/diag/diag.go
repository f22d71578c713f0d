// Package diag carries what a person must read about a failure: where it is, what is wrong, what to do next, and the exit
// code it deserves. It holds values only; printing them is the command's work (cmd/vtune), and nothing here exits.
package diag

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Code is an exit code of vtune. The table is part of the contract with scripts that call vtune; ExitCodes lists it for --help.
type Code int

const (
	OK          Code = 0
	Internal    Code = 1
	Usage       Code = 2
	Spec        Code = 3
	Scheduler   Code = 4
	FailedCells Code = 5
	Infeasible  Code = 6
	Busy        Code = 7
	Unfinished  Code = 8
	NoAnswer    Code = 9
	Unwell      Code = 10
	Worse       Code = 11
	Interrupted Code = 130
)

// ExitCodes is the table shown in --help, in order.
func ExitCodes() []struct {
	Code Code
	What string
} {
	type row = struct {
		Code Code
		What string
	}
	return []row{
		{OK, "done; for collect: the run is over and has a winner"},
		{Internal, "internal error or a file that cannot be read or written"},
		{Usage, "wrong arguments"},
		{Spec, "the spec or a template has problems; each is printed with its position"},
		{Scheduler, "the scheduler refused or cannot be reached"},
		{FailedCells, "the run is over and has a winner, but some cells failed"},
		{Infeasible, "the run is over and no cell meets the limit"},
		{Busy, "another collector holds this run"},
		{Unfinished, "the run is not over yet (collect without --watch), or was cancelled"},
		{NoAnswer, "the run is over without an answer: the probe or every cell failed; verify: the claim could not be decided"},
		{Unwell, "doctor: at least one check failed"},
		{Worse, "compare: the second run is worse, beyond noise; verify: the claim does not hold"},
		{Interrupted, "interrupted"},
	}
}

// Pos is a place in a file a user wrote; Line and Col count from 1, 0 means unknown.
type Pos struct {
	File      string
	Line, Col int
}

func (p Pos) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
		if p.Col > 0 {
			s += fmt.Sprintf(":%d", p.Col)
		}
	}
	return s
}

// Problem is one thing wrong with a user's file. Path is the place in the file's own terms (grid.max_num_seqs[1]), may be empty.
type Problem struct {
	Pos  Pos
	Path string
	What string
	Hint string
}

func (p Problem) String() string {
	var parts []string
	if s := p.Pos.String(); s != "" {
		parts = append(parts, s)
	}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	return strings.Join(append(parts, p.What), ": ")
}

// Problems is every problem of one file, as one error with exit code Spec.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sort orders problems as a reader meets them: file by file, in the order in which the files came up, and each from its top.
func (ps Problems) Sort() {
	first := map[string]int{}
	for i, p := range ps {
		if _, ok := first[p.Pos.File]; !ok {
			first[p.Pos.File] = i
		}
	}
	sort.SliceStable(ps, func(i, j int) bool {
		a, b := ps[i].Pos, ps[j].Pos
		switch {
		case a.File != b.File:
			return first[a.File] < first[b.File]
		case a.Line != b.Line:
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
}

// Err is nil for an empty list, so that a caller can return it directly.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

type coded struct {
	err   error
	code  Code
	hints []string
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// Wrap gives err an exit code and hints for the person who reads it.
func Wrap(err error, code Code, hints ...string) error {
	if err == nil {
		return nil
	}
	return &coded{err, code, hints}
}

// Errorf is Wrap over fmt.Errorf without hints.
func Errorf(code Code, format string, args ...any) error {
	return &coded{err: fmt.Errorf(format, args...), code: code}
}

// CodeOf is the exit code err deserves: the outermost one given by Wrap, Spec for Problems, else Internal.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var c *coded
	if errors.As(err, &c) {
		return c.code
	}
	var ps Problems
	if errors.As(err, &ps) {
		return Spec
	}
	return Internal
}

// HintsOf lists every hint on err's tree, outermost first, then those of its Problems.
func HintsOf(err error) []string {
	hints := hintsOn(err)
	var ps Problems
	if errors.As(err, &ps) {
		for _, p := range ps {
			if p.Hint != "" {
				hints = append(hints, p.Hint)
			}
		}
	}
	return hints
}

func hintsOn(err error) (hints []string) {
	if c, ok := err.(*coded); ok {
		hints = append(hints, c.hints...)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		hints = append(hints, hintsOn(e.Unwrap())...)
	case interface{ Unwrap() []error }: // errors.Join
		for _, part := range e.Unwrap() {
			hints = append(hints, hintsOn(part)...)
		}
	}
	return hints
}
