package memory

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/mirror/names"
)

func TestWhatManifestsWereSeenIsRemembered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []names.Manifest
		at := int64(1_800_000_000_000)
		for range rapid.IntRange(1, 3).Draw(t, "lives") { // in each a machine counts from 1
			for seq := range rapid.IntRange(1, 8).Draw(t, "manifests") {
				all = append(all, names.Manifest{Writer: "w", At: at + int64(rapid.IntRange(0, 900).Draw(t, "late")), Seq: int64(seq) + 1})
				at += int64(rapid.IntRange(0, 900).Draw(t, "pause")) // names may go back: the bucket's time is known to a second
			}
			at += 10_000
		}
		seen := rapid.SliceOfNDistinct(rapid.IntRange(0, len(all)-1), 0, len(all), rapid.ID).Draw(t, "seen")
		var m Memory
		for _, i := range seen {
			m.See(all[i], time.Time{})
			m.See(all[i], time.Time{})
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		m = Memory{}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		if got := m.Got("w"); got != len(seen) {
			t.Errorf("%d seen, want %d", got, len(seen))
		}
		for i, one := range all {
			if m.Has(one) != slices.Contains(seen, i) {
				t.Errorf("%+v: seen %t: %+v", one, m.Has(one), m.Seen)
			}
		}
	})
}
