package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// flag is one option of a command line in the manner of Python's argparse,
// which pflag cannot imitate: `--a_b` means `--a-b`, an option may stand on
// either side of the positional arguments, and all unknown words are reported
// together.
type flag struct {
	name   string
	isBool bool // takes no value
	set    func(value string) error
}

// usageError ends in exit code 2. prog is the parser that complains: the main
// one about unknown words, a subcommand's about values.
type usageError struct{ prog, message string }

func (e usageError) Error() string {
	return fmt.Sprintf("usage: %s [-h] [options]\n%s: error: %s", e.prog, e.prog, e.message)
}

// parseFlags returns the positional arguments, at most maxPositional of them.
func parseFlags(prog string, flags []flag, maxPositional int, args []string) ([]string, error) {
	var positional, unknown []string
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if !looksLikeFlag(word) {
			if len(positional) < maxPositional {
				positional = append(positional, word)
			} else {
				unknown = append(unknown, word)
			}
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		name = strings.ReplaceAll(name, "_", "-")
		i := slices.IndexFunc(flags, func(f flag) bool { return f.name == name })
		if i < 0 {
			unknown = append(unknown, word)
			continue
		}
		fail := func(format string, a ...any) error {
			return usageError{prog, "argument --" + name + ": " + fmt.Sprintf(format, a...)}
		}
		switch {
		case flags[i].isBool && hasValue:
			return nil, fail("ignored explicit argument %s", pyQuote(value))
		case !flags[i].isBool && !hasValue:
			if len(args) == 0 || looksLikeFlag(args[0]) {
				return nil, fail("expected one argument")
			}
			value, args = args[0], args[1:]
		}
		if err := flags[i].set(value); err != nil {
			return nil, fail("%v", err)
		}
	}
	if len(unknown) > 0 {
		return nil, usageError{"vllm", "unrecognized arguments: " + strings.Join(unknown, " ")}
	}
	return positional, nil
}

// looksLikeFlag: argparse takes a negative number for a value.
func looksLikeFlag(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	_, err := strconv.ParseFloat(word, 64)
	return err != nil
}

func intFlag(name string, into *int) flag {
	return flag{name: name, set: func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("invalid int value: %s", pyQuote(v))
		}
		*into = n
		return nil
	}}
}

func floatFlag(name string, into *float64) flag {
	return flag{name: name, set: func(v string) error {
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return fmt.Errorf("invalid float value: %s", pyQuote(v))
		}
		*into = x
		return nil
	}}
}

func stringFlag(name string, into *string) flag {
	return flag{name: name, set: func(v string) error { *into = v; return nil }}
}

// switchFlag gives --name and --no-name.
func switchFlag(name string, into *bool) []flag {
	set := func(value bool) func(string) error {
		return func(string) error { *into = value; return nil }
	}
	return []flag{{name: name, isBool: true, set: set(true)}, {name: "no-" + name, isBool: true, set: set(false)}}
}

// ignored are real flags that change nothing in a simulation.
func ignored(takesValue bool, names ...string) []flag {
	var flags []flag
	for _, n := range names {
		flags = append(flags, flag{name: n, isBool: !takesValue, set: func(string) error { return nil }})
	}
	return flags
}

func pyQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }
