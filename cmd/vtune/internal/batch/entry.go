package batch

import (
	"fmt"
	"slices"
	"strings"

	"vtune/internal/batchfile"
	"vtune/internal/diag"
	"vtune/internal/spec/autotune"
	"vtune/internal/spec/word"
)

// settings reads an entry as the script does: each key is a variable, whatever its case. The script hands on any key; here one that
// looks like a misspelled variable is a problem, since a default in its place costs hours, and another that nobody knows is a warning,
// since people keep names and comments in such files.
func settings(e batchfile.Entry) (set autotune.Settings, warnings []string, ps diag.Problems) {
	set.Pos = e.Pos
	known := autotune.Names()
	seen := map[string]string{}
	for _, m := range e.Members {
		problem := func(what, hint string) {
			ps = append(ps, diag.Problem{Pos: m.Pos, Path: m.Key, What: what, Hint: hint})
		}
		name := variable(m.Key)
		if other, twice := seen[name]; twice {
			problem("is the same variable as "+other, "leave one of them out")
			continue
		}
		seen[name] = m.Key
		if m.Kind == batchfile.Null {
			continue // not set; the script takes the word null
		}
		value, ok := text(m, strings.HasSuffix(name, "_LIST"))
		fate, why := autotune.FateOf(name)
		switch {
		case slices.Contains(known, name) && ok:
			set.Variables = append(set.Variables, autotune.Setting{Name: name, Value: value, Pos: m.Pos})
		case slices.Contains(known, name):
			problem("wants a number or a text", "")
		case fate == autotune.Taken && ok:
			set.Environment = append(set.Environment, autotune.Setting{Name: name, Value: value, Pos: m.Pos})
		case fate == autotune.Taken:
			problem("wants a number or a text, for the server's environment", "")
		case fate == autotune.Left:
			warnings = append(warnings, fmt.Sprintf("%s: %s: %s", m.Pos, m.Key, why))
		case fate == autotune.Ours:
		case misspelled(name, known) != "":
			problem("is none of auto_tune.sh's variables", "did you mean "+strings.ToLower(misspelled(name, known))+"?")
		default:
			warnings = append(warnings, fmt.Sprintf("%s: %s: none of auto_tune.sh's variables; it changes nothing", m.Pos, m.Key))
		}
	}
	return set, warnings, ps
}

// variable is the name that a key stands for. The script deletes what is no letter, digit or underscore, so that a key with a dash
// becomes a variable that nobody reads.
func variable(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		case r == '-', r == ' ':
			return '_'
		}
		return -1
	}, strings.ToUpper(key))
}

// misspelled is the variable that a name was probably meant to be. Short ones are near to everything ("name" to BASE).
func misspelled(name string, known []string) string {
	long := slices.DeleteFunc(slices.Clone(known), func(k string) bool { return len(k) < 5 })
	if len(name) < 5 {
		return ""
	}
	return word.Nearest(name, long)
}

// text of a value; that of a list is its elements with spaces between.
func text(m batchfile.Member, list bool) (string, bool) {
	switch m.Kind {
	case batchfile.Array:
		items, ok := m.Items()
		return strings.Join(items, " "), ok && list
	case batchfile.Object:
		return "", false
	}
	return m.Text(), true
}
