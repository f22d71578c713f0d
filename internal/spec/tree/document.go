package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"vtune/internal/diag"
)

// Read gives the root of the only document in data, a mapping; file is the name that positions carry, and start the hint for who
// has nothing to begin with. A file that is no YAML has one problem: what follows a syntax error is guesswork.
func Read(file string, data []byte, start string) (*yaml.Node, *diag.Problem) {
	at := func(line, col int, what, hint string) *diag.Problem {
		return &diag.Problem{Pos: diag.Pos{File: file, Line: line, Col: col}, What: what, Hint: hint}
	}
	if line, col, what := unreadable(data); what != "" {
		return nil, at(line, col, what, "save the file as UTF-8 text")
	}
	var first, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&first)
	switch {
	case errors.Is(err, io.EOF):
		return nil, at(1, 1, "the file is empty", start)
	case err == nil:
		err = dec.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		line, col, what, hint := syntaxError(data, err)
		return nil, at(line, col, what, hint)
	default:
		return nil, at(max(second.Line, 1), max(second.Column, 1), "a second YAML document", "a file is one document; write one file for each")
	}
	root := first.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, at(root.Line, root.Column, "wants keys and values, got "+Describe(root), start)
	}
	return root, nil
}

// unreadable finds what the YAML reader would refuse without saying where.
func unreadable(data []byte) (line, col int, what string) {
	line, col = 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return line, col, fmt.Sprintf("byte 0x%02x is not UTF-8", data[i])
		case unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' && r != 0x85, r == 0xfffe, r == 0xffff, r == 0xfeff && i > 0:
			return line, col, fmt.Sprintf("control character %U", r)
		case r == '\n':
			line, col = line+1, 0
		}
		i += size
		col++
	}
	return 0, 0, ""
}

// syntaxError places what the YAML reader says. It gives a line at most, counted from 0 or 1 as it happens, and none on the
// first line; tabs and unknown anchors, the usual cases, are found again in the text.
func syntaxError(data []byte, err error) (line, col int, what, hint string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	line, col = 1, 1
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, what = n, text
				if countsFromZero(what) {
					line++
				}
			}
		}
	}
	lines := strings.Split(string(data), "\n")
	if l, c := indentingTab(lines); l > 0 && (strings.Contains(what, "tab") || strings.Contains(what, "cannot start any token")) {
		return l, c, what + ": a tab indents this line", "indent with spaces"
	}
	if name, ok := strings.CutPrefix(what, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		for i, l := range lines {
			if at := strings.Index(l, "*"+name); at >= 0 {
				return i + 1, utf8.RuneCountInString(l[:at]) + 1, what, "define it before its first use with &" + name
			}
		}
	}
	if line = min(line, len(lines)); line > 0 {
		text := lines[line-1]
		col = len(text) - len(strings.TrimLeft(text, " ")) + 1
	}
	return line, col, what, ""
}

// countsFromZero tells the messages of the YAML reader's parser, which says the line before, from those of its scanner.
func countsFromZero(what string) bool {
	for _, end := range []string{"<document start>", "node content", "'-' indicator", "key", "',' or ']'", "',' or '}'"} {
		if what == "did not find expected "+end {
			return true
		}
	}
	return false
}

func indentingTab(lines []string) (line, col int) {
	for i, l := range lines {
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if at := strings.IndexByte(indent, '\t'); at >= 0 && strings.TrimSpace(l) != "" {
			return i + 1, at + 1
		}
	}
	return 0, 0
}
