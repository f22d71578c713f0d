package cli

import (
	"math"
	"testing"
)

func TestANodeIsAsSlowAsItIsTold(t *testing.T) {
	for _, c := range []struct {
		list, node string
		want       float64
	}{{"", "n1", 1}, {"n1=1.3", "n1", 1.3}, {"n1=1.3", "n11", 1}, {"n1=1.3,n2=2", "n2", 2}} {
		if got, err := slowness(c.list, c.node); err != nil || got != c.want {
			t.Errorf("%q on %s: %v, %v, want %v", c.list, c.node, got, err, c.want)
		}
	}
	for _, list := range []string{"n1", "n1=", "n1=0", "n1=-1", "n1=NaN", "n1=Inf", "n1=1.3;n2=2"} {
		if _, err := slowness(list, "other"); err == nil {
			t.Errorf("%q was taken", list)
		}
	}
}

func TestTheNodesNameIsSlurmsBeforeTheHosts(t *testing.T) {
	env := map[string]string{"SLURMD_NODENAME": "n7", "VLLM_SIM_SLOW": "n7=1.5"}
	if o, err := SimDefaults(func(name string) string { return env[name] }); err != nil || o.Slow != 1.5 {
		t.Errorf("%+v, %v", o, err)
	}
}

func FuzzSlowness(f *testing.F) {
	for _, s := range []string{"", "n1=1.3,n2=2", "n1", "=", "n1=1e999", ",,n1=1,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if x, err := slowness(list, "n1"); err == nil && (!(x > 0) || math.IsInf(x, 1)) {
			t.Fatalf("%q: %v", list, x)
		}
	})
}
