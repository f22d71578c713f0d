package templates

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func onMachine(name string) bool {
	return slices.Contains([]string{TPUStartup, TPUJob, TPUJoin, LaunchTPU}, name)
}

// checkMachine holds what a site's own template of a machine's script cannot be allowed to lose.
func checkMachine(name string, file *syntax.File, m Machine) error {
	line := 0
	if n := len(file.Stmts); n > 0 {
		line = int(file.Stmts[n-1].Pos().Line())
	}
	switch name {
	case TPUStartup:
		return checkStartup(file, m, line)
	case TPUJob:
		if line > 0 && execsAgent(file.Stmts[len(file.Stmts)-1]) {
			return nil
		}
		return &fault{line, "the last command does not run the agent", `end the template with: exec "$1" agent "$2"`}
	case LaunchTPU:
		if !finds(file, func(c *syntax.CallExpr) bool { return len(c.Args) > 0 && isParameter(c.Args[0], "@") }) {
			return &fault{line, "no command runs the server", `have a command that begins with "$@"`}
		}
	}
	return nil
}

// execsAgent wants what replaces bash to end in the agent with its assignment, as the script was given them.
func execsAgent(s *syntax.Stmt) bool {
	if words := execCall(s); len(words) < 3 || words[len(words)-2] != "agent" {
		return false
	}
	args := s.Cmd.(*syntax.CallExpr).Args
	return isParameter(args[len(args)-3], "1") && isParameter(args[len(args)-1], "2")
}

// checkStartup wants the agent's checksum compared, with an exit where it is another, before any file is made executable and before
// the worker's line; and it wants that line. It goes by where things stand in the script: so a function that makes something
// executable is to be defined where it may be called.
func checkStartup(file *syntax.File, m Machine, last int) error {
	compared := uint(0)
	var early *syntax.CallExpr
	works := false
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.BinaryCmd:
			if n.Op == syntax.OrStmt && compared == 0 && compares(n.X, m.AgentSHA256) && exits(n.Y) {
				compared = n.End().Offset()
			}
		case *syntax.CallExpr:
			work := runsWorker(n, m)
			works = works || work
			if (work || makesExecutable(n)) && (compared == 0 || n.Pos().Offset() < compared) && early == nil {
				early = n
			}
		}
		return true
	})
	switch {
	case compared == 0:
		return &fault{
			last, "the agent's SHA-256 is not checked",
			`check it, as in: [ "$(sha256sum <"$agent")" = {{sh (printf "%s  -" .Machine.AgentSHA256)}} ] || { echo "another agent" >&2; exit 1; }`,
		}
	case early != nil:
		return &fault{int(early.Pos().Line()), "this comes before the agent's SHA-256 is checked", "put the check before it"}
	case !works:
		return &fault{last, "the worker is not run", `have: "$agent" worker --bucket {{sh .Machine.URL}} --unit {{sh .Machine.Unit}} --dir "$dir"`}
	}
	return nil
}

// compares reports whether s is a test that the output of sha256sum equals the sum.
func compares(s *syntax.Stmt, sum string) bool {
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || s.Negated || len(call.Args) != 5 || call.Args[0].Lit() != "[" || !slices.Contains([]string{"=", "=="}, call.Args[2].Lit()) {
		return false
	}
	hashes := finds(call.Args[1], func(c *syntax.CallExpr) bool { return len(c.Args) > 0 && c.Args[0].Lit() == "sha256sum" })
	return hashes && sum != "" && strings.HasPrefix(literal(call.Args[3]), sum)
}

func exits(s *syntax.Stmt) bool {
	return finds(s, func(c *syntax.CallExpr) bool {
		return len(c.Args) == 2 && c.Args[0].Lit() == "exit" && c.Args[1].Lit() != "0"
	})
}

func runsWorker(c *syntax.CallExpr, m Machine) bool {
	var words []string
	for _, w := range c.Args {
		words = append(words, literal(w))
	}
	has := func(option, value string) bool {
		i := slices.Index(words, option)
		return i > 0 && i+1 < len(words) && words[i+1] == value
	}
	return slices.Contains(words, "worker") && has("--bucket", m.URL()) && has("--unit", m.Unit) && slices.Contains(words, "--dir")
}

func makesExecutable(c *syntax.CallExpr) bool {
	if len(c.Args) < 2 {
		return false
	}
	switch mode := literal(c.Args[1]); c.Args[0].Lit() {
	case "chmod": // of a folder that only root may enter, too, it would be 0700
		return strings.Contains(mode, "x") || strings.HasSuffix(mode, "5") || strings.HasSuffix(mode, "7") || strings.HasSuffix(mode, "1")
	case "install":
		return true
	}
	return false
}

// finds reports whether a command that is as wanted stands anywhere in n.
func finds(n syntax.Node, wanted func(*syntax.CallExpr) bool) bool {
	found := false
	syntax.Walk(n, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok {
			found = found || wanted(c)
		}
		return !found
	})
	return found
}
