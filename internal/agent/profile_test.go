package agent_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
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
