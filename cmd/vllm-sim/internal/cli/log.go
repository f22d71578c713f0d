package cli

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Logger writes lines as vLLM does, each in one write so that the lines of two
// processes on one stream stay whole.
type Logger struct {
	Out  io.Writer
	Role string // APIServer or EngineCore
}

// Line writes a line with a level, the time and its source, e.g. core.py:1136.
func (l Logger) Line(level, source, format string, args ...any) {
	l.Bare(level+" "+time.Now().Format("01-02 15:04:05")+" ["+source+"] "+format, args...)
}

// Info is Line with level INFO.
func (l Logger) Info(source, format string, args ...any) { l.Line("INFO", source, format, args...) }

// Bare writes a line of a traceback: prefixed, but without level and time.
func (l Logger) Bare(format string, args ...any) {
	// A log that cannot be written must not stop a server.
	_, _ = fmt.Fprintf(l.Out, "(%s pid=%d) %s\n", l.Role, os.Getpid(), fmt.Sprintf(format, args...))
}

// Thousands prints 909408 as 909,408.
func Thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
