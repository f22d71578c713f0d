package spec

import (
	"fmt"
	"strings"

	"vtune/internal/spec/table"
	"vtune/internal/spec/word"
)

// Schedulers whose jobs can do what others' cannot.
const (
	slurm = "slurm"
	tpu   = "tpu"
)

// checkCluster: keys that only Slurm's jobs can follow, and what they need of each other.
func (d *decoder) checkCluster() {
	if !d.Sound("scheduler", "system", "tensor_parallel", "pipeline_parallel") {
		return
	}
	d.checkSchedulers()
	d.checkLocal()
	d.checkTPU()
	d.checkContainer()
	d.checkSize()
	d.checkSideBySide()
}

// at is Problem where a path was written, or else the first of others.
func (d *decoder) at(what, hint string, paths ...string) {
	for _, path := range paths {
		if n := d.seen[path]; n != nil {
			if d.Sound(path) {
				d.Problem(n, path, what, hint)
			}
			return
		}
	}
}

// checkSchedulers: what is written for another scheduler was written in the belief that it is this one. A site file may be for both.
func (d *decoder) checkSchedulers() {
	table.Walk(fields(), "", func(f field, path string) {
		if n := d.seen[path]; n != nil && d.Own(n) && ofOtherScheduler(f, d.spec) && d.Sound(path) {
			d.Problem(n, path, "only scheduler "+f.Scheduler+" knows this key", "leave it out, or write scheduler: "+f.Scheduler)
		}
	})
	const base = "base"
	s := d.spec
	if s.Scheduler != tpu {
		s.Site.TPU = TPU{}
		if word.InBucket(s.Base) {
			d.at("only scheduler tpu keeps its runs in a bucket", "write a path, or scheduler: tpu", base)
		}
	}
}

// checkLocal: partition and the like say nothing to the local scheduler and do no harm; without these a run would be another one.
func (d *decoder) checkLocal() {
	s := d.spec
	if s.Scheduler == slurm {
		return
	}
	for _, c := range []struct {
		path, off string
		asked     bool
	}{
		{"site.pack", "off", s.Site.Pack != "off"},
		{"site.shape", "jobs", s.Site.Shape != "jobs"},
		{"site.container.runtime", "none", s.Scheduler != tpu && s.Site.Container.Runtime != "none" && s.Site.Container.Runtime != docker},
		{"site.scratch", `""`, s.Site.Scratch != ""},
	} {
		if c.asked {
			d.at("only jobs of Slurm can do this", "write scheduler: slurm, or "+c.path+": "+c.off, c.path)
		}
	}
	for _, path := range []string{"site.collector.partition", "site.collector.account", "site.collector.qos"} {
		if n := d.seen[path]; n != nil && d.Own(n) && n.Value != "" {
			d.at("only on Slurm is the collector a job", "write scheduler: slurm, or leave the key out", path)
		}
	}
	s.Site.Collector = Collector{} // of a site file, which is for Slurm's runs too
}

// checkContainer: an image's own way to be named, and who starts what. A container has no srun, and one that srun starts inside a
// step would be given the node's GPUs and not the step's.
func (d *decoder) checkContainer() {
	const runtime, image = "site.container.runtime", "site.container.image"
	site := d.spec.Site
	c := site.Container
	if !d.Sound(runtime, image) {
		return
	}
	switch {
	case c.Runtime == docker && d.spec.Scheduler != tpu:
		d.at("begins containers on TPUs only", "write "+runtime+": apptainer or pyxis on Slurm", runtime)
	case d.spec.Scheduler == tpu && (c.Runtime == "apptainer" || c.Runtime == "pyxis"):
		d.at("a TPU's machine has docker", "write "+runtime+": docker, or none where vLLM is in the machine's system image", runtime)
	case c.Runtime != "none" && c.Image == "":
		d.at("has no image to run", "write "+image, runtime)
	case c.Image != "" && d.seen[runtime] == nil && d.spec.Scheduler == tpu:
		d.at("nothing is said to run it with", "write "+runtime+": docker", image)
	case c.Runtime == docker && (strings.HasPrefix(c.Image, "/") || strings.Contains(c.Image, "://") || strings.Contains(c.Image, "#")):
		d.at(fmt.Sprintf("%q is no image of a registry", c.Image), "write REPOSITORY:TAG, such as vllm/vllm-tpu:TAG", image)
	case c.Image != "" && d.seen[runtime] == nil:
		d.at("nothing is said to run it with", "write "+runtime+": apptainer or pyxis", image)
	case c.Runtime == "apptainer" && !strings.HasPrefix(c.Image, "/") && !strings.Contains(c.Image, "://"):
		d.at(fmt.Sprintf("%q is neither an absolute path nor a URI", c.Image), "write /images/vllm.sif, or docker:// before an image of a registry", image)
	}
	if server, has := d.accelerators(); c.Runtime != "none" && has > 0 && server > has {
		d.at("a server over several nodes is started by srun, which a container does not have", "write "+runtime+": none", runtime)
	}
	if c.Runtime == "pyxis" && (site.Pack != "off" || site.Shape != "jobs") {
		d.at("starts its containers by srun, which cells side by side are started by themselves", "use apptainer, or a job for each cell", runtime)
	}
}

