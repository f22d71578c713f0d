package spec

import (
	"fmt"

	"vtune/internal/spec/slice"
	"vtune/internal/spec/word"
)

const docker = "docker"

// TPU is what Cloud TPU queued resources are asked for with. Its keys stand in the spec's site.
type TPU struct {
	Project         string `yaml:"project"`
	Zone            string `yaml:"zone"`
	AcceleratorType string `yaml:"accelerator_type"` // v6e-8; or else Accelerator and Topology
	Accelerator     string `yaml:"accelerator"`      // the API's type with a topology: V5LITE_POD, V6E
	Topology        string `yaml:"topology"`         // 2x4
	RuntimeVersion  string `yaml:"runtime_version"`  // v2-alpha-tpuv6e
	// At most one of these; none: on demand.
	Spot       bool `yaml:"spot"`
	Reserved   bool `yaml:"reserved"` // Site.Reservation names one
	Guaranteed bool `yaml:"guaranteed"`
	FlexStart  bool `yaml:"flex_start"` // v2alpha1 only

	Network        string            `yaml:"network"`
	Subnetwork     string            `yaml:"subnetwork"`
	ExternalIPs    bool              `yaml:"external_ips"`
	ServiceAccount string            `yaml:"service_account"` // email
	Labels         map[string]string `yaml:"labels"`
	ValidUntil     string            `yaml:"valid_until"`      // how long a request may wait: 6h
	MaxRunDuration string            `yaml:"max_run_duration"` // how long a machine may live: 4h
	// CellsPerResource is how many cells a machine is put out for; 1: each cell has its own.
	CellsPerResource int    `yaml:"cells_per_resource"`
	API              string `yaml:"api"` // v2 or v2alpha1
}

// String is what is asked for, as in: spot v6e-8 in us-east5-b.
func (t TPU) String() string {
	tier, shape := "on-demand", t.AcceleratorType
	for _, other := range t.tiers() {
		if other.asked {
			tier = other.key
		}
	}
	if shape == "" {
		shape = t.Accelerator + " " + t.Topology
	}
	return fmt.Sprintf("%s %s in %s", tier, shape, t.Zone)
}

// Slice is what each machine is; an error where no such slice is known.
func (t TPU) Slice() (slice.Slice, error) {
	return slice.Of(t.AcceleratorType, t.Accelerator, t.Topology)
}

type tier struct {
	key   string
	asked bool
}

func (t TPU) tiers() []tier {
	return []tier{{"spot", t.Spot}, {"reserved", t.Reserved}, {"guaranteed", t.Guaranteed}, {"flex_start", t.FlexStart}}
}

