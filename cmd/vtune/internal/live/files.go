package live

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report"
)

// mostLog is how much of a log's end is read.
const mostLog = 256 << 10

// read is a log of the latest attempt at a cell; which counts the server's, the newest of the load client's, and the job's.
func read(dir record.Dir, c record.CellState, which int) log {
	names := logsOf(dir, c)
	if len(names) == 0 {
		return log{why: c.ID + " has no log here yet"}
	}
	which = min(max(which, 0), len(names)-1)
	l := log{name: names[which], which: which, of: len(names)}
	data, err := tail(dir, l.name)
	if err != nil {
		l.lines = []string{fmt.Sprint("it cannot be read: ", err)}
		return l
	}
	for text := range strings.Lines(string(data)) {
		l.lines = append(l.lines, harmless(text))
	}
	return l
}

// harmless is a line of a log: without the colours that servers give it, and with nothing else that moves a cursor.
func harmless(text string) string {
	return report.Unbroken(strings.ReplaceAll(strings.TrimRight(ansi.Strip(text), "\r\n"), "\t", "    "))
}

// beginning is a text from a column on.
func beginning(text string, column int) string {
	if column == 0 {
		return text
	}
	return ansi.TruncateLeft(text, column, "")
}

// logsOf are the logs of a cell's latest attempt that are here, relative to the run.
func logsOf(dir record.Dir, c record.CellState) (names []string) {
	if len(c.Attempts) == 0 {
		return nil
	}
	last := c.Attempts[len(c.Attempts)-1]
	attempt := dir.Attempt(record.KindCell, c.ID, last.Attempt)
	loads, _ := fsx.Below(string(attempt), "bench-*.log") // fails only for a pattern that is none
	slices.Sort(loads)
	candidates := []string{attempt.ServerLog()}
	if n := len(loads); n > 0 {
		candidates = append(candidates, loads[n-1])
	}
	for _, path := range append(candidates, dir.JobLog(last.Job)) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			names = append(names, dir.Rel(path))
		}
	}
	return names
}

// tail is the end of a file of the run, from a line's beginning on. A name or a link cannot lead out of the run.
func tail(dir record.Dir, name string) ([]byte, error) {
	f, err := os.OpenInRoot(string(dir), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(info.Size()-mostLog, 0)
	data := make([]byte, info.Size()-from)
	n, err := f.ReadAt(data, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	data = data[:n]
	if from > 0 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return data, nil
}
