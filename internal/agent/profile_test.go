package agent_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vtune/internal/diag"
	"vtune/internal/record"
)

func TestAProfileLandsWholeInTheRunsFolder(t *testing.T) {
	for _, client := range []string{"vllm", "vtune"} {
		t.Run(client, func(t *testing.T) {
			r := newRun(t)
			a := r.assignment(record.KindProfile, 1)
			a.Client, a.ProfileIterations = client, 20
			a.Profile = &record.Load{Rate: record.Inf, Requests: 20}
			res := r.do(a, diag.OK)
			if res.Outcome != record.OutcomeDone || len(res.Profile) == 0 || res.Ledger[record.SpendProfile] <= 0 {
				t.Fatalf("%+v", res)
			}
			for _, name := range res.Profile {
				if filepath.Dir(name) != "profile" {
					t.Errorf("%s is elsewhere", name)
				}
				f, err := os.Open(filepath.Join(string(r.dir), name))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				z, err := gzip.NewReader(f)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, z); err != nil || n == 0 {
					t.Errorf("%s: %d bytes, %v", name, n, err)
				}
			}
		})
	}
}

func TestALoadThatFailedIsNoProfile(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProfile, 1)
	a.Profile = &record.Load{Rate: record.Inf, Requests: 20}
	a.Server.Environment["VLLM_SIM_FAIL"] = "crash-after=3"
	res := r.do(a, agentFailed)
	if res.Cause != record.CauseCrash || len(res.Profile) != 0 {
		t.Errorf("%+v", res)
	}
	if _, err := os.Stat(r.dir.Profile()); err == nil {
		t.Error("half a trace is in the run's folder")
	}
}

// A TPU's trace is XLA's, in the folders that its viewer looks for. A second profile lands beside the first.
func TestATPUsProfileKeepsItsFolders(t *testing.T) {
	r := newRun(t)
	for attempt := 1; attempt <= 2; attempt++ {
		a := r.assignment(record.KindProfile, attempt)
		a.Client, a.Profile = "vtune", &record.Load{Rate: record.Inf, Requests: 20}
		r.onTPU(&a)
		res := r.do(a, diag.OK)
		if res.Outcome != record.OutcomeDone || len(res.Profile) != 1 {
			t.Fatalf("%+v", res)
		}
		if ok, err := filepath.Match("profile/plugins/profile/20*/*.xplane.pb", res.Profile[0]); !ok || err != nil {
			t.Errorf("%s is elsewhere: %v", res.Profile[0], err)
		}
		if data, err := os.ReadFile(filepath.Join(string(r.dir), res.Profile[0])); err != nil || !bytes.Contains(data, []byte("/device:TPU:0")) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(r.dir.Profile(), "plugins/profile/*/*")); err != nil || len(kept) != 2 {
		t.Errorf("kept: %q, %v", kept, err)
	}
}

func (r *run) onTPU(a *record.Assignment) {
	a.Server.System = "TPU"
	a.Server.Environment["TPU_ACCELERATOR_TYPE"] = "v6e-8"
}

// A whole tuning on a TPU: the probe, the cell that rides on its server, the confirmed rate, and then the trace of that server.
func TestATPUIsTunedUpToItsWinnersTrace(t *testing.T) {
	r := newRun(t)
	probe, a := r.rider()
	a.TraceWinner = true
	r.onTPU(&probe)
	r.onTPU(&a)
	r.publish(r.dir.Assignment(a.Job), a)
	j := r.begin(probe)
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	res := (&job{run: r, a: a, out: j.out}).result()
	if res.Outcome != record.OutcomeDone || len(res.Profile) != 1 || res.Message != "" {
		t.Fatalf("%+v", res)
	}
	if !strings.Contains(res.Profile[0], "/trace/plugins/profile/") || !strings.HasSuffix(res.Profile[0], ".xplane.pb") || len(r.read(res.Profile[0])) == 0 {
		t.Errorf("%s", res.Profile[0])
	}
}

// The hosts of a slice are brought together by a program of the run, which is elsewhere on each machine.
func TestAServerOfASliceIsStartedByTheRunsOwnProgram(t *testing.T) {
	r := newRun(t)
	a := unlimited(r.tuned(record.KindCell, 1))
	r.onTPU(&a)
	a.Server.Launch, a.Server.Nodes = "bin/launch", 4
	if err := os.MkdirAll(filepath.Dir(r.dir.Launch()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.dir.Launch(), []byte("#!/bin/bash\necho brought together\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if res := r.do(a, diag.OK); res.Outcome != record.OutcomeDone {
		t.Fatalf("%+v", res)
	}
	if log := r.read(r.dir.Rel(r.dir.Attempt(a.Kind, a.Cell.ID, 1).ServerLog())); !bytes.Contains(log, []byte("brought together")) {
		t.Errorf("%s", log)
	}
}
