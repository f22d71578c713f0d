// Package caller is who called vtune, as far as a command must know: streams, environment, clock, and the name that was typed. It has
// also what turns a command's outcome into words and an exit code.
package caller

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
)

// Caller is what a command may use of the world around it.
type Caller struct {
	In       io.Reader
	Out, Err io.Writer
	Env      []string
	Now      func() time.Time
	Program  string        // the name this was called by: help, completion and printed next commands use it
	Version  string        // of this build
	Patience time.Duration // with a scheduler that cannot be reached
}

// World is the part of it that a run needs.
func (c *Caller) World() tuning.World {
	return tuning.World{
		Env: c.Env, Now: c.Now, Program: c.Program, Version: c.Version, Err: c.Err, Patience: c.Patience,
		Progress: screen.NewCounter(c.Err, c.Now, "", 0).Progress,
	}
}

// PrintJSON prints v on the answer's stream.
func (c *Caller) PrintJSON(v any) error { return WriteJSON(c.Out, v) }

// WriteJSON writes v as it is printed.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// verdict is a command's outcome that is no failure of the command: it only sets the exit code.
type verdict struct{ code diag.Code }

func (v verdict) Error() string { return fmt.Sprintf("exit code %d", v.code) }

// Exit is an outcome that only sets the exit code; nil for none.
func Exit(code diag.Code) error {
	if code == diag.OK {
		return nil
	}
	return diag.Wrap(verdict{code}, code)
}

// Quiet reports whether an error's text is on the answer's stream already.
func Quiet(err error) bool {
	var v verdict
	return errors.As(err, &v)
}

// OneLine is an error without line breaks: schedulers and servers answer in several.
func OneLine(err error) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
}
