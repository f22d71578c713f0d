package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/record"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/gate"
)

// What can go wrong on Google's side, each ending with the answer of an undisturbed run and with nothing left.

// A machine is taken away in every phase of its life: while it probes, under load, and when it has nothing left to do.
func TestARunOnTPUsOutlivesPreemptionInEveryPhase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase, until string // the object by which it is known
		silent       bool
	}{
		{"probing", "claims/probe-1.json", false},
		{"under load", "cells/s4-t2048/1/observations/001.json", false},
		{"under load, without a notice", "cells/s4-t2048/1/observations/001.json", true},
		{"done with a cell", "cells/s4-t2048/1/result.json", false},
	} {
		t.Run(c.phase, func(t *testing.T) {
			t.Parallel()
			cloud := newCloud(t, slowly)
			run, dir := cloud.submit(cloud.spec("cells_per_resource: 8, spot: true"))
			watch := start(t, cloud.env, "collect", "--watch", "--grace", "30s", run)
			cloud.awaitObject(run, c.until)
			if err := cloud.api.Preempt(cloud.machine(dir, "slice-1"), tputest.Preemption{Silent: c.silent}); err != nil {
				t.Fatal(err)
			}
			watch.ends()
			cloud.ends(run, dir)
			if n := cloud.api.Count("POST", "/queuedResources"); n != 2 {
				t.Errorf("%d resources were asked for, want the first and one in its place", n)
			}
		})
	}
}

// To its scheduler the machine is as active as ever.
func TestARunOnTPUsOutlivesAMachineThatIsLostWithItsClaim(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, dir := c.submit(c.spec("cells_per_resource: 8"))
	watch := start(t, c.env, "collect", "--watch", "--grace", "30s", run)
	c.awaitObject(run, "cells/s4-t2048/1/observations/001.json")
	if err := c.api.LoseMachine(c.machine(dir, "slice-1"), 0, 0); err != nil {
		t.Fatal(err)
	}
	watch.ends()
	st := c.ends(run, dir)
	if a := st.Cells[1].Attempts; len(a) != 2 || a[0].Cause != record.CauseNode {
		t.Errorf("attempts %+v", a)
	}
}

func TestARunOnTPUsOutlivesARebootOfItsMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, dir := c.submit(c.spec("cells_per_resource: 8"))
	watch := start(t, c.env, "collect", "--watch", "--grace", "30s", run)
	c.awaitObject(run, "cells/s4-t2048/1/observations/001.json")
	if err := c.api.Reboot(c.machine(dir, "slice-1"), 0); err != nil {
		t.Fatal(err)
	}
	watch.ends()
	c.ends(run, dir)
	if n := c.api.Count("POST", "/queuedResources"); n != 1 {
		t.Errorf("%d resources were asked for; the machine came back", n)
	}
}

