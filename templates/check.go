package templates

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// fault is what is wrong with a rendered script, and in which of its lines (0: none in particular).
type fault struct {
	line int
	what string
	hint string
}

func (f *fault) Error() string {
	if f.line == 0 {
		return f.what
	}
	return fmt.Sprintf("line %d of the script: %s", f.line, f.what)
}

// check holds what a site's own template cannot be allowed to lose: the script is bash, Slurm reads every directive, and the
// last thing that happens is the agent (for an array: the script of the task's job).
func check(name string, v View, script []byte) error {
	if name == Kubernetes {
		return nil // no script, and nothing acts on it before a person has
	}
	if !bytes.HasPrefix(script, []byte("#!")) {
		return &fault{1, "the script does not begin with #!", "sbatch refuses such a script"}
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(script), "")
	var bad syntax.ParseError
	if errors.As(err, &bad) {
		return &fault{int(bad.Pos.Line()), "not bash: " + bad.Text, ""}
	}
	if err != nil {
		return &fault{0, "not bash: " + err.Error(), ""}
	}
	switch {
	case len(file.Stmts) == 0 && launches(name):
		return lacksLaunch(0)
	case len(file.Stmts) == 0 && onMachine(name):
		return checkMachine(name, file, v.Machine)
	case len(file.Stmts) == 0:
		return lacksAgent(name, 0)
	}
	first, last := file.Stmts[0], file.Stmts[len(file.Stmts)-1]
	for i, line := range strings.Split(string(script), "\n") {
		if strings.HasPrefix(line, "#SBATCH") && uint(i+1) > first.Pos().Line() {
			return &fault{i + 1, "a #SBATCH line after the first command", "sbatch stops reading directives at the first command"}
		}
	}
	switch {
	case launches(name):
		return checkLaunch(last)
	case onMachine(name):
		return checkMachine(name, file, v.Machine)
	}
	var runs bool
	switch name {
	case SlurmArray:
		runs = runsTask(file, last, v)
	case SlurmCrew:
		runs = endsIn(last, v.Agent, "crew", v.Crew.Order)
	case SlurmServe:
		runs = endsIn(last, append(slices.Clone(v.Serve), "--host", "0.0.0.0", "--port", variable)...)
	case Collect:
		runs = endsIn(last, v.Agent, "link", v.RunDir, strconv.Itoa(v.Link))
	default:
		runs = endsIn(last, v.Agent, "agent", v.Assignment)
	}
	if runs {
		return nil
	}
	return lacksAgent(name, int(last.Pos().Line()))
}

func lacksAgent(name string, line int) error {
	want, what := "exec {{sh .Agent}} agent {{sh .Assignment}}", "the last command does not run the agent"
	switch name {
	case SlurmCrew:
		want = "exec {{sh .Agent}} crew {{sh .Crew.Order}}"
	case SlurmServe:
		want, what = `exec {{cmd .Serve}} --host 0.0.0.0 --port "$port"`, "the last command does not run the server"
	case Collect:
		want = "exec {{sh .Agent}} link {{sh .RunDir}} {{.Link}}"
	case SlurmArray:
		want = `exec /bin/bash "$jobs/$job/script", with jobs={{sh .JobsDir}} and job read from line SLURM_ARRAY_TASK_ID+1 of {{sh .TasksFile}}`
	}
	return &fault{line, what, "end the template with: " + want}
}

// endsIn looks at the end of the command's words, so that a site may put srun or a container before the agent.
func endsIn(last *syntax.Stmt, want ...string) bool {
	words := execCall(last)
	n := len(words) - len(want)
	return n >= 0 && slices.Equal(words[n:], want)
}

// variable stands for what only the job's run will know.
const variable = "\x00"

// runsTask wants the tasks file read at the task's index, and the script of a job as the last word: the folder of jobs, written
// out or in a variable, then the job's name from a variable.
func runsTask(file *syntax.File, last *syntax.Stmt, v View) bool {
	words := execCall(last)
	if len(words) == 0 {
		return false
	}
	mentions := map[string]bool{}
	indexed := false
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Word:
			mentions[literal(n)] = true
		case *syntax.Lit:
			indexed = indexed || n.Value == "SLURM_ARRAY_TASK_ID"
		}
		return true
	})
	const ofJob = "/" + variable + "/script"
	script := words[len(words)-1]
	return indexed && mentions[v.TasksFile] &&
		(script == v.JobsDir+ofJob || script == variable+ofJob && mentions[v.JobsDir])
}

// execCall is the words after exec of a statement that is one simple command in the foreground; nil for anything else. In a
// condition or a pipe the command might not run; without exec bash would stay in between, and die of the early warning that
// Slurm sends to the batch shell.
func execCall(s *syntax.Stmt) []string {
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || s.Negated || s.Background || s.Coprocess || len(call.Args) == 0 || call.Args[0].Lit() != "exec" {
		return nil
	}
	words := make([]string, len(call.Args)-1)
	for i, arg := range call.Args[1:] {
		words[i] = literal(arg)
	}
	return words
}

// literal is what bash makes of a word, with every variable as variable; what cannot be known beforehand (a command's output)
// is empty and matches nothing.
func literal(w *syntax.Word) string {
	for _, p := range w.Parts {
		if _, ok := p.(*syntax.ProcSubst); ok {
			return ""
		}
	}
	config := &expand.Config{Env: expand.FuncEnviron(func(string) string { return variable })}
	s, err := expand.Literal(config, w)
	if err != nil {
		return ""
	}
	return s
}
