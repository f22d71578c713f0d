package live

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"vtune/internal/report"
)

// style is how a word looks. It repeats what a symbol or a word says already: nothing is told by colour alone.
type style string

const (
	plain  style = ""
	faint  style = "\x1b[2m"
	strong style = "\x1b[1m"
	accent style = "\x1b[36m" // what is going on, and what is best
	bad    style = "\x1b[31m"
	chosen style = "\x1b[7m"
)

// span is text in one style; its text is harmless.
type span struct {
	text string
	look style
}

// line is one of the screen's.
type line []span

// say is foreign or own words as a span: nothing in them moves a cursor.
func say(look style, text string) span { return span{report.Unbroken(text), look} }

func words(look style, text string) line { return line{say(look, text)} }

func (l line) width() (n int) {
	for _, s := range l {
		n += ansi.StringWidth(s.text)
	}
	return n
}

// cut stands where a line is not whole.
const cut = "…"

// fit cuts the line to at most so many columns.
func (l line) fit(columns int) line {
	for i, s := range l {
		w := ansi.StringWidth(s.text)
		if w > columns {
			return append(append(line{}, l[:i]...), span{ansi.Truncate(s.text, max(columns, 0), cut), s.look})
		}
		columns -= w
	}
	return l
}

// pad fills the line up to so many columns, or cuts it to them.
func (l line) pad(columns int) line {
	l = l.fit(columns)
	if n := columns - l.width(); n > 0 {
		l = append(append(line{}, l...), span{strings.Repeat(" ", n), plain})
	}
	return l
}

// Text is the line without its looks.
func (l line) text() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return strings.TrimRight(b.String(), " ")
}

func (l line) coloured() string {
	var b strings.Builder
	for _, s := range l {
		if s.look == plain || s.text == "" {
			b.WriteString(s.text)
			continue
		}
		b.WriteString(string(s.look) + s.text + "\x1b[m")
	}
	return b.String()
}

// sides puts one line to the left and one to the right of so many columns; the right one is whole as long as there is room for it.
func sides(left, right line, columns int) line {
	room := columns - right.width()
	if room < 2 {
		return left.fit(columns)
	}
	return append(left.fit(room-2).pad(room), right...)
}

// end is the end of a text that is longer than so many columns: of a path, that is what tells it from others.
func end(text string, columns int) string {
	if over := ansi.StringWidth(text) - columns; over > 0 {
		return ansi.TruncateLeft(text, over+1, cut)
	}
	return text
}

// glyphs are the symbols that a terminal can show.
type glyphs struct {
	best, passed, left, none, running, again, waiting, failed, skipped string
	bars                                                               []string // up to the limit, in equal steps
	beyond, invalid, atMost, cut                                       string
}

var (
	unicodeGlyphs = glyphs{"★", "✓", "<", "–", "▶", "↻", "·", "✗", "○", []string{"▁", "▂", "▃", "▄", "▅", "▆"}, "█", "×", "≤", cut}
	asciiGlyphs   = glyphs{"*", "+", "<", "-", ">", "~", ".", "x", "o", []string{"_", ",", "-", "~", "=", "^"}, "#", "x", "<=", "~"}
)

// glyphsOf asks the locale. Where it says nothing, a terminal of today can do more than it says.
func glyphsOf(env func(string) string) glyphs {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(env(name)); locale != "" {
			if !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8") {
				return asciiGlyphs
			}
			break
		}
	}
	return unicodeGlyphs
}
