package jobs

import (
	"os"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Fate is how a job stands: of a whole allocation the scheduler's word, of a job in it what follows from that and the crew's word.
type Fate struct {
	Over   bool
	Cause  record.Cause // why it left no result, if it left none
	Word   string
	Reason string
	Exit   string // "code:signal"
}

// Words for the state of a crew's job, where the allocation's own word would mislead.
const (
	Waiting  = "WAITING"
	StepOver = "STEP OVER"
	Unbegun  = "NOT BEGUN"
)

// FateInCrew is the fate of job j, done within the step of job of, by the records and the fate of the crew's allocation.
func FateInCrew(dir record.Dir, crew string, of, j record.Job, whole Fate) Fate {
	var s record.Step
	var r record.Result
	step := &s
	if fsx.ReadJSON(dir.Step(of.ID), step) != nil {
		step = nil
	}
	_, begun := os.Stat(dir.CrewBegun(crew))
	_, claimed := os.Stat(string(dir.Attempt(of.Kind, of.Cell, of.Attempt)))
	stopped := fsx.ReadJSON(dir.Attempt(j.Kind, j.Cell, j.Attempt).Result(), &r) == nil && r.Cause == record.CauseStopped
	fate := whole.InCrew(step, begun == nil, claimed == nil, stopped)
	if fate.Word == Waiting {
		fate.Reason = "in " + crew
	}
	return fate
}

// InCrew is the fate of a job whose crew's allocation has the fate v. Step is what the crew says of the job (nil: nothing yet), begun
// whether the crew has begun its work at all, claimed whether the job's agent has, stopped whether that was told to end.
//
// A step's exit code is believed last: where a whole allocation is ended, srun exits with 0, whatever its tasks did.
func (v Fate) InCrew(step *record.Step, begun, claimed, stopped bool) Fate {
	switch {
	case step == nil && v.Over:
		// Who ended the allocation ended what it was for; anything else that befell it says nothing about a job that never began.
		if begun && v.Cause != record.CauseStopped {
			v.Cause, v.Word, v.Reason = record.CauseUnbegun, Unbegun, "its allocation ended before its turn ("+v.Word+")"
		}
	case step == nil:
		if begun {
			v.Word = Waiting
		}
	case step.Cancelled && step.Over():
		v.Over, v.Cause, v.Word, v.Exit = true, record.CauseStopped, "CANCELLED", step.ExitCode
	case step.Over() && step.Cause != record.CauseNone && !v.Over:
		v.Over, v.Word, v.Exit, v.Cause = true, StepOver, step.ExitCode, step.Cause
	case !step.Over(), stopped, v.Over && v.Cause != record.CauseNone && v.Cause != record.CauseAgent:
		// It lives, or it ended with the allocation, whose end says why.
	default:
		v.Over, v.Word, v.Exit, v.Cause = true, StepOver, step.ExitCode, record.CauseAgent
		switch {
		case step.ExitCode == "0:0":
			v.Cause = record.CauseNone
		case !claimed:
			v.Cause = record.CauseLaunch
		}
	}
	return v
}
