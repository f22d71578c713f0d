package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/load"
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
