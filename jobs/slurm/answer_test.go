package slurm

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"vtune/jobs"
)

// exited is how exec reports a command that ran and did not succeed.
func exited(t *testing.T, how string) error {
	t.Helper()
	err := exec.Command("sh", "-c", how).Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%s: %v", how, err)
	}
	return err
}

func TestTheIDIsFoundAmongBanners(t *testing.T) {
	for stdout, want := range map[string]jobs.Handle{
		"17\n":                        {ID: "17"},
		"17;west\n":                   {ID: "17", Cluster: "west"},
		"Welcome!\n2 news\n\n 17 \n":  {ID: "17"},
		"99\nyour id is below\n17\n":  {ID: "17"},
		"17\nThank you for waiting\n": {ID: "17"},
	} {
		if got, ok := parseSubmitted(stdout); !ok || got != want {
			t.Errorf("%q: got %+v, %t", stdout, got, ok)
		}
	}
	for _, stdout := range []string{"", "\n", "Submitted batch job 17\n", "-1\n", "17;\n", "17 18\n", "１７\n"} {
		if got, ok := parseSubmitted(stdout); ok {
			t.Errorf("%q: got %+v", stdout, got)
		}
	}
}

func FuzzSubmittedID(f *testing.F) {
	f.Add("17;west\n")
	f.Add("banner\n17\n")
	f.Fuzz(func(t *testing.T, stdout string) {
		if h, ok := parseSubmitted(stdout); ok && (!isJobID(h.ID) || !strings.Contains(stdout, h.ID)) {
			t.Errorf("%q: got %+v", stdout, h)
		}
	})
}

func TestWhatAnAnswerOfSbatchMeans(t *testing.T) {
	const failed = "sbatch: error: Batch job submission failed: "
	one, usage, killed := exited(t, "exit 1"), exited(t, "exit 255"), exited(t, "kill -9 $$")
	for _, c := range []struct {
		name, stdout, stderr string
		err                  error
		ended                bool
		want                 error
	}{
		{"queued", "17\n", "", nil, false, nil},
		{"queued with noise", "17\n", "sbatch: error: MinJobAge 1 specified more than once, latest value used\n", nil, false, nil},
		{"partition", "", "sbatch: error: invalid partition specified: x\n" + failed + "Invalid partition name specified\n", one, false, jobs.ErrRefused},
		{"usage", "", "sbatch: error: Invalid --time specification\n", usage, false, jobs.ErrRefused},
		{"unknown option", "", "sbatch: unrecognized option '--x'\nTry \"sbatch --help\" for more information\n", usage, false, jobs.ErrRefused},
		{"no shebang", "", "sbatch: error: This does not look like a batch script.\n", one, false, jobs.ErrRefused},
		{"a site's own check", "", "sbatch: error: name a project with -A\n" + failed + "Unspecified error\n", one, false, jobs.ErrRefused},
		{"association's submit limit", "", "sbatch: error: AssocMaxSubmitJobLimit\n" + failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n", one, false, jobs.ErrBackpressure},
		{"QOS's submit limit", "", "sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n", one, false, jobs.ErrBackpressure},
		{"QOS's limit on a job", "", "sbatch: error: QOSMaxGRESPerJob\n" + failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n", one, false, jobs.ErrRefused},
		{"a limit without a name", "", failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n", one, false, jobs.ErrBackpressure},
		{"full controller", "", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n", killed, true, jobs.ErrBackpressure},
		{"down", "", failed + "Unable to contact slurm controller (connect failure)\n", one, false, jobs.ErrUnavailable},
		{"no configuration", "", "sbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source\n", one, false, jobs.ErrUnavailable},
		{"munge", "", "sbatch: error: If munged is up, restart with --num-threads=10\nsbatch: error: Munge encode failed: Failed to access \"x\"\n" + failed + "Protocol authentication error\n", one, false, jobs.ErrUnavailable},
		{"standby", "", failed + "Slurm backup controller in standby mode\n", one, false, jobs.ErrUnavailable},
		{"no sbatch", "", "", &exec.Error{Name: "sbatch", Err: exec.ErrNotFound}, false, jobs.ErrUnavailable},
		{"lost answer", "", failed + "Socket timed out on send/recv operation\n", one, false, jobs.ErrAmbiguous},
		{"cut off answer", "", failed + "Zero Bytes were transmitted or received\n", one, false, jobs.ErrAmbiguous},
		{"ended here", "", "", killed, true, jobs.ErrAmbiguous},
		{"killed by another", "", "", killed, false, jobs.ErrAmbiguous},
		{"killed after an error", "", "sbatch: error: a warning\n", killed, false, jobs.ErrAmbiguous},
		{"silent failure", "", "", one, false, jobs.ErrAmbiguous},
		{"no id", "", "", nil, false, jobs.ErrAmbiguous},
		{"an id and a failure", "17\n", "sbatch: error: x\n", one, false, jobs.ErrAmbiguous},
		{"unreadable id", "Submitted batch job 17\n", "", nil, false, jobs.ErrAmbiguous},
	} {
		h, err := submitted(result{"sbatch", c.stdout, c.stderr, c.err, c.ended})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if (c.want == nil) != (h.ID == "17") {
			t.Errorf("%s: got %+v", c.name, h)
		}
		if kinds := countKinds(err); c.want != nil && kinds != 1 {
			t.Errorf("%s: %v is of %d kinds", c.name, err, kinds)
		}
		for line := range strings.Lines(c.stderr) {
			words := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "sbatch: "), "error: "), "fatal: ")
			if err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v does not say %q", c.name, err, words)
			}
		}
	}
}

