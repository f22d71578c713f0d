package main

import (
	"vtune/internal/sim"
)

// engineCommand is the hidden subcommand of the engine process. It reads
// orders from descriptor 3 and writes reports to descriptor 4, both gob
// streams; its log goes to the standard streams it inherits.
const engineCommand = "engine-core"

// engineStart is the first thing on the engine's descriptor.
type engineStart struct {
	Config     sim.Config
	Dummy      bool
	Scale      float64
	Faults     faults
	Devices    []string
	MachineDir string
	Profiler   *profiler
}

type orderKind int

const (
	orderAdd orderKind = iota + 1
	orderAbort
	orderReset
	orderStartProfile
	orderStopProfile
	orderShutdown
)

type order struct {
	Kind    orderKind
	Request sim.Request // of orderAdd; its ID of orderAbort
}

type reportKind int

const (
	reportReady  reportKind = iota + 1
	reportTokens            // what steps brought since the last report
	reportDone              // answers orderReset and the profile orders, in their order
)

type report struct {
	Kind   reportKind
	Memory sim.Memory
	Tokens []sim.Token
	Stats  sim.Stats
	OK     bool
}
