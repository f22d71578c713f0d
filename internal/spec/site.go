package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// TimeSeconds is the time limit of one job in seconds, 0 where none is given.
func (s Site) TimeSeconds() int {
	n, _ := timeSeconds(s.Time)
	return n
}

// MemoryMB is the host memory of one job in MiB, rounded up; 0 where none is given or the whole node is asked for.
func (s Site) MemoryMB() int {
	const perKB, perGB, perTB = 1024, 1024, 1024 * 1024
	if s.Memory == "" {
		return 0
	}
	number, unit := s.Memory, byte('M')
	if last := s.Memory[len(s.Memory)-1]; last > '9' {
		number, unit = s.Memory[:len(s.Memory)-1], last&^0x20
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	switch unit {
	case 'K':
		return (n + perKB - 1) / perKB
	case 'G':
		return n * perGB
	case 'T':
		return n * perTB
	}
	return n
}

// memorySize leaves room for nine digits, so that no unit overflows.
func memorySize() rule {
	return rule{pattern: `^(0|[1-9][0-9]{0,8}[KMGTkmgt]?)?$`, says: "a size such as 64G or 512000M"}
}

func timeLimit() rule {
	return rule{pattern: `^[0-9:-]*$`, says: "a time limit: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS", check: func(v string) *fault {
		if v == "" {
			return nil
		}
		seconds, ok := timeSeconds(v)
		if !ok {
			return &fault{what: fmt.Sprintf("%q is not a time limit", v), hint: "write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS"}
		}
		if seconds < 120 {
			return &fault{what: fmt.Sprintf("%q is %d s; no server starts and is measured in less than 2 minutes", v, seconds), hint: "a single number counts minutes, A:B minutes and seconds"}
		}
		return nil
	}}
}

// timeSeconds reads Slurm's six forms. What the first number means depends on how many there are and on whether days stand
// before them: 90 is minutes, 1:30 minutes and seconds, but 0-1:30 hours and minutes.
func timeSeconds(v string) (int, bool) {
	units := map[int][]int{1: {60}, 2: {60, 1}, 3: {3600, 60, 1}}
	total := 0
	if days, rest, ok := strings.Cut(v, "-"); ok {
		n, ok := shortNumber(days)
		if !ok {
			return 0, false
		}
		total, v = n*24*3600, rest
		units = map[int][]int{1: {3600}, 2: {3600, 60}, 3: {3600, 60, 1}}
	}
	parts := strings.Split(v, ":")
	for i, unit := range units[len(parts)] {
		n, ok := shortNumber(parts[i])
		if !ok {
			return 0, false
		}
		total += n * unit
	}
	return total, len(parts) <= 3
}

func shortNumber(v string) (int, bool) {
	n, err := strconv.ParseUint(v, 10, 20)
	return int(n), err == nil
}

// bashLine is one whole command line: it must parse alone, and must not swallow the line that follows it in the script.
func bashLine() rule {
	return rule{pattern: `^[^\x00-\x08\x0a-\x1f\x7f]+$`, says: "one line of bash", check: func(v string) *fault {
		if strings.HasPrefix(strings.TrimSpace(v), "#SBATCH") {
			return &fault{what: "a directive among the lines of bash", hint: "use site.directives"}
		}
		if tail := len(v) - len(strings.TrimRight(v, `\`)); tail%2 == 1 {
			return &fault{what: "the line ends in a backslash and would join the next one", offset: len(v) - 1}
		}
		file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(v), "")
		if err != nil {
			what, pos := bashError(err)
			return &fault{what: "does not parse as bash: " + what, offset: max(0, int(pos.Col())-1)}
		}
		return plainSecret(file)
	}}
}

func bashError(err error) (what string, pos syntax.Pos) {
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
func plainSecret(file *syntax.File) (found *fault) {
	syntax.Walk(file, func(n syntax.Node) bool {
		if a, ok := n.(*syntax.Assign); ok && a.Name != nil && a.Value != nil && soundsSecret(a.Name.Value) && isLiteral(a.Value) {
			found = &fault{what: a.Name.Value + " sounds like a secret, which must not stand in a file", hint: "list the name under server.secrets and export the value before you submit", offset: int(a.Pos().Col()) - 1}
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

func directiveName() rule {
	return rule{pattern: `^[a-z][a-z-]*$`, says: "a long option of sbatch without its dashes", check: func(v string) *fault {
		if slices.Contains(allowedDirectives(), v) {
			return nil
		}
		if key := governedDirective(v); key != "" {
			return &fault{what: v + " has a key of its own", hint: "use " + key}
		}
		if ownDirective(v) {
			return &fault{what: v + " is vtune's: its jobs depend on it"}
		}
		return &fault{what: v + " is not an option that vtune passes on", hint: didYouMean(v, allowedDirectives())}
	}}
}

func directiveValue() rule {
	return rule{pattern: printable, says: "one line"}
}

// allowedDirectives say where and when a job runs, never what it does: nothing here can move its output, change its
// environment, or break the order of jobs.
func allowedDirectives() []string {
	return []string{
		"acctg-freq", "begin", "clusters", "comment", "contiguous", "core-spec", "cores-per-socket", "cpu-freq", "deadline",
		"delay-boot", "exclude", "exclusive", "gpu-freq", "hint", "licenses", "mail-type", "mail-user", "mcs-label", "mem-bind",
		"mincpus", "network", "nice", "nodelist", "ntasks-per-core", "oversubscribe", "power", "prefer", "priority", "profile",
		"segment", "sockets-per-node", "spread-job", "switches", "thread-spec", "threads-per-core", "tmp", "use-min-nodes", "wckey",
	}
}

func governedDirective(name string) string {
	switch name {
	case "partition", "account", "qos", "reservation", "constraint", "time":
		return "site." + name
	case "mem", "mem-per-cpu", "mem-per-gpu":
		return "site.memory"
	case "cpus-per-task", "cpus-per-gpu":
		return "site.cpus"
	case "gres", "gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket", "gres-flags":
		return "tensor_parallel, site.gpu_style and site.gpu_type"
	}
	return ""
}

func ownDirective(name string) bool {
	switch name {
	case "output", "error", "input", "open-mode", "array", "dependency", "kill-on-invalid-dep", "job-name", "requeue", "no-requeue",
		"signal", "chdir", "export", "export-file", "get-user-env", "wrap", "parsable", "nodes", "ntasks", "ntasks-per-node",
		"wait", "hold", "test-only", "quiet", "uid", "gid", "no-kill", "time-min", "propagate":
		return true
	}
	return false
}
