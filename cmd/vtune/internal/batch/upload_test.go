package batch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vtune/internal/bucket"
	"vtune/internal/bucket/buckettest"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// folder is a run's, with what must never leave the machine.
func folder(t *testing.T, c *cluster, name, id string) *fakeRun {
	t.Helper()
	r := &fakeRun{c: c, name: name}
	for _, f := range []string{
		"environment.json", "secrets.env", "bin/vtune", "collector.lock/owner.json", "scheduler/queue", "notes.txt", "result.txt", "state.json",
		"result.json.tmp-1", "cells/s8-t64/1/server.log", "jobs/s8-t64-1/script", "profile/trace.json",
	} {
		path := filepath.Join(r.Place(), f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f+" of "+id), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := fsx.PublishJSON(r.Dir().Run(), record.Run{ID: id}); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"vllm_log_8_64.txt": "cells/s8-t64/1/server.log", "bm_log_8_64_requestrate_inf.txt": "/etc/hostname",
		"vllm_log_9_64.txt": "secrets.env", "vllm_log_7_64.txt": "gone",
	} {
		if err := os.Symlink(to, filepath.Join(r.Place(), link)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestARunsFolderGoesUpWithoutWhatIsNobodyElsesBusiness(t *testing.T) {
	endpoint := buckettest.Start(t)
	buckettest.Make(t, endpoint, "results")
	env := buckettest.Env(endpoint)
	c := &cluster{t: t, base: t.TempDir()}
	r := folder(t, c, "2026_11_23_10_30", "2026_11_23_10_30-0011aabb")
	u := uploader{env: env}
	b, err := bucket.Open(t.Context(), "results", env)
	if err != nil {
		t.Fatal(err)
	}
	list := func(prefix string) (all []string) {
		if err := b.List(t.Context(), prefix, "", func(o bucket.Object) error {
			all = append(all, strings.TrimPrefix(o.Name, prefix))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}

	url, err := u.upload(t.Context(), r, "gs://results/mine/")
	if err != nil || url != "gs://results/mine/2026_11_23_10_30" {
		t.Fatalf("%q, %v", url, err)
	}
	want := []string{"cells/s8-t64/1/server.log", "jobs/s8-t64-1/script", "profile/trace.json", "result.txt", "run.json", "state.json", "vllm_log_8_64.txt"}
	if got := list("mine/2026_11_23_10_30/"); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	// Again: what is there stays, what an interrupted upload left half said is said anew.
	before, err := b.Stat(t.Context(), "mine/2026_11_23_10_30/result.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Dir().State(), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := u.upload(t.Context(), r, "gs://results/mine"); err != nil {
		t.Fatal(err)
	}
	if after, err := b.Stat(t.Context(), before.Name); err != nil || after.Generation != before.Generation {
		t.Errorf("what was there was sent again: %v", err)
	}
	if data, _, err := b.Get(t.Context(), "mine/2026_11_23_10_30/state.json"); err != nil || string(data) != "other" {
		t.Errorf("%q, %v", data, err)
	}

	// Another run of the same minute, below another base.
	other := folder(t, &cluster{t: t, base: t.TempDir()}, r.name, "2026_11_23_10_30-ffee0011")
	if url, err = u.upload(t.Context(), other, "gs://results/mine"); err != nil || url != "gs://results/mine/2026_11_23_10_30-ffee0011" {
		t.Errorf("%q, %v", url, err)
	}
	if data, _, err := b.Get(t.Context(), before.Name); err != nil || !strings.HasSuffix(string(data), "0011aabb") {
		t.Errorf("the first run's is %q, %v", data, err)
	}
	if _, err := u.upload(t.Context(), r, "gs://absent/x"); err == nil {
		t.Error("a bucket that is not there took it")
	}
}
