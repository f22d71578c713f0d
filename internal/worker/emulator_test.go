package worker

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/bucket/buckettest"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

// script is a job's: in place of an agent it makes an attempt, and waits for the signal by which it is told to end.
const script = `#!/bin/bash
run=$(dirname -- "$(dirname -- "$1")")
job=$(basename -- "$(dirname -- "$2")")
echo "$VTUNE_CREW $VTUNE_CREW_JOB"
at=$run/cells/${job%-1}/1
mkdir -p "$run/cells/${job%-1}" && mkdir "$at" || exit 7
echo '{"job":"'"$job"'"}' >"$at/attempt.json"
[ "$job" != long-1 ] || { trap 'kill %1; result=continue' USR1; sleep 60 & wait; }
echo '{"complete":true,"outcome":"'"${result:-done}"'"}' >"$at/result.json.tmp-1" && mv "$at/result.json.tmp-1" "$at/result.json"
[ -z "$result" ] || exit 8
`

// The same against an emulator of Google's storage over HTTP, a metadata server, and real processes.
func TestAMachineWithARealBucketAndRealProcesses(t *testing.T) {
	endpoint := buckettest.Start(t)
	buckettest.Make(t, endpoint, "tests")
	b, err := bucket.Open(t.Context(), "tests", buckettest.Env(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	put := func(path string, v any) {
		t.Helper()
		data, err := fsx.JSON(v)
		if text, is := v.(string); is {
			data = []byte(text)
		}
		if err == nil {
			_, err = b.Put(t.Context(), "a/run/"+path, data, 0, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("run.json", record.Run{})
	put("plan.json", record.Plan{})
	put("jobs/pool-1/job", script)
	put("jobs/pool-1/crew.json", record.CrewOrder{
		Unit: record.Unit{ID: "pool-1", Crew: &record.Crew{Slots: 1, Nodes: 1, Feed: true, Pool: true}}, Pool: &record.PoolOrder{},
	})
	for i, id := range []string{"short", "long"} {
		put("jobs/"+id+"-1/assignment.json", record.Assignment{Job: id + "-1", Kind: record.KindCell, Cell: record.Cell{ID: id}, Attempt: 1})
		put(record.Dir("").Queued(record.Pool, i+1, id+"-1"), cell(id))
	}

	var taken atomic.Bool
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		answer, etag := "FALSE", "1"
		if !strings.HasSuffix(r.URL.Path, "/instance/preempted") {
			answer = "NONE"
		}
		for r.URL.Query().Get("last_etag") == etag && r.Context().Err() == nil {
			if time.Sleep(5 * time.Millisecond); taken.Load() && answer == "FALSE" {
				answer, etag = "TRUE", "2"
			}
		}
		w.Header().Set("ETag", etag)
		_, _ = w.Write([]byte(answer))
	}))
	defer metadata.Close()
	defer metadata.CloseClientConnections()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(metadata.URL, "http://"))

	dir := record.Dir(filepath.Join(t.TempDir(), "run"))
	code := make(chan diag.Code, 1)
	go func() {
		c, err := Run(t.Context(), Config{
			Run: remote.Run{Store: b, Prefix: "a/run", Dir: dir}, Unit: "pool-1", BucketTime: b.Now, Env: os.Environ(), Node: "n", Metadata: Metadata,
			Log: t.Output(), Now: time.Now, Beat: 50 * time.Millisecond, Scan: 10 * time.Millisecond, Look: 20 * time.Millisecond,
		})
		if err != nil {
			t.Error(err)
		}
		code <- c
	}()
	read := func(path string, v any) error {
		data, _, err := b.Get(t.Context(), "a/run/"+path)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
	for end := time.Now().Add(20 * time.Second); read("cells/long/1/attempt.json", &struct{}{}) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for the second job")
		}
	}
	taken.Store(true)
	select {
	case c := <-code:
		if c != diag.Unfinished {
			t.Errorf("it ended with %d", c)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	for id, want := range map[string]struct {
		outcome record.Outcome
		exit    string
	}{"short": {record.OutcomeDone, "0:0"}, "long": {record.OutcomeContinue, "8:0"}} {
		var res record.Result
		var s record.Step
		if err := read("cells/"+id+"/1/result.json", &res); err != nil || res.Outcome != want.outcome {
			t.Errorf("%s: %+v, %v", id, res, err)
		}
		if err := read("jobs/"+id+"-1/step.json", &s); err != nil || s.ExitCode != want.exit {
			t.Errorf("%s: %+v, %v", id, s, err)
		}
	}
	log, _, err := b.Get(t.Context(), "a/run/"+record.PartName("jobs/short-1/log", 1))
	if err != nil || string(log) != "pool-1 short-1\n" {
		t.Errorf("the log of a job: %q, %v", log, err)
	}
	var w record.Worker
	if err := read("workers/pool-1.json", &w); err != nil || w.Phase != record.WorkerPreempted {
		t.Errorf("%+v, %v", w, err)
	}
	boots := ""
	err = b.List(t.Context(), "a/run/claims/", "", func(o bucket.Object) error { boots += o.Metadata["unit"] + o.Metadata["boot"] + " "; return nil })
	if err != nil || boots != "pool-11 pool-11 " {
		t.Errorf("claims, as a listing shows them: %q, %v", boots, err)
	}
}
