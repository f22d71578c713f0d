package tpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// resource as the API lists it, from its JSON.
func resource(t *testing.T, text string) *alpha.QueuedResource {
	t.Helper()
	q := new(alpha.QueuedResource)
	if err := json.Unmarshal([]byte(text), q); err != nil {
		t.Fatal(err)
	}
	return q
}

func TestEveryStateOfAResourceMeansOneOfOurs(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	node := func(state string) string { return `,"tpu":{"nodeSpec":[{"node":{"state":"` + state + `"}}]}` }
	for _, c := range []struct {
		state  string // of the resource, as JSON
		more   string
		want   jobs.JobState
		reason string
	}{
		{`"CREATING"`, "", jobs.Pending, ""},
		{`"ACCEPTED"`, "", jobs.Pending, ""},
		{`"WAITING_FOR_RESOURCES"`, "", jobs.Pending, ""},
		{`"PROVISIONING"`, "", jobs.Pending, ""},
		{`"ACTIVE"`, "", jobs.Running, ""},
		{`"ACTIVE"`, node("READY"), jobs.Running, ""},
		{`"ACTIVE"`, node("PREEMPTED"), jobs.Preempted, "preempted"},
		{`"ACTIVE"`, node("TERMINATED"), jobs.Preempted, "terminated"},
		{`"FAILED"`, "", jobs.NoLaunch, "does not say why"},
		{`"FAILED","failedData":{"error":{"code":8,"message":"Insufficient reserved capacity."}}`, "", jobs.NoLaunch, "RESOURCE_EXHAUSTED: Insufficient reserved capacity."},
		{`"FAILED","failedData":{"error":{"code":9,"message":"The valid until time has expired."}}`, `,"queueingPolicy":{"validUntilDuration":"3600s"}`, jobs.NoLaunch, "no room within site.valid_until (3600s): FAILED_PRECONDITION"},
		{`"FAILED","failedData":{"error":{"code":4,"message":"gone"}}`, `,"queueingPolicy":{"validUntilDuration":"3600s"}`, jobs.NoLaunch, "no room within site.valid_until"},
		{`"FAILED","failedData":{"error":{"code":13,"message":"an internal error"}}`, `,"queueingPolicy":{"validUntilDuration":"3600s"}`, jobs.NoLaunch, "INTERNAL: an internal error"},
		{`"SUSPENDING","stateInitiator":"SERVICE"`, "", jobs.Preempted, "service"},
		{`"SUSPENDED","stateInitiator":"SERVICE"`, "", jobs.Preempted, "service"},
		{`"SUSPENDED"`, "", jobs.Preempted, "service"},
		{`"SUSPENDED","stateInitiator":"SERVICE"`, `,"runDuration":{"terminationTime":"2026-11-24T11:59:00Z"}`, jobs.TimedOut, "run duration"},
		{`"SUSPENDED","stateInitiator":"SERVICE"`, `,"runDuration":{"terminationTime":"2026-11-24T12:01:00Z"}`, jobs.Preempted, "service"},
		{`"SUSPENDED","stateInitiator":"SERVICE"`, `,"createTime":"2026-11-24T10:00:00.5Z","runDuration":{"maxRunDuration":"3600s"}`, jobs.TimedOut, "run duration"},
		{`"SUSPENDED","stateInitiator":"SERVICE"`, `,"createTime":"2026-11-24T10:00:00.5Z","runDuration":{"maxRunDuration":"7200s"}`, jobs.Preempted, "service"},
		{`"SUSPENDED","stateInitiator":"SERVICE"`, `,"createTime":"2026-11-24T10:00:00.5Z","spot":{},"runDuration":{"maxRunDuration":"3600s"}`, jobs.Preempted, "service"},
		{`"SUSPENDING","stateInitiator":"USER"`, "", jobs.Cancelled, "user"},
		{`"SUSPENDED","stateInitiator":"USER"`, "", jobs.Cancelled, "user"},
		{`"DELETING"`, "", jobs.Cancelled, ""},
		{`"STATE_UNSPECIFIED"`, "", jobs.Unknown, ""},
		{`"HIBERNATING"`, "", jobs.Unknown, ""},
	} {
		got, reason := state(resource(t, `{"state":{"state":`+c.state+`}`+c.more+`}`), now)
		if got != c.want || !strings.Contains(reason, c.reason) {
			t.Errorf("%s%s: %s (%s), want %s (%s)", c.state, c.more, got, reason, c.want, c.reason)
		}
	}
	if got, _ := state(&alpha.QueuedResource{}, now); got != jobs.Unknown {
		t.Errorf("without a state: %s", got)
	}
}

