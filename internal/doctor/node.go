package doctor

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"vtune/internal/spec"
)

// job is what a job that ran as the spec's jobs would says of its node.
func (d *diagnosis) job(s *spec.Spec, gpus int, j Job) {
	if !d.ran(s, j) {
		return
	}
	f := j.Findings
	d.shared(j)
	d.temp(*f)
	if gpus > 0 {
		d.gpus(*f, s, gpus)
	}
	d.container(*f, s)
	d.version(f.Version, s)
	d.model(f.Model, s)
}

// ran is whether there are findings. Where there are none it says why, as far as that is known.
func (d *diagnosis) ran(s *spec.Spec, j Job) bool {
	state := strings.Trim(j.State+", "+j.Reason, ", ")
	switch {
	case j.Skipped:
		d.warn("job", "mend what failed, and ask again", "none was submitted, since one would fail as well")
	case j.Refused != "" && j.Later:
		d.warn("job", "ask again when some of your jobs have ended", "%s", j.Refused)
	case j.Refused != "" && j.Unsure:
		d.fail("job", "ask again when the controller answers; a job that got through all the same ends by itself (squeue --me)", "%s", j.Refused)
	case j.Refused != "":
		d.fail("job", refused(j.Refused), "%s", j.Refused)
	case j.Findings != nil:
		d.ok("job", "%s ran on %s after %.0f s, with %s", j.ID, j.Findings.Host, j.Waited, count(j.Findings.CPUs, "CPU"))
		return true
	case !j.Started && !j.Over:
		d.warn("job", waiting(j.Reason), "%s waited %.0f s and was cancelled: %s", j.ID, j.Waited, state)
	case !j.Over:
		d.fail("job", "see its log: "+j.Folder, "%s ran, said nothing for too long, and was cancelled: %s", j.ID, state)
	case j.Greeting != nil:
		d.fail("job", "see its log: "+j.Folder, "%s ended before it was done: %s%s", j.ID, state, said(j))
	case j.Log != "":
		d.fail("job", logged(s, j), "%s did not get as far as the agent: %s%s", j.ID, state, said(j))
	default:
		d.fail("shared", "name a folder as base that the nodes share with this machine; the job's folder was "+j.Folder,
			"%s is over (%s) and nothing that it wrote is seen here", j.ID, state)
	}
	return false
}

// refused names the keys of a spec that a scheduler's words most likely mean.
func refused(words string) string {
	lower := strings.ToLower(words)
	for _, k := range []struct{ has, keys string }{
		{"account", "site.account and site.partition"},
		{"partition", "site.partition"},
		{"qos", "site.qos"},
		{"reservation", "site.reservation"},
		{"feature", "site.constraint"},
		{"generic resource", "site.gpu_style and site.gpu_type"},
		{"memory", "site.memory"},
		{"time limit", "site.time"},
		{"node configuration", "tensor_parallel, site.gpu_type and site.constraint"},
	} {
		if strings.Contains(lower, k.has) {
			return "see " + k.keys
		}
	}
	return "see site, and site.directives in particular"
}

func said(j Job) string {
	if j.Log == "" {
		return ""
	}
	return fmt.Sprintf("; its last line: %q", j.Log)
}

// waiting is what to do about a scheduler's reason to let a job wait.
func waiting(reason string) string {
	lower := strings.ToLower(reason)
	for _, k := range []struct{ has, remedy string }{
		{"partition", "see site.partition and site.time: the partition does not start such jobs now"},
		{"reqnode", "the nodes that fit are not there now; see sinfo -R"},
		{"unavailable", "the nodes that fit are not there now; see sinfo -R"},
		{"badconstraints", "see site.constraint: no node has what the job asks for"},
		{"assoc", "a limit of your account is reached; wait, or name another as site.account"},
		{"qos", "a limit of the QOS is reached; wait, or name another as site.qos"},
		{"held", "the job is held; ask the cluster's administrators"},
	} {
		if strings.Contains(lower, k.has) {
			return k.remedy
		}
	}
	return "ask again later, or wait longer with --wait"
}