// accelerators that one server takes, and how many of them a node has: 0 where that is not said, or plays no part.
func (d *decoder) accelerators() (server, node int) {
	s := d.spec
	if s.System == "CPU" || !d.Sound("site.gpus_per_node") {
		return 0, 0
	}
	return s.TensorParallel * s.PipelineParallel, s.Site.GPUsPerNode
}

// checkSize: vLLM shares the ranks of a server out evenly over its nodes.
func (d *decoder) checkSize() {
	const stages, ranks, node = "pipeline_parallel", "tensor_parallel", "site.gpus_per_node"
	s := d.spec
	server, has := d.accelerators()
	if has > 0 && server > has {
		switch {
		case s.Scheduler != slurm:
			d.at(fmt.Sprintf("a server of %d GPUs spans nodes of %d, which takes scheduler slurm", server, has), "", stages, ranks, node)
		case server%has != 0, s.TensorParallel > has && s.TensorParallel%has != 0:
			d.at(fmt.Sprintf("a server of %d x %d GPUs does not fill whole nodes of %d", s.TensorParallel, s.PipelineParallel, has),
				fmt.Sprintf("make tensor_parallel x pipeline_parallel a multiple of %d, and tensor_parallel at most %d or a multiple of it", has, has), stages, ranks, node)
		}
	}
	if s.Site.Shape == "jobs" && s.Site.Nodes > 1 {
		d.at("only the allocation of shape one-job has nodes to count", "write shape: one-job, or leave it out: a server takes the nodes that it needs", "site.nodes")
	}
}

// checkSideBySide: who shares nodes out must know what a node has.
func (d *decoder) checkSideBySide() {
	const pack, shape = "site.pack", "site.shape"
	s := d.spec
	packed := s.Site.Pack != "off"
	asked := pack
	if !packed {
		asked = shape
	}
	server, has := d.accelerators()
	if packed || s.Site.Shape == "one-job" {
		switch {
		case packed && s.System == "CPU":
			d.at("deals out a node's GPUs, and no server takes any", "write pack: off", pack)
		case packed && s.Site.GPUStyle == "none":
			d.at("deals out a node's GPUs, and gpu_style: none does not ask Slurm for them", "write pack: off, or how Slurm is asked", pack)
		case s.System == "CPU" && s.Site.CPUs == 0:
			d.at("needs to know how many CPUs a server takes", "write site.cpus", asked)
		case s.System != "CPU" && has == 0:
			d.at("needs to know how many GPUs a node has", "write site.gpus_per_node", asked)
		case server > has && s.System != "CPU":
			d.at(fmt.Sprintf("a server takes %d GPUs and a node has %d: it has an allocation of its own", server, has), "leave it out", asked)
		}
	}
	if packed && s.Method == MethodAutoTune {
		d.at("method auto_tune has one server at a time on its machine; beside others its numbers would not be the script's", "write pack: off, or method: vtune", pack)
	}
	if s.Site.Pack == "gpus" {
		d.at("takes the whole node, of which pack: gpus wants a part", "write pack: exclusive instead", "site.directives.exclusive")
	}
}
