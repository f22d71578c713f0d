package names

import (
	"reflect"
	"testing"
	"time"

	"vtune/internal/record"
)

// arguments are values for the methods of record.Dir and record.AttemptDir, by type.
var arguments = map[reflect.Type]reflect.Value{
	reflect.TypeFor[string]():      reflect.ValueOf("s1-t2"),
	reflect.TypeFor[int]():         reflect.ValueOf(3),
	reflect.TypeFor[float64]():     reflect.ValueOf(0.9),
	reflect.TypeFor[record.Rate](): reflect.ValueOf(record.Rate(1.5)),
}

// paths are the results of all methods of a folder that name something in it, by the method's name.
func paths(dir reflect.Value, of string) map[string]string {
	found := map[string]string{}
	for i := range dir.NumMethod() {
		method := dir.Type().Method(i)
		if method.Name == "Rel" || method.Name == "Work" || method.Name == "Attempt" && of == "" {
			continue
		}
		var in []reflect.Value
		for j := range dir.Method(i).Type().NumIn() {
			in = append(in, arguments[dir.Method(i).Type().In(j)])
		}
		found[of+method.Name] = record.Dir("/run").Rel(dir.Method(i).Call(in)[0].String())
	}
	return found
}

func TestEveryPathOfARunHasAnOwner(t *testing.T) {
	const never, collectors, machines = "never", "ours", "workers'"
	const folder = "a folder"
	want := map[string]string{
		"Run": collectors, "Spec": collectors, "Effective": collectors, "Plan": collectors, "Agent": collectors, "Launch": collectors,
		"Secrets": collectors, "Environment": never, "Notify": never, "Notified": never, "Cancelled": collectors, "Chain": collectors, "Mirror": never,
		"State": collectors, "Approval": collectors, "Resource": collectors, "Deleted": collectors, "ResultTxt": collectors, "ResultJSON": collectors, "Report": collectors, "Collector": never, "Scheduler": never,
		"Script": collectors, "Assignment": collectors, "Intent": collectors, "Submitted": collectors, "Tasks": collectors, "Ended": collectors,
		"JobLog": machines, "CrewOrder": collectors, "CrewBegun": machines, "Aboard": machines, "Step": machines, "Unwanted": collectors,
		"QuietNode": machines, "Queued": collectors, "Repeat": collectors, "Best": machines,
		"Claim": machines, "Worker": machines, "Done": machines, "Request": collectors, "RequestID": collectors, "ByHand": collectors, "JobScript": collectors,
		"Jobs": folder, "Job": folder, "Events": folder, "Profile": folder, "Cells": folder, "Bests": folder, "Repeats": folder,
		"Templates": folder, "Through": folder, "Queue": folder, "Claims": folder, "Workers": folder,
	}
	for _, of := range []record.Kind{record.KindProbe, record.KindCell, record.KindProfile, record.KindCollect} {
		for _, name := range []string{"Attempt", "Result", "Health", "ServerLog", "Trace", "ProbeLog", "Observation", "BenchLog", "BenchJSON", "Timelines"} {
			want[string(of)+" "+name] = machines
		}
		want[string(of)+" Observations"] = folder
	}
	for _, name := range []string{"Health", "ServerLog", "Trace", "ProbeLog", "Observation", "BenchLog", "BenchJSON", "Timelines"} {
		want["collect "+name] = never // links measure nothing
	}
	want["collect Attempt"], want["collect Result"] = collectors, collectors

	dir := record.Dir("/run")
	all := paths(reflect.ValueOf(dir), "")
	for _, of := range []record.Kind{record.KindProbe, record.KindCell, record.KindProfile, record.KindCollect} {
		for method, path := range paths(reflect.ValueOf(dir.Attempt(of, "s1-t2", 1)), string(of)+" ") {
			all[method] = path
		}
	}
	for method, path := range all {
		got := map[Owner]string{Nobodys: never, Ours: collectors, Workers: machines}[Of(path).Whose]
		switch want[method] {
		case "":
			t.Errorf("%s (%s) is nobody's yet: say here whose it is, and see that the table agrees", method, path)
		case folder:
		case got:
		default:
			t.Errorf("%s (%s) is %s, want %s", method, path, got, want[method])
		}
	}
	for method := range want {
		if _, ok := all[method]; !ok {
			t.Errorf("there is no path %s any more", method)
		}
	}
}

