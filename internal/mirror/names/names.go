// Package names says what the names of a run's files mean where the run is in a bucket: which side writes a file, who reads it, whether
// it may change, and which names are none.
package names

import (
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"vtune/internal/fsx"
)

// Owner is which side writes a file.
type Owner int

const (
	Nobodys Owner = iota // never leaves the machine, and is never brought in
	Ours                 // submitter and collector
	Workers              // the machines of the pool
)

// Rule says what becomes of the files whose names match.
type Rule struct {
	Pattern string // of slash-separated names, element by element; ** stands for whatever is left
	Whose   Owner
	Pull    bool // the collector reads it. What it does not is brought in by Fetch alone
	Fixed   bool // written once: other bytes under the name are an error, never news
	First   bool // of two who noted it, each where the other could not see it, that one is right whose note is in the bucket
	Log     bool // may grow, in pieces, and is its owner's alone: what servers print may be secret
	Hollow  bool // an empty file stands for it until it is fetched, because that it exists says something
	Linked  bool // the workers' own, but for symbolic links, which are this side's word and go up as the files they lead to
	Perm    fs.FileMode
	Phase   int // of a push: what others act upon goes up after what they then read
}

// The phases of a push.
const (
	early    = iota
	intended // intents: what they are about is whole
	offered  // the queue: a machine may begin at once
	whole    // run.json: now there is a run
)

// table is the one place that says whose a file is; the first match counts. A name that nobody thought of stays on its machine: in a
// run directory lies what people put there, and a bucket has more readers than a home directory.
var table = slices.Concat([]Rule{
	// This machine's own: what its shell held, whom it tells of the end, since when its clock has seen something, its locks.
	{Pattern: "environment.json"},
	{Pattern: "notify.json"}, // who has a webhook's URL may write to it
	{Pattern: "notified.json"},
	{Pattern: "sightings.json"},
	{Pattern: "mirror.json"},
	{Pattern: "collector.lock/**"},
	{Pattern: "scheduler/**"},
	// The script's names for logs are links. The logs are in the bucket under their own names; a second copy of the largest files
	// there are would have to be put up anew whenever one grows.
	{Pattern: "vllm_log_*"},
	{Pattern: "bm_log_*"},

	{Pattern: "run.json", Whose: Ours, Pull: true, Fixed: true, Phase: whole},
	{Pattern: "spec.yaml", Whose: Ours, Pull: true, Fixed: true},
	{Pattern: "effective.yaml", Whose: Ours, Pull: true, Fixed: true},
	{Pattern: "plan.json", Whose: Ours, Pull: true, Fixed: true},
	{Pattern: "cancelled.json", Whose: Ours, Pull: true, Fixed: true, First: true},
	{Pattern: "templates/**", Whose: Ours, Pull: true, Fixed: true},
	{Pattern: "bin/launch", Whose: Ours, Pull: true, Fixed: true, Perm: 0o755},
	{Pattern: "bin/vtune", Whose: Ours, Fixed: true, Perm: 0o755},
	{Pattern: Secrets, Whose: Ours, Perm: 0o600}, // goes up because machines need it, and never comes down
	{Pattern: "chain.json", Whose: Ours, Pull: true},
	{Pattern: "approved.json", Whose: Ours, Pull: true},
	{Pattern: "state.json", Whose: Ours, Pull: true},
	{Pattern: "result.txt", Whose: Ours, Pull: true},
	{Pattern: "result.json", Whose: Ours, Pull: true},
	{Pattern: "report.html", Whose: Ours, Pull: true},
	{Pattern: "repeats/*.json", Whose: Ours, Pull: true, Fixed: true, First: true},
	{Pattern: "queue/*/*.json", Whose: Ours, Pull: true, Fixed: true, First: true, Phase: offered},
	{Pattern: "profile/**", Whose: Workers, Linked: true},

	{Pattern: "claims/*.json", Whose: Workers, Pull: true, Fixed: true}, // and GiveUp's, which is a claim for nobody
	{Pattern: "events/*.json", Whose: Workers, Pull: true, Fixed: true}, // the agents'; they travel in manifests, which have no file here
	{Pattern: "best/**", Whose: Workers},
	{Pattern: "workers/**", Whose: Workers}, // signs of life are read from a listing

	{Pattern: "jobs/*/begun", Whose: Workers, Pull: true, Fixed: true},
	{Pattern: "jobs/*/step.json", Whose: Workers, Pull: true},
	{Pattern: "jobs/*/aboard.json", Whose: Workers, Pull: true},
	{Pattern: "jobs/*/done.json", Whose: Workers, Pull: true},
	{Pattern: "jobs/*/log", Whose: Workers, Log: true},
	{Pattern: "jobs/*/log.*", Whose: Workers, Log: true},
	{Pattern: "jobs/*/through/**", Whose: Workers},
	{Pattern: "jobs/*/alone-*", Whose: Workers},
	{Pattern: "jobs/*/intent.json", Whose: Ours, Pull: true, Phase: intended},
	{Pattern: "jobs/*/submitted.json", Whose: Ours, Pull: true, Phase: intended},
	{Pattern: "jobs/*/ended.json", Whose: Ours, Pull: true, Fixed: true, First: true},
	{Pattern: "jobs/*/unwanted.json", Whose: Ours, Pull: true, Fixed: true, First: true},
	{Pattern: "jobs/*/request-id", Whose: Ours, Pull: true}, // another one after a refusal
	{Pattern: "jobs/*/resource.json", Whose: Ours, Pull: true},
	{Pattern: "jobs/*/deleted.json", Whose: Ours, Pull: true},
	{Pattern: "jobs/*/request.json", Whose: Ours, Pull: true},
	{Pattern: "jobs/*/crew.json", Whose: Ours, Pull: true},
	{Pattern: "jobs/*/script", Whose: Ours, Pull: true, Perm: 0o755}, // a unit that is not out yet is submitted with it, from wherever
	{Pattern: "jobs/*/job", Whose: Ours, Perm: 0o755},
	{Pattern: "jobs/*/assignment.json", Whose: Ours}, // drafts, until an intent makes them binding: written anew with each try
	{Pattern: "jobs/*/tasks", Whose: Ours},
	{Pattern: "jobs/*/gcloud.sh", Whose: Ours, Perm: 0o755},

	{Pattern: "links/*/attempt.json", Whose: Ours, Pull: true, Fixed: true},
	{Pattern: "links/*/result.json", Whose: Ours, Pull: true, Fixed: true},
}, attempts("probe/*"), attempts("cells/*/*"), attempts("profiling/*"), []Rule{{Pattern: "**"}})

