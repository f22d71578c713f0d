package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/need"
	"vtune/internal/record"
)

// lateView is a run directory as a login node sees it whose cache of a shared file system is told of nothing: every version of every
// file that a node writes comes into view after a time of its own, whole and in no order. What the login node writes is seen by
// the nodes at once, as NFS promises to whoever opens a file anew.
type lateView struct {
	run, view string
	random    *rand.Rand
	due       map[string]time.Time // by file and version
	most      time.Duration
}

// written by nodes, below the run.
func byNodes(rel string) bool {
	top, _, _ := strings.Cut(rel, string(filepath.Separator))
	return top != "jobs" || filepath.Base(rel) == "log"
}

// step copies what is due.
func (l *lateView) step() error {
	if err := l.each(l.view, func(rel, version string) error {
		if byNodes(rel) {
			return nil
		}
		return copyOnce(l.due, rel+version, filepath.Join(l.view, rel), filepath.Join(l.run, rel))
	}); err != nil {
		return err
	}
	return l.each(l.run, func(rel, version string) error {
		at, known := l.due[rel+version]
		if !known {
			at = time.Now().Add(time.Duration(l.random.Int64N(int64(l.most))))
			l.due[rel+version] = at
		}
		if !byNodes(rel) || at.IsZero() || time.Now().Before(at) {
			return nil
		}
		delete(l.due, rel+version)
		return copyOnce(l.due, rel+version, filepath.Join(l.run, rel), filepath.Join(l.view, rel))
	})
}

// each file below a directory in which nodes or the collector write for each other.
func (l *lateView) each(dir string, do func(rel, version string) error) error {
	for _, top := range []string{"jobs", "cells", "probe", "profiling", "profile", "events", "best"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || fsx.Temporary(path) {
				return ignoreGone(err)
			}
			info, err := e.Info()
			if err != nil {
				return ignoreGone(err)
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			return do(rel, fmt.Sprint(" ", info.Size(), " ", info.ModTime().UnixNano()))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// copyOnce publishes a version of a file on the other side, unless it has been; a zero time marks that.
func copyOnce(done map[string]time.Time, version, from, to string) error {
	if at, known := done[version]; known && at.IsZero() {
		return nil
	}
	done[version] = time.Time{}
	info, err := os.Stat(from)
	if err != nil {
		return ignoreGone(err)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return ignoreGone(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return fsx.Publish(to, data, info.Mode().Perm())
}

// The jobs work in one directory, the collector sees another in its place, which lags behind by up to three seconds, each file for
// itself: the end is that of a collector who sees at once, nothing is given up and nothing is done twice.
func TestACollectorWhoseFileSystemShowsFilesLate(t *testing.T) {
	t.Parallel()
	need.Root(t)
	need.Program(t, "unshare", "apt-get install util-linux")
	env := lab(t)
	spec := specFile(t, "4, 8", quick)
	dir := record.Dir(vtune(t, env, "submit", spec))
	l := lateView{
		run: string(dir), view: filepath.Join(filepath.Dir(spec), "view"), random: rand.New(rand.NewPCG(1, 2)),
		due: map[string]time.Time{}, most: 3 * time.Second,
	}
	if err := os.CopyFS(l.view, os.DirFS(l.run)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := l.step(); err != nil {
				ended <- err
				return
			}
			time.Sleep(5 * time.Millisecond) // the pace of copying
		}
		ended <- nil
	}()
	c := exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$1" "$2" && shift 2 && exec "$@"`, "sh", l.view, l.run,
		filepath.Join(programs, "vtune"), "collect", "--watch", "--grace", "20s", string(dir))
	c.Env = env
	out, err := c.CombinedOutput()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatalf("collect: %v\n%s", err, out)
	}
	text, err := os.ReadFile(record.Dir(l.view).ResultTxt())
	if err != nil || !wantRows.Match(text) {
		t.Errorf("result.txt: %v\n%s", err, text)
	}
	st := state(t, record.Dir(l.view))
	for _, w := range []record.WorkState{st.Probe, st.Cells[0].WorkState, st.Cells[1].WorkState, st.Profile} {
		if w.Phase != record.WorkDone || len(w.Attempts) != 1 {
			t.Errorf("%s after %d attempts: %+v", w.Phase, len(w.Attempts), w)
		}
	}
	for _, side := range []string{l.run, l.view} {
		if given, _ := filepath.Glob(filepath.Join(side, "jobs", "*", "ended.json")); len(given) > 0 {
			t.Errorf("given up: %v", given)
		}
	}
	if _, err := os.Stat(dir.State()); err == nil {
		t.Error("the collector wrote into the nodes' directory: it did not see the late one")
	}
	nothingLeft(t, "after a late view", dir)
}
