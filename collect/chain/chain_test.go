package chain

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// linkAs is a link with the marks of what has happened to it: s submitted, c claimed, r rightly ended with news, q without, e ended by a
// collector.
func linkAs(n int, marks string) Link {
	l := Link{Number: n, Unit: record.Unit{ID: record.LinkID(n)}}
	for _, m := range marks {
		switch m {
		case 's':
			l.Submitted = &record.Submitted{}
		case 'c':
			l.Claim = &record.Attempt{}
		case 'r':
			l.Result = &record.Result{Outcome: record.OutcomeContinue}
		case 'q':
			l.Result = &record.Result{Outcome: record.OutcomeSkipped}
		case 'e':
			l.Ended = &record.Ended{}
		}
	}
	return l
}

func links(marks ...string) (ls []Link) {
	for i, m := range marks {
		ls = append(ls, linkAs(i+1, m))
	}
	return ls
}

func TestLinksLiveUntilTheyEndOrTheirSuccessorBegins(t *testing.T) {
	for _, c := range []struct {
		links []Link
		want  []int
	}{
		{nil, nil},
		{links("s", "s"), []int{1, 2}},
		{links("scr", "sc", "s", "s"), []int{2, 3, 4}},
		{links("scr", "sc", "scr", "s"), []int{4}}, // 2 was killed
		{links("scr", "s", "sc", ""), []int{3}},    // 2 never began; 4 is not acknowledged
		{links("scr", "scr", "se", "se"), nil},
	} {
		var got []int
		for _, l := range Living(c.links) {
			got = append(got, l.Number)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v: %s", c.links, diff)
		}
	}
}

// Whichever links are out, what runs first is the chain; without any, it goes on with a number that no job can have.
func TestAChainGoesOnBehindAllThatEverWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ls := links(rapid.SliceOf(rapid.SampledFrom([]string{"", "s", "sc", "scr", "scq", "se"})).Draw(t, "links")...)
		alive := rapid.MapOf(rapid.StringMatching(`collect-[1-9]`), rapid.Just(true)).Draw(t, "alive")
		out := Out(ls, func(job string) bool { return alive[job] })
		for _, l := range ls {
			if first := l.Submitted != nil && alive[l.ID()]; first {
				if out == nil || out.Number != l.Number {
					t.Fatalf("%s lives, and %+v is out", l.ID(), out)
				}
				return
			}
		}
		if out != nil {
			t.Fatalf("%s is out and lives not", out.ID())
		}
		n := First(ls)
		for _, l := range ls {
			if l.Number > n || l.Number == n && l.Submitted != nil {
				t.Fatalf("begins with %d behind %+v", n, l)
			}
		}
	})
}

func TestThePauseGrowsWhileNothingChanges(t *testing.T) {
	minute := time.Minute
	for _, c := range []struct {
		links   []Link
		changed bool
		want    time.Duration
	}{
		{nil, true, minute},
		{nil, false, minute},
		{links("scr"), false, minute},
		{links("scr", "scq"), false, 90 * time.Second},
		{links("scq", "scr", "scq", "sc", "scq", "s"), false, 135 * time.Second}, // one was killed
		{links("scq", "scq", "scq", "scq", "scq", "scq"), false, 5 * minute},
		{links("scq", "scq", "scq", "scq", "scq", "scq"), true, minute},
	} {
		if got := Pause(minute, c.links, c.changed); got != c.want {
			t.Errorf("after %+v, changed %v: %s, want %s", c.links, c.changed, got, c.want)
		}
	}
}

func TestALinkIsReadFromItsRecords(t *testing.T) {
	dir := record.Dir(t.TempDir())
	u := record.Unit{ID: record.LinkID(12), Jobs: []record.Job{{ID: record.LinkID(12), Kind: record.KindCollect, Attempt: 12}}}
	if l := Read(dir, u); l.Number != 12 || l.ID() != "collect-12" || l.Submitted != nil || l.Claim != nil || l.Result != nil || l.Ended != nil {
		t.Errorf("without records: %+v", l)
	}
	attempt := dir.Attempt(record.KindCollect, "", 12)
	for path, v := range map[string]any{
		dir.Submitted(u.ID): record.Submitted{ID: "7"}, attempt.Attempt(): record.Attempt{Node: "n1"},
		attempt.Result(): record.Result{Attempt: 12}, dir.Ended(u.ID): record.Ended{State: "CANCELLED"},
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := fsx.PublishJSON(path, v); err != nil {
			t.Fatal(err)
		}
	}
	if l := Read(dir, u); l.Submitted.ID != "7" || l.Claim.Node != "n1" || l.Result.Attempt != 12 || l.Ended.State != "CANCELLED" {
		t.Errorf("with records: %+v", l)
	}
	if before := Before(links("s", "s", "s"), 3); len(before) != 2 {
		t.Errorf("before link 3 are %+v", before)
	}
}
