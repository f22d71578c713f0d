// Package slurm hands jobs to Slurm through its own commands: sbatch, squeue, sacct, scontrol, scancel. It is a
// jobs.Scheduler and no more: it keeps no record of what it submitted, never submits twice by itself, and cancels by id only.
// The commands, and not slurmrestd, because every site has them and they act as the user who calls; their text, and not --json,
// which scontrol and sacctmgr do not have in Slurm 22.05, which costs squeue twenty times the time, and which exits 0 when the
// controller is down.
//
// A listing costs one squeue and, where there is accounting, one sacct, whatever the number of jobs. scontrol show job is not
// asked in addition: it shows the controller's own records, the same that squeue -t all reads, and takes longer to say more.
// What neither knows is not listed: a job that the controller has forgotten after MinJobAge where there is no accounting, or one
// that it lost by being killed between an answer and its next checkpoint. With accounting that goes for jobs that never became
// eligible (a dependency was not satisfied, or the job was held), because the controller tells the accounts of no others; and
// for the tasks of an array that are cancelled one by one before they start, of which Slurm keeps no record anywhere.
package slurm

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/shell"
	"vtune/jobs"
)

// Config of a Scheduler. The zero value works.
type Config struct {
	// Env is what the commands and, through sbatch, the jobs get; nil: this process's environment. Variables that steer
	// Slurm's commands are taken out, save SLURM_CONF.
	Env []string
	// Timeout ends a command that does not answer; 0: a minute.
	Timeout time.Duration
	// History is how far back sacct is asked, where there is accounting; 0: 30 days.
	History time.Duration
	// Account, Partition and QOS are what the scripts ask for, to find the limits that hold for their jobs; empty: what Slurm
	// takes where a job names none.
	Account, Partition, QOS string
}

// Scheduler is Slurm as a jobs.Scheduler.
type Scheduler struct {
	run                     runner
	history                 time.Duration
	account, partition, qos string
	accounting              *bool // whether sacct has something to say; nil: not asked yet
}

// New is a Scheduler. It runs nothing yet.
func New(c Config) *Scheduler {
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.History == 0 {
		c.History = 30 * 24 * time.Hour
	}
	return &Scheduler{
		run: commands{env: scrub(c.Env), timeout: c.Timeout}.run, history: c.History,
		account: c.Account, partition: c.Partition, qos: c.QOS,
	}
}

// Capabilities implements jobs.Scheduler. Limits that cannot be read count as none: sbatch says when one is reached, and jobs can
// be submitted while the accounts are out of reach.
//
// An array counts with all its tasks, and one that is longer than the queue may be is never taken, so MaxArray is at most half of
// MaxSubmit: the other half is for what else is in the queue while it is submitted.
func (s *Scheduler) Capabilities(ctx context.Context) (jobs.Capabilities, error) {
	values, c, err := s.config(ctx)
	if err != nil {
		return jobs.Capabilities{}, err
	}
	caps := jobs.Capabilities{Dependencies: true, MaxArray: c.maxArray, Remembers: c.minJobAge}
	if !c.accounting {
		return caps, nil
	}
	caps.Remembers = 0
	var cluster Cluster
	cluster.configured(values)
	if cluster.limited() {
		s.partitions(ctx, &cluster)
		s.accounts(ctx, &cluster)
	}
	if caps.MaxSubmit = cluster.MaxSubmit(s.account, s.partition, s.qos); caps.MaxSubmit > 0 {
		caps.MaxArray = min(caps.MaxArray, max(caps.MaxSubmit/2, 1))
	}
	return caps, nil
}

// config asks the controller for its configuration. The exit code says nothing: it is 0 even when the controller is down.
func (s *Scheduler) config(ctx context.Context) (map[string]string, config, error) {
	r := s.run(ctx, "scontrol", "show", "config")
	values := settings(r.stdout)
	c, err := parseConfig(values)
	if err != nil {
		if r.failed() || r.words() != "" {
			return nil, config{}, r.unavailable()
		}
		return nil, config{}, fmt.Errorf("scontrol show config: %w", err)
	}
	s.accounting = &c.accounting
	return values, c, nil
}

// Submit implements jobs.Scheduler. What the protocol rests on goes as arguments, which neither the script nor the
// environment can override; the site's wishes are the script's.
func (s *Scheduler) Submit(ctx context.Context, r jobs.Request) (jobs.Handle, error) {
	args, err := submitArgs(r)
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("submit %s: %w: %w", r.Name, jobs.ErrRefused, err)
	}
	out := s.run(ctx, "sbatch", args...)
	h, err := submitted(out)
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("submit %s: %w", r.Name, err)
	}
	return h, nil
}

