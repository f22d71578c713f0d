package hardware

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// watch of a node whose nvidia-smi is the fake of testdata, in the given play.
func watch(t *testing.T, play string, env ...string) *Watch {
	t.Helper()
	bin, err := filepath.Abs("testdata/bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return &Watch{
		Path: filepath.Join(t.TempDir(), "health.json"), Job: "s1-t1-1", Node: "n1", Env: append(append(os.Environ(), "FAKE_SMI="+play), env...),
		Dir: t.TempDir(), Say: func(err error) { t.Error(err) },
	}
}

func TestANodeSaysWhatItIs(t *testing.T) {
	h := watch(t, "").Look(t.Context())
	want := record.GPU{
		Index: 0, UUID: "GPU-fake0000-0000-0000-0000-000000000000", Name: "NVIDIA H200 (fake)", PState: "P0", SM: 345, MaxSM: 1980, Memory: 3201,
		Temperature: 32, Power: 76.24, PowerLimit: 700, MemoryMiB: 143771, Throttle: []string{record.ThrottleIdle},
	}
	if len(h.GPUs) != 2 || !equal(h.GPUs[0], want) || h.Driver != "580.159.04" {
		t.Errorf("%+v", h)
	}
	if h.GPUs[1].PowerLimit != 0 {
		t.Errorf("[N/A] became %v", h.GPUs[1].PowerLimit)
	}
	if h.Cores < 1 || h.Kernel == "" {
		t.Errorf("%+v", h)
	}
}

func equal(a, b record.GPU) bool {
	same := slices.Equal(a.Throttle, b.Throttle)
	a.Throttle, b.Throttle = nil, nil
	return same && a.UUID == b.UUID && a.Index == b.Index && a.Name == b.Name && a.PState == b.PState && a.SM == b.SM && a.MaxSM == b.MaxSM &&
		a.Memory == b.Memory && a.Temperature == b.Temperature && a.Power == b.Power && a.PowerLimit == b.PowerLimit &&
		a.MemoryMiB == b.MemoryMiB && a.Uncorrected == b.Uncorrected
}

func TestAFieldThatADriverDoesNotKnowCostsThatFieldOnly(t *testing.T) {
	h := watch(t, "old").Look(t.Context())
	if len(h.GPUs) != 2 || h.GPUs[1].MemoryMiB != 143771 || !slices.Equal(h.GPUs[1].Throttle, []string{record.ThrottleIdle}) {
		t.Errorf("%+v", h)
	}
}

func TestAGPUThatIsLostIsNoGPU(t *testing.T) {
	if h := watch(t, "gone").Look(t.Context()); len(h.GPUs) != 0 {
		t.Errorf("%+v", h)
	}
}

func TestANodeThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	w := watch(t, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if h := w.Look(ctx); len(h.GPUs) != 0 || h.Kernel == "" || time.Since(began) > 5*time.Second {
		t.Errorf("%+v after %v", h, time.Since(began))
	}
}

func TestWithoutTheProgramThereAreNoGPUs(t *testing.T) {
	w := watch(t, "")
	t.Setenv("PATH", t.TempDir())
	if h := w.Look(t.Context()); len(h.GPUs) != 0 || h.Driver != "" || h.Cores < 1 {
		t.Errorf("%+v", h)
	}
	w.Loaded(t.Context(), 0)()
	if _, err := os.Stat(w.Path); err == nil {
		t.Error("there is a record of nothing")
	}
}

