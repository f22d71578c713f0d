package screen

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// Talk is the conversation with whoever called, on stderr: it may have a last line that is rewritten, and what is said while a view has the
// whole terminal goes to the view.
type Talk struct {
	Plain bool // lines only, also on a terminal

	guard sync.Mutex
	out   io.Writer
	view  io.Writer // has the terminal; nil: nobody
	line  int       // columns of the line that will be rewritten
}

// NewTalk is a talk on out; the environment says whether it is a plain one.
func NewTalk(out io.Writer, env []string) *Talk {
	if t, ok := out.(*Talk); ok {
		return t
	}
	plain := slices.Contains(env, "TERM=dumb") || slices.ContainsFunc(env, func(e string) bool {
		colour, set := strings.CutPrefix(e, "NO_COLOR=") // no-color.org: when it is set, and not empty
		return set && colour != ""
	})
	return &Talk{out: out, Plain: plain}
}

// Write says something, on lines of its own.
func (t *Talk) Write(p []byte) (int, error) {
	t.guard.Lock()
	defer t.guard.Unlock()
	if t.view != nil {
		return t.view.Write(p)
	}
	if t.line > 0 {
		io.WriteString(t.out, t.over(""))
	}
	return t.out.Write(p)
}

// over writes a line over the last one. Blanks do that on every terminal, where an escape sequence would not.
func (t *Talk) over(line string) string {
	columns := utf8.RuneCountInString(line)
	text := "\r" + line + strings.Repeat(" ", max(t.line-columns, 0))
	t.line = columns
	if columns == 0 {
		text += "\r"
	}
	return text
}

// Rewrite makes line the last one, until something else is said; an empty one takes it away.
func (t *Talk) Rewrite(line string) {
	t.guard.Lock()
	defer t.guard.Unlock()
	if t.view != nil || line == "" && t.line == 0 {
		return
	}
	width, _, err := term.GetSize(int(t.out.(*os.File).Fd()))
	if err == nil && width > 0 && utf8.RuneCountInString(line) >= width { // 0: a terminal that does not know
		line = string([]rune(line)[:width-1]) // a line that wraps cannot be written over
	}
	io.WriteString(t.out, t.over(line))
}

// Divert hands what is said to a view that has the terminal, until back is called.
func (t *Talk) Divert(view io.Writer) (back func()) {
	t.Rewrite("")
	t.guard.Lock()
	defer t.guard.Unlock()
	t.view = view
	return func() {
		t.guard.Lock()
		defer t.guard.Unlock()
		t.view = nil
	}
}

// rewrites reports whether w has a last line that can be rewritten now.
func (t *Talk) rewrites() bool {
	t.guard.Lock()
	defer t.guard.Unlock()
	return t.view == nil && !t.Plain && IsTerminal(t.out)
}

// Terminal is the one behind a stream, which may be a Talk's; nil: there is none.
func Terminal(stream any) *os.File {
	if t, ok := stream.(*Talk); ok {
		stream = t.out
	}
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// IsTerminal reports whether a person may be reading.
func IsTerminal(w io.Writer) bool { return Terminal(w) != nil }
