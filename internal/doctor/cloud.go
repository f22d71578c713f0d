package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"vtune/internal/spec"
	"vtune/jobs"
)

// Cloud is what Google's APIs tell of a spec for TPUs. They tell no quota before it is used up.
type Cloud struct {
	Account     string  `json:"account,omitempty"` // whose credentials they are, in words; nothing secret
	Credentials Problem `json:"credentials_problem,omitzero"`

	AnswerSeconds float64 `json:"api_answer_s,omitempty"`
	API           Problem `json:"api_problem,omitzero"`
	// Zones of the project are asked for where the API refuses to tell of the spec's.
	Zones []string `json:"zones,omitempty"`
	// Types (v6e-8), Topologies (V6E 2x4) and Runtimes are what the zone has, if Offers is no problem.
	Types      []string         `json:"accelerator_types,omitempty"`
	Topologies []string         `json:"topologies,omitempty"`
	Runtimes   []string         `json:"runtime_versions,omitempty"`
	Offers     Problem          `json:"offers_problem,omitzero"`
	Resources  []QueuedResource `json:"queued_resources,omitempty"` // of the whole project, in the zone
	Bucket     *Bucket          `json:"bucket,omitempty"`           // nil: not asked, for want of credentials
}

// QueuedResource is one as the API lists it.
type QueuedResource struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Bucket is what came of an object that was created, created again, listed, read and deleted there.
type Bucket struct {
	Place   string        `json:"place"`
	Seconds float64       `json:"probe_s"`
	Problem Problem       `json:"problem,omitzero"`
	Left    string        `json:"left,omitempty"` // the object, where it could not be deleted
	Ahead   time.Duration `json:"ahead_ns"`       // the bucket's clock, of ours
}

// cloud is everything about a spec for TPUs that other schedulers have not.
func (d *diagnosis) cloud(f Facts) {
	c, site := f.Cloud, f.Spec.Site.TPU
	if p := c.Credentials; p.What != "" {
		d.fail("credentials", p.Remedy, "%s; neither the API nor the bucket was asked", p.What)
	} else {
		d.ok("credentials", "%s", c.Account)
		d.api(c, site)
		d.bucket(*c.Bucket)
	}
	d.actsAs(site, f.Spec.Base)
	d.slice(f)
	if image := f.Spec.Site.Container.Image; image != "" {
		if tag := moving(image); tag != "" {
			d.warn("image", "name a release's tag, or a digest (NAME@sha256:...)",
				"%s may be another one tomorrow (%s), and machines of one run then measure different vLLMs", image, tag)
		} else {
			d.ok("image", "%s", image)
		}
	}
}

func (d *diagnosis) api(c *Cloud, site spec.TPU) {
	switch absent := len(c.Zones) > 0 && !slices.Contains(c.Zones, site.Zone); {
	case absent:
		d.fail("zone", "write one of "+these(near(c.Zones, site.Zone))+" as site.zone", "project %s has no TPUs in %s", site.Project, site.Zone)
	case c.API.What != "":
		d.fail("api", c.API.Remedy, "%s", c.API.What)
	default:
		d.ok("api", "the TPU API's %s answers in %.0f ms", site.API, 1000*c.AnswerSeconds)
		d.offers(c, site)
		d.resources(c.Resources, site)
	}
}

// offers is whether the zone has the kind of machine.
func (d *diagnosis) offers(c *Cloud, site spec.TPU) {
	if c.Offers.What != "" {
		d.warn("zone", c.Offers.Remedy, "what %s has is not known: %s", site.Zone, c.Offers.What)
		return
	}
	wanted, all, key := site.AcceleratorType, c.Types, "site.accelerator_type"
	if wanted == "" {
		wanted, all, key = site.Accelerator+" "+site.Topology, c.Topologies, "site.accelerator and site.topology"
	}
	sound := true
	for _, w := range []struct {
		wanted, key string
		all         []string
	}{{wanted, key, all}, {site.RuntimeVersion, "site.runtime_version", c.Runtimes}} {
		if slices.Contains(w.all, w.wanted) {
			continue
		}
		sound = false
		remedy := "see site.zone: it has none at all"
		if len(w.all) > 0 {
			remedy = "write one of " + these(near(w.all, w.wanted)) + " as " + w.key
		}
		d.fail("zone", remedy, "%s has no %s", site.Zone, w.wanted)
	}
	if sound {
		d.ok("zone", "%s has %s and %s", site.Zone, wanted, site.RuntimeVersion)
	}
}

// near is names with those first that begin most like wanted.
func near(names []string, wanted string) []string {
	alike := func(name string) int {
		n := 0
		for n < min(len(name), len(wanted)) && name[n] == wanted[n] {
			n++
		}
		return n
	}
	all := slices.Clone(names)
	slices.SortStableFunc(all, func(a, b string) int { return alike(b) - alike(a) })
	return slices.Compact(all)
}

