package client

import (
	"context"
	"fmt"
	"time"

	"vtune/internal/load"
	"vtune/internal/record"
)

// checkTime bounds a self-check on a server that is slow, in the server's time: no request begins later.
const checkTime = 4 * time.Second

// Check sends a few requests, one at a time. Alone in the server, a request's times hardly depend on max-num-seqs or
// max-num-batched-tokens, if its prompt fits into one step: what they depend on is the node. The whole costs 1.6 s where a token
// takes 6 ms, as of an 8B model on an H200 (8 requests of 512 tokens in and 32 out).
func (c Sequential) Check(ctx context.Context, t Target, l record.CheckLoad) (record.Check, error) {
	began := c.Now()
	r, err := load.Run(ctx, c.address(t), load.Workload{
		Model: c.Assignment.Server.Model, Requests: l.Requests, Closed: 1, MaxDuration: checkTime, Seed: uint64(t.Seed),
		InputLen: l.InputLen, OutputLen: l.OutputLen, IDs: c.IDs, Temperature: new(float64), IgnoreEOS: true, From: load.FromSent,
	}, nil)
	switch s := r.Summary; {
	case err != nil:
		return record.Check{}, cause(ctx, err)
	case s.Failed > 0 || s.Completed == 0:
		return record.Check{}, fmt.Errorf("%d of its requests failed, %d were answered: %s", s.Failed, s.Completed, s.FirstError)
	default:
		return record.Check{
			Requests: s.Completed, TTFT: s.Latency[load.TTFT].Median, TPOT: s.Latency[load.TPOT].Median, Seconds: c.Now().Sub(began).Seconds(), At: began,
		}, nil
	}
}
