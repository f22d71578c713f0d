package engine

import "vtune/internal/sim"

// Command is the hidden subcommand of the engine process. It reads orders from
// descriptor 3 and writes reports to descriptor 4, both gob streams; its log
// goes to the standard streams it inherits.
const Command = "engine-core"

// Start is the first thing on the engine's descriptor.
type Start struct {
	Config     sim.Config
	Dummy      bool    // weights are made up and cost no time
	Scale      float64 // virtual seconds per real second
	Faults     Faults
	Devices    []string // one a GPU of this node
	MachineDir string
	Profiler   *Profiler
	TPU        bool   // and not GPUs: its profiler is another
	Group      *Group // of a server on several nodes; nil: one
}

// OrderKind says what the API server wants.
type OrderKind int

// Orders. Those from ResetCache to StopProfile are answered, see Handle.Ask.
const (
	Add OrderKind = iota + 1
	Abort
	ResetCache
	StartProfile
	StopProfile
	shutdown
)

// Order is one message to the engine.
type Order struct {
	Kind    OrderKind
	Request sim.Request // of Add; only its ID of Abort
}

type reportKind int

const (
	reportReady  reportKind = iota + 1
	reportTokens            // what steps brought since the last report
	reportDone              // answers an order
)

type report struct {
	Kind   reportKind
	Memory sim.Memory
	Tokens []sim.Token
	Stats  sim.Stats
	OK     bool
}
