// Package tables prints a run as text tables.
package tables

import (
	"fmt"

	"vtune/internal/record"
)

// Text is for terminals.
func Text(run record.Run, _ record.State) string { return fmt.Sprintln(run.ID) }

// Markdown is for pull requests.
func Markdown(run record.Run, _ record.State) string { return fmt.Sprintln(run.ID) }

// CSV is for notebooks.
func CSV(run record.Run, _ record.State) ([]byte, error) { return []byte(run.ID + "\n"), nil }
