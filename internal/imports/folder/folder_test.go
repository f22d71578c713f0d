package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/diag"
	"vtune/internal/record"
)

var at = time.Date(2026, 5, 4, 3, 2, 0, 0, time.UTC)

// files of a folder, by name.
type files map[string]string

func (f files) fs() fs.FS {
	m := fstest.MapFS{}
	for name, text := range f {
		m[name] = &fstest.MapFile{Data: []byte(text), ModTime: at.Add(time.Hour)}
	}
	return m
}

// with is f and more.
func (f files) with(more files) files {
	all := files{}
	for _, part := range []files{f, more} {
		for name, text := range part {
			all[name] = text
		}
	}
	return all
}

// told is a client's line of arguments.
func told(rate string, requests int) string {
	return fmt.Sprintf("Namespace(seed=0, num_prompts=%d, random_input_len=1000, random_prefix_len=200, random_output_len=20, model='some/model', request_rate=%s, goodput=['e2el:500'])\n", requests, rate)
}

// clientLog is a client's whole log.
func clientLog(rate string, requests, completed, failed int, throughput, p99 float64) string {
	return told(rate, requests) + fmt.Sprintf(`============ Serving Benchmark Result ============
Successful requests:                     %d
Failed requests:                         %d
Benchmark duration (s):                  20.00
Total generated tokens:                  %d
Request throughput (req/s):              %.2f
P99 E2EL (ms):                           %.2f
==================================================
`, completed, failed, 20*completed, throughput, p99)
}

const serverUp = "INFO [api_server.py:1] vLLM API server version 0.11.0\nINFO non-default args: {'model': 'some/model', 'max_model_len': 4096, 'gpu_memory_utilization': 0.97, 'tensor_parallel_size': 2}\nINFO:     Application startup complete.\n"

func accepted(seqs, tokens int, rate string, p99, throughput float64) string {
	return fmt.Sprintf("max_num_seqs: %d, max_num_batched_tokens: %d, request_rate: %s, e2el: %.2f, throughput: %.2f, goodput: %.2f\n", seqs, tokens, rate, p99, throughput, throughput)
}

func missed(seqs, tokens int) string {
	return fmt.Sprintf("max_num_seqs: %d, max_num_batched_tokens: %d does not meet latency requirement 500\n", seqs, tokens)
}

func best(seqs, tokens int, throughput float64) string {
	return fmt.Sprintf("best_max_num_seqs: %d, best_num_batched_tokens: %d, best_throughput: %.2f, profile saved in: /x/profile\n", seqs, tokens, throughput)
}

func settle(t *testing.T, f files, w Wish) (Tuning, diag.Problems, error) {
	t.Helper()
	scanned, ps, err := Scan(context.Background(), f.fs(), "2026_05_04_03_02", time.UTC, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	tuning, err := Settle(scanned, w)
	return tuning, ps, err
}

// came is what came of each cell, in a line: the answer's rate, or missed, or why there is none.
func came(t *testing.T, tuning Tuning) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, c := range tuning.Cells {
		s := settling{Tuning: tuning}
		words := string(c.Outcome)
		if c.Message != "" {
			words += ": " + c.Message
		}
		if a := s.answer(c); a != nil {
			words = fmt.Sprintf("%s req/s", a.Load.Rate)
		} else if c.Outcome == record.OutcomeDone {
			words = "missed"
		}
		all[c.ID] = words
	}
	return all
}

