package batchfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/diag"
)

const runs = `[
  {"model": "org/a",   "tp": 1, "max_latency_allowed_ms": 1e3,
   "num_seqs_list": "8 16"},
  {
    "model": "org/b"
  }, {}
]
`

func TestOutcomesAreSetOffAsTheirNeighboursAre(t *testing.T) {
	f, err := Parse("runs.json", []byte(runs))
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Entries {
		if f, err = f.With(i, Outcome{RunID: "r", Status: Success, Results: "a\n<b>"}); err != nil {
			t.Fatal(err)
		}
	}
	const want = `[
  {"model": "org/a",   "tp": 1, "max_latency_allowed_ms": 1e3,
   "num_seqs_list": "8 16",
   "run_id": "r",
   "status": "SUCCESS",
   "results": "a\n<b>"},
  {
    "model": "org/b",
    "run_id": "r",
    "status": "SUCCESS",
    "results": "a\n<b>"
  }, {"run_id": "r","status": "SUCCESS","results": "a\n<b>"}
]
`
	if got := string(f.Bytes()); got != want {
		t.Errorf("got\n%s", got)
	}
	for i := range f.Entries {
		if f, err = f.With(i, Outcome{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(f.Bytes()); got != runs {
		t.Errorf("taken out again:\n%s", got)
	}
}

func TestWhatIsNoBatchIsAProblemAtItsPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "runs.json:1:1: is no JSON: it ends too early"},
		{"[\n {\"a\": 1,}]", "runs.json:2:10: is no JSON: invalid character '}'"},
		{"[\n {\"a\": }]", "runs.json:2:8: is no JSON: invalid character '}'"},
		{"[{\"a\": 1}", "runs.json:1:10: is no JSON: it ends too early"},
		{"{\"a\": 1}", "runs.json:1:1: wants a list"},
		{"[\n1]", "runs.json:2:1: wants an object"},
		{"[]", "runs.json:1:1: the list is empty"},
		{"[{}] x", "runs.json:1:6: is no JSON: invalid character 'x'"},
		{"[{}] 1", "runs.json:1:6: something follows the list"},
		{"[{\"é\": 1, \"é\": 2}]", "runs.json:1:11: é: stands in this entry twice"},
	} {
		_, err := Parse("runs.json", []byte(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
		if diag.CodeOf(err) != diag.Spec {
			t.Errorf("%q: exit code %d", c.text, diag.CodeOf(err))
		}
	}
}

func TestValuesAreReadAsTheyAreWritten(t *testing.T) {
	f, err := Parse("runs.json", []byte(`[{"n": 1.50, "s": "a\tb", "l": [1, "2"], "o": [{}], "z": null, "status": "FAILURE", "run_id": 7}]`))
	if err != nil {
		t.Fatal(err)
	}
	e := f.Entries[0]
	if len(e.Members) != 5 || e.Members[0].Text() != "1.50" || e.Members[1].Text() != "a\tb" || e.Members[4].Kind != Null {
		t.Errorf("members %+v", e.Members)
	}
	if items, ok := e.Members[2].Items(); !ok || strings.Join(items, " ") != "1 2" {
		t.Errorf("items %q, %v", items, ok)
	}
	if _, ok := e.Members[3].Items(); ok {
		t.Error("a list of objects is one of texts")
	}
	if e.Outcome != (Outcome{Status: Failure}) {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// drawValue is a JSON value in some fashion of writing.
func drawValue(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"})
	kinds := []string{"1", "-0.50", "1e3", "true", "null", `"a"`, `"\u00e9 \"x\" }], é"`, `""`}
	if depth > 0 && rapid.Bool().Draw(t, "deep") {
		inner := drawValue(t, depth-1)
		if rapid.Bool().Draw(t, "list") {
			return "[" + space.Draw(t, "s") + inner + space.Draw(t, "s") + "]"
		}
		return "{" + space.Draw(t, "s") + `"status"` + space.Draw(t, "s") + ":" + inner + "}"
	}
	return rapid.SampledFrom(kinds).Draw(t, "value")
}

func drawBatch(t *rapid.T) string {
	space := rapid.SampledFrom([]string{"", " ", "\n", "\n    ", "\r\n\t"})
	s := func() string { return space.Draw(t, "space") }
	var entries []string
	for range rapid.IntRange(1, 4).Draw(t, "entries") {
		var members []string
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"model", "tp", "run_id", "status", "results", "gcs_results", "x y", "é"}), 0, 6, rapid.ID[string]).Draw(t, "keys") {
			members = append(members, s()+fmt.Sprintf("%q", key)+s()+":"+s()+drawValue(t, 2)+s())
		}
		entries = append(entries, s()+"{"+strings.Join(members, ",")+s()+"}"+s())
	}
	return s() + "[" + strings.Join(entries, ",") + "]" + s()
}

// others is a file's text with each entry's outcome and what sets members off taken out: what must not change. It is found by another
// way than the edits are made, by decoding.
func others(t *rapid.T, data []byte, except int) []string {
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	var all []string
	for i, raw := range entries {
		if i != except {
			all = append(all, string(raw)) // to the byte
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			var value json.RawMessage
			if err := dec.Decode(&value); err != nil {
				t.Fatal(err)
			}
			if new(Outcome).field(key.(string)) == nil {
				all = append(all, key.(string)+"="+string(value))
			}
		}
	}
	first, last := bytes.Index(data, entries[0]), bytes.LastIndex(data, entries[len(entries)-1])+len(entries[len(entries)-1])
	return append(all, string(data[:first]), string(data[last:]))
}

func TestOnlyTheFourKeysOfOneEntryChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := drawBatch(t)
		f, err := Parse("runs.json", []byte(data))
		if err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		text := rapid.SampledFrom([]string{"", "a", "x\ny", `"<&>` + "\u2028", "é\\"})
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			i := rapid.IntRange(0, len(f.Entries)-1).Draw(t, "entry")
			o := Outcome{RunID: text.Draw(t, "run"), Status: text.Draw(t, "status"), Results: text.Draw(t, "results"), GCS: text.Draw(t, "gcs")}
			next, err := f.With(i, o)
			if err != nil {
				t.Fatalf("%v in %q", err, f.Bytes())
			}
			if next.Entries[i].Outcome != o {
				t.Fatalf("got %+v, want %+v: %s", next.Entries[i].Outcome, o, next.Bytes())
			}
			before, after := others(t, f.Bytes(), i), others(t, next.Bytes(), i)
			if strings.Join(before, "\x00") != strings.Join(after, "\x00") {
				t.Fatalf("entry %d of\n%s\nwith %+v is\n%s", i, f.Bytes(), o, next.Bytes())
			}
			again, err := next.With(i, o)
			if err != nil || !bytes.Equal(again.Bytes(), next.Bytes()) {
				t.Fatalf("twice is not once: %v", err)
			}
			f = next
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{runs, "", "[", `[{"a":}]`, `[{"a":1,"a":2}]`, "[{}]]", "[{}]\x00", `[{"run_id":[{"status":1}]}]`, "\xef\xbb\xbf[]", `[{"\ud800":"\xff"}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f.json", data)
		if err != nil {
			var ps diag.Problems
			if !errors.As(err, &ps) {
				t.Fatalf("error of type %T", err)
			}
			for _, p := range ps {
				if p.Pos.Line == 0 || p.Pos.Col == 0 || p.What == "" {
					t.Fatalf("problem without a place: %#v", p)
				}
			}
			return
		}
		o := Outcome{RunID: "r", Status: Failure, Results: "x", GCS: "gs://b/r"}
		out, err := file.With(0, o)
		if err != nil {
			t.Fatalf("%v: %q", err, data)
		}
		if out.Entries[0].Outcome != o || out.Entries[0].Own() != file.Entries[0].Own() {
			t.Fatalf("%q gives %q", data, out.Bytes())
		}
	})
}
