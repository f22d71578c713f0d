// Package batchfile reads the JSON of batch_auto_tune.sh, a list of objects, and writes outcomes into it. The file is its author's:
// what is not an outcome keeps every byte, the order of its keys, its spaces and the form of its numbers, and so the text is edited
// where an encoder would write it anew.
package batchfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"vtune/internal/diag"
)

// The keys of an outcome, as the script writes them.
const (
	RunID   = "run_id"
	Status  = "status"
	Results = "results"
	GCS     = "gcs_results"
)

// The words of a status.
const (
	Success  = "SUCCESS"
	Failure  = "FAILURE"
	NoResult = "WARNING_NO_RESULT_FILE"
)

// Outcome is what a batch has to say of an entry. What is empty is no key of the entry.
type Outcome struct {
	RunID   string `json:"run_id,omitempty"` // name of the run's directory
	Status  string `json:"status,omitempty"`
	Results string `json:"results,omitempty"`     // text of result.txt
	GCS     string `json:"gcs_results,omitempty"` // URL
}

// File is a batch's text with the places of its entries. It does not change: With makes another.
type File struct {
	Entries []Entry
	name    string
	data    []byte
}

// Entry is one object of the list.
type Entry struct {
	Pos     diag.Pos
	Members []Member // those of the author, in their order
	Outcome Outcome  // as it was written before
	object  object
}

// Member is a key with its value.
type Member struct {
	Key   string
	Value string // as it is written
	Kind  Kind
	Pos   diag.Pos
}

// Kind of a JSON value.
type Kind int

const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// object is where an object and its members stand, outcomes among them.
type object struct {
	begin, end int // of the braces, the closing one included
	members    []span
}

type span struct {
	key              string
	keyBegin, keyEnd int
	begin, end       int // of the value
	kind             Kind
}

