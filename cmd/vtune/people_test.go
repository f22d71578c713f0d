package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/fsx"
	"vtune/internal/need"
	"vtune/internal/record"
)

const nobody = 65534

// asUser runs vtune as a user and returns what it said and its exit code.
func asUser(t *testing.T, uid int, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, said bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // who is wrongly let in may watch for ever
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(commonPrograms(t), "vtune"), args...)
	c.Env, c.Stdout, c.Stderr, c.Dir = env, &out, &said, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), said.String(), c.ProcessState.ExitCode()
}

// commonPrograms are the commands under test where every user can run them.
func commonPrograms(t *testing.T) string {
	t.Helper()
	if err := os.Chmod(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	return programs
}

// files of a directory, each with its size, mode and time of change, and its folders.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if e.IsDir() {
			all = append(all, path)
			return err
		}
		all = append(all, fmt.Sprint(path, " ", info.Mode(), " ", info.Size(), " ", info.ModTime().UnixNano()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whoever else types submit, collect or cancel is told whose run it is and what to do, and changes nothing; status answers everybody.
// So it is for root, too, who could write, and to whom the scheduler shows other jobs: a collector of root's would find all lost.
func TestAnotherPersonIsToldWhoseRunItIs(t *testing.T) {
	t.Parallel()
	need.Root(t)
	env := lab(t)
	slurm(t, env, "scontrol", "update", "PartitionName=gpu", "State=DOWN")
	for _, c := range []struct {
		name          string
		owner, person int
	}{{"nobody with root's run", 0, nobody}, {"root with nobody's run", nobody, 0}} {
		spec := specFile(t, "8", quick)
		base := filepath.Dir(spec)
		if err := os.Chown(base, c.owner, c.owner); err != nil {
			t.Fatal(err)
		}
		out, said, code := asUser(t, c.owner, env, "submit", "--hands-free=5m", spec)
		if code != 0 {
			t.Fatalf("%s: submit: %s", c.name, said)
		}
		dir := record.Dir(strings.TrimSpace(out))
		before := files(t, base)
		for _, args := range [][]string{
			{"submit", string(dir)},
			{"submit", "--hands-free", string(dir)},
			{"submit", spec},
			{"submit", "--hands-free", spec},
			{"run", string(dir)},
			{"collect", string(dir)},
			{"collect", "--watch", string(dir)},
			{"collect", "--grace", "1ns", string(dir)},
			{"cancel", string(dir)},
		} {
			_, said, code := asUser(t, c.person, env, args...)
			whose := strings.Contains(said, "belongs to "+runOf(t, dir).User) || args[len(args)-1] == spec && strings.Contains(said, "permission denied")
			if code != 2 || !whose || strings.Count(said, "hint: ") != 1 {
				t.Errorf("%s: %s: exit code %d\n%s", c.name, strings.Join(args, " "), code, said)
			}
		}
		table, said, code := asUser(t, c.person, env, "status", string(dir))
		if code != 0 || !strings.Contains(table, "probing, 0 of 1 cells") || said != "" {
			t.Errorf("%s: status: exit code %d\n%s%s", c.name, code, table, said)
		}
		slices.Sort(before)
		if diff := cmp.Diff(before, files(t, base)); diff != "" {
			t.Errorf("%s: changed: %s", c.name, diff)
		}
		if _, said, code := asUser(t, c.owner, env, "cancel", string(dir)); code != 0 {
			t.Errorf("%s: the owner's cancel: %s", c.name, said)
		}
	}
	within(t, 20*time.Second, "an empty queue", func() bool { return strings.TrimSpace(slurm(t, env, "squeue", "-h")) == "" })
}

// Runs that begin in the same second bear different names, share no job, and both come to their end: of two specs at one base, and
// of one spec twice.
func TestRunsOfOneSecondDoNotMix(t *testing.T) {
	t.Parallel()
	env := lab(t)
	spec := specFile(t, "8", quick)
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(spec), "other.yaml")
	if err := os.WriteFile(other, append(text, "# another\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // a second has to begin
	var submits []*exec.Cmd
	outs := make([]bytes.Buffer, 2)
	for i, s := range []string{spec, other} {
		c := exec.Command(filepath.Join(programs, "vtune"), "submit", "--new", s)
		c.Env, c.Stdout = env, &outs[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		submits = append(submits, c)
	}
	for _, c := range submits {
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	dirs := []record.Dir{record.Dir(bytes.TrimSpace(outs[0].Bytes())), record.Dir(bytes.TrimSpace(outs[1].Bytes()))}
	dirs = append(dirs, record.Dir(vtune(t, env, "submit", "--new", spec)))
	created := map[time.Time]int{}
	ids := map[string]bool{}
	for _, dir := range dirs {
		run := runOf(t, dir)
		created[run.Created.Truncate(time.Second)]++
		ids[run.ID] = true
	}
	if len(ids) != 3 || len(created) == 3 {
		t.Fatalf("runs %v, created at %v: want three runs, two of them of one second", ids, created)
	}
	for _, dir := range dirs {
		vtune(t, env, "collect", "--watch", string(dir))
		chainEnds(t, env, dir)
		submitted, _ := filepath.Glob(filepath.Join(dir.Jobs(), "*", "submitted.json"))
		for _, path := range submitted {
			var out record.Submitted
			if err := fsx.ReadJSON(path, &out); err != nil {
				t.Fatal(err)
			}
			if where := slurm(t, env, "squeue", "-h", "-t", "all", "-j", out.ID, "-o", "%j %Z"); strings.TrimSpace(where) != out.Name+" "+string(dir) {
				t.Errorf("job %s of %s is %s", out.ID, dir, where)
			}
		}
		if len(submitted) != 3 {
			t.Errorf("%s has the jobs %v", dir, submitted)
		}
	}
}
