package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Flag is one option of a command line in the manner of Python's argparse,
// which pflag cannot imitate: `--a_b` means `--a-b`, an option may stand on
// either side of the positional arguments, and all unknown words are reported
// together.
type Flag struct {
	Name string
	Bool bool // takes no value
	Set  func(value string) error
}

// UsageError ends in exit code 2. Prog is the parser that complains: the main
// one about unknown words, a subcommand's about values.
type UsageError struct{ Prog, Message string }

func (e UsageError) Error() string {
	return fmt.Sprintf("usage: %s [-h] [options]\n%s: error: %s", e.Prog, e.Prog, e.Message)
}

// Parse returns the positional arguments, at most maxPositional of them.
func Parse(prog string, flags []Flag, maxPositional int, args []string) ([]string, error) {
	var positional, unknown []string
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if !LooksLikeFlag(word) {
			if len(positional) < maxPositional {
				positional = append(positional, word)
			} else {
				unknown = append(unknown, word)
			}
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		name = strings.ReplaceAll(name, "_", "-")
		i := slices.IndexFunc(flags, func(f Flag) bool { return f.Name == name })
		if i < 0 {
			unknown = append(unknown, word)
			continue
		}
		fail := func(format string, a ...any) error {
			return UsageError{Prog: prog, Message: "argument --" + name + ": " + fmt.Sprintf(format, a...)}
		}
		switch {
		case flags[i].Bool && hasValue:
			return nil, fail("ignored explicit argument %s", Quote(value))
		case !flags[i].Bool && !hasValue:
			if len(args) == 0 || LooksLikeFlag(args[0]) {
				return nil, fail("expected one argument")
			}
			value, args = args[0], args[1:]
		}
		if err := flags[i].Set(value); err != nil {
			return nil, fail("%v", err)
		}
	}
	if len(unknown) > 0 {
		return nil, UsageError{Prog: "vllm", Message: "unrecognized arguments: " + strings.Join(unknown, " ")}
	}
	return positional, nil
}

// LooksLikeFlag tells an option from a value: argparse takes a negative number
// for a value.
func LooksLikeFlag(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	_, err := strconv.ParseFloat(word, 64)
	return err != nil
}

// Int is an option with an integer value.
func Int(name string, into *int) Flag {
	return Flag{Name: name, Set: func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("invalid int value: %s", Quote(v))
		}
		*into = n
		return nil
	}}
}

// Float is an option with a number.
func Float(name string, into *float64) Flag {
	return Flag{Name: name, Set: func(v string) error {
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return fmt.Errorf("invalid float value: %s", Quote(v))
		}
		*into = x
		return nil
	}}
}

// String is an option with any value.
func String(name string, into *string) Flag {
	return Flag{Name: name, Set: func(v string) error { *into = v; return nil }}
}

// Switch gives --name and --no-name.
func Switch(name string, into *bool) []Flag {
	set := func(value bool) func(string) error {
		return func(string) error { *into = value; return nil }
	}
	return []Flag{{Name: name, Bool: true, Set: set(true)}, {Name: "no-" + name, Bool: true, Set: set(false)}}
}

// Ignored are real flags that change nothing in a simulation.
func Ignored(takesValue bool, names ...string) []Flag {
	var flags []Flag
	for _, n := range names {
		flags = append(flags, Flag{Name: n, Bool: !takesValue, Set: func(string) error { return nil }})
	}
	return flags
}

// Quote is Python's repr of a simple string.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }
