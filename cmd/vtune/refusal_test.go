package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the cluster will never take is said in the cluster's own words, with the line of the spec, or of its site file, that asked
// for it. Once the line is mended, the same command goes on.
func TestARefusalNamesTheLineThatCausedIt(t *testing.T) {
	t.Parallel()
	c := startAccounts(t)
	sites := t.TempDir()
	if err := os.WriteFile(filepath.Join(sites, "here.yaml"), []byte("# a site\npartition: gpu\nqos: best\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(c.env, "VTUNE_SITES="+sites)
	base := fmt.Sprintf(walkSpec, "slurm", "in-job")
	for _, r := range []struct{ site, words, line string }{
		{"partition: nosuch", "Invalid partition name specified", "spec.yaml:13:14: site.partition"},
		{"account: nosuch", "Invalid account or account/partition combination specified", "spec.yaml:13:12: site.account"},
		{"use: here", "Invalid qos specification", "here.yaml:3:6: site.qos"},
		{"constraint: gold", "Invalid feature specification", "spec.yaml:13:15: site.constraint"},
		{"memory: 9999G", "Memory specification can not be satisfied", "spec.yaml:13:11: site.memory"},
		{"gpu_type: a100", "Requested node configuration is not available", "spec.yaml:13:13: site.gpu_type"},
	} {
		spec := writeSpec(t, base+"site:\n  "+r.site+"\n")
		x := exec.Command(filepath.Join(programs, "vtune"), "submit", spec)
		x.Env = env
		out, _ := x.CombinedOutput()
		if x.ProcessState.ExitCode() != 4 || !bytes.Contains(out, []byte(r.words)) || !bytes.Contains(out, []byte(r.line)) {
			t.Errorf("%s: exit code %d\n%s", r.site, x.ProcessState.ExitCode(), out)
		}
		if n := strings.TrimSpace(slurm(t, c.env, "squeue", "-h")); n != "" {
			t.Errorf("%s: in the queue: %s", r.site, n)
		}
	}
}
