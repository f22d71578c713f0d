package slurm

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"vtune/jobs"
)

// nodeList is one or more nodes as Slurm writes them, "node7,gpu[1-3,5]-ib". A slash would name a file.
var nodeList = regexp.MustCompile(`^` + nodeNames + `(,` + nodeNames + `)*$`)

const nodeNames = `[A-Za-z0-9][A-Za-z0-9._-]*(\[[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*\][A-Za-z0-9._-]*)*`

var errNodeFile = errors.New("its script takes the nodes to exclude from a file, to which none can be added: name them in the script")

// excluded is the value of --exclude for a request. As an argument it takes the place of the one in the script, so the script's
// nodes are in it too. They are read from the script itself and not asked of the caller, because a site's own template may have
// written that line, and nobody else has seen it.
func excluded(r jobs.Request) (string, error) {
	nodes := strings.Join(r.Exclude, ",")
	if !nodeList.MatchString(nodes) {
		return "", fmt.Errorf("excludes %q, which is no list of nodes", nodes)
	}
	script, err := os.ReadFile(r.Script)
	if err != nil {
		return "", err
	}
	switch own := scriptExclude(string(script)); {
	case strings.Contains(own, "/"):
		return "", errNodeFile
	case own != "":
		return own + "," + nodes, nil
	}
	return nodes, nil
}

// scriptExclude is the value of the last --exclude among a script's directives, which end at its first command.
func scriptExclude(script string) (value string) {
	for line := range strings.Lines(script) {
		directive, ok := strings.CutPrefix(line, "#SBATCH")
		if !ok {
			if text := strings.TrimSpace(line); text != "" && text[0] != '#' {
				return value
			}
			continue
		}
		words := directiveWords(strings.TrimSuffix(directive, "\n"))
		for i, w := range words {
			name, v, given := strings.Cut(w, "=")
			switch {
			case given && isExclude(name):
				value = v
			case (w == "-x" || isExclude(w)) && i+1 < len(words):
				value = words[i+1]
			case strings.HasPrefix(w, "-x") && len(w) > 2:
				value = w[2:]
			}
		}
	}
	return value
}

// isExclude knows the option and its one unambiguous abbreviation.
func isExclude(name string) bool { return name == "--exclude" || name == "--exclud" }

// directiveWords takes a directive apart by sbatch's own rules, of which internal/shell makes the inverse: a backslash hides the
// next byte, quotes hide blanks, and what follows a bare # is a comment.
func directiveWords(text string) (words []string) {
	var word strings.Builder
	var quote byte
	begun, escaped := false, false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := range len(text) {
		c := text[i]
		blank := c == ' ' || c >= '\t' && c <= '\r'
		switch {
		case blank && quote == 0:
			end()
			escaped = false
			continue
		case escaped:
			escaped = false
			word.WriteByte(c)
		case c == '\\':
			escaped = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '#':
			end()
			return words
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	end()
	return words
}