// logged is what to do about a script that did not get as far as the agent.
func logged(s *spec.Spec, j Job) string {
	lower := strings.ToLower(j.Log)
	at := "; the log is in " + j.Folder
	switch {
	case strings.Contains(lower, "permission denied"):
		return "name a folder as base whose file system executes programs (no noexec)" + at
	case strings.Contains(lower, "site.scratch"):
		return "see site.scratch" + at
	case s.Site.Container.Runtime != "" && s.Site.Container.Runtime != "none":
		return "see site.container" + at
	case strings.Contains(lower, "module"):
		return "see site.modules" + at
	}
	return "see site.modules, site.environment and the templates" + at
}

// slowDelay is one after which a collector's usual patience of a minute gets short.
const slowDelay = 20 * time.Second

// skew that makes the times of nodes in a report hard to read. vtune itself compares no two clocks.
const skew = 10 * time.Second

func (d *diagnosis) shared(j Job) {
	f := *j.Findings
	switch {
	case j.Greeting == nil || len(j.Rounds) == 0 || f.Answered == 0:
		d.fail("shared", "the nodes' mount of base must show new files; ask the cluster's administrators (NFS: acdirmax, noac)",
			"files that were made here were not seen on %s", f.Host)
	default:
		here, there := Delays(*j.Greeting, j.Rounds)
		says := fmt.Sprintf("%s on %s; files of the node are seen here within %s, files from here there within %s",
			f.Dir.Kind(), f.Host, fraction(here), fraction(there))
		if max(here, there) > slowDelay {
			d.warn("shared", fmt.Sprintf("pass --grace %s to collect, so that late results are not given up", short(4*max(here, there))), "%s", says)
		} else {
			d.ok("shared", "%s", says)
		}
		low, high, _ := Clocks(j.Rounds)
		if says := fmt.Sprintf("the node's is between %s and %s ahead of this machine's", signed(low), signed(high)); low > skew || high < -skew {
			d.warn("clocks", "times of nodes in reports are off; the clocks should be set by NTP", "%s", says)
		} else {
			d.ok("clocks", "%s", says)
		}
	}
	if f.Claims != "" {
		d.fail("claims", "name a folder on another file system as base: two jobs could do one job's work", "%s", f.Claims)
	} else {
		d.ok("claims", "a folder can be made once only; fsync takes %.0f ms, rename %.1f ms", 1000*f.Fsync, 1000*f.Rename)
	}
}

func fraction(t time.Duration) string { return fmt.Sprintf("%.1f s", t.Seconds()) }
func signed(t time.Duration) string   { return fmt.Sprintf("%+.1f s", t.Seconds()) }

func (d *diagnosis) temp(f Findings) {
	switch {
	case f.TempProblem != "":
		d.fail("tmpdir", "set TMPDIR to a folder that jobs can write to, in site.environment", "%s", f.TempProblem)
	case f.Socket != "":
		d.fail("tmpdir", "set TMPDIR to a folder of a local disk, in site.environment: the server listens at a socket there", "%s", f.Socket)
	case f.Temp.Free < leastBytes:
		d.warn("tmpdir", "set TMPDIR to a folder with more room, in site.environment", "%s is %s, %s free", f.Temp.Path, f.Temp.Kind(), bytesText(f.Temp.Free))
	default:
		d.ok("tmpdir", "%s is %s, %s free, takes a socket", f.Temp.Path, f.Temp.Kind(), bytesText(f.Temp.Free))
	}
}

func (d *diagnosis) gpus(f Findings, s *spec.Spec, want int) {
	switch {
	case f.SMI == nil:
		where := "on " + f.Host
		if r := s.Site.Container.Runtime; r != "" && r != "none" {
			where = "in the container on " + f.Host
		}
		d.warn("gpus", "see that the job asks for GPUs (site.gpu_style), and that there is a driver", "there is no nvidia-smi %s%s", where, devices(f))
	case f.SMI.TimedOut:
		d.fail("gpus", "ask the cluster's administrators to look at the node", "nvidia-smi on %s does not answer", f.Host)
	case f.SMI.Exit != "":
		d.fail("gpus", "see that the job asks for GPUs (site.gpu_style), and that the node's driver is well", "nvidia-smi on %s ended with %s: %s", f.Host, f.SMI.Exit, f.SMI.Line)
	case len(f.GPUs) < want:
		d.fail("gpus", "see tensor_parallel and site.gpu_style", "%s on %s, and a server takes %d there", count(len(f.GPUs), "GPU"), f.Host, want)
	case len(f.GPUs) > want && f.Devices == "":
		d.warn("gpus", "jobs on one node may take the same GPUs; ask for whole nodes with site.directives: {exclusive: \"\"}",
			"%s, more than were asked for, and CUDA_VISIBLE_DEVICES does not say which are the job's", count(len(f.GPUs), "GPU"))
	default:
		g := f.GPUs[0]
		d.ok("gpus", "%d x %s, %s, driver %s%s", len(f.GPUs), g.Name, g.Memory, g.Driver, devices(f))
	}
}

