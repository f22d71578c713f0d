// Package cli is what the subcommands of vllm-sim share: a command line in the
// manner of argparse, the World outside, log lines like vLLM's, and the options
// that only a simulation has. It must not know any subcommand.
package cli

import (
	"fmt"
	"io"
	"os"
)

// Version follows the vLLM whose behaviour is imitated.
const Version = "0.32.0+sim"

// World is what a subcommand may touch beside files and the network.
type World struct {
	Env            func(string) string
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal
}

// ExitError is an exit code whose reason has been logged.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
