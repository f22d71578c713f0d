package crew

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"vtune/internal/aboard"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// StopSignal is how an order to end reaches a job's agent. It is not SIGTERM, because srun does not pass that on: it kills the step.
const StopSignal = syscall.SIGUSR1

// Srun starts jobs as steps of the Slurm allocation that it is in.
type Srun struct {
	Dir   record.Dir
	Order record.CrewOrder
	Env   []string // of the batch script
	Shell string   // runs the jobs' scripts
	SMT   bool     // a CPU may be half a core; steps are given whole ones
}

// Start implements Starter. A step whose share is not free yet waits in srun, which asks again by itself.
func (s Srun) Start(j record.Job) (Step, error) {
	log, err := os.OpenFile(s.Dir.JobLog(j.ID), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	argv := append(s.argv(), s.Shell, s.Dir.Script(j.ID))
	env := append(inner(s.Env), aboard.CrewVariable+"="+s.Order.Unit.ID, aboard.JobVariable+"="+j.ID)
	p, err := proc.Start(proc.Spec{Argv: argv, Env: env, Stdout: log, Stderr: log, DieWithCaller: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.ID, err)
	}
	return StepOf(p), nil
}

// argv asks for one job's share. --exact, or a step takes all of its node; all that the batch script's own variables would say is
// said here or taken out (see inner).
func (s Srun) argv() []string {
	argv := []string{
		"srun", "--exact", "--nodes=1", "--ntasks=1", "--cpus-per-task=" + strconv.Itoa(s.cpus()), "--cpu-bind=cores", "--export=ALL", "--input=none",
		"--job-name=" + s.Order.Unit.ID,
	}
	if s.Order.GPUs != "" {
		argv = append(argv, s.Order.GPUs)
	}
	return append(argv, s.memory()...)
}

func (s Srun) perNode() int { return s.Order.Unit.Crew.PerNode() }

// cpus of a step: more than its share, and steps would wait for each other.
func (s Srun) cpus() int {
	n := s.Order.CPUs
	if n == 0 {
		n = s.number("SLURM_CPUS_ON_NODE") / s.perNode()
	}
	if s.SMT {
		n -= n % 2 // rounded up by Slurm, all shares together would be more than there is
	}
	return max(n, 1)
}

// memory of a step. Where the allocation's is by CPU, a step has its CPUs' without asking; where it is by node, the first step would
// take all of it. 0 stands for what all steps have in common.
func (s Srun) memory() []string {
	switch {
	case s.Order.MemMB > 0:
		return []string{fmt.Sprintf("--mem=%dM", s.Order.MemMB)}
	case s.number("SLURM_MEM_PER_CPU") > 0:
		return nil
	}
	return []string{fmt.Sprintf("--mem=%dM", s.number("SLURM_MEM_PER_NODE")/s.perNode())}
}

func (s Srun) number(name string) int {
	for _, e := range s.Env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			n, _ := strconv.Atoi(value) // not a number: not said
			return n
		}
	}
	return 0
}

// inner is the environment for srun: what the batch step was told of itself srun would take for options of the new step, so all of
// it goes but the allocation's id and the way to the controller.
func inner(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		steers := strings.HasPrefix(name, "SLURM_") || strings.HasPrefix(name, "SLURMD_") || strings.HasPrefix(name, "SRUN_")
		if !steers || name == "SLURM_CONF" || name == "SLURM_JOB_ID" {
			kept = append(kept, e)
		}
	}
	return kept
}

// StepOf is the process that a job's script became as a step: an agent, or what hands on signals and exit code of one.
func StepOf(p *proc.Process) Step { return step{p} }

// step is, in Slurm, an srun under way. It forwards both signals to the step's processes and ends with the step's own exit code.
type step struct{ *proc.Process }

// Wait gives the death of a step by a signal as srun tells it, which is a shell's way, in a scheduler's way.
func (s step) Wait() string {
	exit := s.Process.Wait()
	if exit.Code > 128 {
		exit = proc.Exit{Signal: syscall.Signal(exit.Code - 128)}
	}
	return exit.String()
}

func (s step) Tell(cause record.Cause) error {
	sig := StopSignal
	if cause == record.CauseTimeLimit {
		sig = syscall.SIGUSR2
	}
	if err := s.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