func TestWhatIsReadOfARunIsBroughtIn(t *testing.T) {
	for name, want := range map[string]bool{
		"run.json": true, "plan.json": true, "effective.yaml": true, "templates/slurm.tmpl": true, "jobs/a/intent.json": true, "jobs/a/submitted.json": true,
		"jobs/a/ended.json": true, "jobs/a/crew.json": true, "jobs/a/step.json": true, "jobs/a/aboard.json": true, "jobs/a/done.json": true, "jobs/a/begun": true,
		"jobs/a/request.json": true, "jobs/a/request-id": true, "jobs/a/unwanted.json": true, "queue/pool/000001-a.json": true, "claims/a.json": true,
		"repeats/a-1.json": true, "cancelled.json": true, "chain.json": true, "links/1/attempt.json": true, "links/1/result.json": true,
		"cells/c/1/attempt.json": true, "cells/c/1/health.json": true, "cells/c/1/result.json": true, "cells/c/1/observations/001.json": true,
		"probe/1/result.json": true, "profiling/1/attempt.json": true, "events/a.001.started.json": true,

		"jobs/a/log": false, "jobs/a/job": false, "jobs/a/assignment.json": false, "bin/vtune": false, "secrets.env": false, "best/a.json": false,
		"cells/c/1/server.log": false, "cells/c/1/bench-001-inf.log": false, "cells/c/1/bench-001-inf.timelines": false, "cells/c/1/trace/x.pb": false,
		"profile/x.pb": false, "cells/c/attempt.json": false, "cells/c/1/observations/deep/001.json": false, "workers/a.json": false,
	} {
		if got := Of(name).Pull; got != want {
			t.Errorf("%s: brought in %t, want %t", name, got, want)
		}
	}
}

func TestWhatNobodyThoughtOfStaysHere(t *testing.T) {
	for _, name := range []string{
		"notify.json", "notified.json", "key.json", "nohup.out", "vllm_log_128_512.txt", "bm_log_128_512_requestrate_inf.txt", "scheduler/1/x", "collector.lock/owner.json",
		"jobs/a/intent.json.tmp-123", "collector.lock.tmp-1-2/owner.json", "run.json.tmp-5", "jobs/a/own notes", "links/1/notes",
	} {
		if r := Of(name); r.Whose != Nobodys || r.Pull {
			t.Errorf("%s is %+v", name, r)
		}
	}
}

func TestNamesThatAreNoFilesOfARunAreNotProper(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "/etc/passwd", "../x", "jobs/../../x", "jobs//x", "jobs/./x", "jobs/x/", "jobs/\x00", "jobs/a\nb", "jobs/\x7f", "jobs/\xff",
		`jobs\..\x`, "jobs/" + string(make([]byte, 300)), "jobs/\u0085x",
	} {
		if Proper(name) {
			t.Errorf("%q is proper", name)
		}
	}
	for _, name := range []string{"run.json", "jobs/a-1/intent.json", "templates/über.tmpl", "cells/s1-t2/1/observations/001.json", "..x/y"} {
		if !Proper(name) {
			t.Errorf("%q is not proper", name)
		}
	}
}

func TestANameOfAManifestReadsBack(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	for _, writer := range []string{"crew-1", "a", "collector-login-3.example.org-4711", "x--y"} {
		got, ok := ParseManifest(record.ManifestName(at, writer, 1234567))
		if !ok || got.Writer != writer || got.At != at.UnixMilli() || got.Seq != 1234567 {
			t.Errorf("%s: %+v, %t", writer, got, ok)
		}
	}
	for _, name := range []string{
		"events/probe.001.started.json", "events/1800000000123-000001.json", "events/x800000000123-a-000001.json", "jobs/1800000000123-a-000001.json",
		"events/1800000000123-a-00000x.json", "events/1800000000123-a-000001", "events/-800000000123-a-000001.json",
	} {
		if got, ok := ParseManifest(name); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
