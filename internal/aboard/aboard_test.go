package aboard

import (
	"os"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// crew is a crew's part of a run directory, with jobs under way on nodes.
func crew(t *testing.T, waiting int, nodes map[string]string) record.Dir {
	t.Helper()
	dir := record.Dir(t.TempDir())
	a := record.Aboard{Waiting: waiting}
	for id, node := range nodes {
		j := record.Job{ID: id, Kind: record.KindCell, Cell: id, Attempt: 1}
		a.Jobs = append(a.Jobs, j)
		if node == "" {
			continue // its agent has not begun
		}
		at := dir.Attempt(j.Kind, j.Cell, 1)
		if err := os.MkdirAll(string(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := fsx.PublishJSON(at.Attempt(), record.Attempt{Job: id, Node: node}); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, dir, a)
	return dir
}

func publish(t *testing.T, dir record.Dir, a record.Aboard) {
	t.Helper()
	if err := os.MkdirAll(dir.Job("pack-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fsx.PublishJSON(dir.Aboard("pack-1"), a); err != nil {
		t.Fatal(err)
	}
}

func of(dir record.Dir, id string) Job {
	return Of([]string{CrewVariable + "=pack-1", JobVariable + "=" + id}, dir, "n1")
}

func TestNeighboursAreTheOtherJobsOnTheNode(t *testing.T) {
	dir := crew(t, 0, map[string]string{"a": "n1", "b": "n1", "c": "n2", "d": ""})
	if n := of(dir, "a").Neighbours(); n != 1 {
		t.Errorf("%d neighbours, want b", n)
	}
	if n := Of(nil, dir, "n1").Neighbours(); n != 0 {
		t.Errorf("%d neighbours of a job of no crew", n)
	}
}

// Of jobs that end together exactly one measures alone, when the other is gone; nobody does while a job measures or waits.
func TestOneJobIsAloneWhenAllOthersAreThrough(t *testing.T) {
	nodes := map[string]string{"a": "n1", "b": "n1", "c": "n2"}
	alone := func(dir record.Dir, id string, patience time.Duration) bool {
		t.Helper()
		ok, err := of(dir, id).Alone(t.Context(), patience)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	through := func(dir record.Dir, id string) {
		t.Helper()
		if err := of(dir, id).Through(); err != nil {
			t.Fatal(err)
		}
	}
	dir := crew(t, 0, nodes)
	through(dir, "a")
	if alone(dir, "a", 0) {
		t.Error("a is alone while b measures")
	}
	through(dir, "b")
	time.AfterFunc(20*time.Millisecond, func() { publish(t, dir, record.Aboard{}) })
	if !alone(dir, "b", 10*time.Second) {
		t.Error("b is not alone when a has left")
	}
	if alone(dir, "a", 10*time.Second) {
		t.Error("a is alone after b was chosen")
	}

	dir = crew(t, 1, nodes)
	through(dir, "a")
	through(dir, "b")
	if alone(dir, "b", 0) {
		t.Error("b is alone while a job waits")
	}
	dir = crew(t, 0, nodes)
	through(dir, "a")
	through(dir, "b")
	if alone(dir, "b", 0) {
		t.Error("b is alone although a does not leave")
	}
}
