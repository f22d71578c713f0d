package vllm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"vtune/internal/record"
)

// Exit is how a server came to its end, as its parent saw it.
type Exit struct {
	Healthy  bool          // it had been healthy before
	TimedOut bool          // its parent ended it, because it was not healthy after Waited
	Waited   time.Duration // since its start
	Code     int           // exit code; -1 when a signal ended it
	Signal   string        // that signal's name
	Log      []byte        // stdout and stderr, at least their end
}

// Failure is why a server ended, in its own words where it has any. Message is one line and never empty.
type Failure struct {
	Cause   record.Cause
	Message string
	Free    float64 // share of the accelerator's memory that the server found free, 0 to 1; 0: it did not say
}

func (f *Failure) Error() string { return f.Message }

// symptom is a line that tells a cause, wherever in the log it stands. The last line of a failed vLLM says only that there is
// a root cause above.
type symptom struct {
	cause record.Cause
	line  *regexp.Regexp
}

// symptoms in the order of their authority: memory first, because running out of it also breaks other things. What a lower
// memory utilisation would cure is memory; "To serve at least one request" is not, since a lower one leaves even less cache:
// such a model length does not fit this accelerator at all, and no step of a probe can help.
var symptoms = [...]symptom{
	{record.CauseFlags, regexp.MustCompile(`To serve at least one request`)},
	{record.CauseOOM, regexp.MustCompile(`(Free|Available) memory on .*less than desired \w+ memory utilization`)},
	{record.CauseOOM, regexp.MustCompile(`No available memory for the cache blocks`)},
	{record.CauseOOM, regexp.MustCompile(`\b(CUDA|HIP|XPU|NPU) out of memory|OutOfMemoryError|CUDA error: out of memory|cudaErrorMemoryAllocation`)},
	{record.CauseOOM, regexp.MustCompile(`RESOURCE_EXHAUSTED|Ran out of memory in memory space`)}, // TPU
	{record.CauseOOM, regexp.MustCompile(`DefaultCPUAllocator: .*(can't allocate memory|not enough memory)|^MemoryError\b|Cannot allocate memory`)},
	{record.CausePort, regexp.MustCompile(`(?i)\[Errno 98\]|EADDRINUSE|address already in use`)},
}

// refusals are errors by which a server that never became healthy says that it will never take this request.
var refusals = [...]*regexp.Regexp{
	regexp.MustCompile(`^\S.*: error: `), // argparse: "vllm serve: error: unrecognized arguments: --x"
	regexp.MustCompile(`^Value error, `), // pydantic's line below "ValidationError: 1 validation error for …"
	regexp.MustCompile(`(?i)not a valid model identifier|repository not found|invalid repository id|does not appear to have a file named`),
	regexp.MustCompile(`^([\w.]+\.)?(\w*ValidationError|ValueError|NotImplementedError|ModuleNotFoundError|ImportError|PackageNotFoundError|OSError|FileNotFoundError|RepositoryNotFoundError|GatedRepoError|LocalEntryNotFoundError|StrictDataclass\w*Error)\b`),
	regexp.MustCompile(`: (command not found|exec: \S+: not found|No such file or directory|Permission denied)$`), // of a prefix that is a shell script
}

// What srun says of a server on several nodes. It is not the engine's word: an engine's own error, on whichever node, goes before.
var (
	launcher = regexp.MustCompile(`^(srun|slurmstepd[^: ]*): `)
	// unlaunched: no rank of the server ever ran.
	unlaunched = regexp.MustCompile(`^srun: (fatal: |error: (Unable to (create step|confirm allocation|allocate resources)|Task launch |Only allocated ))`)
	rankEnded  = regexp.MustCompile(`^srun: error: .*: tasks? .*: `)
)

var (
	exception = regexp.MustCompile(`^([A-Za-z_]\w*\.)*[A-Za-z_]\w*(Error|Exception|Interrupt): \S`)
	// hollow errors only point at another one.
	hollow   = regexp.MustCompile(`See root cause above|Engine core initialization failed|EngineDeadError|EngineCore encountered an issue|cancelled by user`)
	colour   = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
	process  = regexp.MustCompile(`^\([^()]* pid=\d+\) ?`)
	level    = regexp.MustCompile(`^(DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (\[[^\]]*\] ?)?`)
	header   = regexp.MustCompile(`\d+ validation errors? for \S+$`)
	pydantic = regexp.MustCompile(` \[type=.*$`)
)

