package templates

import (
	"fmt"

	"vtune/internal/deploy"
	"vtune/internal/record"
	"vtune/internal/spec"
)

// View is all a template sees: plain values, nothing that acts. It is a struct, so that a misspelt field is an error.
type View struct {
	Run     string // run id
	Name    string // the scheduler's name for the job: record.JobName
	RunDir  string
	Agent   string // path of the agent's executable
	Log     string // path of the script's own stdout and stderr; an array's ends in .%a, which Slurm makes the task's number
	Secrets string // path of a 0600 file that exports variables; empty: none
	System  string // what the server runs on: GPU, TPU or CPU
	// SecretNames are the variables of Secrets, Folders those outside the run that the server writes to: a container is told of both.
	SecretNames, Folders []string
	Site                 spec.Site
	Resources            record.Resources
	// SignalLead is how many seconds before its time limit the agent is told; 0: not at all.
	SignalLead int

	// Of a job, not of an array:
	Assignment string // path
	// ServerCommand and BenchCommand are shown in a comment, for a person who wants to run by hand what the agent runs.
	ServerCommand []string
	BenchCommand  []string

	// Of a link of the chain that collects:
	Link int // its number, from 1

	// Of an array:
	Tasks     int    // indices are 0..Tasks-1
	Throttle  int    // at most so many at once; 0: no limit
	TasksFile string // path; line i+1 is the id of task i's job
	JobsDir   string // the folder that holds <id>/script and <id>/log of every job

	// Of a machine of Cloud TPU:
	Machine Machine

	// Of what serves the winner:
	Comments []string // what is known of it, each one line
	Serve    []string // the server's command line, but for its address; of a job of Slurm
	Kube     deploy.Kube

	// Of a crew; Site and Resources are then those of the whole allocation, on each node.
	Crew Crew
}

// Crew is the allocation of a crew; without nodes there is none.
type Crew struct {
	Order     string // path: what the crew is to do
	Nodes     int
	Tasks     int // on each node, so that there are CPUs for all jobs at once
	Slots     int // jobs at once
	Exclusive bool
}

// NodeCount is how many nodes the job takes.
func (v View) NodeCount() int { return max(1, v.Resources.Nodes) }

// GPUStyle is the option that asks for GPUs. The total that gpus asks for is spread over several nodes as Slurm likes, 8 and 4 for
// 12 on two; a server needs as many on each.
func (v View) GPUStyle() string {
	if v.NodeCount() > 1 && v.Site.GPUStyle == "gpus" {
		return "gpus-per-node"
	}
	return v.Site.GPUStyle
}

// Signal is what a job is sent before its time limit. The agent waits for SIGUSR2. A server takes that for its death, and ends by itself
// on SIGINT, which srun passes on, where of SIGTERM it makes SIGKILL.
func (v View) Signal() string {
	if len(v.Serve) > 0 {
		return "INT"
	}
	return "USR2"
}

// LastTask is the highest index of the array.
func (v View) LastTask() int { return v.Tasks - 1 }

// Limit is the throttle as Slurm's --array writes it.
func (v View) Limit() string {
	if v.Throttle <= 0 {
		return ""
	}
	return fmt.Sprintf("%%%d", v.Throttle)
}

// samples are what the template of a script is tried on when it is loaded: with everything, and with as little as there can be.
func samples(script string) []View {
	least := View{
		Run: "2026_11_23_10_30", Name: "vt-2026_11_23_10_30-s8-t512-1", RunDir: "/base/run", Agent: "/base/run/bin/vtune",
		Log: "/base/run/jobs/s8-t512-1/log", Assignment: "/base/run/jobs/s8-t512-1/assignment.json", Link: 1,
		Tasks: 1, TasksFile: "/base/run/jobs/cells/tasks", JobsDir: "/base/run/jobs", Crew: Crew{Order: "/base/run/jobs/pack-1/crew.json"},
	}
	most := least
	most.Secrets, most.SignalLead, most.Tasks, most.Throttle = "/base/run/secrets.env", 120, 4, 2
	most.ServerCommand, most.BenchCommand = []string{"vllm", "serve", "model"}, []string{"vllm", "bench", "serve"}
	most.Resources = record.Resources{GPUs: 2, Nodes: 2, CPUs: 8, MemMB: 65536, Seconds: 7200}
	most.System, most.SecretNames, most.Folders = "GPU", []string{"TOKEN"}, []string{"/models"}
	most.Site = spec.Site{
		Scratch: "/scratch", Proxy: "http://proxy:3128",
		Partition: "gpu", Account: "team", QOS: "high", Reservation: "week", Constraint: "h200", Time: "2:00:00", Memory: "64G", CPUs: 8,
		GPUStyle: "gres", GPUType: "h200", MaxParallel: 2, Modules: []string{"cuda"}, Environment: []string{"export A=b"},
		Directives: map[string]string{"comment": "a note", "exclusive": ""},
	}
	if onMachine(script) {
		return machines(least, most)
	}
	if script == SlurmServe || script == Kubernetes {
		least.Serve, most.Serve = []string{"vllm", "serve", "model"}, []string{"env", "A=b", "vllm", "serve", "model"}
		most.Comments, most.Kube = []string{"a comment"}, deploy.SampleKube()
	}
	crew := most
	crew.Crew = Crew{Order: least.Crew.Order, Nodes: 2, Tasks: 4, Slots: 8, Exclusive: true}
	contained, nodes := most, most
	contained.Site.Container = spec.Container{Runtime: "apptainer", Image: "/image.sif"}
	nodes.Resources.Nodes = 2
	return []View{most, least, contained, nodes, crew}
}
