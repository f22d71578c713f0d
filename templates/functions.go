package templates

import (
	"fmt"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"vtune/internal/deploy"
	"vtune/internal/shell"
)

// functions are those a template may call: ours, which quote, and an allow-list of sprig's pure ones. The rest of sprig stays
// out: env leaks the submitter's environment into scripts, keys and dates differ from run to run, default takes a 0 for
// missing, and quote and squote look safe in bash and are not.
func functions() template.FuncMap {
	fs := template.FuncMap{
		"sh":           shell.Word,
		"cmd":          shell.Command,
		"sbatch":       directive,
		"filename":     shell.Filename,
		"taskfilename": shell.TaskFilename,
		"yaml":         deploy.YAML,
		"comment":      deploy.OneLine,
	}
	all := sprig.TxtFuncMap()
	for _, name := range []string{"trim", "trimPrefix", "trimSuffix", "upper", "lower", "replace", "join", "contains", "hasPrefix", "hasSuffix"} {
		fs[name] = all[name]
	}
	return fs
}

// directive is a #SBATCH line for an option with its value, or for one that takes none.
func directive(key string, value ...string) (string, error) {
	switch len(value) {
	case 0:
		return shell.Flag(key)
	case 1:
		return shell.Directive(key, value[0])
	default:
		return "", fmt.Errorf("sbatch %s: one value, not %d", key, len(value))
	}
}
