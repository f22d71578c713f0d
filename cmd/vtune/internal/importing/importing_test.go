package importing

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"vtune/cmd/vtune/internal/reading"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/imports/folder"
	"vtune/internal/record"
	"vtune/internal/spec"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// unpack makes the folder of an archive, all of whose files are equally old.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", archive+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "2026_05_04_03_02")
	for _, f := range a.Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
		old := time.Date(2026, 5, 4, 5, 0, 0, 0, time.UTC)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func request(dir string, w folder.Wish) Request {
	return Request{Dir: dir, Wish: w, Program: "vtune", Version: "test", User: "me", Zone: time.UTC, Step: func(int, int, string) {}}
}

// contents of a directory as one text. Copies of what was imported are told by their size, spec.yaml by what stands in effective.yaml.
func contents(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if e.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			fmt.Fprintf(&b, "-- %s -> %s --\n", name, to)
			return err
		}
		data, err := os.ReadFile(path)
		switch {
		case name == "effective.yaml":
			b.WriteString("-- effective.yaml --\n")
			for line := range strings.Lines(string(data)) {
				if key, _, _ := strings.Cut(line, "#"); strings.TrimSpace(key) != "" && !strings.Contains(key, `""`) {
					b.WriteString(strings.TrimRight(key, " \n") + "\n")
				}
			}
		case name == "spec.yaml", name == "state.json", name == "result.json", name == "report.html": // of what stands elsewhere in the run
			fmt.Fprintf(&b, "-- %s --\n", name)
		case strings.Contains(name, "bench-"), strings.HasSuffix(name, ".log"):
			fmt.Fprintf(&b, "-- %s: %d bytes --\n", name, len(data))
		default:
			fmt.Fprintf(&b, "-- %s --\n%s", name, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnImportedFolderIsThisRun(t *testing.T) {
	for name, w := range map[string]folder.Wish{"script": {}, "hostile": {Model: "some/model"}, "probe-failed": {InputLen: 100, OutputLen: 10}, "sweep": {LimitMS: 500}} {
		t.Run(name, func(t *testing.T) {
			dir := unpack(t, name)
			before := contents(t, dir)
			got, err := Import(context.Background(), request(dir, w))
			if err != nil {
				t.Fatalf("%v %v", err, diag.HintsOf(err))
			}
			if string(got.Dir) != dir+"-imported" {
				t.Errorf("it is in %s", got.Dir)
			}
			var said bytes.Buffer
			got.Explain(&said)
			for _, r := range said.String() {
				if r != '\n' && r < ' ' {
					t.Errorf("%q reaches the terminal", r)
				}
			}
			text := append([]byte(strings.ReplaceAll(said.String(), filepath.Dir(dir)+"/", "")), contents(t, string(got.Dir))...)
			golden(t, name, text)
			if !bytes.Equal(before, contents(t, dir)) {
				t.Error("the folder is not as it was")
			}
			if _, err := spec.Load(got.Dir.Effective()); err != nil {
				t.Errorf("no spec: %v", err)
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestAnImportedRunIsReadLikeAnyOther(t *testing.T) {
	got, err := Import(context.Background(), request(unpack(t, "script"), folder.Wish{}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := reading.Open(context.Background(), tuning.World{Program: "vtune", Now: time.Now, Err: os.Stderr}, string(got.Dir))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got.State, r.State); d != "" || len(r.State.Warnings) != 1 || r.State.Phase != record.PhaseOver || r.State.Best == nil {
		t.Errorf("%+v\n%s", r.State, d)
	}
	command, err := r.ServeCommand()
	if want := "--gpu-memory-utilization 0.97 --max-num-seqs 128 --max-num-batched-tokens 512 --tensor-parallel-size 2 "; err != nil || !strings.Contains(command, want) {
		t.Errorf("%s, %v", command, err)
	}
}

// A spec could not ask for every cell that the script tries: what it could not is measured all the same.
func TestOfAnyGridTheSpecAsksForWhatASpecMay(t *testing.T) {
	for _, c := range []struct{ seqs, tokens, wantSeqs, wantTokens []int }{
		{[]int{128, 256}, []int{512, 1024}, []int{128, 256}, []int{512, 1024}},
		{[]int{128, 256}, []int{1024, 128, 256}, []int{128, 256}, []int{1024, 256}},
		{[]int{16, 512}, []int{16, 256}, []int{16}, []int{256}},
		{[]int{512}, []int{64, 32}, []int{64}, []int{64}},
	} {
		seqs, tokens := askable(c.seqs, c.tokens)
		if !slices.Equal(seqs, c.wantSeqs) || !slices.Equal(tokens, c.wantTokens) {
			t.Errorf("%v x %v: %v x %v", c.seqs, c.tokens, seqs, tokens)
		}
	}
	dir := filepath.Join(t.TempDir(), "x")
	rows := "hash:\nmax_num_seqs: 512, max_num_batched_tokens: 64, request_rate: inf, e2el: 0.00, throughput: 0.00, goodput: 0.00\n"
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "result.txt"), []byte(rows), 0o644)); err != nil {
		t.Fatal(err)
	}
	got, err := Import(context.Background(), request(dir, folder.Wish{Model: "some/model", InputLen: 8, OutputLen: 8}))
	if err != nil || len(got.State.Cells) != 1 || got.State.Cells[0].ID != "s512-t64" || got.State.Cells[0].Phase != record.WorkFailed {
		t.Errorf("%v %+v", err, got)
	}
}

// Every number stands beside the file it came from.
func TestEveryObservationNamesACopyOfItsFile(t *testing.T) {
	for _, name := range []string{"script", "sweep"} {
		dir := unpack(t, name)
		got, err := Import(context.Background(), request(dir, folder.Wish{}))
		if err != nil {
			t.Fatal(err)
		}
		originals := contentsByBytes(t, dir)
		seen := 0
		for _, c := range got.State.Cells {
			for _, o := range c.Observations {
				seen++
				if o.LogFile == "" && o.RawFile == "" {
					t.Errorf("%s at %s came from nowhere", c.ID, o.Load.Rate)
				}
				for _, file := range []string{o.LogFile, o.RawFile} {
					if file == "" {
						continue
					}
					data, err := os.ReadFile(filepath.Join(string(got.Dir), file))
					if err != nil || len(data) == 0 {
						t.Errorf("%s: %v", file, err)
					}
					if name == "script" && !originals[string(data)] {
						t.Errorf("%s is no copy", file)
					}
				}
			}
		}
		if seen == 0 {
			t.Error("nothing was observed")
		}
	}
}

func contentsByBytes(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[string(data)] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnImportThatIsRefusedLeavesNothing(t *testing.T) {
	dir := unpack(t, "sweep")
	run := unpack(t, "script")
	if err := os.WriteFile(filepath.Join(run, "run.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "summary.csv")
	untold := t.TempDir()
	if err := os.WriteFile(filepath.Join(untold, "a.json"), []byte(`{"completed": 1, "request_throughput": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    Request
		want string
	}{
		"a run":                {request(run, folder.Wish{}), "it is a run already"},
		"a file":               {request(file, folder.Wish{}), "is no folder"},
		"nothing":              {request(dir+"x", folder.Wish{}), "no such file"},
		"into itself":          {Request{Dir: dir, Out: filepath.Join(dir, "x")}, "is inside the folder that is read"},
		"onto itself":          {Request{Dir: dir, Out: dir}, "is inside the folder that is read"},
		"over what is there":   {Request{Dir: dir, Out: untold}, "exists"},
		"where no folder is":   {Request{Dir: dir, Out: filepath.Join(dir+"y", "x"), Zone: time.UTC, Step: func(int, int, string) {}}, "no such file"},
		"what tells no cell":   {request(untold, folder.Wish{}), "does not tell max_num_seqs"},
		"a model that is none": {request(dir, folder.Wish{Model: "a b\nc"}), "model"},
	} {
		_, err := Import(context.Background(), c.r)
		if err == nil || !strings.Contains(err.Error(), c.want) || diag.CodeOf(err) != diag.Usage && diag.CodeOf(err) != diag.Spec {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, parent := range []string{filepath.Dir(dir), filepath.Dir(run)} {
		left, err := os.ReadDir(parent)
		if err != nil || len(left) != 1 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestASecondImportIsTheSameRunAndNeedsAPlaceOfItsOwn(t *testing.T) {
	dir := unpack(t, "script")
	first, err := Import(context.Background(), request(dir, folder.Wish{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Import(context.Background(), request(dir, folder.Wish{})); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("%v", err)
	}
	r := request(dir, folder.Wish{})
	r.Out = filepath.Join(t.TempDir(), filepath.Base(string(first.Dir)))
	second, err := Import(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(contents(t, string(first.Dir))), string(contents(t, string(second.Dir)))); d != "" {
		t.Error(d)
	}
}
