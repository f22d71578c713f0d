package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vtune/internal/doctor"
	"vtune/jobs/tpu/tputest"
)

// The doctor looks at Google's cloud without asking it for anything, and says by its exit code whether a run would work.
func TestTheDoctorOnTPUs(t *testing.T) {
	t.Parallel()
	c := newCloud(t, tputest.Options{})
	examine := func(spec string, args ...string) (out string, code int) {
		x := exec.Command(filepath.Join(programs, "vtune"), append([]string{"doctor", spec}, args...)...)
		x.Env = c.env
		text, err := x.Output()
		if x.ProcessState == nil {
			t.Fatal(err)
		}
		return string(text), x.ProcessState.ExitCode()
	}
	out, code := examine(c.spec("cells_per_resource: 8"))
	if code != 0 || strings.Contains(out, "fail") || !regexp.MustCompile(`(?s)ok +credentials .*ok +api .*ok +zone .*ok +bucket .*ok +job +none is sent`).MatchString(out) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	out, code = examine(c.spec("cells_per_resource: 8"), "--json")
	var answer struct {
		Lines []doctor.Line
		Facts struct{ Cloud doctor.Cloud }
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || len(answer.Lines) == 0 || len(answer.Facts.Cloud.Types) == 0 || answer.Facts.Cloud.Bucket == nil {
		t.Errorf("%v, exit code %d\n%s", err, code, out)
	}
	if err := c.api.Down(); err != nil {
		t.Fatal(err)
	}
	if out, code = examine(c.spec("cells_per_resource: 8")); code != 10 || !regexp.MustCompile(`fail +api .*connection refused\n +remedy: `).MatchString(out) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if n := c.api.Count("POST", ""); n > 0 {
		t.Errorf("%d things were asked for", n)
	}
	c.nothingLeft()
}
