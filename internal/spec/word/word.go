// Package word says what the single words of a spec may look like: names, paths, flags, directives, lines of bash. Most of them end
// in a batch script or on a command line, so this is where hostile ones are stopped. It knows no keys and no positions.
package word

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Rule says what a text must look like.
type Rule struct {
	Pattern string // read alike by RE2 and by ECMAScript, because the JSON Schema carries it
	Says    string // the pattern in words: "this is not" what?
	Secret  bool   // the value may be a secret and is not repeated in messages

	check func(string) *Fault // what a pattern cannot say
}

// Fault is what is wrong with a text. Offset counts bytes from the text's start, for rules that can tell.
type Fault struct {
	What, Hint string
	Offset     int
}

// Test is nil for a text that follows the rule.
func (r Rule) Test(v string) *Fault {
	if r.Pattern != "" && !regexp.MustCompile(r.Pattern).MatchString(v) {
		shown := strconv.Quote(v)
		if r.Secret {
			shown = "this"
		}
		return &Fault{What: shown + " is not " + r.Says}
	}
	if r.check != nil {
		return r.check(v)
	}
	return nil
}

// printable is any text of one line. Values reach scripts and command lines, where a control character is never meant.
const printable = `^[^\x00-\x1f\x7f]*$`

// Model is a name on the hub or an absolute path. A leading dash would make it a flag.
func Model() Rule {
	return Rule{Pattern: `^[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$`, Says: "a model's name or path", check: noShellPath}
}

// AbsolutePath may be empty.
func AbsolutePath() Rule {
	return Rule{Pattern: `^(/[^\x00-\x1f\x7f]*)?$`, Says: "an absolute path: the server runs in another folder"}
}

// HomePath is a path, or one below the home folder, or nothing.
func HomePath() Rule {
	return Rule{Pattern: `^([^\x00-\x1f\x7f~][^\x00-\x1f\x7f]*|~/[^\x00-\x1f\x7f]*)?$`, Says: "a path, which may begin with ~/"}
}

// Path may be relative.
func Path() Rule {
	return Rule{Pattern: `^[^\x00-\x1f\x7f]+$`, Says: "a path", check: func(v string) *Fault {
		if strings.ContainsAny(v, "~$") {
			return &Fault{What: fmt.Sprintf("%q: ~ and $ are not expanded", v), Hint: "write the path out"}
		}
		return nil
	}}
}

func noShellPath(v string) *Fault {
	for _, start := range []string{"./", "../", "~", "$"} {
		if strings.HasPrefix(v, start) {
			return &Fault{What: fmt.Sprintf("%q is not a name on the hub, and the server runs in another folder", v), Hint: "write an absolute path"}
		}
	}
	return nil
}

// Line is any text of one line.
func Line() Rule {
	return Rule{Pattern: printable, Says: "one line"}
}