// Classify finds the cause of a server's end. A server that had been healthy had nothing against its flags, so then only
// memory and crash remain.
func Classify(e Exit) *Failure {
	lines, launch, last := split(e.Log)
	for _, s := range symptoms {
		if e.Healthy && s.cause != record.CauseOOM {
			continue
		}
		if l, ok := first(lines, s.line); ok {
			return &Failure{Cause: s.cause, Message: l, Free: free(l)}
		}
	}
	if l, ok := first(launch, unlaunched); ok && !e.Healthy && len(lines) == 0 {
		return &Failure{Cause: record.CauseLaunch, Message: l}
	}
	if e.TimedOut {
		return &Failure{Cause: record.CauseTimeout, Message: withLast(fmt.Sprintf("not healthy after %.0f s", e.Waited.Seconds()), last)}
	}
	if !e.Healthy {
		for _, r := range refusals {
			if l, ok := first(lines, r); ok {
				return &Failure{Cause: record.CauseFlags, Message: l}
			}
		}
	}
	if l, ok := first(lines, exception); ok {
		return &Failure{Cause: record.CauseCrash, Message: how(e) + ": " + l}
	}
	if l, ok := first(launch, rankEnded); ok { // of several ends the first is the cause of the others
		return &Failure{Cause: record.CauseCrash, Message: how(e) + ": " + l}
	}
	return &Failure{Cause: record.CauseCrash, Message: withLast(how(e), last)}
}

var freeOf = regexp.MustCompile(`(?:Free|Available) memory on [^(]*\((\d+(?:\.\d+)?)/(\d+(?:\.\d+)?) GiB\)`)

// free is the share of memory that a line names as free.
func free(line string) float64 {
	m := freeOf.FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	part, err1 := strconv.ParseFloat(m[1], 64)
	all, err2 := strconv.ParseFloat(m[2], 64)
	if err1 != nil || err2 != nil || part < 0 || all <= 0 || part > all {
		return 0
	}
	return part / all
}

func how(e Exit) string {
	when := "before it was healthy"
	if e.Healthy {
		when = "while it served"
	}
	if e.Signal != "" {
		return fmt.Sprintf("the server was ended by %s %s", e.Signal, when)
	}
	return fmt.Sprintf("the server ended with exit code %d %s", e.Code, when)
}

func withLast(s, last string) string {
	if last == "" {
		return s + "; its log is empty"
	}
	return s + "; its log ends in: " + clip(last, messageLimit)
}

// first is the first line that matches and says something: the root of a chain of errors is printed before what it caused.
func first(lines []string, r *regexp.Regexp) (string, bool) {
	for i, l := range lines {
		if !r.MatchString(l) || hollow.MatchString(l) {
			continue
		}
		if header.MatchString(l) { // the field and what is wrong with it stand below
			l = strings.Join(lines[i:min(i+3, len(lines))], " ")
		}
		return clip(strings.TrimSpace(pydantic.ReplaceAllString(l, "")), messageLimit), true
	}
	return "", false
}

const messageLimit = 500

// split strips every line of what vLLM's logging puts in front of it and drops blank ones. errors leaves out INFO and WARNING:
// there vLLM gives advice about memory, ports and flags while nothing is wrong. launch is what a launcher said, last the last line
// of any kind.
func split(log []byte) (errors, launch []string, last string) {
	for l := range strings.Lines(string(log)) {
		l = colour.ReplaceAllString(strings.ToValidUTF8(l, "?"), "")
		l = process.ReplaceAllString(strings.TrimSpace(l), "")
		quiet := false
		if m := level.FindStringSubmatch(l); m != nil {
			l = l[len(m[0]):]
			quiet = m[1] != "ERROR" && m[1] != "CRITICAL"
		}
		if l = printable(l); l == "" {
			continue
		}
		last = l
		switch {
		case launcher.MatchString(l):
			launch = append(launch, l)
		case !quiet:
			errors = append(errors, l)
		}
	}
	return errors, launch, last
}

// printable keeps a message on one line and harmless to a terminal.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0):
			return -1
		}
		return r
	}, s))
}

// clip shortens s to at most n bytes without cutting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