// active is a scheduler with one unit, whose resource the zone says to be in a state.
func active(t *testing.T, z *zone, state string) (*Scheduler, jobs.Handle) {
	t.Helper()
	s := scheduler(t, v6e(), z.ServeHTTP)
	h, err := s.Submit(t.Context(), unit(t, s, "machine-1"))
	if err != nil {
		t.Fatal(err)
	}
	z.resources[0].State = &alpha.QueuedResourceState{State: state}
	return s, h
}

func done(t *testing.T, s *Scheduler, exit, message string) {
	t.Helper()
	if err := fsx.PublishJSON(s.Dir.Done("machine-1"), record.Done{Schema: record.Schema, Unit: "machine-1", ExitCode: exit, Message: message}); err != nil {
		t.Fatal(err)
	}
}

func one(t *testing.T, s *Scheduler) jobs.Status {
	t.Helper()
	all, err := s.List(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		return jobs.Status{}
	}
	if len(all) > 1 {
		t.Fatalf("listed: %+v", all)
	}
	return all[0]
}

func TestAMachinesOwnWordSaysHowItEnded(t *testing.T) {
	for _, word := range []string{"ACTIVE", "SUSPENDING", "SUSPENDED", "DELETING", "FAILED", "gone"} {
		for exit, want := range map[string]jobs.JobState{"0:0": jobs.Completed, "42:0": jobs.Failed} {
			z := &zone{}
			s, h := active(t, z, word)
			done(t, s, exit, "that was it")
			if word == "gone" {
				z.resources = nil
			}
			st := one(t, s)
			if st.State != want || st.ExitCode != exit || st.Reason != "that was it" || st.Handle != h || st.Name != record.JobName(run, "machine-1") || st.Word == "" {
				t.Errorf("%s with %s: %+v", word, exit, st)
			}
		}
	}
	z := &zone{}
	s, _ := active(t, z, "PROVISIONING")
	done(t, s, "0:0", "")
	if st := one(t, s); st.State != jobs.Pending {
		t.Errorf("before there is a machine: %+v", st)
	}
}

func TestAResourceThatIsGoneWithoutARecordIsNotListed(t *testing.T) {
	z := &zone{}
	s, _ := active(t, z, "ACTIVE")
	z.resources = nil
	if st := one(t, s); st.State != "" {
		t.Errorf("listed: %+v", st)
	}
}

func TestWhatWasDeletedIsListedAsItStoodThen(t *testing.T) {
	for _, c := range []struct {
		word, initiator, exit string
		want                  jobs.JobState
	}{
		{"WAITING_FOR_RESOURCES", "", "", jobs.Cancelled},
		{"ACTIVE", "", "", jobs.Cancelled},
		{"ACTIVE", "", "0:0", jobs.Completed},
		{"ACTIVE", "", "1:0", jobs.Failed},
		{"FAILED", "", "", jobs.NoLaunch},
		{"SUSPENDED", "SERVICE", "", jobs.Preempted},
		{"SUSPENDED", "USER", "", jobs.Cancelled},
	} {
		z := &zone{}
		s, h := active(t, z, c.word)
		z.resources[0].State.StateInitiator = c.initiator
		if c.exit != "" {
			done(t, s, c.exit, "")
		}
		if err := again(t, s).Cancel(t.Context(), []jobs.Handle{h}); err != nil {
			t.Fatal(err)
		}
		for _, then := range []string{"DELETING", "gone"} {
			z.resources[0].State = &alpha.QueuedResourceState{State: then}
			done(t, s, "143:0", "ended by the deletion") // which the machine may still have said
			if then == "gone" {
				z.resources = nil
			}
			if st := one(t, again(t, s)); st.State != c.want || st.ExitCode != c.exit {
				t.Errorf("%s %s %s, then %s: %+v, want %s", c.word, c.initiator, c.exit, then, st, c.want)
			}
		}
	}
}

