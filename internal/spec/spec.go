// Package spec is the user's language: one strict YAML file that says what to tune, where, and within which limit. It decodes,
// fills in defaults, validates, and takes over the variables of auto_tune.sh. It reads no cluster and decides no plan.
package spec

// Spec is a valid spec with every default filled in, as written to effective.yaml.
type Spec struct {
	Model            string   `yaml:"model"`
	System           string   `yaml:"system"` // GPU, TPU or CPU
	TensorParallel   int      `yaml:"tensor_parallel"`
	PipelineParallel int      `yaml:"pipeline_parallel"`
	DownloadDir      string   `yaml:"download_dir"`
	MaxModelLen      int      `yaml:"max_model_len"`
	Workload         Workload `yaml:"workload"`
	Limit            P99      `yaml:"limit"` // the short form; empty in a parsed spec, whose Limits hold it
	Limits           []Limit  `yaml:"limits"`
	GoodputPct       float64  `yaml:"goodput_pct"` // 0: each limit by its own percentile
	Grid             Grid     `yaml:"grid"`
	Base             string   `yaml:"base"` // results go to <base>/auto-benchmark/<time>; relative to the spec's folder, or gs://BUCKET/PATH
	Scheduler        string   `yaml:"scheduler"`
	Site             Site     `yaml:"site"`
	MaxChipHours     float64  `yaml:"max_chip_hours"` // that the run may cost at most without anybody being asked; 0: somebody is asked
	Server           Server   `yaml:"server"`
	Method           string   `yaml:"method"`
	Client           string   `yaml:"client"`
	Plan             string   `yaml:"plan"` // cells or columns; this and what follows up to Verify is empty under auto_tune
	Prune            string   `yaml:"prune"`
	Emulate          string   `yaml:"emulate"`
	Tolerance        float64  `yaml:"tolerance"`
	Test             Test     `yaml:"test"`
	Arrivals         Arrivals `yaml:"arrivals"`
	Verify           Verify   `yaml:"verify"` // in place of a search
	RateSearch       string   `yaml:"rate_search"`
	Profile          Profile  `yaml:"profile"`
	Outliers         string   `yaml:"outliers"` // mark or repeat
	Seed             int64    `yaml:"seed"`
}

// Workload is the shape of every request, in tokens.
type Workload struct {
	InputLen    int `yaml:"input_len"`
	OutputLen   int `yaml:"output_len"`
	CacheHitPct int `yaml:"cache_hit_pct"` // share of the input that is a prefix common to all requests
	VocabSize   int `yaml:"vocab_size"`    // 0: found in the model's tokenizer
}

// P99 is the limit that the script knows. Zero means that there is none.
type P99 struct {
	P99E2ELMS float64 `yaml:"p99_e2el_ms"`
}

// Limit is one SLO.
type Limit struct {
	Metric     string  `yaml:"metric"` // ttft, tpot, itl or e2el
	Percentile float64 `yaml:"percentile"`
	MS         float64 `yaml:"ms"`
}

// Test says how sure a verdict must be, and what it may cost.
type Test struct {
	Zone        float64 `yaml:"zone"`
	FalsePass   float64 `yaml:"false_pass"`
	FalseMiss   float64 `yaml:"false_miss"`
	MaxRequests int     `yaml:"max_requests"`
	MaxTime     string  `yaml:"max_time"`
}

// Arrivals of the open loop.
type Arrivals struct {
	Burstiness  string `yaml:"burstiness"` // a number, or constant
	LatencyFrom string `yaml:"latency_from"`
}

// Verify is a claim. A rate of zero means that there is none.
type Verify struct {
	Rate        float64 `yaml:"rate"`
	Duration    string  `yaml:"duration"`
	Utilization float64 `yaml:"gpu_memory_utilization"` // 0: what the probe finds
}

// Grid holds the axes; their product is the cells, max_num_seqs outermost.
type Grid struct {
	MaxNumSeqs          []int `yaml:"max_num_seqs"`
	MaxNumBatchedTokens []int `yaml:"max_num_batched_tokens"`
}

// Site is what a cluster wants to be told. Empty means: say nothing, let the scheduler's default hold.
type Site struct {
	Use         string            `yaml:"use"` // name of a site file whose keys hold where the spec says nothing
	Partition   string            `yaml:"partition"`
	Account     string            `yaml:"account"`
	QOS         string            `yaml:"qos"`
	Reservation string            `yaml:"reservation"` // Slurm's, or that of reserved TPUs
	Constraint  string            `yaml:"constraint"`
	Time        string            `yaml:"time"`   // Slurm's forms: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS
	Memory      string            `yaml:"memory"` // 64G, 512000M
	CPUs        int               `yaml:"cpus"`
	GPUStyle    string            `yaml:"gpu_style"` // gres, gpus-per-node, gpus or none
	GPUType     string            `yaml:"gpu_type"`
	GPUsPerNode int               `yaml:"gpus_per_node"` // 0: not said
	MaxParallel int               `yaml:"max_parallel"`  // cells at once; 0: no limit
	Pack        string            `yaml:"pack"`          // off, gpus or exclusive
	Shape       string            `yaml:"shape"`         // jobs or one-job
	Nodes       int               `yaml:"nodes"`         // of the allocation of shape one-job
	Collector   Collector         `yaml:"collector"`
	Container   Container         `yaml:"container"`
	Scratch     string            `yaml:"scratch"` // absolute path on a node, for caches; empty: none
	Proxy       string            `yaml:"proxy"`   // URL, for the way out of a node
	Modules     []string          `yaml:"modules"`
	Environment []string          `yaml:"environment"` // lines of bash, run before the agent
	Directives  map[string]string `yaml:"directives"`  // further sbatch options from an allow-list
	TPU         TPU               `yaml:",inline"`     // of scheduler tpu; its keys are keys of site
}

// Collector is where the links of a hands-free run's chain run; empty: as the run's jobs.
type Collector struct {
	Partition string `yaml:"partition"`
	Account   string `yaml:"account"`
	QOS       string `yaml:"qos"`
}

// Container is what the agent runs in.
type Container struct {
	Runtime string   `yaml:"runtime"` // none, apptainer, pyxis or docker
	Image   string   `yaml:"image"`
	Mounts  []string `yaml:"mounts"` // SRC or SRC:DST, with :ro at the end for read-only
	Options []string `yaml:"options"`
}

// Server says how vLLM is started.
type Server struct {
	Command      []string          `yaml:"command"` // a string is an executable, a list a prefix
	Flags        []string          `yaml:"flags"`
	Environment  map[string]string `yaml:"environment"`
	Secrets      []string          `yaml:"secrets"`      // names of variables copied from the submitter's environment into a 0600 file
	SecretsFile  string            `yaml:"secrets_file"` // a file of NAME=value lines that has those which the environment has not
	MultiNode    string            `yaml:"multi_node"`   // mp or ray: how a server spans several nodes, or hosts of a TPU slice
	StartTimeout string            `yaml:"start_timeout"`
	CacheRoot    string            `yaml:"cache_root"` // VLLM_CACHE_ROOT of the server
}

// Profile bounds the profiler's trace of the winner.
type Profile struct {
	With          string `yaml:"with"`           // confirm, own-start or none
	MaxIterations int    `yaml:"max_iterations"` // engine steps; 0: all of them
}
