package tpu

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestEveryNameHasAnIDThatTheAPITakesAndNoOtherNameHas(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9-]*[a-z0-9]$`)
	names := rapid.StringMatching(`vt-[A-Za-z0-9._-]{1,80}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := names.Draw(t, "a name"), names.Draw(t, "another")
		id := resourceID(a)
		if !form.MatchString(id) || len(id) > longest {
			t.Fatalf("%q has the id %q", a, id)
		}
		if a != b && resourceID(b) == id {
			t.Fatalf("%q and %q share %q", a, b, id)
		}
		if of := resourceID(id); a != id && of == id {
			t.Fatalf("%q and the id of %q are one", id, a)
		}
	})
}

func TestAnIDIsTheNameWhereThatIsOneAlready(t *testing.T) {
	for name, want := range map[string]string{
		"vt-a-probe-1":                  "vt-a-probe-1",
		"vt-2026_11_24_10_00-probe-1":   "vt-2026-11-24-10-00-probe-1-4d197a23",
		"vt-2026-11-24-10-00-probe-1":   "vt-2026-11-24-10-00-probe-1",
		"vt-2026-11-24-10-00-3cbc1bb0x": "vt-2026-11-24-10-00-3cbc1bb0x",
	} {
		if got := resourceID(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if a, b := resourceID("vt-A-1"), resourceID("vt-a-1"); a == b || resourceID(a) == a {
		t.Errorf("%s, %s, and %s", a, b, resourceID(a))
	}
}

func TestLabelsKeepTheRules(t *testing.T) {
	value, key := regexp.MustCompile(`^[a-z0-9_-]{0,63}$`), regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		if v := labelValue(text); !value.MatchString(v) {
			t.Fatalf("value %q", v)
		}
		if k, v := asLabel(text, text); !key.MatchString(k) || !value.MatchString(v) {
			t.Fatalf("label %q: %q", k, v)
		}
	})
	if got := labelValue(run); got != run {
		t.Errorf("a run's id became %s", got)
	}
}