func TestOnlyTheRunsResourcesAreListedAndOnAllPages(t *testing.T) {
	z := &zone{}
	s := scheduler(t, v6e(), z.ServeHTTP)
	var want []string
	for i := range 5 {
		r := unit(t, s, fmt.Sprintf("m_%d", i))
		if _, err := s.Submit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		want = append(want, r.Name)
	}
	other := unit(t, s, "m_0")
	other.Run += "-x" // the names of its jobs begin as this run's do
	other.Name = record.JobName(other.Run, "m_0")
	foreign, err := s.order(other)
	if err != nil {
		t.Fatal(err)
	}
	foreign.body.Name = s.path(foreign.id)
	z.resources = append(z.resources, foreign.body, &alpha.QueuedResource{Name: s.path("somebodys")},
		resource(t, `{"name":"a/somebody-elses","tpu":{"nodeSpec":[{"nodeId":"x","node":{"metadata":{"vtune-name":"vt-`+run+`-m_9"}}}]}}`))
	z.lists = 0
	names := func(s *Scheduler) (got []string) {
		all, err := s.List(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range all {
			got = append(got, st.Name)
		}
		return got
	}
	if got := names(s); !cmp.Equal(got, want) || z.lists != 8 {
		t.Errorf("after %d pages of 8: %q", z.lists, got)
	}
	// An API that tells no metadata in a list, and no labels.
	for _, q := range z.resources[:5] {
		q.Tpu.NodeSpec[0].Node.Metadata, q.Tpu.NodeSpec[0].Node.Labels = nil, nil
	}
	if got := names(again(t, s)); !cmp.Equal(got, want) {
		t.Errorf("without metadata: %q", got)
	}
}

func TestAListThatLacksALocationIsNone(t *testing.T) {
	z := &zone{}
	s, _ := active(t, z, "ACTIVE")
	z.unreachable = []string{"us-east5-b"}
	if all, err := s.List(t.Context(), run); !errors.Is(err, jobs.ErrUnavailable) || all != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestOrphansAreWhatCarriesTheRunsLabelOrTheNameOfAJobOfIt(t *testing.T) {
	z := &zone{}
	s, h := active(t, z, "ACTIVE")
	z.resources = append(z.resources,
		resource(t, `{"name":"p/`+ResourceID(record.JobName(run, "x"))+`","state":{"state":"FAILED"},"tpu":{"nodeSpec":[{"node":{"metadata":{"vtune-name":"`+record.JobName(run, "x")+`"}}}]}}`),
		resource(t, `{"name":"p/vt-2026-11-24-10-00-y-12345678","state":{"state":"FAILED"},"tpu":{"nodeSpec":[{"node":{}}]}}`),
		resource(t, `{"name":"p/vt-2026-11-24-10-00-1-12345678","tpu":{"nodeSpec":[{"node":{"labels":{"vtune-run":"2026_11_24_10_00-1"}}}]}}`),
		resource(t, `{"name":"p/other","tpu":{"nodeSpec":[{"node":{"labels":{"team":"x"}}}]}}`))
	for of, want := range map[string][]Orphan{
		run: {
			{Handle: h, Run: run, Name: record.JobName(run, "machine-1"), Word: "ACTIVE", Created: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)},
			{Handle: jobs.Handle{ID: ResourceID(record.JobName(run, "x")), Cluster: "vtune-test/us-east5-b"}, Name: record.JobName(run, "x"), Word: "FAILED"},
		},
		"": {
			{Handle: h, Run: run, Name: record.JobName(run, "machine-1"), Word: "ACTIVE", Created: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)},
			{Handle: jobs.Handle{ID: "vt-2026-11-24-10-00-1-12345678", Cluster: "vtune-test/us-east5-b"}, Run: run + "-1"},
		},
		"2026_11_24_10": nil,
	} {
		got, err := s.Orphans(t.Context(), of)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("run %q: %v\n%s", of, err, cmp.Diff(want, got))
		}
	}
}

func TestAJobIsListedWhereItsFilesAreNot(t *testing.T) {
	z := &zone{}
	s, h := active(t, z, "ACTIVE")
	for _, gone := range []string{s.Dir.Request("machine-1"), string(s.Dir)} { // not mirrored whole yet, and not at all
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		if st := one(t, again(t, s)); st.Handle != h || st.State != jobs.Running || st.Name != record.JobName(run, "machine-1") {
			t.Errorf("without %s: %+v", gone, st)
		}
	}
}
