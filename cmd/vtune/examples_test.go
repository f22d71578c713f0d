package main

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vtune/internal/diag"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the examples' want folders")

// Every example renders to exactly its want folder: the plan, the effective spec, each script and assignment.
func TestExamplesRenderAsTheyShould(t *testing.T) {
	specs, err := filepath.Glob("../../examples/*/spec.yaml")
	if err != nil || len(specs) < 4 {
		t.Fatalf("examples: %v, %v", specs, err)
	}
	for _, spec := range specs {
		t.Run(filepath.Base(filepath.Dir(spec)), func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "run")
			if msg, err := exec.Command(filepath.Join(programs, "vtune"), "render", spec, "-o", out).CombinedOutput(); err != nil {
				t.Fatalf("render: %v\n%s", err, msg)
			}
			plan, err := exec.Command(filepath.Join(programs, "vtune"), "plan", "--slots", "2", spec).Output()
			if err != nil {
				t.Fatal(err)
			}
			got := tree(t, out)
			got["plan.txt"] = string(plan)
			want := filepath.Join(filepath.Dir(spec), "want")
			if *update {
				rewrite(t, want, got)
			}
			if diff := cmp.Diff(tree(t, want), got); diff != "" {
				t.Errorf("%s differs (-want +got); if that is intended: make golden\n%s", spec, diff)
			}
		})
	}
}

// `make demo` shows what it promises: a cell that runs out of memory, cells that miss the limit, and a winner.
func TestTheDemoEndsWithAWinner(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../examples/prefix-cache/spec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(dir, "spec.yaml")
	if err := os.WriteFile(spec, text, 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(programs, "vtune"), "run", spec, "--slots", "1")
	c.Env = environment(dir)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runs, _ := filepath.Glob(filepath.Join(dir, "auto-benchmark", "*", "result.txt"))
	if len(runs) != 1 {
		t.Fatalf("%d runs", len(runs))
	}
	result, err := os.ReadFile(runs[0])
	if err != nil {
		t.Fatal(err)
	}
	// Which cell wins hangs on how busy this machine is: at 60 simulated seconds a second, a millisecond is 60.
	want := regexp.MustCompile(`^hash:0\.32\.0\+sim
(max_num_seqs: (4|16), max_num_batched_tokens: (2048|4096)[ ,].*
){4}best_max_num_seqs: (4|16), best_num_batched_tokens: (2048|4096), best_throughput: \d\.\d\d, profile saved in: .*/profile
$`)
	accepted := regexp.MustCompile(`(?m)^max_num_seqs: \d+, max_num_batched_tokens: \d+, request_rate: \d\.\d+, e2el: \d+\.\d\d, throughput: \d\.\d\d, goodput: \d\.\d\d`)
	if !want.Match(result) || !accepted.Match(result) {
		t.Errorf("result.txt\n%s", result)
	}
	for _, what := range []string{
		"winner   max_num_seqs ", "s16-t4096 ran at gpu-memory-utilization 0.96, after it had run out of memory under load", "under load",
		"serve it env 'VLLM_SIM_HARDWARE=a10-like' 'VLLM_SIM_TIME_SCALE=60' vllm-sim serve meta-llama/Llama-3.1-8B-Instruct --gpu-memory-utilization 0.9", "report   " + filepath.Join(filepath.Dir(runs[0]), "report.html"), "result   " + runs[0], "profile  ",
	} {
		if !strings.Contains(string(out), what) {
			t.Errorf("the summary does not say %q:\n%s", what, out)
		}
	}
}

// tree is every file under dir, with the directory's own path written as $RUN.
// ofThisBuild are the hashes of the agent, which is this very build, and of a request that names it. What is one is told by where it
// stands, so that a hash that is missing is not taken for one.
var ofThisBuild = regexp.MustCompile(`(sha256sum <"\$agent"\)" = '|\\"\$agent\\"\)\\" = '|vtune-spec": "|vtune-spec=)[0-9a-f]+`)

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if d.Type()&fs.ModeSymlink != 0 { // what it points at may come with the run
			target, err := os.Readlink(path)
			files[rel] = "link to " + target + "\n"
			return err
		}
		data, err := os.ReadFile(path)
		text := string(bytes.ReplaceAll(data, []byte(dir), []byte("$RUN")))
		files[rel] = ofThisBuild.ReplaceAllString(text, "$1$$HASH")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func rewrite(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The README's commands, typed in their order by somebody whose vllm is the simulated one and whose grid is small.
func TestTheREADMEsCommandsWork(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(programs, "vllm-sim"), filepath.Join(bin, "vllm")); err != nil {
		t.Fatal(err)
	}
	cluster := lab(t) // for those that look at one
	hub := filepath.Join(dir, "hub", "models--meta-llama--Llama-3.1-8B-Instruct")
	rewrite(t, hub, map[string]string{"refs/main": "0", "snapshots/0/config.json": "{}"})
	run, typed := "", 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(line, "#")
			words := strings.Fields(regexp.MustCompile(`RUN(_[AB])?`).ReplaceAllString(line, run))
			switch {
			case len(words) == 0:
			case words[0] == "make":
				if !regexp.MustCompile(`(?m)^` + words[1] + `:`).Match(makefile) {
					t.Errorf("the README says %q, and the Makefile has no such target", line)
				}
			case words[0] == "vtune":
				typed++
				c := exec.Command(filepath.Join(programs, "vtune"), words[1:]...)
				c.Dir = dir
				c.Env = append(slices.Clone(cluster), "HOME="+dir, "XDG_CONFIG_HOME=", "HF_HOME="+dir, "PATH="+bin+":"+os.Getenv("PATH"), "VLLM_SIM_TIME_SCALE=100")
				var found bool // whatever a short load on this machine says of the claim, it says it
				if words[1] == "verify" {
					c.Args = append(c.Args, "--duration", "5s")
				}
				out, err := c.Output()
				if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
					found = words[1] == "verify" && slices.Contains([]diag.Code{diag.NoAnswer, diag.Worse}, diag.Code(exit.ExitCode()))
				}
				if err != nil && !found {
					t.Fatalf("%s: %v\n%s\n%s", line, err, out, err.(*exec.ExitError).Stderr)
				}
				switch words[1] {
				case "init":
					smallGrid(t, filepath.Join(dir, "spec.yaml"))
				case "submit":
					run = strings.TrimSpace(string(out))
				}
			default:
				t.Errorf("the README has a command that this test does not know: %q", line)
			}
		}
	}
	if typed < 7 {
		t.Errorf("only %d vtune commands in the README", typed)
	}
}

// smallGrid is what the newcomer edits: one cell, no limit, and a server without a tokenizer.
func smallGrid(t *testing.T, spec string) {
	t.Helper()
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		`(?m)^( *)# (vocab_size:) null`:  "$1$2 128256", // the simulated server has no tokenizer
		`(?m)^( *max_num_seqs:) *\[.*\]`: "$1 [128]", `(?m)^( *max_num_batched_tokens:) *\[.*\]`: "$1 [2048]", `(?m)^( *p99_e2el_ms:) *[0-9]+`: "$1 null",
	} {
		edited := regexp.MustCompile(from).ReplaceAll(text, []byte(to))
		if bytes.Equal(edited, text) {
			t.Fatalf("the template has nothing like %s", from)
		}
		text = edited
	}
	if err := os.WriteFile(spec, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
