package tputest

import (
	"fmt"
	"time"
)

// status is a google.rpc.Status.
type status struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details []any  `json:"details,omitempty"`
}

// operation is a long-running one.
type operation struct {
	name, verb, target, version string
	created, ended              time.Time
	done                        bool
	response                    map[string]any
	err                         *status
}

// recorded is a request that had a requestId.
type recorded struct {
	what string // method, name and body
	op   *operation
}

// operate makes an operation. The server is locked.
func (s *Server) operate(version, verb, target string) *operation {
	op := &operation{
		name: fmt.Sprintf("%s/operations/operation-%d-fake", s.Parent(), len(s.ops)+1), verb: verb, target: target, version: version, created: time.Now(),
	}
	s.ops[op.name] = op
	return op
}

func (o *operation) finish(response map[string]any, err *status) {
	o.done, o.response, o.err, o.ended = true, response, err, time.Now()
}

func (o *operation) render() map[string]any {
	const types = "type.googleapis.com/google.cloud.tpu."
	meta := map[string]any{"@type": types + o.version + ".OperationMetadata", "createTime": stamp(o.created), "target": o.target, "verb": o.verb, "apiVersion": o.version}
	out := map[string]any{"name": o.name, "metadata": meta}
	if !o.done {
		return out
	}
	out["done"] = true
	meta["endTime"] = stamp(o.ended)
	switch {
	case o.err != nil:
		out["error"] = o.err
	case o.response == nil:
		out["response"] = map[string]any{"@type": "type.googleapis.com/google.protobuf.Empty"}
	default:
		response := map[string]any{"@type": types + o.version + ".QueuedResource"}
		for name, value := range o.response {
			response[name] = value
		}
		out["response"] = response
	}
	return out
}
