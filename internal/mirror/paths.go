package mirror

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

// owner is which side writes a file.
type owner int

const (
	nobodys owner = iota // never leaves the machine, and is never brought in
	ours                 // submitter and collector
	workers              // the machines of the pool
)

// rule says what becomes of the files whose names match.
type rule struct {
	pattern string // of slash-separated names, element by element; ** stands for whatever is left
	whose   owner
	pull    bool // the collector reads it. What it does not is brought in by Fetch alone
	fixed   bool // written once: other bytes under the name are an error, never news
	log     bool // may grow, in pieces, and is its owner's alone: what servers print may be secret
	hollow  bool // an empty file stands for it until it is fetched, because that it exists says something
	linked  bool // the workers' own, but for symbolic links, which are this side's word and go up as the files they lead to
	perm    fs.FileMode
	phase   int // of a push: what others act upon goes up after what they then read
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
var table = slices.Concat([]rule{
	// This machine's own: what its shell held, since when its clock has seen something, its locks.
	{pattern: "environment.json"},
	{pattern: "sightings.json"},
	{pattern: "mirror.json"},
	{pattern: "collector.lock/**"},
	{pattern: "scheduler/**"},
	// The script's names for logs are links. The logs are in the bucket under their own names; a second copy of the largest files
	// there are would have to be put up anew whenever one grows.
	{pattern: "vllm_log_*"},
	{pattern: "bm_log_*"},

	{pattern: "run.json", whose: ours, pull: true, fixed: true, phase: whole},
	{pattern: "spec.yaml", whose: ours, pull: true, fixed: true},
	{pattern: "effective.yaml", whose: ours, pull: true, fixed: true},
	{pattern: "plan.json", whose: ours, pull: true, fixed: true},
	{pattern: "cancelled.json", whose: ours, pull: true, fixed: true},
	{pattern: "templates/**", whose: ours, pull: true, fixed: true},
	{pattern: "bin/launch", whose: ours, pull: true, fixed: true, perm: 0o755},
	{pattern: "bin/vtune", whose: ours, fixed: true, perm: 0o755},
	{pattern: secrets, whose: ours, perm: 0o600}, // goes up because machines need it, and never comes down
	{pattern: "chain.json", whose: ours, pull: true},
	{pattern: "state.json", whose: ours, pull: true},
	{pattern: "result.txt", whose: ours, pull: true},
	{pattern: "result.json", whose: ours, pull: true},
	{pattern: "report.html", whose: ours, pull: true},
	{pattern: "repeats/*.json", whose: ours, pull: true, fixed: true},
	{pattern: "queue/*/*.json", whose: ours, pull: true, fixed: true, phase: offered},
	{pattern: "profile/**", whose: workers, linked: true},

	{pattern: "claims/*.json", whose: workers, pull: true, fixed: true}, // and GiveUp's, which is a claim for nobody
	{pattern: "events/*.json", whose: workers, pull: true, fixed: true}, // the agents'; they travel in manifests, which have no file here
	{pattern: "best/**", whose: workers},
	{pattern: "workers/**", whose: workers}, // signs of life are read from a listing

	{pattern: "jobs/*/begun", whose: workers, pull: true, fixed: true},
	{pattern: "jobs/*/step.json", whose: workers, pull: true},
	{pattern: "jobs/*/aboard.json", whose: workers, pull: true},
	{pattern: "jobs/*/done.json", whose: workers, pull: true},
	{pattern: "jobs/*/log", whose: workers, log: true},
	{pattern: "jobs/*/log.*", whose: workers, log: true},
	{pattern: "jobs/*/through/**", whose: workers},
	{pattern: "jobs/*/alone-*", whose: workers},
	{pattern: "jobs/*/intent.json", whose: ours, pull: true, phase: intended},
	{pattern: "jobs/*/submitted.json", whose: ours, pull: true, phase: intended},
	{pattern: "jobs/*/ended.json", whose: ours, pull: true, fixed: true},
	{pattern: "jobs/*/unwanted.json", whose: ours, pull: true, fixed: true},
	{pattern: "jobs/*/request-id", whose: ours, pull: true, fixed: true},
	{pattern: "jobs/*/request.json", whose: ours, pull: true},
	{pattern: "jobs/*/crew.json", whose: ours, pull: true},
	{pattern: "jobs/*/script", whose: ours, pull: true, perm: 0o755}, // a unit that is not out yet is submitted with it, from wherever
	{pattern: "jobs/*/job", whose: ours, perm: 0o755},
	{pattern: "jobs/*/assignment.json", whose: ours}, // drafts, until an intent makes them binding: written anew with each try
	{pattern: "jobs/*/tasks", whose: ours},
	{pattern: "jobs/*/gcloud.sh", whose: ours, perm: 0o755},

	{pattern: "links/*/attempt.json", whose: ours, pull: true, fixed: true},
	{pattern: "links/*/result.json", whose: ours, pull: true, fixed: true},
}, attempts("probe/*"), attempts("cells/*/*"), attempts("profiling/*"), []rule{{pattern: "**"}})

// attempts are the rules for the folders of one kind of work.
func attempts(dir string) []rule {
	return []rule{
		{pattern: dir + "/attempt.json", whose: workers, pull: true, fixed: true},
		{pattern: dir + "/result.json", whose: workers, pull: true, fixed: true},
		{pattern: dir + "/health.json", whose: workers, pull: true},
		{pattern: dir + "/observations/*.json", whose: workers, pull: true, fixed: true},
		{pattern: dir + "/server.log", whose: workers, log: true, hollow: true},
		{pattern: dir + "/server-*.log", whose: workers, log: true},
		{pattern: dir + "/bench-*.log", whose: workers, log: true},
		{pattern: dir + "/**", whose: workers}, // timelines, the client's own JSON, traces
	}
}

const secrets = "secrets.env"

// mode of a file that is brought in.
func (r rule) mode() fs.FileMode {
	switch {
	case r.log:
		return 0o600
	case r.perm != 0:
		return r.perm
	}
	return 0o644
}

// ruleOf is the rule for a name relative to the run.
func ruleOf(name string) rule {
	elements := strings.Split(name, "/")
	if slices.ContainsFunc(elements, fsx.Temporary) {
		return rule{}
	}
	for _, r := range table {
		if matches(strings.Split(r.pattern, "/"), elements) {
			return r
		}
	}
	return rule{}
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

// holdsOurs reports whether something this side writes can be below the folder at the top of a run.
func holdsOurs(top string) bool {
	return slices.ContainsFunc(table, func(r rule) bool {
		first, _, below := strings.Cut(r.pattern, "/")
		return below && (r.whose == ours || r.linked) && first == top
	})
}

// isResult reports whether name is the last word of an attempt, which is brought in after everything else.
func isResult(name string) bool {
	return path.Base(name) == "result.json" && strings.Contains(name, "/")
}

// eventName reports whether name is an agent's event: a hint, of which the first to come is as good as any.
func eventName(name string) bool { return path.Dir(name) == "events" }

// proper reports whether an object's name, relative to the run, can be a file of it. Others write into a bucket, too.
func proper(name string) bool {
	if !utf8.ValidString(name) || !filepath.IsLocal(name) || path.Clean(name) != name || name == "." {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(e string) bool { return len(e) > 255 })
}

var piece = regexp.MustCompile(`^(.+)\.part-(\d{6,9})$`)

// wholeOf is the file that an object is, or is a piece of; n counts pieces from 1 and is 0 for a file that is one object.
func wholeOf(name string) (file string, n int) {
	if m := piece.FindStringSubmatch(name); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil && n > 0 {
			return m[1], n
		}
	}
	return name, 0
}
