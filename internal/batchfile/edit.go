package batchfile

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// With is the file with the outcome of entry i written into it. Every other byte stays: a key that is there gets another value, one
// that is new goes to the end of the entry, set off as its neighbours are, and one whose value is empty is taken out.
func (f *File) With(i int, o Outcome) (*File, error) {
	if i < 0 || i >= len(f.Entries) {
		return nil, fmt.Errorf("%s has no entry %d", f.name, i+1)
	}
	out := f
	for _, key := range []string{RunID, Status, Results, GCS} {
		data, err := out.set(out.Entries[i].object, key, *o.field(key))
		if err != nil {
			return nil, err
		}
		if out, err = Parse(f.name, data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *File) set(o object, key, value string) ([]byte, error) {
	at := -1
	for i, m := range o.members {
		if m.key == key {
			at = i
		}
	}
	switch {
	case value == "" && at < 0:
		return f.data, nil
	case value == "":
		begin, end := o.around(at)
		return f.splice(begin, end, nil), nil
	}
	text, err := quote(value)
	if err != nil {
		return nil, err
	}
	if at >= 0 {
		return f.splice(o.members[at].begin, o.members[at].end, text), nil
	}
	name, err := quote(key)
	if err != nil {
		return nil, err
	}
	end, before, between := f.style(o)
	return f.splice(end, end, bytes.Join([][]byte{before, name, between, text}, nil)), nil
}

// around is what goes with a member: the comma and the spaces that set it off from its neighbour.
func (o object) around(i int) (begin, end int) {
	switch {
	case i > 0:
		return o.members[i-1].end, o.members[i].end
	case len(o.members) > 1:
		return o.members[0].keyBegin, o.members[1].keyBegin
	}
	return o.begin + 1, o.end - 1
}

// style is where a further member goes, and what stands before its key and its value, after the entry's own fashion.
func (f *File) style(o object) (end int, before, between []byte) {
	n := len(o.members)
	if n == 0 {
		return o.begin + 1, nil, []byte(": ")
	}
	first, last := o.members[0], o.members[n-1]
	between = f.data[first.keyEnd:first.begin] // the first has its value set off as all have; further down some are aligned
	if n > 1 {
		return last.end, f.data[o.members[n-2].end:last.keyBegin], between
	}
	return last.end, append([]byte(","), f.data[o.begin+1:last.keyBegin]...), between
}

func (f *File) splice(begin, end int, text []byte) []byte {
	return bytes.Join([][]byte{f.data[:begin], text, f.data[end:]}, nil)
}

// quote is s as JSON, with the characters that only HTML minds left as they are.
func quote(s string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
