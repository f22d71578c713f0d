// Package answers writes what a run's state says to where people and programs look for it: state.json, result.txt, result.json, the
// script's log names, the winner's trace. It decides nothing.
package answers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report"
)

// Publish writes the run's answers, each only if its bytes changed: a watcher of result.txt sees news, not heartbeats. report.html, which
// is large, waits for more news than the others; without serve none is written.
func Publish(dir record.Dir, run record.Run, st record.State, serve Serve) error {
	state, err := fsx.JSON(st)
	if err != nil {
		return err
	}
	result, err := report.ResultJSON(run, st)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		data []byte
	}{
		{dir.State(), state},
		{dir.ResultJSON(), result},
		{dir.ResultTxt(), report.ResultTxt(run, st, dir.Profile())},
	} {
		if err := replace(f.path, f.data); err != nil {
			return err
		}
	}
	if serve != nil {
		if err := reportHTML(dir, run, st, state, serve); err != nil {
			return err
		}
	}
	for _, l := range report.Logs(st) {
		if err := link(string(dir), l.Name, l.Target); err != nil {
			return err
		}
	}
	if !st.Phase.Over() {
		return nil
	}
	return linkTraces(dir, st.ProfileFiles)
}

// linkTraces gives the winner's traces their names in the profile folder, where they were made elsewhere, and takes away those
// that an earlier pass took for the winner's. In folders that a profiler made they stay: viewers look for them.
func linkTraces(dir record.Dir, files []string) error {
	names, profile := map[string]bool{}, dir.Rel(dir.Profile())+"/"
	for _, f := range files {
		if !filepath.IsLocal(f) || strings.HasPrefix(f, profile) {
			continue
		}
		name := traceName(f)
		names[name] = true
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir.Profile(), name)), 0o755); err != nil {
			return err
		}
		up := strings.Repeat("../", 1+strings.Count(name, "/"))
		if err := link(dir.Profile(), name, up+f); err != nil {
			return err
		}
	}
	err := filepath.WalkDir(dir.Profile(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if name, err := filepath.Rel(dir.Profile(), path); err != nil || names[name] {
			return err
		}
		return os.Remove(path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// traceName is a trace's path below its attempt's folder of traces.
func traceName(f string) string {
	folder := "/" + filepath.Base(record.AttemptDir("").Trace()) + "/"
	if _, name, ok := strings.Cut(f, folder); ok {
		return name
	}
	return filepath.Base(f)
}

func replace(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return fsx.Publish(path, data, 0o644)
}

// link gives a log the name that the script gave it. A link, because a log is still being written when it gets its name.
func link(dir, name, target string) error {
	path := filepath.Join(dir, name)
	if old, err := os.Readlink(path); err == nil && old == target {
		return nil
	}
	temp := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return os.Rename(temp, path)
}
