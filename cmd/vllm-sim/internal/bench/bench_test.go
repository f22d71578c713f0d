package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/imports"
	"vtune/internal/load"
	"vtune/internal/record"
)

func TestGoodputTakesSeveralWordsAndSeveralFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--goodput", "ttft:100", "e2el:500.5", "--seed", "3"},
		{"--goodput", "ttft:100", "--seed", "3", "--goodput", "e2el:500.5"},
		{"--seed", "3", "--goodput=ttft:100", "--goodput=e2el:500.5"},
	} {
		o, err := parseBench(append(args, "--model", "tiny"), func(string) string { return "" })
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		want := []load.Objective{{Metric: load.TTFT, LimitMS: 100}, {Metric: load.E2EL, LimitMS: 500.5}}
		if diff := cmp.Diff(want, o.work.Goodput); diff != "" {
			t.Errorf("%v (-want +got):\n%s", args, diff)
		}
	}
}

func FuzzGoodput(f *testing.F) {
	for _, s := range []string{"e2el:500", "ttft:1 tpot:2", "itl:1", "e2el:", "e2el:NaN", ":", "e2el:-1", "e2el:1 e2el:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		objectives, err := parseGoodput(strings.Fields(text))
		if err != nil {
			return
		}
		if len(objectives) != len(strings.Fields(text)) {
			t.Errorf("%q: %v", text, objectives)
		}
		for _, o := range objectives {
			if !(o.LimitMS >= 0) || o.Metric == load.ITL {
				t.Errorf("%q: accepted %v", text, o)
			}
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	f.Add("--request-rate\x00inf\x00--num-prompts\x0010")
	f.Add("--metric-percentiles\x0050,,\x00--header\x00x")
	f.Add("--extra-body\x00{")
	f.Fuzz(func(t *testing.T, line string) {
		// Must end in options or in an error, whatever a spec's extra flags hold.
		_, _ = parseBench(strings.Split(line, "\x00"), func(string) string { return "" })
	})
}

// The table is for people, and still what auto_tune.sh and `vtune import` read: what is printed must be read back as it was.
func TestTheTableIsReadBackAsItWasPrinted(t *testing.T) {
	goodput := 4.75
	s := load.Summary{
		Duration: 20500 * time.Millisecond, Completed: 98, Failed: 2, InputTokens: 176400, OutputTokens: 1960, RequestRate: 4.78, OutputRate: 95.61, Goodput: &goodput,
		Latency: map[load.Metric]load.Distribution{},
	}
	want := record.Metrics{Completed: 98, Failed: 2, Seconds: 20.5, TotalInputTokens: 176400, TotalOutputTokens: 1960, RequestThroughput: 4.78, OutputThroughput: 95.61, RequestGoodput: 4.75}
	for i, to := range []*record.Latency{&want.TTFT, &want.TPOT, &want.ITL, &want.E2EL} {
		*to = record.Latency{Mean: float64(i) + 0.25, P50: float64(i) + 0.5, P99: float64(i) + 0.75}
		s.Latency[load.Metrics()[i]] = load.Distribution{Mean: to.Mean, Median: to.P50, Percentiles: []load.Percentile{{P: 50, Value: to.P50}, {P: 99, Value: to.P99}}}
	}
	var printed strings.Builder
	benchOptions{metrics: load.Metrics(), work: load.Workload{Rate: 5}}.print(&printed, s)
	l, problems := imports.ParseLog("log", []byte(printed.String()))
	if diff := cmp.Diff(want, l.Metrics); diff != "" || len(problems) > 0 || !l.Spoke {
		t.Errorf("%v (-want +got):\n%s\nof\n%s", problems, diff, printed.String())
	}
}
