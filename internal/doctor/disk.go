package doctor

import (
	"fmt"
	"strings"
)

// Disk is a file system as one machine sees it.
type Disk struct {
	Path   string `json:"path"`
	Magic  uint32 `json:"magic"` // statfs(2)
	Free   uint64 `json:"free_bytes"`
	NoExec bool   `json:"noexec,omitempty"`
}

// kind of a file system, and whether other machines see it too.
type kind struct {
	name   string
	shared bool
	alone  bool // never shared, as far as one can tell
}

// Kind is the file system's name, by the number that statfs gives.
func (d Disk) Kind() string { return d.kind().name }

func (d Disk) kind() kind {
	switch d.Magic {
	case 0x6969:
		return kind{name: "NFS", shared: true}
	case 0x0BD00BD0:
		return kind{name: "Lustre", shared: true}
	case 0x47504653:
		return kind{name: "GPFS", shared: true}
	case 0x19830326:
		return kind{name: "BeeGFS", shared: true}
	case 0x00C36400:
		return kind{name: "CephFS", shared: true}
	case 0xFF534D42, 0xFE534D42, 0x517B:
		return kind{name: "SMB", shared: true}
	case 0x5346414F:
		return kind{name: "AFS", shared: true}
	case 0xAAD7AAEA:
		return kind{name: "PanFS", shared: true}
	case 0x65735546:
		return kind{name: "FUSE"}
	case 0x01021994:
		return kind{name: "tmpfs", alone: true}
	case 0x858458F6:
		return kind{name: "ramfs", alone: true}
	case 0x794C7630:
		return kind{name: "overlay", alone: true}
	case 0xEF53:
		return kind{name: "ext4"}
	case 0x58465342:
		return kind{name: "XFS"}
	case 0x9123683E:
		return kind{name: "Btrfs"}
	case 0x2FC12FC1:
		return kind{name: "ZFS"}
	}
	return kind{name: fmt.Sprintf("a file system of type %#x", d.Magic)}
}

// meaning of a kind for who waits for files on it.
func (k kind) meaning() string {
	switch k.name {
	case "NFS":
		return "shared; a file of another machine may take a minute to be seen"
	case "Lustre", "GPFS", "BeeGFS", "CephFS", "PanFS":
		return "shared; files of other machines are seen at once"
	}
	if k.shared {
		return "shared"
	}
	return "a local disk, unless nodes mount it too"
}

// leastBytes that a run writes: logs, scripts, the agent, a trace.
const leastBytes = 1 << 30

// here is what can be seen without a node.
func (d *diagnosis) here(f Facts) {
	whither := "they go to the jobs in a file that only you can read"
	if f.Cloud == nil {
		d.base(f)
	} else {
		d.copied(f)
		whither = "until the run is over they are in the bucket, for whoever may read its objects"
	}
	if n := len(f.Spec.Server.Secrets); f.Secrets.What != "" {
		d.fail("secrets", f.Secrets.Remedy, "%s", f.Secrets.What)
	} else if n > 0 {
		d.ok("secrets", "%s set; %s", strings.Join(f.Spec.Server.Secrets, ", "), whither)
	}
	if f.Image != "" {
		d.warn("container", "name an image that the nodes see as site.container.image", "seen from here: %s", f.Image)
	}
}

func (d *diagnosis) base(f Facts) {
	b := f.Base
	if b == nil {
		d.fail("base", "name a folder that you can write to, and that nodes see, as base", "%s", f.BaseProblem)
		return
	}
	k := b.kind()
	temporary := b.Path == "/tmp" || strings.HasPrefix(b.Path, "/tmp/") || strings.HasPrefix(b.Path, "/var/tmp/")
	says := fmt.Sprintf("%s is %s, %s free", b.Path, k.name, bytesText(b.Free))
	const remedy = "name a folder on a shared file system as base"
	switch {
	case b.NoExec:
		d.fail("base", "name a folder on another file system as base: the jobs run the agent from there", "%s, mounted noexec", says)
	case b.Free < leastBytes:
		d.warn("base", "make room, or name another folder as base", "%s", says)
	case f.Scheduler == "local" || f.Job != nil && len(f.Job.Rounds) > 0: // a node does see it, whatever it is
		d.ok("base", "%s", says)
	case k.alone || temporary:
		d.warn("base", remedy, "%s, which nodes do not see as a rule", says)
	default:
		d.ok("base", "%s: %s", says, k.meaning())
	}
}

func (d *diagnosis) slots(f Facts) {
	need := f.Spec.TensorParallel * max(f.Spec.PipelineParallel, 1)
	if f.Spec.System == "GPU" && f.Slots < need {
		d.warn("gpus", "pass --slots to submit to pretend there are more, or ask for fewer with tensor_parallel",
			"this machine has %s, and a server takes %d", count(f.Slots, "slot"), need)
		return
	}
	d.ok("gpus", "%s here, a server takes %d", count(f.Slots, "slot"), need)
}

func bytesText(n uint64) string {
	switch {
	case n >= 2<<40:
		return fmt.Sprintf("%d TiB", n>>40)
	case n >= 2<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
