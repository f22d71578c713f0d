package hardware

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vtune/internal/record"
)

// field is one that nvidia-smi is asked for, by the names that drivers of different ages have for it, the newest first.
type field struct {
	names []string
	read  func(g *record.GPU, driver *string, value string)
}

// fields are asked for in this order. The first two say which GPU a line is about.
var fields = []field{
	{[]string{"index"}, func(g *record.GPU, _ *string, v string) {
		if n, err := strconv.Atoi(v); err == nil && n >= 0 {
			g.Index = n
		}
	}},
	{[]string{"uuid"}, func(g *record.GPU, _ *string, v string) { g.UUID = v }},
	{[]string{"name"}, func(g *record.GPU, _ *string, v string) { g.Name = v }},
	{[]string{"driver_version"}, func(_ *record.GPU, driver *string, v string) { *driver = v }},
	{[]string{"pstate"}, func(g *record.GPU, _ *string, v string) { g.PState = v }},
	{[]string{"clocks.sm"}, func(g *record.GPU, _ *string, v string) { g.SM = number(v) }},
	{[]string{"clocks.max.sm"}, func(g *record.GPU, _ *string, v string) { g.MaxSM = number(v) }},
	{[]string{"clocks.mem"}, func(g *record.GPU, _ *string, v string) { g.Memory = number(v) }},
	{[]string{"temperature.gpu"}, func(g *record.GPU, _ *string, v string) { g.Temperature = number(v) }},
	{[]string{"power.draw"}, func(g *record.GPU, _ *string, v string) { g.Power = number(v) }},
	{[]string{"power.limit"}, func(g *record.GPU, _ *string, v string) { g.PowerLimit = number(v) }},
	{[]string{"memory.total"}, func(g *record.GPU, _ *string, v string) { g.MemoryMiB = number(v) }},
	// Renamed when "throttle" became "event": drivers before 535 know the second name only.
	{[]string{"clocks_event_reasons.active", "clocks_throttle_reasons.active"}, func(g *record.GPU, _ *string, v string) { g.Throttle = reasons(v) }},
	{[]string{"ecc.errors.uncorrected.volatile.total"}, func(g *record.GPU, _ *string, v string) { g.Uncorrected = uint64(number(v)) }},
}

// bits of clocks_event_reasons.active: the constants nvmlClocksEventReason* and nvmlClocksThrottleReason* of NVML, see
// https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html. Which of them tell of a bad node is not said here.
var bits = []struct {
	bit  uint64
	word string
}{
	{0x1, record.ThrottleIdle},
	{0x2, record.ThrottleApplications},
	{0x4, record.ThrottlePowerCap},
	{0x8, record.ThrottleHardware},
	{0x10, record.ThrottleSyncBoost},
	{0x20, record.ThrottleThermal},
	{0x40, record.ThrottleHotHardware},
	{0x80, record.ThrottlePowerBrake},
	{0x100, record.ThrottleDisplay},
}

// reasons of a mask such as 0x0000000000000004. Those that came to NVML after this was written keep their number.
func reasons(mask string) (words []string) {
	hex, ok := strings.CutPrefix(mask, "0x")
	n, err := strconv.ParseUint(hex, 16, 64)
	if !ok || err != nil {
		return nil
	}
	for _, b := range bits {
		if n&b.bit != 0 {
			words = append(words, b.word)
			n &^= b.bit
		}
	}
	if n != 0 {
		words = append(words, "0x"+strconv.FormatUint(n, 16))
	}
	return words
}

// number of a field: the first word, since a driver may write the unit behind it whatever it is asked for. Zero for what is none.
func number(v string) float64 {
	word, _, _ := strings.Cut(v, " ")
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || !(n >= 0 && n < 1<<53) { // what a float holds exactly, and so no infinity
		return 0
	}
	return n
}

// longest is the most of one value that is kept: what stands there goes into records and onto terminals.
const longest = 100

// parse reads the lines of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`, which quotes nothing. A value in brackets
// ([N/A], [Not Supported], [Unknown Error] ...) is not known. A line with another number of values is none of them.
func parse(out string, asked []field) (gpus []record.GPU, driver string) {
	for line := range strings.Lines(out) {
		values := strings.Split(line, ",")
		if len(values) != len(asked) {
			continue
		}
		g := record.GPU{Index: -1}
		for i, f := range asked {
			v := strings.ToValidUTF8(strings.TrimSpace(values[i]), "?")
			if v == "" || v == "N/A" || strings.HasPrefix(v, "[") || len(v) > longest {
				continue
			}
			f.read(&g, &driver, v)
		}
		if g.Index >= 0 || g.UUID != "" {
			gpus = append(gpus, g)
		}
	}
	return gpus, driver
}

var unknown = regexp.MustCompile(`Field "([^"]*)" is not a valid field to query`)

// without is what to ask instead, when a driver said that it does not know a field: by the field's older name, or not at all.
// ok is false where it said something else.
func without(asked []field, answer string) (fewer []field, ok bool) {
	m := unknown.FindStringSubmatch(answer)
	if m == nil {
		return nil, false
	}
	i := slices.IndexFunc(asked, func(f field) bool { return f.names[0] == m[1] })
	if i < 0 {
		return nil, false
	}
	fewer = slices.Clone(asked)
	if fewer[i].names = asked[i].names[1:]; len(fewer[i].names) == 0 {
		fewer = slices.Delete(fewer, i, i+1)
	}
	return fewer, true
}

// own are the GPUs of a job that sees those that CUDA_VISIBLE_DEVICES names: by number, or by the beginning of the UUID. nvidia-smi
// does not heed the variable. set is false where it is not set, and every GPU is the job's. A list that names something else, as a
// MIG slice, says nothing of whole GPUs, and so do numbers on a node whose GPUs are not all alike, if CUDA orders them by speed:
// there the job's script should set CUDA_DEVICE_ORDER.
func own(all []record.GPU, visible string, set bool) []record.GPU {
	if !set {
		return all
	}
	var mine []record.GPU
	for _, name := range strings.Split(visible, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(all, func(g record.GPU) bool {
			return name == strconv.Itoa(g.Index) || strings.HasPrefix(name, "GPU-") && strings.HasPrefix(g.UUID, name)
		})
		if i < 0 { // CUDA ends the list where it does not know a name
			break
		}
		mine = append(mine, all[i])
	}
	return mine
}

// worst of two looks at the same GPUs: what one of them saw and the other did not. A clock that is not known is not low.
func worst(a, b []record.GPU) []record.GPU {
	all := slices.Clone(a)
	for _, g := range b {
		i := slices.IndexFunc(all, func(of record.GPU) bool { return of.UUID == g.UUID && of.Index == g.Index })
		if i < 0 {
			all = append(all, g)
			continue
		}
		w := &all[i]
		w.SM, w.Memory = lower(w.SM, g.SM), lower(w.Memory, g.Memory)
		w.Temperature, w.Power = max(w.Temperature, g.Temperature), max(w.Power, g.Power)
		w.Uncorrected = max(w.Uncorrected, g.Uncorrected)
		if len(g.PState) > len(w.PState) || len(g.PState) == len(w.PState) && g.PState > w.PState { // P12 is slower than P8
			w.PState = g.PState
		}
		w.Throttle = slices.Clone(w.Throttle)
		for _, r := range g.Throttle {
			if !slices.Contains(w.Throttle, r) {
				w.Throttle = append(w.Throttle, r)
			}
		}
	}
	return all
}

func lower(a, b float64) float64 {
	if a == 0 || b == 0 {
		return math.Max(a, b)
	}
	return math.Min(a, b)
}