func TestWhatTheScriptDecidedIsWhatCameOfEachCell(t *testing.T) {
	walk := files{
		"result.txt":                          "hash:abc\n" + accepted(128, 512, "inf", 480, 12.3) + accepted(128, 1024, "5", 499, 4.88) + missed(256, 512) + missed(256, 1024) + best(128, 512, 12.3),
		"bm_log_128_512_requestrate_inf.txt":  clientLog("inf", 1000, 1000, 0, 12.3, 480),
		"bm_log_128_1024_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 6.5, 900), "bm_log_128_1024_requestrate_7.txt": clientLog("7.0", 100, 100, 0, 6.1, 800),
		"bm_log_128_1024_requestrate_6.txt": clientLog("6.0", 100, 100, 0, 5.5, 600), "bm_log_128_1024_requestrate_5.txt": clientLog("5.0", 100, 100, 0, 4.88, 499),
		"bm_log_256_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 0.5, 9000), "bm_log_256_512_requestrate_1.txt": clientLog("1.0", 100, 100, 0, 0.4, 8000),
		"bm_log_256_1024_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 0.5, 9000), "bm_log_256_1024_requestrate_1.txt": clientLog("1.0", 100, 100, 0, 0.4, 8000),
		"vllm_log_128_512.txt": serverUp, "vllm_log_gpu_memory_utilization_0.98.log": "torch.OutOfMemoryError: CUDA out of memory\n", "vllm_log_gpu_memory_utilization_.97.log": serverUp,
		"profile/rank0.gz": "x", "vllm_log_BEST_PROFILE.txt": serverUp, "bm_log_BEST_PROFILE.txt": "x",
	}
	got, ps, err := settle(t, walk, Wish{})
	if err != nil || len(ps) > 0 {
		t.Fatal(err, ps)
	}
	want := map[string]string{"s128-t512": "inf req/s", "s128-t1024": "5 req/s", "s256-t512": "missed", "s256-t1024": "missed"}
	if d := cmp.Diff(want, came(t, got)); d != "" || len(got.Warnings) > 0 {
		t.Errorf("%s\n%q", d, got.Warnings)
	}
	got.Cells, got.Probe.Logs = nil, nil
	if d := cmp.Diff(Tuning{
		Script: true, Model: "some/model", TensorParallel: 2, MaxModelLen: 4096, Workload: record.Workload{InputLen: 1200, OutputLen: 20, CacheHitPct: 17},
		LimitMS: 500, Version: "0.11.0", Utilization: 0.97, Created: at, Seqs: []int{128, 256}, Tokens: []int{512, 1024}, Traces: 1,
		Notes: []string{"system is not told by any file: GPU is taken", "workload.cache_hit_pct is about that of a prefix of 200 tokens"},
	}, got); d != "" {
		t.Error(d)
	}
}

