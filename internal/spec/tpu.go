package spec

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
