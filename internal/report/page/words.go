package page

import (
	"math"
	"strconv"
	"time"

	"vtune/internal/record"
)

// sig is a number with so many significant digits, written out: 0.01234, 12.34, 12340.
func sig(v float64, digits int) string { return strconv.FormatFloat(round(v, digits), 'f', -1, 64) }

// round to significant digits; those before the point are all kept.
func round(v float64, digits int) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	places := digits - 1 - int(math.Floor(math.Log10(math.Abs(v))))
	if places < 0 {
		return math.Round(v)
	}
	places = min(places, 12)
	scaled, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', places, 64), 64)
	if err != nil {
		return v
	}
	return scaled
}

func ms(v float64) string {
	if v <= 0 {
		return ""
	}
	return sig(v, 4)
}

func rate(r record.Rate) string {
	if r.IsInf() {
		return "inf"
	}
	return sig(float64(r), 4)
}

// at is a moment, in the one zone that everybody who gets a report can reckon from.
func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func clock(seconds float64) string {
	switch {
	case seconds < 0.05:
		return "0 s"
	case seconds < 100:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + " s"
	case seconds < 2*3600:
		return strconv.FormatFloat(seconds/60, 'f', 1, 64) + " min"
	}
	return strconv.FormatFloat(seconds/3600, 'f', 1, 64) + " h"
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) }