func devices(f Findings) string {
	if f.Devices == "" {
		return ""
	}
	return ", CUDA_VISIBLE_DEVICES=" + f.Devices
}

func (d *diagnosis) container(f Findings, s *spec.Spec) {
	switch c := s.Site.Container; {
	case c.Runtime == "" || c.Runtime == "none":
	case c.Runtime == "apptainer" && f.Inside == "":
		d.fail("container", "use vtune's own templates, or let yours put apptainer before the agent", "the job does not run in %s", c.Image)
	case f.Inside != "":
		d.ok("container", "the job runs in %s", f.Inside)
	default:
		d.ok("container", "the job ran by %s with %s", c.Runtime, c.Image)
	}
}

var release = regexp.MustCompile(`\d+\.\d+\S*`)

func (d *diagnosis) version(o Output, s *spec.Spec) {
	command := strings.Join(s.Server.Command, " ")
	const remedy = "put vLLM on the job's PATH with site.modules or site.environment, or say what starts it as server.command"
	switch {
	case o.Missing:
		d.fail("vllm", remedy, "%s", o.Line)
	case o.TimedOut:
		d.warn("vllm", "see that its files are on a fast disk; server.start_timeout may be too short", "%s --version did not answer in %.0f s", command, o.Seconds)
	case o.Exit != "":
		d.fail("vllm", remedy, "%s --version ended with %s: %s", command, o.Exit, o.Line)
	case !release.MatchString(o.Line):
		d.warn("vllm", "see that server.command is vLLM's", "%s --version says %q", command, o.Line)
	default:
		d.ok("vllm", "%s, by %s --version in %.1f s", release.FindString(o.Line), command, o.Seconds)
	}
}

func (d *diagnosis) model(m Model, s *spec.Spec) {
	const cache = "set HF_HOME in server.environment, or download_dir, to where the model is"
	switch refused := m.Status == 401 || m.Status == 403; {
	case m.Local && m.Folder != "":
		d.ok("model", "%s has its config.json", m.Folder)
	case m.Local:
		d.fail("model", "name a folder that the nodes see as model", "%s has no config.json on the node", s.Model)
	case m.Folder != "" && m.Error != "":
		d.warn("model", "write HF_HUB_OFFLINE: \"1\" into server.environment, so that no start waits for the hub",
			"%s is in %s; the hub cannot be reached: %s", s.Model, m.Folder, m.Error)
	case m.Folder != "":
		d.ok("model", "%s is in %s", s.Model, m.Folder)
	case !m.Asked:
		d.fail("model", cache, "%s is in no cache, and HF_HUB_OFFLINE forbids to ask the hub", s.Model)
	case m.Error != "":
		d.fail("model", cache+"; or let nodes reach the hub (site.proxy)", "%s is in no cache, and the hub cannot be reached: %s", s.Model, m.Error)
	case refused && m.Token:
		d.fail("model", "accept the model's terms on the hub with the account of the token", "the hub refuses %s to the token (%d)", s.Model, m.Status)
	case refused:
		d.fail("model", "name a token: server.secrets: [HF_TOKEN]", "the hub refuses %s without a token (%d)", s.Model, m.Status)
	case m.Status >= 400:
		d.fail("model", "see the model's name", "the hub answers %d for %s", m.Status, s.Model)
	default:
		d.ok("model", "%s: the hub has it; it is in no cache yet", s.Model)
	}
}
