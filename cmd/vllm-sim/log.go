package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// logger writes lines as vLLM does, each in one write so that the lines of two
// processes on one stream stay whole.
type logger struct {
	out  io.Writer
	role string // APIServer or EngineCore
}

func (l logger) line(level, source, format string, args ...any) {
	l.bare(level+" "+time.Now().Format("01-02 15:04:05")+" ["+source+"] "+format, args...)
}

func (l logger) info(source, format string, args ...any) { l.line("INFO", source, format, args...) }

// bare is a line of a traceback: prefixed, but without level and time.
func (l logger) bare(format string, args ...any) {
	// A log that cannot be written must not stop a server.
	_, _ = fmt.Fprintf(l.out, "(%s pid=%d) %s\n", l.role, os.Getpid(), fmt.Sprintf(format, args...))
}
