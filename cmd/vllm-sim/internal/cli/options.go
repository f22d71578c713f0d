package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"vtune/internal/sim"
)

// SimOptions are the options that only a simulation has.
type SimOptions struct {
	Scale    float64 // virtual seconds per real second
	Noise    float64 // relative standard deviation of a step's time
	Hardware string
	Model    string  // a shape's name; empty: by the model itself
	Slow     float64 // how many times as long everything takes on this node
}

// SimDefaults come from the environment; a flag overrules them.
func SimDefaults(env func(string) string) (SimOptions, error) {
	o := SimOptions{Scale: 1, Noise: 0.02, Hardware: "h200-like", Model: env("VLLM_SIM_MODEL"), Slow: 1}
	for _, v := range []struct {
		name string
		into *float64
	}{{"VLLM_SIM_TIME_SCALE", &o.Scale}, {"VLLM_SIM_NOISE", &o.Noise}} {
		text := env(v.name)
		if text == "" {
			continue
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return o, fmt.Errorf("%s=%q is not a number", v.name, text)
		}
		*v.into = x
	}
	if h := env("VLLM_SIM_HARDWARE"); h != "" {
		o.Hardware = h
	}
	node := env("SLURMD_NODENAME")
	if node == "" {
		node, _ = os.Hostname() // a machine without a name is slow by nobody's wish
	}
	var err error
	o.Slow, err = slowness(env("VLLM_SIM_SLOW"), node)
	return o, err
}

// slowness of a node by a list such as "node3=1.3,node4=2"; those that are not in it are not slow.
func slowness(list, node string) (float64, error) {
	factor := 1.0
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		name, text, _ := strings.Cut(entry, "=")
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || !(x > 0) || math.IsInf(x, 1) {
			return 1, fmt.Errorf("VLLM_SIM_SLOW=%q: %q is no NODE=FACTOR", list, entry)
		}
		if name == node {
			factor = x
		}
	}
	return factor, nil
}

// Flags overrule the environment.
func (o *SimOptions) Flags() []Flag {
	return []Flag{
		Float("time-scale", &o.Scale), Float("sim-noise", &o.Noise),
		String("sim-hardware", &o.Hardware), String("sim-model", &o.Model),
	}
}

// Check refuses what would make no sense of time.
func (o SimOptions) Check() error {
	if !(o.Scale > 0) || math.IsInf(o.Scale, 1) {
		return fmt.Errorf("a time scale of %v", o.Scale)
	}
	if !(o.Noise >= 0 && o.Noise <= 1) {
		return fmt.Errorf("a noise of %v: it is a share, 0 to 1", o.Noise)
	}
	return nil
}

// ModelShape prefers what was asked for, then the model's own config.json,
// then its name.
func ModelShape(asked, model string) (sim.Model, error) {
	if asked != "" {
		m, err := sim.ModelNamed(asked)
		if err != nil {
			return m, UsageError{"vllm serve", "argument --sim-model: " + err.Error()}
		}
		return m, nil
	}
	config, err := os.ReadFile(filepath.Join(model, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return sim.GuessModel(model), nil
	}
	if err != nil {
		return sim.Model{}, fmt.Errorf("read the model's configuration: %w", err)
	}
	return sim.ParseModel(config)
}
