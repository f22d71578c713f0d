package tuning

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func world() World {
	return World{Env: os.Environ(), Now: time.Now, Program: "vtune", Version: "test", Err: io.Discard}
}

// numbers from 1 to n, as a YAML list.
func numbers(n, step int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa((i + 1) * step))
	}
	return "[" + b.String() + "]"
}

func BenchmarkPlanAndRender10000Cells(b *testing.B) {
	dir := b.TempDir()
	spec := filepath.Join(dir, "spec.yaml")
	text := "model: m\nmax_model_len: 4096\nworkload: {input_len: 100, output_len: 10}\nscheduler: slurm\n" +
		"grid: {max_num_seqs: " + numbers(100, 1) + ", max_num_batched_tokens: " + numbers(100, 100) + "}\n"
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		out, err := os.MkdirTemp(dir, "run")
		if err != nil {
			b.Fatal(err)
		}
		if err := Render(world(), Request{SpecFile: spec}, out); err != nil {
			b.Fatal(err)
		}
		scripts, err := filepath.Glob(filepath.Join(out, "jobs", "s*", "script"))
		if err != nil || len(scripts) != 9999 { // the probe's server goes on as the first cell's
			b.Fatalf("%d scripts, %v", len(scripts), err)
		}
	}
}
