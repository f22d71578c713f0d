package record

import "time"

// Hardware is what a node is, as far as it says so itself. What does not answer is left out.
type Hardware struct {
	CPU    string `json:"cpu,omitempty"`   // model
	Cores  int    `json:"cores,omitempty"` // that the job may use
	Kernel string `json:"kernel,omitempty"`
	Driver string `json:"driver,omitempty"` // of the GPUs
	GPUs   []GPU  `json:"gpus,omitempty"`   // the job's own
}

// GPU is one accelerator at one moment. A zero is a zero, or not known: drivers and models differ in what they tell.
type GPU struct {
	Index       int     `json:"index"` // the driver's, on this node
	UUID        string  `json:"uuid,omitempty"`
	Name        string  `json:"name,omitempty"`
	PState      string  `json:"pstate,omitempty"`     // P0 is the fastest
	SM          float64 `json:"sm_mhz,omitempty"`     // clock
	MaxSM       float64 `json:"sm_max_mhz,omitempty"` // that it can be
	Memory      float64 `json:"memory_mhz,omitempty"` // clock
	Temperature float64 `json:"temperature_c,omitempty"`
	Power       float64 `json:"power_w,omitempty"`
	PowerLimit  float64 `json:"power_limit_w,omitempty"`
	MemoryMiB   float64 `json:"memory_mib,omitempty"`
	// Throttle are the reasons for which the clocks are not what was asked for; those that a driver has no word for in hexadecimal.
	Throttle []string `json:"throttle,omitempty"`
	// Uncorrected are errors of the memory that could not be corrected, since the driver was loaded.
	Uncorrected uint64 `json:"uncorrected_errors,omitempty"`
}

// The reasons of Throttle.
const (
	ThrottleIdle         = "idle"                      // nothing runs
	ThrottleApplications = "application clocks"        // somebody set them
	ThrottlePowerCap     = "power cap"                 // the power limit: usual under full load
	ThrottleHardware     = "hardware slowdown"         // one of the two below, or a change of clocks that is under way
	ThrottleSyncBoost    = "sync boost"                // clocks of a group that are kept equal
	ThrottleThermal      = "thermal slowdown"          // the driver, for heat
	ThrottleHotHardware  = "hardware thermal slowdown" // the GPU itself, for heat: half the clock or less
	ThrottlePowerBrake   = "power brake"               // the machine's power supply asked for it: half the clock or less
	ThrottleDisplay      = "display clocks"
)

// CheckLoad is the load of the self-check, the same in every cell of a run, one request at a time.
type CheckLoad struct {
	Requests  int `json:"requests"`
	InputLen  int `json:"input_len"`
	OutputLen int `json:"output_len"`
}

// Check is how fast a server answered the self-check, before its first load. Medians over its requests, in ms. One request alone
// hardly depends on what the cells of a run differ in, so that checks compare nodes.
type Check struct {
	Requests int       `json:"requests"` // that were answered
	TTFT     float64   `json:"ttft_ms"`  // of a prompt that fits into one step: compute
	TPOT     float64   `json:"tpot_ms"`  // memory traffic and launches
	Seconds  float64   `json:"seconds"`
	At       time.Time `json:"at"`
}

// Health is what an attempt learned of its node while it worked. Its file is published again when there is more, and does not wait
// for the attempt's end: what kills an attempt on a bad node must not take the reason along.
type Health struct {
	Schema int    `json:"schema"`
	Job    string `json:"job"`
	Node   string `json:"node"`
	Check  *Check `json:"check,omitempty"`
	// Loaded are the GPUs as they were under load, over all looks: lowest clocks, highest temperature and power, every reason.
	Loaded []GPU `json:"loaded,omitempty"`
}

// Repeat asks for a cell to be measured again. From is the first attempt that the repetition consists of; what earlier ones
// observed counts until it has observed something itself.
type Repeat struct {
	Schema int       `json:"schema"`
	Cell   string    `json:"cell"`
	From   int       `json:"from"`
	Avoid  []string  `json:"avoid,omitempty"` // nodes
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// NodeState is a node as a run met it. Times are those of its typical check: the median, of an even number the lower one.
type NodeState struct {
	Node   string   `json:"node"`
	GPUs   []string `json:"gpus,omitempty"`           // names, with how many of the kind the run met: "2 x NVIDIA H200"
	Memory float64  `json:"gpu_memory_mib,omitempty"` // of the smallest of them
	Driver string   `json:"driver,omitempty"`
	CPU    string   `json:"cpu,omitempty"`
	Kernel string   `json:"kernel,omitempty"`
	Checks int      `json:"checks"`
	TTFT   float64  `json:"ttft_ms,omitempty"`
	TPOT   float64  `json:"tpot_ms,omitempty"`
	// Slow says that the node is an outlier, and by how much its time is above the other nodes': 0.2 is a fifth.
	Slow      float64  `json:"slow,omitempty"`
	Throttled []string `json:"throttled,omitempty"` // what its GPUs said under load that makes them slow, or wrong
}
