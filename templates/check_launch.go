package templates

import "mvdan.cc/sh/v3/syntax"

func launches(name string) bool { return name == LaunchMP || name == LaunchRay }

// checkLaunch wants srun in the place of the launch program, so that its end is the server's, and the server's command line handed
// on word for word: what passes through a string instead is bash again on the other side.
func checkLaunch(last *syntax.Stmt) error {
	if words := execCall(last); len(words) > 1 && words[0] == "srun" && allArguments(last) {
		return nil
	}
	return lacksLaunch(int(last.Pos().Line()))
}

func lacksLaunch(line int) error {
	return &fault{
		line, "the last command does not run the server on the job's nodes",
		`end the template with: exec srun OPTIONS COMMAND "$@"`,
	}
}

// allArguments reports whether a command's last word is "$@".
func allArguments(s *syntax.Stmt) bool {
	args := s.Cmd.(*syntax.CallExpr).Args
	return isParameter(args[len(args)-1], "@")
}

// isParameter reports whether a word is one parameter in double quotes, and nothing else.
func isParameter(w *syntax.Word, name string) bool {
	quoted, ok := w.Parts[0].(*syntax.DblQuoted)
	if !ok || len(w.Parts) != 1 || len(quoted.Parts) != 1 {
		return false
	}
	p, ok := quoted.Parts[0].(*syntax.ParamExp)
	return ok && p.Param != nil && p.Param.Value == name && p.Exp == nil && p.Slice == nil && p.Repl == nil && !p.Length && !p.Excl
}
