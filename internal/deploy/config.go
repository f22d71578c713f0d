package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"vtune/internal/shell"
	"vtune/internal/spec/tree"
)

// Config is the winner as the YAML file of `vllm serve --config FILE`. vLLM turns each key into a flag and puts these before the flags
// that are typed, so that the latter win: key: value is `--key value`, true is the flag alone, and a list is a flag with several words.
// What cannot be said so stands on the command line that the comments show, where file is what they call it.
func Config(w Winner, file string) (string, error) {
	entries, rest, err := configEntries(w.Flags)
	if err != nil {
		return "", err
	}
	start, err := startWith(w, append([]string{"--config", file}, rest...))
	if err != nil {
		return "", err
	}
	about := append(w.About(), "Start it so; the address is vLLM's own, port 8000 of all interfaces:", "  "+start)
	if len(w.Secrets) > 0 {
		about = append(about, "with these in the environment: "+strings.Join(w.Secrets, ", "))
	}
	if len(rest) > 0 {
		about = append(about, "The flags that stand behind the file have no way to be said in it.")
	}
	var b strings.Builder
	b.WriteString(comments(about))
	model, err := YAML(w.Model)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "model: %s\n", model)
	for _, e := range entries {
		b.WriteString(e)
	}
	return b.String(), nil
}

// startWith is the command that starts the server with other arguments.
func startWith(w Winner, args []string) (string, error) {
	argv := slices.Concat(settings(w.Environment), w.Prefix, []string{"serve"}, args)
	return shell.Command(argv)
}

// short are the short names that vLLM has for flags with a long one.
var short = map[string]string{
	"-tp": "tensor-parallel-size", "-pp": "pipeline-parallel-size", "-dp": "data-parallel-size", "-q": "quantization", "-asc": "api-server-count",
}

// negative numbers are the only words with a dash before them that are values.
var (
	negative = regexp.MustCompile(`^-\d+$|^-\d*\.\d+$`)
	long     = regexp.MustCompile(`^--[A-Za-z][A-Za-z0-9_.+-]*$`)
)

func isValue(word string) bool { return !strings.HasPrefix(word, "-") || negative.MatchString(word) }

// configEntries are the lines of the file, and the words that it has no way to say: a flag for the second time, since of two equal
// keys YAML keeps one; one without a long name; a value that would be taken for a flag.
func configEntries(flags []string) (entries, rest []string, err error) {
	said := map[string]bool{}
	for i := 0; i < len(flags); {
		end := i + 1
		for end < len(flags) && isValue(flags[end]) {
			end++
		}
		words := flags[i:end]
		i = end
		key, values, ok := keyed(words)
		if !ok || said[key] {
			rest = append(rest, words...)
			continue
		}
		said[key] = true
		entry, err := configEntry(key, values)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, entry)
	}
	return entries, rest, nil
}

// keyed is a flag and its values by the key that the file has for it.
func keyed(words []string) (key string, values []string, ok bool) {
	name, value, joined := strings.Cut(words[0], "=")
	values = words[1:]
	if joined {
		if len(values) > 0 || !isValue(value) {
			return "", nil, false
		}
		values = []string{value}
	}
	if full, known := short[name]; known {
		name = "--" + full
	}
	if !long.MatchString(name) {
		return "", nil, false
	}
	// As vLLM's parser does it: dashes for underscores, up to the first dot.
	head, tail, dotted := strings.Cut(strings.TrimPrefix(name, "--"), ".")
	key = strings.ReplaceAll(head, "_", "-")
	if dotted {
		key += "." + tail
	}
	return key, values, true
}

func configEntry(key string, values []string) (string, error) {
	switch len(values) {
	case 0:
		return yamlKey(key) + ": true\n", nil
	case 1:
		value, err := yamlScalar(values[0])
		return yamlKey(key) + ": " + value + "\n", err
	}
	var b strings.Builder
	b.WriteString(yamlKey(key) + ":\n")
	for _, v := range values {
		value, err := yamlScalar(v)
		if err != nil {
			return "", err
		}
		b.WriteString("  - " + value + "\n")
	}
	return b.String(), nil
}

func yamlKey(key string) string { return tree.Word(key) }

// yamlScalar is a number where Python writes the number as it stands here, and else text: str(010) would be 8.
func yamlScalar(word string) (string, error) {
	if n, err := strconv.ParseInt(word, 10, 64); err == nil && strconv.FormatInt(n, 10) == word {
		return word, nil
	}
	if plainDecimal.MatchString(word) {
		return word, nil
	}
	return YAML(word)
}

// plainDecimal is what Python prints as it was read: below 0.0001 it would choose an exponent.
var plainDecimal = regexp.MustCompile(`^(0|[1-9]\d{0,5})\.\d{0,3}[1-9]$`)

// YAML is text as YAML that reads back as the same text, and never as anything but text.
func YAML(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8, which YAML is", s)
	}
	return tree.Word(s), nil
}
