package tree

import "testing"

func TestAnEditChangesWhatItNamesAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name, data, want string
		puts             []Put
	}{
		{"an empty file", "", "model: m\ngrid:\n  max_num_seqs: [1, 2]\n", []Put{{"model", "m"}, {"grid.max_num_seqs", "[1, 2]"}}},
		{"a value, its comment stays", "# head\nmodel: a # why\nsystem: GPU\n", "# head\nmodel: b # why\nsystem: GPU\n", []Put{{"model", "b"}}},
		{"a key of a flow mapping", "site: {a: 1, b: 2}\n", "site: {a: 1, b: 3, c: 4}\n", []Put{{"site.b", "3"}, {"site.c", "4"}}},
		{"a group that is null", "site:\nmodel: m\n", "site:\n  a: 1\nmodel: m\n", []Put{{"site.a", "1"}}},
		{"taken out", "limit: {p99: 1}\nmodel: m\n", "model: m\n", []Put{{"limit", ""}, {"absent", ""}, {"absent.too", ""}}},
		{"an alias", "a: &x {k: 1}\nb: *x\n", "a: &x {k: 1}\nb: {k: 2}\n", []Put{{"b.k", "2"}}},
		{"no mapping", "a: 1\n", "a: 1\n", []Put{{"a.b", "2"}}},
	} {
		got, err := Edit("f", []byte(c.data), c.puts)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v, got\n%s", c.name, err, got)
		}
	}
	if _, err := Edit("f", []byte("- 1\n"), nil); err == nil {
		t.Error("a list was edited")
	}
}
