package mirror

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/bucket"
	"vtune/internal/bucket/buckettest"
	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// counted is how often a bucket was asked in which way since before.
func counted(b *bucket.Bucket, before map[string]int) map[string]int {
	calls := map[string]int{}
	for kind, n := range b.Calls() {
		if n -= before[kind]; n > 0 {
			calls[kind] = n
		}
	}
	return calls
}

func TestARunIsMirroredThroughARealBucket(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{
		"fake-gcs-server": func(t testing.TB) string {
			endpoint := buckettest.Start(t)
			buckettest.Make(t, endpoint, "runs")
			return endpoint
		},
		"strict": func(t testing.TB) string { return buckettest.Strict(t, "runs") },
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := start(t)
			ctx := t.Context()
			open := func() *bucket.Bucket {
				b, err := bucket.Open(ctx, "runs", buckettest.Env(endpoint))
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			b := open()
			mirror := func(b *bucket.Bucket, writer string) *Mirror {
				return New(Config{Dir: record.Dir(t.TempDir()), Store: b, Prefix: prefix, Writer: writer, Now: b.Now})
			}
			m := mirror(b, "collector-here-1")
			for _, name := range []string{"run.json", "plan.json", "jobs/crew-1/intent.json", "queue/pool/000001-cell-a.json", "state.json"} {
				write(t, m, name, "the text of "+name)
			}
			write(t, m, "bin/vtune", strings.Repeat("agent", 300_000))
			push(t, m)
			put := func(name string, data []byte) {
				t.Helper()
				if _, err := b.Put(ctx, prefix+"/"+name, data, 0, nil); err != nil {
					t.Fatal(err)
				}
			}
			seq := 0
			publish := func(files ...file) {
				t.Helper()
				seq++
				one := record.Manifest{Schema: record.Schema, Writer: "crew-1", Seq: seq, At: b.Now()}
				for _, f := range files {
					if f.part > 0 {
						put(record.PartName(f.path, f.part), []byte(f.data))
					} else if !f.only {
						put(f.path, []byte(f.data))
					}
					one.Files = append(one.Files, f.stored())
				}
				data, err := fsx.JSON(one)
				if err != nil {
					t.Fatal(err)
				}
				put(record.ManifestName(b.Now(), "crew-1", seq), data)
			}
			files := cell("a")
			publish(files[:4]...)
			w := record.Worker{Schema: record.Schema, Unit: "crew-1", Boot: 2, Phase: record.WorkerOpen, Manifests: 1, Node: "n1"}
			sign, err := b.Put(ctx, prefix+"/workers/crew-1.json", []byte("{}"), 0, names.Describe(w))
			if err != nil {
				t.Fatal(err)
			}
			other := mirror(open(), "collector-there-1")
			pull(t, m)
			pull(t, other)
			publish(files[5], files[9], file{path: "cells/a/1/server.log", data: "log", part: 1})
			before := b.Calls()
			pull(t, m)
			if want := map[string]int{"list": 2, "get": 1}; !maps.Equal(counted(b, before), want) {
				t.Errorf("calls: %v, want %v", counted(b, before), want)
			}
			pull(t, other)
			pull(t, other)
			before = b.Calls()
			pull(t, m)
			if want := map[string]int{"list": 2}; !maps.Equal(counted(b, before), want) {
				t.Errorf("calls with nothing new: %v, want %v", counted(b, before), want)
			}
			ours := tree(t, m.c.Dir)
			delete(ours, "bin/vtune")
			if diff := cmp.Diff(ours, tree(t, other.c.Dir)); diff != "" {
				t.Error(diff)
			}
			for n := range 3 {
				write(t, m, "state.json", fmt.Sprint("state ", n))
				push(t, m)
			}
			pull(t, other)
			if got := contents(t, other, "state.json"); got != "state 2" {
				t.Errorf("another mirror has %q", got)
			}
			if ws := other.Workers(); len(ws) != 1 || ws[0].Generation != sign.Generation || ws[0].Boot != 2 || ws[0].Since.IsZero() {
				t.Errorf("workers: %+v", ws)
			}
			if buried, err := other.Bury(ctx, "crew-1"); !buried || err != nil {
				t.Errorf("bury: %t, %v", buried, err)
			}
			if buried, err := m.Bury(ctx, "crew-1"); buried || err != nil {
				t.Errorf("bury at an old generation: %t, %v", buried, err)
			}
			if c, err := m.GiveUp(ctx, "cell-b"); err != nil || c.Unit != "" {
				t.Errorf("give up: %+v, %v", c, err)
			}
			if c, err := other.GiveUp(ctx, "cell-a"); err != nil || c.Job != "a" {
				t.Errorf("give up what is taken: %+v, %v", c, err)
			}
			if err := other.Fetch(ctx, "cells/a/1/server.log", "bin/vtune"); err != nil {
				t.Fatal(err)
			}
			if contents(t, other, "cells/a/1/server.log") != "log" || len(contents(t, other, "bin/vtune")) != 1_500_000 {
				t.Error("what was fetched is not whole")
			}
			if err := m.Withdraw(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
}