// What was seen under load stands in the record at once, the worst of all looks, beside what was known before.
func TestTheRecordGrowsWithWhatIsSeenUnderLoad(t *testing.T) {
	w := watch(t, "", "CUDA_VISIBLE_DEVICES=1")
	if h := w.Look(t.Context()); len(h.GPUs) != 1 || h.GPUs[0].Index != 1 {
		t.Fatalf("%+v", h)
	}
	w.Checked(record.Check{Requests: 8, TPOT: 6})
	look := func() record.Health {
		t.Helper()
		before, _ := os.ReadFile(w.Path)
		over := w.Loaded(t.Context(), 0)
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if now, err := os.ReadFile(w.Path); err == nil && string(now) != string(before) {
				break
			}
			if time.Now().After(end) {
				t.Fatal("nothing more was recorded")
			}
		}
		over()
		var h record.Health
		if err := fsx.ReadJSON(w.Path, &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := look(); len(h.Loaded) != 1 || h.Loaded[0].SM != 345 || h.Check == nil {
		t.Errorf("%+v", h)
	}
	w.Env = append(w.Env, "FAKE_SMI=hot")
	h := look()
	want := []string{record.ThrottleIdle, record.ThrottleHardware, record.ThrottleThermal, record.ThrottleHotHardware}
	if g := h.Loaded[0]; g.SM != 345 || g.Temperature != 90 || g.Power != 684.03 || g.Uncorrected != 1 || !slices.Equal(g.Throttle, want) {
		t.Errorf("%+v", g)
	}
	if h.Job != "s1-t1-1" || h.Node != "n1" || h.Check.TPOT != 6 {
		t.Errorf("%+v", h)
	}
}

func TestALoadThatIsShortIsNotLookedAt(t *testing.T) {
	w := watch(t, "")
	w.Look(t.Context())
	w.Loaded(t.Context(), time.Hour)()
	if _, err := os.Stat(w.Path); err == nil {
		t.Error("an idle GPU stands in the record as one under load")
	}
}

func TestAJobsGPUsAreThoseItSees(t *testing.T) {
	all := []record.GPU{{Index: 0, UUID: "GPU-aa1"}, {Index: 1, UUID: "GPU-bb2"}, {Index: 10, UUID: "GPU-cc3"}}
	for _, c := range []struct {
		visible string
		set     bool
		want    []int
	}{
		{"", false, []int{0, 1, 10}},
		{"", true, nil},
		{"1", true, []int{1}},
		{"10,0", true, []int{10, 0}},
		{"GPU-bb2", true, []int{1}},
		{"GPU-b", true, []int{1}},
		{"0,7,1", true, []int{0}},
		{"-1", true, nil},
		{"MIG-GPU-aa1/1/0", true, nil},
		{"NoDevFiles", true, nil},
	} {
		var got []int
		for _, g := range own(all, c.visible, c.set) {
			got = append(got, g.Index)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.visible, got, c.want)
		}
	}
}

func TestReasonsThatNobodyKnowsYetKeepTheirNumber(t *testing.T) {
	if got := reasons("0x0000000000000204"); !slices.Equal(got, []string{record.ThrottlePowerCap, "0x200"}) {
		t.Errorf("%v", got)
	}
}

// Lines as drivers write them, and what may come in their place.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"0, GPU-1, NVIDIA H200, 580.159.03, P0, 1980, 1980, 3201, 47, 384.07, 700.00, 143771, 0x0000000000000000, 0\n",
		"0, GPU-1, NVIDIA GB10, 580.95.05, P0, 2418, 3003, [N/A], 45, 12.5, [N/A], [N/A], 0x0000000000000001, [N/A]\n",
		"[Unknown Error], [GPU requires reset], , , , , , , , , , , , \n", "Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error\n",
		"0, GPU-1, x, 1, P0, NaN, +Inf, -3, 1e400, 1 W, 0x10, 99999999999999999999, 0xffffffffffffffff, 18446744073709551615\n", "\xff,\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, out string) {
		gpus, driver := parse(out, fields)
		if len(driver) > 3*longest {
			t.Fatalf("driver %q", driver)
		}
		if len(gpus) > strings.Count(out, "\n")+1 {
			t.Fatalf("%d GPUs", len(gpus))
		}
		for _, g := range gpus {
			for _, n := range []float64{g.SM, g.MaxSM, g.Memory, g.Temperature, g.Power, g.PowerLimit, g.MemoryMiB} {
				if !(n >= 0 && n < 1e16) {
					t.Fatalf("%+v", g)
				}
			}
		}
		data, err := fsx.JSON(gpus) // records must be able to hold whatever came
		if err != nil || len(data) == 0 {
			t.Fatal(err)
		}
		without(fields, out)
		own(gpus, out, true)
		cpuModel(out)
	})
}

// Whichever fields a driver does not know, asking for fewer comes to an end.
func TestAskingForFewerEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		knows := map[string]bool{}
		for _, f := range fields {
			for _, name := range f.names {
				knows[name] = rapid.Bool().Draw(t, name)
			}
		}
		asked := fields
		for questions := 1; ; questions++ {
			i := slices.IndexFunc(asked, func(f field) bool { return !knows[f.names[0]] })
			if i < 0 {
				break
			}
			fewer, ok := without(asked, "Field \""+asked[i].names[0]+"\" is not a valid field to query.\n")
			if !ok || questions > 2*len(fields) {
				t.Fatalf("%d questions, %v", questions, ok)
			}
			asked = fewer
		}
		for _, f := range fields {
			kept := slices.ContainsFunc(asked, func(a field) bool { return slices.Contains(f.names, a.names[0]) })
			if known := slices.ContainsFunc(f.names, func(n string) bool { return knows[n] }); kept != known {
				t.Fatalf("%v: kept %t, known %t", f.names, kept, known)
			}
		}
	})
}
