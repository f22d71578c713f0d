package shell

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	optionKey = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	bareValue = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./\[\]-]+$`)
	jobName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	// These words begin a component of a heterogeneous job. Some versions of sbatch look for them anywhere in a directive, in
	// any case, before they take it apart, and blank them out. A backslash inside hides them.
	components = regexp.MustCompile(`(?i)(pack|het)(job)`)
)

// maxName keeps names whole: the accounting database cuts them at 255 bytes, people's squeue long before.
const maxName = 200

// Directive is the line `#SBATCH --key=value` from which sbatch reads exactly value. Control characters and invalid UTF-8 are
// refused: a newline would end the line, and the rest would pollute every listing.
func Directive(key, value string) (string, error) {
	line, err := Flag(key)
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(value) {
		return "", fmt.Errorf("#SBATCH --%s: %q is not UTF-8", key, value)
	}
	if i := strings.IndexFunc(value, isControl); i >= 0 {
		return "", fmt.Errorf("#SBATCH --%s: %q has a control character at byte %d", key, value, i)
	}
	return line + "=" + directiveValue(value), nil
}

// Flag is the line `#SBATCH --key` for an option that takes no value.
func Flag(key string) (string, error) {
	if !optionKey.MatchString(key) {
		return "", fmt.Errorf("#SBATCH: %q is not an option's name", key)
	}
	return "#SBATCH --" + key, nil
}

// isControl counts U+0085 and the line separators too: sbatch passes them on, but they break lines for other readers.
func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// directiveValue quotes by sbatch's own rules, which only look like a shell's: a backslash escapes the next byte inside any
// quotes, but outside them a blank ends the word even behind a backslash. So: double quotes, with \ and " escaped.
func directiveValue(v string) string {
	if bareValue.MatchString(v) && !components.MatchString(v) {
		return v
	}
	v = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)
	return `"` + components.ReplaceAllString(v, `$1\$2`) + `"`
}

// Name reports why s cannot be the name of a job: squeue and scancel take lists of names apart at commas, and listings are
// split at blanks and bars.
func Name(s string) error {
	switch {
	case len(s) > maxName:
		return fmt.Errorf("job name %q: %d bytes, %d are the most", s, len(s), maxName)
	case !jobName.MatchString(s):
		return fmt.Errorf("job name %q: letters, digits, dot, dash and underscore only, beginning with a letter or digit", s)
	}
	return nil
}

// Filename is path as the value of --output or --error, where Slurm replaces %a, %j and others: a percent sign is doubled. A
// backslash is refused, for Slurm then drops one and replaces nothing.
func Filename(path string) (string, error) {
	if strings.Contains(path, `\`) {
		return "", fmt.Errorf("slurm cannot write to %q: its file names have no way to say a backslash", path)
	}
	return strings.ReplaceAll(path, "%", "%%"), nil
}

// TaskFilename is Filename for the tasks of an array: %a in the last element of path stays, and becomes the task's number.
func TaskFilename(path string) (string, error) {
	name, err := Filename(path)
	if err != nil {
		return "", err
	}
	last := strings.LastIndexByte(name, '/') + 1
	return name[:last] + strings.ReplaceAll(name[last:], "%%a", "%a"), nil
}
