package page

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/record"
)

// many is the number of observations from which on the page's data are cut to what a person can see: through the limits' lenses only, with
// three digits, which is a pixel in a chart.
const many = 20_000

// document is the page's data as its script reads them. Times are seconds since Zero. Observations are flat: by cell, each of as many
// numbers as Columns has names.
type document struct {
	Zero    int64       `json:"zero"` // ms since 1970
	Winner  int         `json:"winner"`
	Seqs    []int       `json:"seqs"`
	Tokens  []int       `json:"tokens"`
	Kinds   []kind      `json:"kinds"`
	Cells   [][]any     `json:"cells"` // id, row, column, kind, value, bound, words
	Lenses  []lensData  `json:"lenses"`
	Columns []string    `json:"columns"`
	Seen    []flat      `json:"seen,omitempty"`   // by cell
	Packed  []byte      `json:"packed,omitempty"` // of many, the same as gzip in base64: digits take a third then
	Causes  []string    `json:"causes"`
	Front   [][2]int    `json:"front"`  // cell, index
	Finite  bool        `json:"finite"` // a load had a rate
	Spent   [][]any     `json:"spent"`  // name, accelerator-seconds, share
	Unit    string      `json:"unit"`
	Spreads []spreadDoc `json:"spreads"`
	Lanes   []string    `json:"lanes"`
	Fates   []fate      `json:"fates"`
	Jobs    [][]any     `json:"jobs"` // name, lane, fate, submitted, started, ended, words
	Last    float64     `json:"last"`
}

type lensData struct {
	Name    string  `json:"name"`
	Percent float64 `json:"percent"`
	MS      float64 `json:"ms"`
}

type spreadDoc struct {
	Name string       `json:"name"`
	MS   float64      `json:"ms"`
	P    float64      `json:"percent"`
	Bins [][3]float64 `json:"bins"`
}

// flat is a list of numbers, ready as JSON: one by one through encoding/json they take ten times as long.
type flat []byte

func (f flat) MarshalJSON() ([]byte, error) { return slices.Concat([]byte("["), f, []byte("]")), nil }

func (f *flat) add(v float64, digits int) {
	if len(*f) > 0 {
		*f = append(*f, ',')
	}
	*f = strconv.AppendFloat(*f, round(v, digits), 'f', -1, 64)
}

// data is the document, in which nothing can end a script element: encoding/json writes <, >, &, U+2028 and U+2029 as escapes.
func data(v *view) (template.JS, error) {
	ls := v.Lenses
	digits := 4
	if len(v.Marks) > many {
		digits = 3
		ls = slices.DeleteFunc(slices.Clone(ls), func(l lens) bool { return l.MS == 0 && l != v.First })
	}
	d := document{
		Zero: v.Run.Created.UnixMilli(), Winner: -1, Seqs: v.Grid.Seqs, Tokens: v.Grid.Tokens, Kinds: kinds, Unit: v.Unit, Lanes: v.Lanes, Fates: fates, Finite: finite(v.Marks),
		Columns: []string{"rate", "throughput", "verdict", "purpose", "flags", "cause", "requests", "run"},
	}
	if v.Run.Created.IsZero() {
		d.Zero = 0
	}
	for _, l := range ls {
		d.Lenses = append(d.Lenses, lensData{l.Name(), l.Percent, l.MS})
		d.Columns = append(d.Columns, "p50", "value", "low", "high")
	}
	d.cells(v)
	d.seen(v, ls, digits)
	for _, m := range v.Front {
		d.Front = append(d.Front, [2]int{m.Cell, m.Index})
	}
	for _, s := range v.Spent {
		d.Spent = append(d.Spent, []any{s.Name, round(s.Seconds, 4), round(s.Share, 4)})
	}
	for _, s := range v.Spreads {
		doc := spreadDoc{Name: s.Name(), MS: s.Lens.MS, P: s.Lens.Percent}
		for _, b := range s.Bins {
			doc.Bins = append(doc.Bins, [3]float64{round(b.Low, 5), round(b.High, 5), float64(b.Count)})
		}
		d.Spreads = append(d.Spreads, doc)
	}
	d.jobs(v)
	if len(v.Marks) > many {
		if err := d.pack(); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(d)
	return template.JS(text), err
}

func (d *document) cells(v *view) {
	longest := 240
	if len(v.Cells) > rows {
		longest = 80
	}
	for i, c := range v.Cells {
		if c.Kind == kindWinner {
			d.Winner = i
		}
		d.Cells = append(d.Cells, []any{c.ID, c.Row, c.Axis, c.Kind, round(c.Value, 4), round(c.Bound, 4), short(c.Words, longest)})
	}
}

// seen are the numbers of all observations. A rate of -1 is inf; the last number of a run's name is its sequence, before it the attempt.
func (d *document) seen(v *view, ls []lens, digits int) {
	causes := map[record.Cause]int{record.CauseNone: 0}
	d.Causes = []string{""}
	for _, c := range v.State.Cells {
		var f flat
		for _, o := range c.Observations {
			if _, known := causes[o.Cause]; !known {
				causes[o.Cause] = len(d.Causes)
				d.Causes = append(d.Causes, short(string(o.Cause), 80))
			}
			r := float64(o.Load.Rate)
			if o.Load.Rate.IsInf() {
				r = -1
			}
			f.add(r, 4)
			f.add(o.Metrics.RequestThroughput, 4)
			f.add(float64(code(verdicts, o.Verdict, 2)), 1) // a newer build's verdict is nothing to be sure of
			f.add(float64(code(purposes, o.Load.Purpose, 0)), 1)
			f.add(flags(o), 2)
			f.add(float64(causes[o.Cause]), 4)
			f.add(float64(o.Metrics.Completed), 9)
			f.add(float64(o.Attempt*1000+o.Seq), 9)
			for _, l := range ls {
				s := l.of(o)
				f.add(s.P50, digits)
				f.add(s.Value, digits)
				f.add(s.Low, digits)
				f.add(s.High, digits)
			}
		}
		d.Seen = append(d.Seen, f)
	}
}

// code is the index of a word, or another where a table does not have it.
func code[T comparable](table []T, word T, other int) int {
	if i := slices.Index(table, word); i >= 0 {
		return i
	}
	return other
}

// flags of an observation, as bits: emulated, repeated alone, near the limit.
func flags(o record.Observation) (bits float64) {
	for i, word := range []string{"emulated", "repeated alone", "near the limit"} {
		if strings.Contains(remarks(o), word) {
			bits += float64(int(1) << i)
		}
	}
	return bits
}

func (d *document) pack() error {
	text, err := json.Marshal(d.Seen)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	d.Seen, d.Packed = nil, b.Bytes()
	return nil
}

func (d *document) jobs(v *view) {
	longest := 240
	if len(v.Jobs) > rows {
		longest = 40
	}
	since := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return round(t.Sub(v.Run.Created).Seconds(), 8)
	}
	d.Last = round(last(v.Jobs).Sub(v.Run.Created).Seconds(), 8)
	for _, j := range v.Jobs {
		d.Jobs = append(d.Jobs, []any{j.Name, j.Lane, slices.Index(fates, j.Fate), since(j.Submitted), since(j.Started), since(j.Finished), short(j.Words, longest)})
	}
}

// short cuts text at a rune.
func short(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}