func submitArgs(r jobs.Request) ([]string, error) {
	if err := shell.Name(r.Name); err != nil {
		return nil, err
	}
	log, err := shell.Filename(r.Log)
	if r.Tasks > 0 {
		log, err = shell.TaskFilename(r.Log)
	}
	if err != nil {
		return nil, err
	}
	args := []string{
		"--parsable", "--job-name=" + r.Name, "--output=" + log, "--open-mode=append", "--chdir=" + r.WorkDir,
		"--no-requeue", "--kill-on-invalid-dep=yes",
	}
	if r.Tasks > 0 {
		array := fmt.Sprintf("--array=0-%d", r.Tasks-1)
		if r.Throttle > 0 {
			array += fmt.Sprintf("%%%d", r.Throttle)
		}
		args = append(args, array)
	}
	if len(r.After) > 0 {
		after, err := dependencies(r.After)
		if err != nil {
			return nil, err
		}
		args = append(args, "--dependency="+after)
	}
	if len(r.Exclude) > 0 {
		nodes, err := excluded(r)
		if err != nil {
			return nil, err
		}
		args = append(args, "--exclude="+nodes)
	}
	if r.Begin < 0 {
		return nil, fmt.Errorf("begins %s ago", -r.Begin)
	}
	if r.Begin > 0 {
		args = append(args, fmt.Sprintf("--begin=now+%d", (r.Begin+time.Second-1)/time.Second))
	}
	return append(args, r.Script), nil
}

func dependencies(ds []jobs.Dependency) (string, error) {
	terms := make([]string, len(ds))
	for i, d := range ds {
		if !isJobID(d.On.ID) {
			return "", fmt.Errorf("depends on %q, which is no job id", d.On.ID)
		}
		kind, known := afterWords()[d.When]
		if !known {
			return "", fmt.Errorf("depends on %s %q, which is no kind of dependency", d.On.ID, d.When)
		}
		terms[i] = kind + ":" + d.On.ID
		if d.Task >= 0 {
			terms[i] += "_" + strconv.Itoa(d.Task)
		}
	}
	return strings.Join(terms, ","), nil
}

// List implements jobs.Scheduler. Where there is accounting, sacct adds the jobs that the controller has forgotten.
func (s *Scheduler) List(ctx context.Context, run string) ([]jobs.Status, error) {
	if s.accounting == nil {
		if _, _, err := s.config(ctx); err != nil {
			return nil, fmt.Errorf("list the jobs of %s: %w", run, err)
		}
	}
	user := strconv.Itoa(os.Getuid())
	r := s.run(ctx, "squeue", "-t", "all", "-u", user, "-O", queueFormat())
	if r.failed() {
		return nil, fmt.Errorf("list the jobs of %s: %w", run, r.unavailable())
	}
	known, err := parseQueue(r.stdout, run)
	if err != nil || !*s.accounting {
		return known, err
	}
	since := fmt.Sprintf("now-%dhours", int(s.history.Hours()))
	if r = s.run(ctx, "sacct", "-X", "-n", "-P", "-u", user, "-S", since, "-o", accountFormat()); r.failed() {
		return nil, fmt.Errorf("list the jobs of %s: %w", run, r.unavailable())
	}
	forgotten, err := parseAccounts(r.stdout, run, user)
	if err != nil {
		return nil, err
	}
	return merge(known, forgotten, user), nil
}

// cancelAtOnce keeps a command line short and a request to the controller small.
const cancelAtOnce = 100

// Cancel implements jobs.Scheduler.
func (s *Scheduler) Cancel(ctx context.Context, handles []jobs.Handle) error {
	clusters := map[string][]string{}
	for _, h := range handles {
		if !isJobID(h.ID) {
			return fmt.Errorf("cancel %q: no job id", h.ID)
		}
		clusters[h.Cluster] = append(clusters[h.Cluster], h.ID)
	}
	for cluster, ids := range clusters {
		var where []string
		if cluster != "" {
			where = []string{"--clusters=" + cluster}
		}
		for chunk := range slices.Chunk(ids, cancelAtOnce) {
			if err := cancelled(s.run(ctx, "scancel", slices.Concat(where, chunk)...)); err != nil {
				return fmt.Errorf("cancel: %w", err)
			}
		}
	}
	return nil
}

// jobID is a job, an array or a task of an array, and nothing that scancel could take for an option or a range.
var jobID = regexp.MustCompile(`^[0-9]+(_[0-9]+)?$`)

func isJobID(s string) bool { return jobID.MatchString(s) }
