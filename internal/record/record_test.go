package record

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestARateSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Rate(rapid.Float64Range(0, 1e9).Draw(t, "rate"))
		if rapid.Bool().Draw(t, "inf") {
			want = Inf
		}
		data, err := json.Marshal(Load{Rate: want, Requests: 1})
		if err != nil {
			t.Fatal(err)
		}
		var got Load
		if err := json.Unmarshal(data, &got); err != nil || got.Rate != want {
			t.Fatalf("%s became %v, %v", data, got.Rate, err)
		}
	})
}

func FuzzRate(f *testing.F) {
	for _, s := range []string{`"inf"`, `7`, `0.5`, `"x"`, `null`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Rate
		if json.Unmarshal(data, &r) != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back Rate
		if err := json.Unmarshal(again, &back); err != nil || back != r {
			t.Fatalf("%v became %s and %v, %v", r, again, back, err)
		}
	})
}

func TestAPrefixIsTheScriptsIntegerDivision(t *testing.T) {
	for _, c := range []struct{ in, pct, want int }{{1800, 60, 1080}, {7, 50, 3}, {100, 0, 0}, {3, 100, 3}} {
		if got := (Workload{InputLen: c.in, CacheHitPct: c.pct}).PrefixLen(); got != c.want {
			t.Errorf("%d at %d %%: %d, want %d", c.in, c.pct, got, c.want)
		}
	}
}

func TestAUnitIsAnArrayWhenItIsNotItsOnlyJob(t *testing.T) {
	one := Unit{ID: "probe-1", Jobs: []Job{{ID: "probe-1"}}}
	array := Unit{ID: "cells", Jobs: []Job{{ID: "s1-t1-1"}}}
	if one.Array() || !array.Array() {
		t.Error("a single job is no array; a unit with a name of its own is")
	}
}