// The script's known ways to be wrong, by what its files look like then.
func TestWhereFilesContradictEachOtherTheRunsCountAndAWarningSaysSo(t *testing.T) {
	const row = "s8-t512: result.txt:1 "
	deadServer := "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n"
	for name, c := range map[string]struct {
		f        files
		came     string // of s8-t512
		warnings []string
	}{
		"a dead server, taken for one within the limit": {
			files{"result.txt": accepted(8, 512, "inf", 0, 0) + best(0, 0, 0), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 0, 1000, 0, 0), "vllm_log_8_512.txt": deadServer},
			"failed: the server: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
			[]string{row + "accepts it at inf req/s, which is no answer: the server: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"},
		},
		"a dead server without a log": {
			files{"result.txt": accepted(8, 512, "inf", 0, 0) + best(0, 0, 0), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 0, 1000, 0, 0)},
			"failed: 1000 of 1000 requests failed",
			[]string{row + "accepts it at inf req/s, which is no answer: 1000 of 1000 requests failed"},
		},
		"survivors that are quick": {
			files{"result.txt": accepted(8, 512, "inf", 100, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 100, 900, 3, 100)},
			"failed: 900 of 1000 requests failed",
			[]string{row + "accepts it at inf req/s, which is no answer: 900 of 1000 requests failed", "result.txt:2 names s8-t512 as the best, and none of its runs is an answer"},
		},
		"survivors, of an old client that does not count the others": {
			files{
				"result.txt":                       accepted(8, 512, "inf", 100, 3) + best(8, 512, 3),
				"bm_log_8_512_requestrate_inf.txt": strings.Replace(clientLog("inf", 1000, 100, 0, 3, 100), "Failed requests", "Unknown", 1),
			},
			"failed: 100 of 1000 requests were completed",
			[]string{row + "accepts it at inf req/s, which is no answer: 100 of 1000 requests were completed", "result.txt:2 names s8-t512 as the best, and none of its runs is an answer"},
		},
		"a client that crashed, taken for a limit that was missed": {
			files{"result.txt": missed(8, 512) + best(0, 0, 0), "bm_log_8_512_requestrate_inf.txt": told("inf", 1000) + "ValueError: no\n", "bm_log_8_512_requestrate_1.txt": "ValueError: no\n"},
			"failed: the client printed no whole result; its log ends in: ValueError: no",
			[]string{row + "says that it does not meet the limit, but no run of it measured anything: the client printed no whole result; its log ends in: ValueError: no"},
		},
		"a run that was never over the limit": {
			files{"result.txt": missed(8, 512) + best(0, 0, 0), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 3, 400)},
			"inf req/s",
			[]string{row + "says that it does not meet the limit, but its run at inf req/s does: P99 E2EL 400.00 ms", "result.txt:2 names none as the best; by what the runs say it is s8-t512"},
		},
		"a run beyond the limit": {
			files{"result.txt": accepted(8, 512, "inf", 400, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 3, 501)},
			"missed",
			[]string{row + "accepts it at inf req/s, but its run has a P99 E2EL of 501.00 ms, beyond the limit of 500", "result.txt:2 names s8-t512 as the best, and none of its runs is an answer"},
		},
		"other numbers": {
			files{"result.txt": accepted(8, 512, "inf", 400, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 2, 401)},
			"inf req/s",
			[]string{row + "accepts it at inf req/s with e2el 400.00 and throughput 3.00, but its run has 401.00 and 2.00, which count"},
		},
		"a row alone": {
			files{"result.txt": accepted(8, 512, "5", 400, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 6, 900)},
			"5 req/s",
			[]string{row + "accepts it at 5 req/s, and no log of that run was found: nobody can tell whether its requests were completed"},
		},
		"a row of zeros alone": {
			files{"result.txt": accepted(8, 512, "inf", 0, 0) + accepted(8, 1024, "inf", 1, 1) + best(8, 1024, 1), "bm_log_8_1024_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 1, 1)},
			"failed: result.txt has a throughput of 0.00 req/s and a P99 E2EL of 0.00 ms: no request was completed",
			[]string{row + "accepts it at inf req/s, which is no answer: result.txt has a throughput of 0.00 req/s and a P99 E2EL of 0.00 ms: no request was completed"},
		},
		"a script that was cut off": {
			files{"result.txt": "hash:\n", "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 3, 900)},
			"failed: the script ended before it had an answer: result.txt has no row for it",
			[]string{"s8-t512: result.txt has no row for it, and none of its 1 runs is an answer: the script ended before it had one", "result.txt has no best_ row: the script did not come to its end"},
		},
		"another best": {
			files{
				"result.txt":                       accepted(8, 512, "inf", 400, 3) + accepted(8, 1024, "inf", 400, 4) + best(8, 512, 3),
				"bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 3, 400), "bm_log_8_1024_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 4, 400),
			},
			"inf req/s",
			[]string{"result.txt:3 names s8-t512 as the best; by what the runs say it is s8-t1024"},
		},
		"a name that is another run's": {
			files{"result.txt": accepted(8, 512, "5", 400, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_5.txt": clientLog("4.0", 100, 100, 0, 3, 400)},
			"5 req/s",
			[]string{"bm_log_8_512_requestrate_5.txt is of a run at 4 req/s, its client says, and its name says 5"},
		},
		"a server that did not come up, and answers": {
			files{
				"result.txt": accepted(8, 512, "inf", 400, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 3, 400),
				"vllm_log_8_512.txt": "OSError: [Errno 98] Address already in use\n",
			},
			"inf req/s",
			[]string{"bm_log_8_512_requestrate_inf.txt: its requests were answered, although its server did not come up (OSError: [Errno 98] Address already in use): by another one?"},
		},
		"one of many that says nothing": {
			files{
				"result.txt": accepted(8, 512, "5", 400, 3) + best(8, 512, 3), "bm_log_8_512_requestrate_5.txt": clientLog("5.0", 100, 100, 0, 3, 400),
				"bm_log_8_512_requestrate_6.txt": clientLog("6.0", 100, 99, 1, 3, 400), "bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 5.5, 900),
			},
			"5 req/s",
			[]string{"s8-t512: 1 of its 3 runs say nothing, the last at 6 req/s: 1 of 100 requests failed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ps, err := settle(t, c.f, Wish{Model: "m", InputLen: 10, OutputLen: 2})
			if err != nil || len(ps) > 0 {
				t.Fatal(err, ps)
			}
			if came := came(t, got)["s8-t512"]; came != c.came {
				t.Errorf("it is %q, want %q", came, c.came)
			}
			if d := cmp.Diff(c.warnings, got.Warnings); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAProbeThatFoundNothingIsARunOfWhichNothingWasMeasured(t *testing.T) {
	f := files{"result.txt": "hash:abc\n"}
	for i := 98; i >= 90; i-- {
		name := fmt.Sprintf("vllm_log_gpu_memory_utilization_.%d.log", i)
		f[name] = "non-default args: {'model': 'm', 'max_num_seqs': 256, 'max_num_batched_tokens': 4096}\nValueError: No available memory for the cache blocks.\n"
	}
	got, _, err := settle(t, f, Wish{InputLen: 100, OutputLen: 10})
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Probe; !p.Failed || p.Cause != record.CauseOOM || len(p.Logs) != 9 || p.Logs[0].Utilization != 0.98 || !strings.Contains(p.Message, "No available memory") {
		t.Errorf("%+v", p)
	}
	if d := cmp.Diff(map[string]string{"s256-t4096": "skipped: the script measured nothing"}, came(t, got)); d != "" {
		t.Error(d)
	}
	// Of a length guard there is not even a log.
	_, _, err = settle(t, files{"result.txt": "hash:abc\n"}, Wish{})
	for _, flag := range []string{"--model", "--max-num-seqs", "--input-len"} {
		if err == nil || !strings.Contains(strings.Join(diag.HintsOf(err), "\n"), flag) {
			t.Errorf("%s is not asked for: %v", flag, diag.HintsOf(err))
		}
	}
}

// savedAs is a result as the client saves it.
func savedAs(more string, rate string, throughput, p99 float64) string {
	return fmt.Sprintf(`{"date": "20260504-030%d00", "model_id": "m", "num_prompts": 100, "request_rate": %s, "duration": 20.123, "completed": 100, "failed": 0, "total_input_tokens": 100000,
 "total_output_tokens": 2000, "request_throughput": %v, "p99_e2el_ms": %v%s}`, int(throughput)%10, rate, throughput, p99, more)
}

func TestResultsThatWereSavedAreCellsByWhatStandsBesideThem(t *testing.T) {
	const small, large = `, "max_num_seqs": "8", "max_num_batched_tokens": "512"`, `, "max-num-seqs": 16, "max-num-batched-tokens": 512`
	got, ps, err := settle(t, files{
		"a.json": savedAs(small, "2", 1.9, 300), "b.json": savedAs(small, "4", 3.8, 450), "c.json": savedAs(small, "6", 5.5, 600),
		"d.jsonl": savedAs(large, "4", 3.7, 501) + "\n" + savedAs(large, `"inf"`, 9, 4000), "d.pytorch.json": "[{}]", "config.json": `{"model": "other"}`,
		"half.json": savedAs(small, "4", 3.8, 450)[:100],
	}, Wish{LimitMS: 500})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"s8-t512": "4 req/s", "s16-t512": "missed"}, came(t, got)); d != "" {
		t.Error(d)
	}
	if len(ps) != 1 || ps[0].Pos.File != "half.json" {
		t.Errorf("%v", ps)
	}
	if w := got.Workload; w.InputLen != 1000 || w.OutputLen != 20 || got.Script {
		t.Errorf("%+v", w)
	}
	if got.Created != time.Date(2026, 5, 4, 3, 2, 0, 0, time.UTC) {
		t.Errorf("created %v", got.Created)
	}
}

func TestASweepIsReadWithoutItsRepetitionsOfItself(t *testing.T) {
	const dir = "exp/SERVE--max_num_seqs=8-max_num_batched_tokens=512-BENCH--request_rate=4/"
	runs := []string{savedAs("", "4", 3.8, 450), savedAs("", "4", 3.7, 510), savedAs("", "4", 3.6, 460)}
	for i := range runs {
		runs[i] = strings.Replace(runs[i], "20.123", fmt.Sprintf("20.%d", i), 1)
	}
	f := files{dir + "run=0.json": runs[0], dir + "run=1.json": runs[1], dir + "run=2.json": runs[2], "exp/summary.csv": "a,b"}
	summary := "["
	for i, r := range runs {
		summary += strings.TrimSuffix(r, "}") + fmt.Sprintf(`, "run_number": %d, "max_num_seqs": 8, "max_num_batched_tokens": 512, "random_input_len": 900, "random_output_len": 20},`, i)
	}
	for name, f := range map[string]files{"cut off": f, "whole": f.with(files{dir + "summary.json": strings.TrimSuffix(summary, ",") + "]"})} {
		got, ps, err := settle(t, f, Wish{LimitMS: 500})
		if err != nil || len(ps) > 0 || len(got.Cells) != 1 || len(got.Cells[0].Runs) != 3 {
			t.Fatalf("%s: %v %v %+v", name, err, ps, got.Cells)
		}
		// The median of three decides: P99 of 460 ms.
		if d := cmp.Diff(map[string]string{"s8-t512": "4 req/s"}, came(t, got)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		for i, r := range got.Cells[0].Runs {
			if r.Several || !strings.Contains(r.Saved, "/run=") {
				t.Errorf("%s: run %d is told by %s", name, i, r.Saved)
			}
		}
		if want := map[string]int{"cut off": 1000, "whole": 900}[name]; got.Workload.InputLen != want {
			t.Errorf("%s: %d tokens in", name, got.Workload.InputLen)
		}
	}
}

func TestWhatTheClientSavedGoesBeforeWhatItPrinted(t *testing.T) {
	got, _, err := settle(t, files{
		"result.txt": accepted(8, 512, "4", 450.12, 3.8) + best(8, 512, 3.8), "bm_log_8_512_requestrate_4.txt": strings.Replace(clientLog("4.0", 100, 100, 0, 3.8, 450.12), "20.00", "20.12", 1),
		"vllm-4qps.json": savedAs("", "4", 3.8012345, 450.123456), "other.json": savedAs(`, "max_num_seqs": 8, "max_num_batched_tokens": 512`, "3", 2.8, 300),
	}, Wish{Model: "m"})
	if err != nil || len(got.Cells) != 1 || len(got.Cells[0].Runs) != 2 {
		t.Fatalf("%v %+v", err, got.Cells)
	}
	r := got.Cells[0].Runs[0]
	if r.Log == "" || r.Saved != "vllm-4qps.json" || r.Metrics.E2EL.P99 != 450.123456 || r.Metrics.RequestThroughput != 3.8012345 {
		t.Errorf("%+v", r)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("%q", got.Warnings)
	}
}

func TestWhatNoFileTellsIsAskedFor(t *testing.T) {
	one := files{"a.json": savedAs("", "4", 3.8, 450)}
	for name, c := range map[string]struct {
		f    files
		w    Wish
		want string // in the problems and hints
	}{
		"no cell":             {one, Wish{}, "--max-num-seqs N --max-num-batched-tokens N"},
		"half a cell":         {one, Wish{MaxNumSeqs: 8}, "--max-num-batched-tokens N"},
		"no model":            {files{"a.json": strings.Replace(one["a.json"], `"model_id": "m", `, "", 1)}, Wish{MaxNumSeqs: 8, MaxNumBatchedTokens: 512}, "--model NAME"},
		"two models":          {one.with(files{"b.json": strings.Replace(one["a.json"], `"m"`, `"n"`, 1)}), Wish{MaxNumSeqs: 8, MaxNumBatchedTokens: 512}, "results of several models: [m n]"},
		"another limit":       {files{"result.txt": missed(8, 512)}, Wish{LimitMS: 400}, "the folder's own limit is 500 ms"},
		"an empty folder":     {files{"notes.txt": ""}, Wish{}, "nothing to import"},
		"a folder of folders": {files{"2026_01_01_00_00/result.txt": "hash:\n"}, Wish{}, "each run of auto_tune.sh has one of its own"},
	} {
		_, _, err := settle(t, c.f, c.w)
		if err == nil {
			t.Errorf("%s: it was settled", name)
			continue
		}
		if text := err.Error() + strings.Join(diag.HintsOf(err), "\n"); !strings.Contains(text, c.want) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestARunIsNotImportedAgain(t *testing.T) {
	if _, _, err := Scan(context.Background(), files{"run.json": "{}", "result.txt": "hash:\n"}.fs(), "x", time.UTC, nil); !errors.Is(err, ErrRun) {
		t.Errorf("%v", err)
	}
}

// What is no file is not opened: a pipe would be waited at for ever.
func TestWhatIsNoFileIsAProblem(t *testing.T) {
	m := fstest.MapFS{"result.txt": &fstest.MapFile{Mode: fs.ModeNamedPipe}, "a.json": &fstest.MapFile{Data: []byte(savedAs("", "4", 3.8, 450)), ModTime: at}}
	f, ps, err := Scan(context.Background(), m, "x", time.UTC, func(int, int) {})
	if err != nil || len(ps) != 1 || ps[0].Pos.File != "result.txt" || len(f.Saved) != 1 {
		t.Errorf("%v %v %+v", err, ps, f)
	}
}

// Whatever of a folder is there or cut off, something is settled or something is asked for; and no answer rests on a run that says nothing.
func TestAPartOfAFolderIsSettledOrAskedAbout(t *testing.T) {
	whole := files{
		"result.txt":                       "hash:a\n" + accepted(8, 512, "5", 400, 3) + missed(16, 512) + accepted(32, 512, "inf", 0, 0) + best(8, 512, 3),
		"bm_log_8_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 5.5, 900), "bm_log_8_512_requestrate_5.txt": clientLog("5.0", 100, 100, 0, 3, 400),
		"bm_log_16_512_requestrate_inf.txt": clientLog("inf", 1000, 1000, 0, 0.5, 900), "bm_log_32_512_requestrate_inf.txt": clientLog("inf", 1000, 0, 1000, 0, 0),
		"vllm_log_8_512.txt": serverUp, "vllm_log_32_512.txt": "CUDA out of memory\n", "a.json": savedAs(`, "max_num_seqs": 8, "max_num_batched_tokens": 512`, "3", 2.8, 300),
	}
	rapid.Check(t, func(t *rapid.T) {
		f := files{}
		for name, text := range whole {
			switch rapid.IntRange(0, 3).Draw(t, name) {
			case 0:
			case 1:
				f[name] = text[:rapid.IntRange(0, len(text)).Draw(t, "length of "+name)]
			default:
				f[name] = text
			}
		}
		scanned, _, err := Scan(context.Background(), f.fs(), "x", time.UTC, func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		tuning, err := Settle(scanned, Wish{Model: "m", MaxNumSeqs: 8, MaxNumBatchedTokens: 512, InputLen: 100, OutputLen: 10})
		if err != nil {
			if len(diag.HintsOf(err)) == 0 {
				t.Fatalf("no hint: %v", err)
			}
			return
		}
		for _, c := range tuning.Cells {
			s := settling{Tuning: tuning}
			if a := s.answer(c); a != nil && (a.Verdict != record.Pass || a.Metrics.RequestThroughput <= 0 || c.Outcome != record.OutcomeDone) {
				t.Fatalf("%s: %+v", c.ID, a)
			}
			if c.Outcome == record.OutcomeFailed && c.Message == "" {
				t.Fatalf("%s failed for nothing", c.ID)
			}
		}
	})
}