// resources are those of everybody: whose quota is used up is the project's.
func (d *diagnosis) resources(all []QueuedResource, site spec.TPU) {
	states := map[string]int{}
	var idle []string
	why := ""
	for _, r := range all {
		states[r.State]++
		if r.State != "FAILED" && r.State != "SUSPENDED" {
			continue
		}
		idle = append(idle, r.ID)
		if why == "" && r.Reason != "" {
			why = fmt.Sprintf("; %s: %s", r.ID, r.Reason)
		}
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(states)) {
		parts = append(parts, fmt.Sprintf("%d %s", states[state], state))
	}
	says := count(len(all), "queued resource") + " in " + site.Zone
	if len(parts) > 0 {
		says += ": " + strings.Join(parts, ", ")
	}
	if len(idle) == 0 {
		d.ok("resources", "%s", says)
		return
	}
	remedy := fmt.Sprintf("gcloud compute tpus queued-resources delete %s --zone=%s --project=%s", idle[0], site.Zone, site.Project)
	if len(idle) > 1 {
		remedy += "; the same for the others, where they are yours"
	}
	d.warn("resources", remedy, "%s; what has failed or is suspended never runs again, and counts against the quota until it is deleted: %s%s", says, these(idle), why)
}

// aside is a difference of clocks that is worth a word. Nothing rests on it but tokens, which Google refuses from minutes on.
const aside = time.Minute

func (d *diagnosis) bucket(b Bucket) {
	switch {
	case b.Left != "" && b.Problem.What == "":
		d.fail("bucket", "gcloud storage rm "+b.Left, "the object that tried it is left: %s", b.Left)
	case b.Left != "":
		d.fail("bucket", b.Problem.Remedy+"; then: gcloud storage rm "+b.Left, "%s; the object that tried it may be left: %s", b.Problem.What, b.Left)
	case b.Problem.What != "":
		d.fail("bucket", b.Problem.Remedy, "%s", b.Problem.What)
	default:
		d.ok("bucket", "%s: an object was created once and not twice, listed, read and deleted in %.0f ms", b.Place, 1000*b.Seconds)
	}
	if b.Problem.What != "" {
		return
	}
	const says = "the bucket's is %s ahead of this machine's"
	if b.Ahead.Abs() > aside {
		d.warn("clocks", "set this machine's clock by NTP: tokens are refused where it is far off, and the times of a report are", says, signed(b.Ahead))
	} else {
		d.ok("clocks", says, signed(b.Ahead))
	}
}

// actsAs is what cannot be seen from here: whose rights others have is told to few.
func (d *diagnosis) actsAs(site spec.TPU, base string) {
	who := site.ServiceAccount
	if who == "" {
		who = "Compute Engine's default service account"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(base, "gs://"), "/")
	d.ok("machines", "they act as %s; whether that may use the bucket is not seen from here: gcloud storage buckets get-iam-policy gs://%s", who, name)
}

// slice is how much of one a server uses, and what all of them may cost.
func (d *diagnosis) slice(f Facts) {
	s, site := f.Spec, f.Spec.Site.TPU
	size, err := site.Slice()
	if err != nil {
		d.fail("slice", "see site.accelerator_type, or site.accelerator and site.topology", "%v", err)
		return
	}
	takes := s.TensorParallel * max(s.PipelineParallel, 1)
	says := fmt.Sprintf("%s on %s, of which a server takes %d", count(size.Chips, "chip"), count(size.Hosts, "host"), takes)
	if takes < size.Chips {
		d.warn("slice", "ask for a smaller slice, or let a server have all of it (tensor_parallel); what is idle is paid for", "%s", says)
	} else {
		d.ok("slice", "%s", says)
	}
	machines, hours := jobs.WorstCase(f.Plan, size.Chips)
	says = fmt.Sprintf("at the worst %.1f chip-hours (%s of %s for %s)", hours, count(machines, "machine"), count(size.Chips, "chip"), site.MaxRunDuration)
	switch {
	case s.MaxChipHours == 0:
		d.ok("cost", "%s, to which submit asks you to agree", says)
	case s.MaxChipHours < hours:
		d.fail("cost", "lower site.max_run_duration, raise site.cells_per_resource (fewer machines, each for more cells), or raise max_chip_hours",
			"%s, and max_chip_hours is %g", says, s.MaxChipHours)
	default:
		d.ok("cost", "%s; max_chip_hours is %g", says, s.MaxChipHours)
	}
}

// moving is the tag of an image whose name stands for another one from time to time; empty: it does not, as far as its tag tells.
func moving(image string) string {
	if strings.Contains(image, "@") {
		return ""
	}
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if !tagged {
		return "latest, for want of a tag"
	}
	if slices.Contains([]string{"latest", "nightly", "main", "master", "dev", "edge", "stable"}, tag) {
		return tag
	}
	return ""
}

// copied is the disk here that has a copy of each run, which nothing is executed from.
func (d *diagnosis) copied(f Facts) {
	b := f.Base
	const remedy = "set XDG_STATE_HOME to a folder that you can write to, with some room"
	switch {
	case b == nil:
		d.fail("copy", remedy, "%s", f.BaseProblem)
	case b.Free < leastBytes:
		d.warn("copy", remedy, "of runs in %s, on %s, %s free", b.Path, b.Kind(), bytesText(b.Free))
	default:
		d.ok("copy", "of runs in %s, on %s, %s free", b.Path, b.Kind(), bytesText(b.Free))
	}
}
