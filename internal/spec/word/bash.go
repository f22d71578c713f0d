package word

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// BashLine is one whole command line: it must parse alone, and must not swallow the line that follows it in the script.
func BashLine() Rule {
	return Rule{Pattern: `^[^\x00-\x08\x0a-\x1f\x7f]+$`, Says: "one line of bash", check: func(v string) *Fault {
		if strings.HasPrefix(strings.TrimSpace(v), "#SBATCH") {
			return &Fault{What: "a directive among the lines of bash", Hint: "use site.directives"}
		}
		if tail := len(v) - len(strings.TrimRight(v, `\`)); tail%2 == 1 {
			return &Fault{What: "the line ends in a backslash and would join the next one", Offset: len(v) - 1}
		}
		file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(v), "")
		if err != nil {
			what, pos := BashError(err)
			return &Fault{What: "does not parse as bash: " + what, Offset: max(0, int(pos.Col())-1)}
		}
		return plainSecret(file)
	}}
}

// BashError takes an error of the bash parser apart.
func BashError(err error) (what string, pos syntax.Pos) {
	var parse syntax.ParseError
	if errors.As(err, &parse) {
		return parse.Text, parse.Pos
	}
	var lang syntax.LangError
	if errors.As(err, &lang) {
		return lang.Feature + " is not bash", lang.Pos
	}
	return err.Error(), syntax.Pos{}
}

// plainSecret finds export HF_TOKEN=hf_abc, whose value would stand in every script. A secret read from elsewhere passes.
func plainSecret(file *syntax.File) (found *Fault) {
	syntax.Walk(file, func(n syntax.Node) bool {
		if a, ok := n.(*syntax.Assign); ok && a.Name != nil && a.Value != nil && soundsSecret(a.Name.Value) && isLiteral(a.Value) {
			found = secretFault(a.Name.Value)
			found.Offset = int(a.Pos().Col()) - 1
		}
		return found == nil
	})
	return found
}

func isLiteral(w *syntax.Word) bool {
	literal := true
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst, *syntax.ArithmExp, *syntax.ProcSubst:
			literal = false
		}
		return literal
	})
	return literal
}
