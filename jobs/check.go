package jobs

import (
	"vtune/internal/record"
	"vtune/internal/spec"
)

// Of the self-check. A prompt of 512 tokens is computed and not only read from memory, so that the time to its first token says how
// fast a GPU computes; eight requests have a median that one disturbance does not move.
const (
	checkRequests = 8
	checkInput    = 512
	checkOutput   = 32
)

// check is the load by which the nodes of a run are compared: the same in every cell, so its prompt fits into one step of the cell
// with the fewest max-num-batched-tokens.
func check(s *spec.Spec, p record.Plan) *record.CheckLoad {
	l := record.CheckLoad{Requests: checkRequests, InputLen: checkInput, OutputLen: min(checkOutput, max(s.MaxModelLen/4, 2))}
	for _, c := range p.Cells {
		l.InputLen = min(l.InputLen, c.MaxNumBatchedTokens)
	}
	l.InputLen = max(min(l.InputLen, s.MaxModelLen-l.OutputLen), 1)
	return &l
}
