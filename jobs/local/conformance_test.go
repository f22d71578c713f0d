package local

import (
	"testing"
	"time"

	"vtune/jobs/jobstest"
)

func TestTheLocalSchedulerKeepsThePromisesOfThePort(t *testing.T) {
	jobstest.Run(t, func(t *testing.T) jobstest.Env {
		p := newPool(t, 4, time.Second)
		return jobstest.Env{
			Scheduler: p, Dir: p.dir, Wait: patience, GPUs: 2, Together: 2, BadScript: []byte("echo no interpreter\n"),
			NoBegin: "the local scheduler starts what it can at once",
		}
	})
}
