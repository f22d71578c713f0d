package spec

import "vtune/internal/spec/word"

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