// Parse reads a batch. The error is diag.Problems; name is what positions carry.
func Parse(name string, data []byte) (*File, error) {
	r := reader{name: name, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	objects, err := r.list()
	if err != nil {
		return nil, diag.Problems{r.problem(err)}
	}
	f := &File{name: name, data: data}
	var ps diag.Problems
	for _, o := range objects {
		e, problems := f.entry(o)
		f.Entries, ps = append(f.Entries, e), append(ps, problems...)
	}
	if len(objects) == 0 {
		ps = append(ps, diag.Problem{Pos: diag.Pos{File: name, Line: 1, Col: 1}, What: "the list is empty", Hint: "an entry is {\"model\": \"...\", \"tp\": 1}"})
	}
	return f, ps.Err()
}

// Bytes is the file's text.
func (f *File) Bytes() []byte { return f.data }

func (f *File) entry(o object) (Entry, diag.Problems) {
	e := Entry{Pos: f.pos(o.begin), object: o}
	var ps diag.Problems
	seen := map[string]bool{}
	for _, m := range o.members {
		if seen[m.key] {
			ps = append(ps, diag.Problem{Pos: f.pos(m.keyBegin), Path: m.key, What: "stands in this entry twice"})
		}
		seen[m.key] = true
		if to := e.Outcome.field(m.key); to != nil {
			if m.kind == String {
				*to = unquote(f.data[m.begin:m.end])
			}
			continue
		}
		e.Members = append(e.Members, Member{Key: m.key, Value: string(f.data[m.begin:m.end]), Kind: m.kind, Pos: f.pos(m.keyBegin)})
	}
	return e, ps
}

// field is where a key's value goes; nil for a key of the author.
func (o *Outcome) field(key string) *string {
	switch key {
	case RunID:
		return &o.RunID
	case Status:
		return &o.Status
	case Results:
		return &o.Results
	case GCS:
		return &o.GCS
	}
	return nil
}

// Own is what the author said in an entry: equal texts are equal entries.
func (e Entry) Own() string {
	var b strings.Builder
	for _, m := range e.Members {
		fmt.Fprintf(&b, "%q:%s\n", m.Key, m.Value)
	}
	return b.String()
}

// Text is a member's value as text: what a string says, the characters of everything else.
func (m Member) Text() string {
	if m.Kind == String {
		return unquote([]byte(m.Value))
	}
	return m.Value
}

// Items are the texts of a list's elements; ok is false where it has others than numbers and strings.
func (m Member) Items() (items []string, ok bool) {
	var raw []json.RawMessage
	if json.Unmarshal([]byte(m.Value), &raw) != nil {
		return nil, false
	}
	for _, r := range raw {
		switch kind(r[0]) {
		case String:
			items = append(items, unquote(r))
		case Number:
			items = append(items, string(r))
		default:
			return nil, false
		}
	}
	return items, true
}

func unquote(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// pos counts columns in characters, as editors do.
func (f *File) pos(offset int) diag.Pos { return position(f.name, f.data, offset) }

func position(name string, data []byte, offset int) diag.Pos {
	before := data[:min(max(offset, 0), len(data))]
	line := bytes.Count(before, []byte("\n"))
	start := bytes.LastIndexByte(before, '\n') + 1
	return diag.Pos{File: name, Line: line + 1, Col: utf8.RuneCount(before[start:]) + 1}
}

// reader walks the tokens and keeps where they stand.
type reader struct {
	name string
	data []byte
	dec  *json.Decoder
	at   int // where the last token begins
}

// misfit is a value that JSON allows here and a batch does not.
type misfit struct {
	at         int
	what, hint string
}

func (m *misfit) Error() string { return m.what }

func (r *reader) problem(err error) diag.Problem {
	var m *misfit
	at, what, hint := r.at, "is no JSON: "+err.Error(), "" // the offset in a json.SyntaxError counts from one place or another
	switch {
	case errors.As(err, &m):
		at, what, hint = m.at, m.what, m.hint
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at, what = len(r.data), "is no JSON: it ends too early"
	}
	return diag.Problem{Pos: position(r.name, r.data, at), What: what, Hint: hint}
}

// next is the next token with its place. Between two tokens there are spaces, a comma or a colon.
func (r *reader) next() (tok json.Token, begin, end int, err error) {
	begin = int(r.dec.InputOffset())
	tok, err = r.dec.Token()
	for begin < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[begin]) >= 0 {
		begin++
	}
	r.at = begin
	return tok, begin, int(r.dec.InputOffset()), err
}

func (r *reader) list() ([]object, error) {
	const hint = "a batch is a list of objects: [{\"model\": \"...\"}, ...]"
	tok, at, _, err := r.next()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('[') {
		return nil, &misfit{at, "wants a list", hint}
	}
	var all []object
	for r.dec.More() {
		tok, at, _, err := r.next()
		if err != nil {
			return nil, err
		}
		if tok != json.Delim('{') {
			return nil, &misfit{at, "wants an object", hint}
		}
		o, err := r.object(at)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if _, _, _, err := r.next(); err != nil {
		return nil, err
	}
	_, at, _, err = r.next()
	if errors.Is(err, io.EOF) {
		return all, nil
	}
	if err == nil {
		err = &misfit{at, "something follows the list", ""}
	}
	return nil, err
}

func (r *reader) object(begin int) (object, error) {
	o := object{begin: begin}
	for r.dec.More() {
		tok, at, end, err := r.next()
		if err != nil {
			return o, err
		}
		key, isText := tok.(string)
		if !isText {
			return o, &misfit{at, "wants a key", ""}
		}
		m := span{key: key, keyBegin: at, keyEnd: end}
		if m.begin, m.end, err = r.value(); err != nil {
			return o, err
		}
		m.kind = kind(r.data[m.begin])
		o.members = append(o.members, m)
	}
	_, _, end, err := r.next()
	o.end = end
	return o, err
}

// value passes over one value, however deep.
func (r *reader) value() (begin, end int, err error) {
	for depth, first := 0, true; first || depth > 0; first = false {
		tok, at, after, err := r.next()
		if err != nil {
			return 0, 0, err
		}
		if first {
			begin = at
		}
		switch tok {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		end = after
	}
	return begin, end, nil
}

func kind(first byte) Kind {
	switch first {
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}
