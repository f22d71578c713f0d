package word

import "slices"

// Directive is the name of an option of sbatch that a user may add.
func Directive() Rule {
	return Rule{Pattern: `^[a-z][a-z-]*$`, Says: "a long option of sbatch without its dashes", check: func(v string) *Fault {
		if slices.Contains(allowedDirectives(), v) {
			return nil
		}
		if key := governedDirective(v); key != "" {
			return &Fault{What: v + " has a key of its own", Hint: "use " + key}
		}
		if ownDirective(v) {
			return &Fault{What: v + " is vtune's: its jobs depend on it"}
		}
		return &Fault{What: v + " is not an option that vtune passes on", Hint: DidYouMean(v, allowedDirectives())}
	}}
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