// Neither answers for a while: the worker goes on working, the collector goes on asking.
func TestARunOnTPUsOutlivesTheAbsenceOfBothAPIs(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, dir := c.submit(c.spec("cells_per_resource: 8"))
	watch := start(t, c.env, "collect", "--watch", "--grace", "60s", run)
	c.awaitObject(run, "claims/probe-1.json")
	for _, err := range []error{c.api.Down(), c.gate.Down()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	watch.says("warning")
	time.Sleep(20 * time.Second) // the fault lasts so long; nothing is awaited
	for _, err := range []error{c.api.Up(), c.gate.Up()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	watch.ends()
	c.ends(run, dir)
}

// Tokens expire every few seconds, uploads and downloads break in the middle, answers are lost, and the bucket's clock is an hour off.
func TestARunOnTPUsOutlivesABadNetwork(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	c.api.Tokens().Live(5 * time.Second)
	c.gate.Skew(time.Hour)
	for _, f := range []gate.Fault{
		{Kind: "put", Effect: gate.CutUpload},
		{Kind: "put", Effect: gate.Lost},
		{Kind: "put", Effect: gate.Unavailable},
		{Kind: "get", Effect: gate.CutDownload},
		{Kind: "list", Effect: gate.Dropped},
		{Kind: "get", Effect: gate.Unavailable},
	} {
		f.Times, f.Share = -1, 0.1
		c.gate.Inject(f)
	}
	c.api.Inject(tputest.Fault{Method: "POST", Path: "/queuedResources", After: true})
	c.api.Inject(tputest.Fault{Method: "GET", Path: "/queuedResources", Code: 503, Times: 2, Skip: 1})
	c.api.Inject(tputest.Fault{Method: "DELETE", Path: "/queuedResources", After: true})
	run, dir := c.submit(c.spec("cells_per_resource: 8"))
	c.collect(run)
	c.ends(run, dir)
	if n := c.api.Count("POST", "/queuedResources"); n < 2 {
		t.Errorf("%d requests for a resource: no answer was lost", n)
	}
}

// Two people collect: one is told who does, and takes over when that one is dead.
func TestOfTwoCollectorsOfARunOnTPUsOneCollects(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	run, _ := c.submit(c.spec("cells_per_resource: 8"))
	first := start(t, c.env, "collect", "--watch", run)
	c.awaitObject(run, "claims/probe-1.json")
	second := c.anotherHome()
	if said := c.exits(7, second, "collect", run); !strings.Contains(said, "in other hands") {
		t.Errorf("it said\n%s", said)
	}
	if said := vtune(t, second, "status", run); !strings.Contains(said, "collected by collect") {
		t.Errorf("status\n%s", said)
	}
	if err := first.c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	if said := c.exits(0, second, "status", run); !strings.Contains(said, "nobody collects this run") {
		t.Errorf("status\n%s", said)
	}
	vtune(t, second, "collect", "--watch", "--grace", "60s", run)
	c.ends(run, c.home(second, run))
}

// Who asks for more than there is waits; what Google cannot give is said, and asked for again.
func TestARunOnTPUsWaitsForQuotaAndForMachines(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	c.api.Quota(0)
	c.api.FailProvisioning("", "There is no more capacity in the zone")
	spec := c.spec("cells_per_resource: 8")
	run, dir := c.submit(spec)
	if left := c.api.Left(); len(left) != 0 {
		t.Fatalf("beyond the quota: %s", left)
	}
	c.api.Quota(-1)
	c.collect(run)
	c.ends(run, dir)
	var r record.Resource
	readRecord(t, dir.Resource("slice-1"), &r)
	if !strings.Contains(r.Reason, "no more capacity") {
		t.Errorf("slice-1 ended for %q", r.Reason)
	}
}

// Whatever the moment in which submit dies, the same command goes on, and no resource is asked for twice.
func TestSubmitToTPUsMayBeKilledAtAnyStep(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	c.api.Capacity(0)
	steps := 0
	for more := true; more; steps += 3 { // every third step: each costs a second
		spec := c.spec("cells_per_resource: 8")
		once := filepath.Join(filepath.Dir(spec), "killed")
		x := exec.Command(filepath.Join(programs, "vtune-crash"), "submit", "--yes", spec)
		x.Env = append(slices.Clone(c.env), fmt.Sprintf("VTUNE_CRASH_AT=%d", steps+1), "VTUNE_CRASH_ONCE="+once)
		x.Run()
		_, err := os.Stat(once)
		more = err == nil
		run, dir := c.submit(spec)
		if left := c.api.Left(); len(left) != 1 || left[0] != c.machine(dir, "slice-1") {
			t.Fatalf("killed at step %d: %s", steps+1, left)
		}
		c.exits(0, c.env, "cancel", run)
		c.awaits("the machine to be gone", func() bool { return len(c.api.Left()) == 0 })
	}
	if steps < 20 {
		t.Errorf("only %d steps: the crash points are gone", steps)
	}
}
