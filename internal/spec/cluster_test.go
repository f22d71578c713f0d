package spec

import "testing"

func TestWhatAClusterCannotDoIsRefusedAtItsKey(t *testing.T) {
	const onSlurm = minimal + "scheduler: slurm\n"
	for _, c := range []struct{ name, spec, want, hint string }{
		{"a pack of a local run", minimal + "site: {pack: gpus, gpus_per_node: 8}\n", "s:6:14: site.pack: only jobs of Slurm can do this", "write scheduler: slurm, or site.pack: off"},
		{"a local allocation", minimal + "site: {shape: one-job, gpus_per_node: 8}\n", "s:6:15: site.shape: only jobs of Slurm can do this", "write scheduler: slurm, or site.shape: jobs"},
		{
			"a local container", minimal + "site: {container: {runtime: apptainer, image: /v.sif}}\n",
			"s:6:29: site.container.runtime: only jobs of Slurm can do this", "write scheduler: slurm, or site.container.runtime: none",
		},
		{"a local scratch", minimal + "site: {scratch: /s}\n", "s:6:17: site.scratch: only jobs of Slurm can do this", `write scheduler: slurm, or site.scratch: ""`},
		{"a local collector", minimal + "site: {collector: {qos: a}}\n", "s:6:25: site.collector.qos: only on Slurm is the collector a job", "write scheduler: slurm, or leave the key out"},
		{"a pack of nodes of no size", onSlurm + "site: {pack: gpus}\n", "s:7:14: site.pack: needs to know how many GPUs a node has", "write site.gpus_per_node"},
		{"an allocation of nodes of no size", onSlurm + "site: {shape: one-job}\n", "s:7:15: site.shape: needs to know how many GPUs a node has", "write site.gpus_per_node"},
		{"a pack of servers on all CPUs", onSlurm + "system: CPU\nsite: {pack: exclusive}\n", "s:8:14: site.pack: deals out a node's GPUs, and no server takes any", "write pack: off"},
		{
			"a pack of GPUs that nobody asks for", onSlurm + "site: {pack: gpus, gpus_per_node: 8, gpu_style: none}\n",
			"s:7:14: site.pack: deals out a node's GPUs, and gpu_style: none does not ask Slurm for them", "write pack: off, or how Slurm is asked",
		},
		{
			"an allocation of servers on all CPUs", onSlurm + "system: CPU\nsite: {shape: one-job}\n",
			"s:8:15: site.shape: needs to know how many CPUs a server takes", "write site.cpus",
		},
		{
			"a pack of a server that fills nodes", onSlurm + "tensor_parallel: 16\nsite: {pack: gpus, gpus_per_node: 8}\n",
			"s:8:14: site.pack: a server takes 16 GPUs and a node has 8: it has an allocation of its own", "leave it out",
		},
		{
			"a pack of the script's method", onSlurm + "method: auto_tune\nsite: {pack: gpus, gpus_per_node: 8}\n",
			"s:8:14: site.pack: method auto_tune has one server at a time on its machine; beside others its numbers would not be the script's",
			"write pack: off, or method: vtune",
		},
		{
			"a part of a whole node", onSlurm + "site: {pack: gpus, gpus_per_node: 8, directives: {exclusive: }}\n",
			"s:7:62: site.directives.exclusive: takes the whole node, of which pack: gpus wants a part", "write pack: exclusive instead",
		},
		{
			"a local server of several nodes", minimal + "tensor_parallel: 16\nsite: {gpus_per_node: 8}\n",
			"s:6:18: tensor_parallel: a server of 16 GPUs spans nodes of 8, which takes scheduler slurm", "",
		},
		{
			"a server of a node and a half", onSlurm + "tensor_parallel: 4\npipeline_parallel: 3\nsite: {gpus_per_node: 8}\n",
			"s:8:20: pipeline_parallel: a server of 4 x 3 GPUs does not fill whole nodes of 8",
			"make tensor_parallel x pipeline_parallel a multiple of 8, and tensor_parallel at most 8 or a multiple of it",
		},
		{
			"a stage of a node and a half", onSlurm + "tensor_parallel: 12\npipeline_parallel: 2\nsite: {gpus_per_node: 8}\n",
			"s:8:20: pipeline_parallel: a server of 12 x 2 GPUs does not fill whole nodes of 8",
			"make tensor_parallel x pipeline_parallel a multiple of 8, and tensor_parallel at most 8 or a multiple of it",
		},
		{
			"nodes without an allocation", onSlurm + "site: {nodes: 2}\n", "s:7:15: site.nodes: only the allocation of shape one-job has nodes to count",
			"write shape: one-job, or leave it out: a server takes the nodes that it needs",
		},
		{
			"an allocation of servers that fill nodes", onSlurm + "tensor_parallel: 16\nsite: {shape: one-job, nodes: 4, gpus_per_node: 8}\n",
			"s:8:15: site.shape: a server takes 16 GPUs and a node has 8: it has an allocation of its own", "leave it out",
		},
		{"a container without an image", onSlurm + "site: {container: {runtime: pyxis}}\n", "s:7:29: site.container.runtime: has no image to run", "write site.container.image"},
		{
			"an image without a runtime", onSlurm + "site: {container: {image: /v.sif}}\n", "s:7:27: site.container.image: nothing is said to run it with",
			"write site.container.runtime: apptainer or pyxis",
		},
		{
			"an image in the home folder", onSlurm + "site: {container: {runtime: pyxis, image: ~/v.sqsh}}\n",
			`s:7:43: site.container.image: "~/v.sqsh": jobs run in another folder, and ~ is not expanded`, "write an absolute path",
		},
		{
			"a registry's image for apptainer", onSlurm + "site: {container: {runtime: apptainer, image: org/vllm}}\n",
			`s:7:47: site.container.image: "org/vllm" is neither an absolute path nor a URI`, "write /images/vllm.sif, or docker:// before an image of a registry",
		},
		{
			"containers of srun within steps", onSlurm + "site: {pack: gpus, gpus_per_node: 8, container: {runtime: pyxis, image: a}}\n",
			"s:7:59: site.container.runtime: starts its containers by srun, which cells side by side are started by themselves", "use apptainer, or a job for each cell",
		},
		{
			"a server of nodes in a container", onSlurm + "tensor_parallel: 16\nsite: {gpus_per_node: 8, container: {runtime: apptainer, image: /a}}\n",
			"s:8:47: site.container.runtime: a server over several nodes is started by srun, which a container does not have", "write site.container.runtime: none",
		},
		{
			"a scratch that sockets do not fit below", onSlurm + "site: {scratch: /234567890123456789012345678901234567890123456789012345678901}\n",
			"s:7:17: site.scratch: is longer than 59 bytes: the paths of sockets below it would not fit", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("s", []byte(c.spec))
			ps := problemsOf(t, err)
			if got := ps.Error(); got != c.want || ps[0].Hint != c.hint {
				t.Errorf("got  %s (%s)\nwant %s (%s)", got, ps[0].Hint, c.want, c.hint)
			}
		})
	}
}

func TestWhatAClusterCanDoIsTaken(t *testing.T) {
	for _, add := range []string{
		"tensor_parallel: 4\npipeline_parallel: 2\nsite: {pack: gpus, gpus_per_node: 8}\n",
		"tensor_parallel: 8\npipeline_parallel: 3\nsite: {gpus_per_node: 8}\n",
		"tensor_parallel: 8\nsite: {gpus_per_node: 8, shape: one-job, nodes: 2}\n",
		"tensor_parallel: 16\n",
		"system: CPU\ntensor_parallel: 16\nsite: {gpus_per_node: 8, shape: one-job, cpus: 4}\n",
		"site: {container: {runtime: none, image: /v.sif}}\n",
		"site: {container: {runtime: pyxis, image: org/image}, pack: off, directives: {exclusive: }}\n",
		"site: {container: {runtime: apptainer, image: \"docker://org/image\"}, pack: exclusive, gpus_per_node: 8, directives: {exclusive: }}\n",
		"method: auto_tune\nsite: {shape: one-job, gpus_per_node: 8}\n",
	} {
		if _, err := Parse("s", []byte(minimal+"scheduler: slurm\n"+add)); err != nil {
			t.Errorf("%s: %v", add, err)
		}
	}
}
