package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vtune/internal/diag"
	"vtune/internal/spec"
	"vtune/internal/spec/autotune"
)

func newInit(a *app) *cobra.Command {
	var out, from string
	var fromEnv, force bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a commented spec.yaml, or take one over from auto_tune.sh",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			data, notes, err := a.newSpec(from, fromEnv)
			if err != nil {
				return err
			}
			for _, n := range notes {
				fmt.Fprintln(a.Err, "note:", n)
			}
			if out == "-" {
				_, err := a.Out.Write(data)
				return err
			}
			if err := create(out, data, force); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "wrote %s\nnext: %s doctor %s\n", out, a.Program, out)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "spec.yaml", "file to write; - is stdout")
	c.Flags().StringVar(&from, "from", "", "take the variables over from this auto_tune.sh (the environment goes before its defaults)")
	c.Flags().BoolVar(&fromEnv, "from-env", false, "take auto_tune.sh's variables over from the environment")
	c.Flags().BoolVar(&force, "force", false, "replace an existing file")
	c.MarkFlagsMutuallyExclusive("from", "from-env")
	return c
}

func (a *app) newSpec(from string, fromEnv bool) (data []byte, notes []string, err error) {
	var imp *autotune.Import
	switch {
	case fromEnv:
		imp, err = autotune.FromEnviron(a.Env)
	case from != "":
		src, rerr := os.ReadFile(from)
		if rerr != nil {
			return nil, nil, diag.Wrap(rerr, diag.Usage)
		}
		if json.Valid(src) {
			return nil, nil, diag.Wrap(fmt.Errorf("%s is no script, but a file of runs", from), diag.Usage, a.Program+" batch "+from)
		}
		// The script's BASE means the script's folder, the spec's base means the spec's: only an absolute path is the same for both.
		abs, aerr := filepath.Abs(from)
		if aerr != nil {
			return nil, nil, aerr
		}
		imp, err = autotune.FromScript(abs, src, a.Env)
	default:
		return spec.Template(), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return imp.YAML, imp.Notes, nil
}

func create(path string, data []byte, force bool) error {
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, mode, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return diag.Wrap(fmt.Errorf("%s exists", path), diag.Usage, "name another file with -o, or replace it with --force")
	}
	if err != nil {
		return diag.Wrap(err, diag.Usage, "name a file that can be written with -o")
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
