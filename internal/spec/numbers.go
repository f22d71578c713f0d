package spec

import (
	"math"

	"vtune/internal/spec/word"
)

// TimeSeconds is the time limit of one job in seconds, 0 where none is given.
func (s Site) TimeSeconds() int {
	if seconds, ok := word.Seconds(s.Time); ok {
		return seconds
	}
	return 0
}

// MemoryMB is the host memory of one job in MiB, 0 where none is given or the whole node's is asked for.
func (s Site) MemoryMB() int {
	if mb, err := word.Megabytes(s.Memory); err == nil {
		return mb
	}
	return 0
}

// MaxRunSeconds is how long a machine may live.
func (t TPU) MaxRunSeconds() int { return int(word.DurationSeconds(t.MaxRunDuration)) }

// StartSeconds is how long a server may take to start.
func (s Server) StartSeconds() float64 { return word.DurationSeconds(s.StartTimeout) }

// MaxSeconds is how long one run may be under load; 0 under auto_tune.
func (t Test) MaxSeconds() float64 { return word.DurationSeconds(t.MaxTime) }

// Seconds of load that the claim is checked for; 0 under auto_tune.
func (v Verify) Seconds() float64 { return word.DurationSeconds(v.Duration) }

// Requests are as many as arrive in that time.
func (v Verify) Requests() int { return int(math.Ceil(v.Rate * v.Seconds())) }

// Shape of the gamma distribution of the intervals; 0 under auto_tune.
func (a Arrivals) Shape() float64 { return word.Shape(a.Burstiness) }