// attempts are the rules for the folders of one kind of work.
func attempts(dir string) []Rule {
	return []Rule{
		{Pattern: dir + "/attempt.json", Whose: Workers, Pull: true, Fixed: true},
		{Pattern: dir + "/result.json", Whose: Workers, Pull: true, Fixed: true},
		{Pattern: dir + "/health.json", Whose: Workers, Pull: true},
		{Pattern: dir + "/observations/*.json", Whose: Workers, Pull: true, Fixed: true},
		{Pattern: dir + "/server.log", Whose: Workers, Log: true, Hollow: true},
		{Pattern: dir + "/server-*.log", Whose: Workers, Log: true},
		{Pattern: dir + "/bench-*.log", Whose: Workers, Log: true},
		{Pattern: dir + "/**", Whose: Workers}, // timelines, the client's own JSON, traces
	}
}

// Secrets goes up, because machines need it, and is taken back.
const Secrets = "secrets.env"

// Mode of a file that is brought in.
func (r Rule) Mode() fs.FileMode {
	switch {
	case r.Log:
		return 0o600
	case r.Perm != 0:
		return r.Perm
	}
	return 0o644
}

// Of is the rule for a name relative to the run.
func Of(name string) Rule {
	elements := strings.Split(name, "/")
	if slices.ContainsFunc(elements, fsx.Temporary) {
		return Rule{}
	}
	for _, r := range table {
		if matches(strings.Split(r.Pattern, "/"), elements) {
			return r
		}
	}
	return Rule{}
}

func matches(pattern, elements []string) bool {
	for i, p := range pattern {
		if p == "**" {
			return len(elements) > i
		}
		if i >= len(elements) {
			return false
		}
		if ok, err := path.Match(p, elements[i]); err != nil || !ok {
			return false
		}
	}
	return len(pattern) == len(elements)
}

// HoldsOurs reports whether something this side writes can be below the folder at the top of a run.
func HoldsOurs(top string) bool {
	return slices.ContainsFunc(table, func(r Rule) bool {
		first, _, below := strings.Cut(r.Pattern, "/")
		return below && (r.Whose == Ours || r.Linked) && first == top
	})
}

// IsResult reports whether name is the last word of an attempt, which is brought in after everything else.
func IsResult(name string) bool {
	return path.Base(name) == "result.json" && strings.Contains(name, "/")
}

// IsEvent reports whether name is an agent's event: a hint, of which the first to come is as good as any.
func IsEvent(name string) bool { return path.Dir(name) == "events" }

// Proper reports whether an object's name, relative to the run, can be a file of it. Others write into a bucket, too.
func Proper(name string) bool {
	if !utf8.ValidString(name) || !filepath.IsLocal(name) || path.Clean(name) != name || name == "." {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(e string) bool { return len(e) > 255 })
}

var piece = regexp.MustCompile(`^(.+)\.part-(\d{6,9})$`)

// Whole is the file that an object is, or is a piece of; n counts pieces from 1 and is 0 for a file that is one object.
func Whole(name string) (file string, n int) {
	if m := piece.FindStringSubmatch(name); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil && n > 0 {
			return m[1], n
		}
	}
	return name, 0
}

// Manifest is what record.ManifestName put into the name of a manifest.
type Manifest struct {
	Name   string // relative to the run
	Writer string
	At     int64 // of the bucket's time, in ms
	Seq    int64
}

// ParseManifest reads a name that record.ManifestName made.
func ParseManifest(name string) (Manifest, bool) {
	rest, ok := strings.CutPrefix(name, "events/")
	rest, json := strings.CutSuffix(rest, ".json")
	at, rest, cut := strings.Cut(rest, "-")
	last := strings.LastIndexByte(rest, '-')
	if !ok || !json || !cut || len(at) != 13 || last <= 0 {
		return Manifest{}, false
	}
	ms, err := strconv.ParseUint(at, 10, 63)
	n, nerr := strconv.ParseUint(rest[last+1:], 10, 31)
	return Manifest{Name: name, Writer: rest[:last], At: int64(ms), Seq: int64(n)}, err == nil && nerr == nil
}
