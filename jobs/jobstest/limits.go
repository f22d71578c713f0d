package jobstest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
)

func testCancel(b *bench) {
	kept := b.submit(b.request("kept", until("go")))
	running := b.submit(b.request("running", "touch started\n"+until("never")))
	ended := []jobs.Handle{running}
	if b.NoDependencies == "" {
		ended = append(ended, b.submit(b.request("waiting", "touch waiting-ran"), on(kept, record.AfterOK)))
	}
	b.awaitFile("started")
	for range 2 { // the second time they are going or gone
		if err := b.Scheduler.Cancel(b.Context(), ended); err != nil {
			b.Fatal(err)
		}
	}
	for _, h := range ended {
		if st := b.awaitEnd(h, 1)[-1]; st.State != jobs.Cancelled {
			b.Errorf("the cancelled job is %+v", st)
		}
	}
	b.write(b.path("go"), nil)
	if st := b.awaitEnd(kept, 1)[-1]; st.State != jobs.Completed {
		b.Errorf("the other job is %+v", st)
	}
	if b.exists("waiting-ran") {
		b.Error("a job ran after it was cancelled")
	}
}

func testCancelNothing(b *bench) {
	done := b.submit(b.request("done", "true"))
	b.awaitEnd(done, 1)
	for what, handles := range map[string][]jobs.Handle{
		"no jobs": nil, "a finished job": {done}, "an unknown job": {{ID: "99999999"}},
	} {
		if err := b.Scheduler.Cancel(b.Context(), handles); err != nil {
			b.Errorf("%s: %v", what, err)
		}
	}
	if st := b.statuses(done)[-1]; st.State != jobs.Completed {
		b.Errorf("the finished job has become %+v", st)
	}
}

// testGPUs fills the scheduler with jobs that hold GPUs and submits one more. Each leaves a file named after its node and its
// GPUs, so two jobs with the same ones would leave one file.
func testGPUs(b *bench) {
	if b.Together == 0 {
		b.Log("this scheduler deals out no GPUs")
		return
	}
	body := `touch "gpus/$CUDA_VISIBLE_DEVICES-$(basename "$PWD")-$UNIT"; ` + until("go")
	b.write(b.path("gpus/.keep"), nil)
	var handles []jobs.Handle
	for i := range b.Together + 1 {
		unit := fmt.Sprintf("gpu-%d", i)
		handles = append(handles, b.submit(b.requestFor(unit, strings.ReplaceAll(body, "$UNIT", unit), record.Resources{GPUs: b.GPUs})))
	}
	holders := func() (held int) {
		for _, h := range handles {
			if b.statuses(h)[-1].State == jobs.Running {
				held++
			}
		}
		return held
	}
	started := func() int { return len(b.files("gpus")) - 1 }
	b.await("as many jobs as there are GPUs for", func() bool { return holders() >= b.Together && started() >= b.Together })
	if n := holders(); n != b.Together {
		b.Errorf("%d jobs of %d GPUs run at once, there are GPUs for %d", n, b.GPUs, b.Together)
	}
	taken := map[string]string{}
	for i, h := range handles {
		st := b.statuses(h)[-1]
		if st.State != jobs.Running {
			continue
		}
		for _, gpu := range b.gpusOf(fmt.Sprintf("gpu-%d", i)) {
			key := st.Node + " GPU " + gpu
			if other, ok := taken[key]; ok {
				b.Errorf("%s and %s share %s", other, st.Name, key)
			}
			taken[key] = st.Name
		}
	}
	if len(taken) != b.Together*b.GPUs {
		b.Errorf("%d GPUs are in use, want %d: %v", len(taken), b.Together*b.GPUs, taken)
	}
	b.write(b.path("go"), nil)
	for _, h := range handles {
		if st := b.awaitEnd(h, 1)[-1]; st.State != jobs.Completed {
			b.Errorf("got %+v", st)
		}
	}
}

// gpusOf are the devices that a job found visible.
func (b *bench) gpusOf(unit string) []string {
	for _, name := range b.files("gpus") {
		if devices, ok := strings.CutSuffix(name, "-"+b.run+"-"+unit); ok && devices != "" {
			return strings.Split(devices, ",")
		}
	}
	return nil
}

func testTimeLimit(b *bench) {
	if b.NoTimeLimit != "" {
		b.Log(b.NoTimeLimit)
		return
	}
	h := b.submit(b.requestFor("long", until("never"), record.Resources{Seconds: 1}))
	if st := b.awaitEnd(h, 1)[-1]; st.State != jobs.TimedOut {
		b.Errorf("got %+v", st)
	}
}

func testExclude(b *bench) {
	if len(b.Nodes) == 0 {
		b.Log("this scheduler has no nodes to choose from")
		return
	}
	for i, node := range b.Nodes[:2] { // one after the other is the only one left, so that neither is the default
		r := b.request(fmt.Sprintf("job-%d", i), "true")
		for _, other := range b.Nodes {
			if other != node {
				r.Exclude = append(r.Exclude, other)
			}
		}
		if st := b.awaitEnd(b.submit(r), 1)[-1]; st.State != jobs.Completed || st.Node != node {
			b.Errorf("all nodes but %s are excluded: %+v", node, st)
		}
	}
}

func testBegin(b *bench) {
	later := b.request("later", "touch later-ran")
	later.Begin = time.Hour
	if b.NoBegin != "" {
		if _, err := b.Scheduler.Submit(b.Context(), later); !errors.Is(err, jobs.ErrRefused) {
			b.Errorf("%s, but: %v", b.NoBegin, err)
		}
		if all := b.list(); len(all) != 0 {
			b.Errorf("it is listed: %+v", all)
		}
		return
	}
	h := b.submit(later)
	soon := b.request("soon", "date +%s >began")
	soon.Begin = 2 * time.Second
	before := b.submit(b.request("now", "date +%s >now"))
	b.awaitEnd(before, 1)
	if st := b.awaitEnd(b.submit(soon), 1)[-1]; st.State != jobs.Completed {
		b.Errorf("the job that begins soon is %+v", st)
	}
	now, began := b.seconds("now"), b.seconds("began")
	if began-now < 2 {
		b.Errorf("it began at %d, not two seconds after %d", began, now)
	}
	if st := b.statuses(h)[-1]; st.State != jobs.Pending || b.exists("later-ran") {
		b.Errorf("the job that begins in an hour is %+v", st)
	}
}

func (b *bench) seconds(name string) int {
	b.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(b.text(name)))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func testRestarts(b *bench) {
	if b.Requeue == nil {
		b.Log("this scheduler never puts a job back into the queue")
		return
	}
	h := b.submit(b.request("again", "touch began; "+until("never")))
	if st := b.awaitState(h, jobs.Running); st.Restarts != 0 {
		b.Errorf("at its first start it is %+v", st)
	}
	b.awaitFile("began")
	b.Requeue(h)
	if st := b.awaitState(h, jobs.Pending); st.Restarts != 1 || !st.Started.IsZero() {
		b.Errorf("put back into the queue, it is %+v", st)
	}
}
