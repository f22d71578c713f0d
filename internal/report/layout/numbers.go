package layout

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"vtune/internal/record"
)

// Unknown stands where nothing is known, as benchstat has it.
const Unknown = "~"

// Interval is an estimate with its bounds: with one number for both where they are alike to a tenth, else with both.
func Interval(i record.Interval) string {
	low, high := i.Value-i.Low, i.High-i.Value
	switch {
	case !Finite(i.Value) || i.Value <= 0:
		return Unknown
	case !Finite(i.Low, i.High) || low < 0 || high < 0 || low == 0 && high == 0 || i.High > 1e6*i.Value:
		return Bare(i.Value) // known from a single batch, or by itself alone
	case math.Abs(high-low) <= 0.1*(high+low)/2:
		return fmt.Sprintf("%s ± %s%%", digits(i.Value, (high+low)/2), percent((high+low)/2/i.Value))
	}
	step := (high + low) / 2
	return fmt.Sprintf("%s (%s to %s)", digits(i.Value, step), digits(i.Low, step), digits(i.High, step))
}

// Finite reports whether all are numbers.
func Finite(vs ...float64) bool {
	return !slices.ContainsFunc(vs, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

// percent of a share: a tenth of one where it is less than one.
func percent(share float64) string {
	if share < 0.01 {
		return strconv.FormatFloat(100*share, 'f', 1, 64)
	}
	return strconv.FormatFloat(100*share, 'f', 0, 64)
}

// Bare is a number of unknown uncertainty, in four digits where it has a fraction.
func Bare(v float64) string { return digits(v, v/100) }

// digits is v down to the second digit of its uncertainty, and no further than the ninth place.
func digits(v, by float64) string {
	if !Finite(v) {
		return Unknown
	}
	places := 0
	if by > 0 && Finite(by) {
		places = min(max(1-int(math.Floor(math.Log10(by))), 0), 9)
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}
