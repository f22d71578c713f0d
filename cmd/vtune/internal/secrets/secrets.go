// Package secrets reads what a spec names as secrets, and keeps it out of everything but the one file that is theirs.
package secrets

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/shell"
	"vtune/internal/spec"
)

// Text is the text of the 0600 file that the scripts source; nil without any. The values stand nowhere else: the environment
// that goes to the scheduler is without them.
func Text(getenv func(string) (string, bool), specFile string, s *spec.Spec) (text []byte, err error) {
	if len(s.Server.Secrets) == 0 {
		return nil, nil
	}
	kept, err := readFile(getenv, specFile, s.Server.SecretsFile)
	if err != nil {
		return nil, err
	}
	for _, name := range s.Server.Secrets {
		value, ok := getenv(name)
		if !ok {
			value, ok = kept[name]
		}
		if !ok {
			hint := "export " + name + " and submit again, or name a file of NAME=value lines as server.secrets_file"
			if s.Server.SecretsFile != "" {
				hint = "export " + name + ", or write it into " + s.Server.SecretsFile
			}
			return nil, diag.Wrap(fmt.Errorf("server.secrets names %s, which is not set", name), diag.Usage, hint)
		}
		word, err := shell.Word(value)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		text = fmt.Appendf(text, "export %s=%s\n", name, word)
	}
	return text, nil
}

// readFile reads NAME=value lines, with or without export, and with or without quotes around the whole value. It is no shell: $
// means $. A file that others may read is refused, as ssh refuses such a key.
func readFile(getenv func(string) (string, bool), specFile, path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	if below, ok := strings.CutPrefix(path, "~/"); ok {
		home, _ := getenv("HOME")
		path = filepath.Join(home, below)
	} else if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(specFile), path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, diag.Wrap(fmt.Errorf("server.secrets_file: %w", err), diag.Usage)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, diag.Wrap(fmt.Errorf("server.secrets_file: others may read %s (mode %04o)", path, mode), diag.Usage, "chmod 600 "+path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, diag.Wrap(fmt.Errorf("server.secrets_file: %w", err), diag.Usage)
	}
	found := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t'\"") {
			return nil, diag.Errorf(diag.Usage, "%s:%d: not a NAME=value line", path, n) // the line itself may be the secret
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		found[name] = value
	}
	if err := lines.Err(); err != nil {
		return nil, diag.Errorf(diag.Usage, "%s: %v", path, err)
	}
	return found, nil
}

// Without is what of an environment may go to a scheduler, which may keep it, and into environment.json.
func Without(env []string, s *spec.Spec) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(s.Server.Secrets, name)
	})
}
