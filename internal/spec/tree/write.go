package tree

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Text is the value p points to as YAML; several lines begin with a line break.
func Text(p any) string {
	switch p := p.(type) {
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *float64:
		if *p == 0 {
			return "null"
		}
		return strconv.FormatFloat(*p, 'f', -1, 64)
	case *string:
		return Word(*p)
	case *[]int:
		words := make([]string, len(*p))
		for i, v := range *p {
			words[i] = strconv.Itoa(v)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case *[]string:
		return list(*p)
	case *map[string]string:
		return mapping(*p)
	}
	return "null"
}

func list(items []string) string {
	if len(items) == 0 {
		return "[]"
	}
	var b strings.Builder
	for _, item := range items {
		b.WriteString("\n- " + Word(item))
	}
	return b.String()
}

func mapping(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b.WriteString("\n" + Word(key) + ": " + Word(m[key]))
	}
	return b.String()
}

// Word is text as YAML. It leaves bare what no version of YAML takes for anything but text. Go's quoting is YAML's double quoting: each escape
// that it writes means the same there.
func Word(s string) string {
	bare := len(s) > 1 && isLetter(s[0])
	for i := range len(s) {
		bare = bare && (isLetter(s[i]) || s[i] >= '0' && s[i] <= '9' || strings.IndexByte("_./-", s[i]) >= 0)
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off":
		bare = false
	}
	if bare {
		return s
	}
	return strconv.Quote(s)
}

func isLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z'
}