// tpuFields are the keys of a site that only scheduler tpu knows.
func tpuFields() []field {
	fs := []field{
		{Key: "project", Doc: "id of the project that pays", Value: word.Project(), At: func(s *Spec) any { return &s.Site.TPU.Project }, Sketch: "my-project"},
		{Key: "zone", Doc: "where the TPUs are", Value: word.Zone(), At: func(s *Spec) any { return &s.Site.TPU.Zone }, Sketch: "us-east5-b"},
		{Key: "accelerator_type", Doc: "kind and size of a slice; or else accelerator and topology", Value: word.AcceleratorType(),
			At: func(s *Spec) any { return &s.Site.TPU.AcceleratorType }, Sketch: "v6e-8"},
		{Key: "accelerator", Doc: "kind alone, as the API names it, with a topology", OneOf: []string{"V2", "V3", "V4", "V5LITE_POD", "V5P", "V6E"},
			At: func(s *Spec) any { return &s.Site.TPU.Accelerator }, Sketch: "V6E"},
		{Key: "topology", Doc: "chips along each side of a slice", Value: word.Topology(), At: func(s *Spec) any { return &s.Site.TPU.Topology }, Sketch: "2x4"},
		{Key: "runtime_version", Doc: "system image of the machine", Value: word.RuntimeVersion(),
			At: func(s *Spec) any { return &s.Site.TPU.RuntimeVersion }, Sketch: "v2-alpha-tpuv6e"},
		{Key: "spot", Doc: "cheaper, and may be taken away at any time", Default: "false", At: func(s *Spec) any { return &s.Site.TPU.Spot }},
		{Key: "reserved", Doc: "from a reservation, which the key reservation names", Default: "false", At: func(s *Spec) any { return &s.Site.TPU.Reserved }},
		{Key: "guaranteed", Doc: "waits for a machine that is not taken away", Default: "false", At: func(s *Spec) any { return &s.Site.TPU.Guaranteed }},
		{Key: "flex_start", Doc: "waits for one for max_run_duration; takes api: v2alpha1", Default: "false", At: func(s *Spec) any { return &s.Site.TPU.FlexStart }},
		{Key: "network", Doc: "name, or path of another project's; empty: the project's default", Value: word.Network(),
			At: func(s *Spec) any { return &s.Site.TPU.Network }, Sketch: "my-network"},
		{Key: "subnetwork", Doc: "name, or path of another project's; empty: the default", Value: word.Subnetwork(),
			At: func(s *Spec) any { return &s.Site.TPU.Subnetwork }, Sketch: "my-subnetwork"},
		{Key: "external_ips", Doc: "addresses of the machine's own; false: its network must have another way to the image and the model", Default: "true",
			At: func(s *Spec) any { return &s.Site.TPU.ExternalIPs }},
		{Key: "service_account", Doc: "email of whom the machine acts as in the bucket; empty: Compute Engine's default", Value: word.ServiceAccount(),
			At: func(s *Spec) any { return &s.Site.TPU.ServiceAccount }, Sketch: "tuner@my-project.iam.gserviceaccount.com"},
		{Key: "labels", Doc: "of the machines, beside vtune's own", Name: word.LabelName(), Value: word.LabelValue(),
			At: func(s *Spec) any { return &s.Site.TPU.Labels }, Sketch: "{team: serving}"},
		{Key: "valid_until", Doc: "how long a request may wait for its machine: 90m, 6h; empty: for ever", Value: word.Patience(),
			At: func(s *Spec) any { return &s.Site.TPU.ValidUntil }, Sketch: "6h"},
		// Four hours are some eight cells of half an hour each. What a machine that nobody collects from can cost is bounded by this.
		{Key: "max_run_duration", Doc: "how long a machine may live, whatever becomes of you: 90m, 4h", Default: "4h", Value: word.RunDuration(),
			At: func(s *Spec) any { return &s.Site.TPU.MaxRunDuration }},
		{Key: "cells_per_resource", Doc: "for how many cells a machine is put out; 1: each has its own", Default: "8", Min: 1,
			At: func(s *Spec) any { return &s.Site.TPU.CellsPerResource }},
		{Key: "api", Doc: "v2, or v2alpha1, which itself ends a machine after max_run_duration", Default: "v2", OneOf: []string{"v2", v2alpha1},
			At: func(s *Spec) any { return &s.Site.TPU.API }},
	}
	for i := range fs {
		fs[i].Scheduler = tpu
	}
	return fs
}

const v2alpha1 = "v2alpha1"

func systemOfScheduler(s *Spec) string {
	if s.Scheduler == tpu {
		return "TPU"
	}
	return "GPU"
}

// multiNodeOfScheduler: the hosts of a slice join by Ray.
func multiNodeOfScheduler(s *Spec) string {
	if s.Scheduler == tpu {
		return "ray"
	}
	return "mp"
}

// checkTPU: what a queued resource must be told, and what its machine cannot do.
func (d *decoder) checkTPU() {
	s := d.spec
	if s.Scheduler != tpu {
		return
	}
	if d.seen["system"] != nil && s.System != "TPU" {
		d.at("scheduler tpu has TPUs", "write system: TPU, or leave the key out", "system")
	}
	if !word.InBucket(s.Base) {
		d.needs("base", "", "the machines share no directory: write base: gs://BUCKET/PATH")
	}
	t := s.Site.TPU
	d.needs("site.project", t.Project, "write the id of the project that pays: gcloud config get project")
	d.needs("site.zone", t.Zone, "write where the TPUs are: gcloud compute tpus locations list")
	d.needs("site.runtime_version", t.RuntimeVersion, "write the system image, such as v2-alpha-tpuv6e for v6e, v2-alpha-tpuv5-lite for v5e")
	d.checkShape(t)
	d.checkTier(t)
	d.checkMachine()
}

