// bench-tuner is the benchmark of the tuner itself: methods against simulated machines whose truth is known, in virtual time.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"vtune/cmd/bench-tuner/internal/contest"
	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/cmd/bench-tuner/internal/table"
	"vtune/cmd/bench-tuner/internal/world"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-tuner:", err)
		os.Exit(1)
	}
}

type options struct {
	scenarios  int
	seed       uint64
	methods    []string
	startNoise float64
	verbose    bool
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench-tuner", flag.ContinueOnError)
	var o options
	flags.IntVar(&o.scenarios, "scenarios", 200, "`number` of scenarios")
	flags.Uint64Var(&o.seed, "seed", 1, "`seed` of everything")
	flags.Float64Var(&o.startNoise, "start-noise", 0.01, "relative standard `deviation` between starts of a server")
	flags.BoolVar(&o.verbose, "v", false, "trace every load")
	methods := flags.String("methods", strings.Join(contest.Methods, ","), "`list` of methods; auto_tune is always the first")
	only := flags.String("only", "", "one scenario's `ID`, or several with commas")
	jsonFile := flags.String("json", "", "write everything to a `file`")
	page := flags.String("o", "", "write the committed page to a `file`")
	profile := flags.String("cpuprofile", "", "write a CPU profile to a `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.methods = strings.Split(*methods, ",")
	// The others' ratios are to it.
	o.methods = slices.Insert(slices.DeleteFunc(o.methods, func(m string) bool { return m == contest.AutoTune }), 0, contest.AutoTune)
	numbers, err := chosen(*only, o.scenarios)
	if err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// Memory is there; the collector's time is what hurts.
	debug.SetGCPercent(800)
	started := time.Now()
	rows, err := all(o, numbers)
	if err != nil {
		return err
	}
	took := time.Since(started)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	if o.verbose {
		for _, r := range rows {
			fmt.Fprint(out, table.Trace(r))
		}
	}
	fmt.Fprint(out, table.Text(rows))
	word := "pass"
	if took > time.Minute {
		word = "FAIL"
	}
	fmt.Fprintf(out, "%s  %d scenarios in %.1f s, at most 60 (%d s of user time)\n", word, len(rows), took.Seconds(), used.Utime.Sec)
	if *jsonFile != "" {
		text, err := json.MarshalIndent(rows, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*jsonFile, text, 0o644); err != nil {
			return err
		}
	}
	if *page != "" {
		return os.WriteFile(*page, []byte(table.Page(rows, o.command(*only))), 0o644)
	}
	return nil
}

// command that makes the same page again.
func (o options) command(only string) string {
	c := fmt.Sprintf("go run ./cmd/bench-tuner -scenarios %d -seed %d -start-noise %g", o.scenarios, o.seed, o.startNoise)
	if !slices.Equal(o.methods, contest.Methods) {
		c += " -methods " + strings.Join(o.methods, ",")
	}
	if only != "" {
		c += " -only " + only
	}
	return c
}

// chosen are the scenarios' numbers.
func chosen(only string, n int) ([]int, error) {
	var numbers []int
	if only == "" {
		for i := range n {
			numbers = append(numbers, i)
		}
		return numbers, nil
	}
	for id := range strings.SplitSeq(only, ",") {
		i, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("scenario %q: %w", id, err)
		}
		numbers = append(numbers, i)
	}
	return numbers, nil
}

// all plays the scenarios side by side; nothing of one reaches another, so the table is the same however many there are.
func all(o options, numbers []int) ([]table.Row, error) {
	rows := make([]table.Row, len(numbers))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, number := range numbers {
		g.Go(func() (err error) {
			rows[i], err = one(o, number)
			return err
		})
	}
	return rows, g.Wait()
}

func one(o options, number int) (table.Row, error) {
	s, err := scenario.Generate(o.seed, number, o.startNoise)
	if err != nil {
		return table.Row{}, err
	}
	oracle, err := world.Find(s)
	if err != nil {
		return table.Row{}, fmt.Errorf("scenario %s: %w", s.ID, err)
	}
	row := table.Row{Scenario: s}
	for _, m := range o.methods {
		r, err := contest.Play(s, oracle, m, o.verbose)
		if err != nil {
			return table.Row{}, err
		}
		row.Results = append(row.Results, r)
	}
	row.Truth = oracle.Truth
	return row, nil
}
