// Package shell quotes: strings from people become one bash word, or one #SBATCH line, that reads back as exactly that string.
// What cannot be said in a language is an error, never an approximation. It runs nothing.
package shell

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"mvdan.cc/sh/v3/syntax"
)

var errNUL = errors.New("holds a NUL byte, which no shell word can")

// Word is s as one bash word on one line, with the same bytes in every locale.
func Word(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("quote %q: %w", s, errNUL)
	}
	if bytewise(s) {
		return escapeBytes(s), nil
	}
	w, err := syntax.Quote(s, syntax.LangBash)
	if err != nil {
		return "", fmt.Errorf("quote %q: %w", s, err)
	}
	return w, nil
}

// bytewise reports whether s has a character that syntax.Quote would write as \uXXXX. Bash expands that by the locale of the
// moment, and a batch job often runs in C, where it stays as it stands.
func bytewise(s string) bool {
	for _, r := range s {
		if r > unicode.MaxASCII && (!unicode.IsPrint(r) || r == unicode.ReplacementChar) {
			return true
		}
	}
	return false
}

func escapeBytes(s string) string {
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// Command is argv as one line of bash, whose first word is a command whatever it looks like: assignments and keywords come
// quoted from Word. An empty argv is an error: it would be an empty line.
func Command(argv []string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("quote a command: no words")
	}
	words := make([]string, len(argv))
	for i, arg := range argv {
		w, err := Word(arg)
		if err != nil {
			return "", err
		}
		words[i] = w
	}
	return strings.Join(words, " "), nil
}