func countKinds(err error) (n int) {
	for _, kind := range []error{jobs.ErrRefused, jobs.ErrBackpressure, jobs.ErrUnavailable, jobs.ErrAmbiguous} {
		if errors.Is(err, kind) {
			n++
		}
	}
	return n
}

func FuzzAnAnswerIsOneOfThePortsKinds(f *testing.F) {
	f.Add("17\n", "", true, false)
	f.Add("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", false, false)
	f.Add("", "Job violates accounting/QOS policy (job submit limit", false, true)
	failure := errors.New("exit status 1")
	f.Fuzz(func(t *testing.T, stdout, stderr string, ok, ended bool) {
		r := result{"sbatch", stdout, stderr, failure, ended}
		if ok {
			r.err, r.ended = nil, false
		}
		h, err := submitted(r)
		if (err == nil) != (h != jobs.Handle{}) || err != nil && countKinds(err) != 1 {
			t.Errorf("%+v: got %+v, %v", r, h, err)
		}
	})
}

func TestCancellingWhatIsGoneIsNoError(t *testing.T) {
	one := exited(t, "exit 1")
	for _, c := range []struct {
		stderr string
		err    error
		ended  bool
		want   error
	}{
		{"", nil, false, nil},
		{"scancel: error: Kill job error on job id 17: Invalid job id specified\n", one, false, nil},
		{"scancel: error: Kill job error on job id 17: Job/step already completing or completed\n", one, false, nil},
		{"scancel: error: Kill job error on job id 17: Invalid job id specified\nscancel: error: Kill job error on job id 18: Access/permission denied\n", one, false, jobs.ErrRefused},
		{"scancel: error: slurm_kill_job2() failed Unable to contact slurm controller (connect failure)\n", one, false, jobs.ErrUnavailable},
		{"", one, true, jobs.ErrUnavailable},
	} {
		if err := cancelled(result{"scancel", "", c.stderr, c.err, c.ended}); !errors.Is(err, c.want) {
			t.Errorf("%q: got %v, want %v", c.stderr, err, c.want)
		}
	}
}

func TestOnlyIDsAreCancelledInPortions(t *testing.T) {
	var calls [][]string
	s := &Scheduler{run: func(_ context.Context, name string, args ...string) result {
		calls = append(calls, append([]string{name}, args...))
		return result{}
	}}
	var handles []jobs.Handle
	for i := range 150 {
		handles = append(handles, jobs.Handle{ID: fmt.Sprint(i + 1)})
	}
	if err := s.Cancel(t.Context(), append(handles, jobs.Handle{ID: "7", Cluster: "west"})); err != nil {
		t.Fatal(err)
	}
	sizes := map[int]bool{}
	for _, c := range calls {
		sizes[len(c)-1] = true
		if len(c) == 3 && c[1] != "--clusters=west" {
			t.Errorf("got %q", c)
		}
	}
	if len(calls) != 3 || !sizes[100] || !sizes[50] || !sizes[2] {
		t.Errorf("%d calls with %v arguments", len(calls), sizes)
	}
	for _, bad := range []string{"", "-u", "--me", "1 2", "1,2", "1_[0-5]", "vt-x", "1\n"} {
		calls = nil
		if err := s.Cancel(t.Context(), []jobs.Handle{{ID: "1"}, {ID: bad}}); err == nil || calls != nil {
			t.Errorf("%q: %v, %q", bad, err, calls)
		}
	}
}
