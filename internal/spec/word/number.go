package word

import (
	"fmt"
	"math"
	"strconv"
)

// Span is what a number may be. It leaves zero out, which in a spec stands for none.
type Span struct {
	Low, High float64 // a High of 0: no upper end
	Open      bool    // the ends themselves are out
	Hint      string  // for who wants none

	AtLow, AtHigh string // what an end that is out would mean, as the rest of a sentence that the number begins
}

// Above low.
func Above(low float64, hint string) Span { return Span{Low: low, Open: true, Hint: hint} }

// Between low and high, without these.
func Between(low, high float64, hint string) Span {
	return Span{Low: low, High: high, Open: true, Hint: hint}
}

// From low to high, with these.
func From(low, high float64) Span { return Span{Low: low, High: high} }

// Test is nil for a number within the span; written is how it stands in the file.
func (s Span) Test(written string, v float64) *Fault {
	switch {
	case v == s.Low && s.AtLow != "":
		return &Fault{What: written + " " + s.AtLow, Hint: s.Hint}
	case v == s.High && s.AtHigh != "":
		return &Fault{What: written + " " + s.AtHigh, Hint: s.Hint}
	case v < s.Low, s.Open && v == s.Low, s.High > 0 && v > s.High, s.Open && s.High > 0 && v == s.High:
		return &Fault{What: written + " is not " + s.String(), Hint: s.Hint}
	}
	return nil
}

func (s Span) String() string {
	switch {
	case s.High == 0:
		return fmt.Sprintf("above %g", s.Low)
	case s.Open:
		return fmt.Sprintf("above %g and below %g", s.Low, s.High)
	}
	return fmt.Sprintf("between %g and %g", s.Low, s.High)
}

// Schema is the span in the keywords of JSON Schema.
func (s Span) Schema() map[string]float64 {
	low, high := "minimum", "maximum"
	if s.Open {
		low, high = "exclusiveMinimum", "exclusiveMaximum"
	}
	out := map[string]float64{low: s.Low}
	if s.High > 0 {
		out[high] = s.High
	}
	return out
}

// constant is how evenly spaced arrivals are written.
const constant = "constant"

// Even is the burstiness of evenly spaced arrivals: so great that intervals spread by less than a part in ten thousand. JSON, in
// which it travels, has no infinity.
const Even = 1e9

// Burstiness is a shape of the intervals' gamma distribution, or the word constant.
func Burstiness() Rule {
	const least, most = 0.01, 1000
	return Rule{Pattern: `^(constant|[0-9]+(\.[0-9]+)?)$`, Says: "a number or the word constant", check: func(v string) *Fault {
		if n := Shape(v); v != constant && (n < least || n > most) {
			return &Fault{What: fmt.Sprintf("%s is not between %g and %d", v, least, most), Hint: "write constant for even spacing"}
		}
		return nil
	}}
}

// Shape reads what Burstiness allows; 0 for anything else.
func Shape(v string) float64 {
	if v == constant {
		return Even
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return 0
	}
	return n
}

// Whole is what a whole number may be.
type Whole struct{ Min, Max int64 } // a Max of 0: the greatest int32

// Greatest is the upper end.
func (w Whole) Greatest() int64 {
	if w.Max == 0 {
		return math.MaxInt32
	}
	return w.Max
}

func (w Whole) String() string {
	if w.Max == 0 {
		return fmt.Sprintf("%d or more (at most %d)", w.Min, w.Greatest())
	}
	return fmt.Sprintf("between %d and %d", w.Min, w.Max)
}
