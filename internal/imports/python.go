package imports

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// python notes the arguments in text, which begins as Python prints its own values: `Namespace(model='m', seed=0)` after its
// parenthesis, or `{'model': 'm'}` after its brace. It ends with the bracket that closes it. col counts bytes of text from 1, where
// something is wrong.
//
// Values are not evaluated: text and numbers are taken, and everything else is passed over as a whole, whatever is nested in it.
func (t *Told) python(text, assign string) (col int, err error) {
	for at := 0; ; {
		end, last, err := item(text, at)
		if err != nil {
			return end + 1, err
		}
		name, value, ok := strings.Cut(text[at:end], assign)
		name, value = strings.Trim(strings.TrimSpace(name), `'"`), strings.TrimSpace(value)
		if ok {
			if err := t.argument(name, value); err != nil {
				return at + 1, err
			}
		}
		if last {
			return 0, nil
		}
		at = end + 1
	}
}

func (t *Told) argument(name, value string) error {
	if name == "goodput" {
		t.LimitMS = goodput(value)
		return nil
	}
	switch {
	case value == "" || value == "None" || strings.ContainsRune("[({<", rune(value[0])):
		return nil
	case value[0] == '\'' || value[0] == '"':
		var err error
		if value, err = unquote(value); err != nil {
			return fmt.Errorf("%.40s: %w", name, err)
		}
	}
	return t.take(name, value)
}

// item is where the item that begins at ends: at a comma, or, as the last one, at the bracket that closes the whole.
func item(text string, at int) (end int, last bool, err error) {
	depth, quote := 0, byte(0)
	for i := at; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
		case depth > 0 && (c == ')' || c == ']' || c == '}'):
			depth--
		case c == ')' || c == ']' || c == '}':
			return i, true, nil
		case c == ',' && depth == 0:
			return i, false, nil
		}
	}
	return len(text), false, fmt.Errorf("the list of arguments has no end")
}

// goodput is the limit on E2EL in a list such as ['ttft:100', 'e2el:500']; 0: none.
func goodput(list string) float64 {
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune("[]'\", ", r) }) {
		if ms, ok := strings.CutPrefix(word, "e2el:"); ok {
			if f, err := number(ms); err == nil {
				return f
			}
		}
	}
	return 0
}

// unquote reads a string as Python's repr writes it.
func unquote(s string) (string, error) {
	if len(s) < 2 || s[len(s)-1] != s[0] {
		return "", fmt.Errorf("%.40q is no text", s)
	}
	var b strings.Builder
	for s = s[1 : len(s)-1]; s != ""; {
		if s[0] != '\\' {
			_, n := utf8.DecodeRuneInString(s)
			b.WriteString(s[:n])
			s = s[n:]
			continue
		}
		if len(s) > 1 && (s[1] == '\'' || s[1] == '"') { // Go takes only the quote that the string is in
			b.WriteByte(s[1])
			s = s[2:]
			continue
		}
		r, _, rest, err := strconv.UnquoteChar(s, 0)
		if err != nil {
			return "", fmt.Errorf("%.40q is no text", s)
		}
		b.WriteRune(r)
		s = rest
	}
	return b.String(), nil
}