// needs is a problem where value is empty: at the key if it is written, else at the scheduler that needs it.
func (d *decoder) needs(path, value, hint string) {
	if value != "" || !d.Sound(path) {
		return
	}
	if n := d.seen[path]; n != nil {
		d.Problem(n, path, "does not do for scheduler tpu", hint)
		return
	}
	d.Problem(d.seen["scheduler"], path, "is missing, which scheduler tpu needs", hint)
}

// checkShape: a slice is told by its type, or by its kind and topology.
func (d *decoder) checkShape(t TPU) {
	const short, kind, topology = "site.accelerator_type", "site.accelerator", "site.topology"
	switch {
	case !d.Sound(short, kind, topology):
	case t.AcceleratorType != "" && (t.Accelerator != "" || t.Topology != ""):
		d.at("stands beside accelerator or topology, which say the same", "keep accelerator_type, or the other two", short)
	case t.AcceleratorType == "" && t.Accelerator == "" && t.Topology == "":
		d.needs(short, "", "write accelerator_type: v6e-8, or accelerator: V6E with topology: 2x4")
	case t.AcceleratorType == "" && t.Topology == "":
		d.at("is no slice without a topology", "write "+topology+" too, or accelerator_type alone", kind)
	case t.AcceleratorType == "" && t.Accelerator == "":
		d.at("is no slice without the kind of TPU", "write "+kind+" too, or accelerator_type alone", topology)
	default:
		d.checkChips(t)
	}
}

// checkChips: a server has a slice to itself, of which it may leave chips idle.
func (d *decoder) checkChips(t TPU) {
	s := d.spec
	size, err := t.Slice()
	if err != nil {
		d.at(err.Error(), "", "site.accelerator_type", "site.topology")
		return
	}
	if n := s.TensorParallel * s.PipelineParallel; n > size.Chips {
		d.at(fmt.Sprintf("a server of %d chips does not fit a slice of %d", n, size.Chips), "write a larger slice, or fewer chips for the server",
			"tensor_parallel", "pipeline_parallel")
	}
	if n := d.seen["server.multi_node"]; n != nil && s.Server.MultiNode != "ray" && size.Hosts > 1 {
		d.at(fmt.Sprintf("the %d hosts of a slice join by Ray", size.Hosts), "write ray, or leave the key out", "server.multi_node")
	}
}

// checkTier: how a machine is come by, of which there is one way.
func (d *decoder) checkTier(t TPU) {
	first := ""
	for _, way := range t.tiers() {
		switch {
		case !way.asked:
		case first != "":
			d.at("stands beside "+first, "keep one; with none of them machines are on demand", "site."+way.key)
		default:
			first = way.key
		}
	}
	if t.FlexStart && t.API != v2alpha1 && d.Sound("site.api") {
		d.at("is not in version v2 of the API", "write site.api: v2alpha1", "site.flex_start")
	}
	if d.spec.Site.Reservation != "" && !t.Reserved && d.Sound("site.reserved") {
		d.at("is not used", "write site.reserved: true, or leave the key out", "site.reservation")
	}
}

// checkMachine: what comes with a cluster and not with a machine of one's own. pack, shape and scratch are among what only Slurm has.
func (d *decoder) checkMachine() {
	site := d.spec.Site
	if len(site.Modules) > 0 {
		d.at("a TPU's machine has no modules", "leave the key out; an image has what vLLM needs", "site.modules")
	}
	if site.Time != "" {
		d.at("a machine does many jobs, and it is the machine whose life is bounded", "write site.max_run_duration", "site.time")
	}
	if site.GPUsPerNode > 0 {
		d.at("a TPU's slice says by itself how many chips it has", "leave the key out", "site.gpus_per_node")
	}
	const most = 56 // of the 64 that a machine may have; the others are for vtune's own
	if n := len(site.TPU.Labels); n > most {
		d.at(fmt.Sprintf("has %d labels, more than %d", n, most), "", "site.labels")
	}
}
