package word

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
	"pgregory.net/rapid"
)

func TestSlurmsSixFormsOfTime(t *testing.T) {
	for v, want := range map[string]int{
		"90": 5400, "1:30": 90, "90:00": 5400, "01:30:00": 5400, "2-12": 216000, "0-1:30": 5400, "1-00:00:01": 86401, "060": 3600,
	} {
		if got, ok := Seconds(v); !ok || got != want {
			t.Errorf("%s is %d s (%v), want %d", v, got, ok, want)
		}
	}
	for _, v := range []string{"", "-", "1-", "-1", ":", "1:", "1:2:3:4", "1-2:3:4:5", "1-2-3", "+1", "1.5", "99999999"} {
		if got, ok := Seconds(v); ok {
			t.Errorf("%q is taken for %d s", v, got)
		}
	}
}

func TestMemoryIsMebibytesRoundedUp(t *testing.T) {
	for v, want := range map[string]int{"0": 0, "512000": 512000, "512000M": 512000, "64G": 65536, "64g": 65536, "2T": 2097152, "1K": 1, "1025k": 2} {
		if Memory().Test(v) != nil {
			t.Errorf("%s is refused", v)
		}
		if got, err := Megabytes(v); err != nil || got != want {
			t.Errorf("%s is %d MiB (%v), want %d", v, got, err, want)
		}
	}
	for _, v := range []string{"64GB", "0G", "-1", "1.5G", "G", "64 G", "1234567890"} {
		if Memory().Test(v) == nil {
			t.Errorf("%q is accepted", v)
		}
	}
}

func TestRulesTellGoodWordsFromBadOnes(t *testing.T) {
	for _, c := range []struct {
		name      string
		rule      Rule
		good, bad []string
	}{
		{"model", Model(), []string{"org/model", "/models/My Model", "é"}, []string{"", "-x", "./m", "../m", "~/m", "$M", "a\nb", "a\x00"}},
		{"absolute path", AbsolutePath(), []string{"", "/a b"}, []string{"a", "~/a", "/a\n"}},
		{"path", Path(), []string{".", "a/b", "/a"}, []string{"", "~", "$HOME/x", "a\nb"}},
		{"site name", SiteName(), []string{"", "gpu", "a,b", "proj-1", "u@site"}, []string{"-p", "a b", "a;b", "a$b", "a\n", "a`", "a'"}},
		{"constraint", Constraint(), []string{"", "h100|h200", "[r1|r2]", "a&b*2", "(a|b)&!c"}, []string{"a b", "a;b", "$a", "a\nb", "-a", "a>b"}},
		{"GPU type", GPUType(), []string{"", "h100", "1g.10gb", "a_100-x"}, []string{"a:b", "a,b", "a b"}},
		{"module", Module(), []string{"cuda/12.8", "GCC/13.2.0+x"}, []string{"", "-f", "a b", "a;b", "$(x)"}},
		{"time limit", TimeLimit(), []string{"", "2", "2:00", "0-1"}, []string{"1", "1:59", "UNLIMITED", "1h"}},
		{
			"variable", Variable(),
			[]string{"A", "_a1", "TOKENIZERS_PARALLELISM", "VLLM_MAX_TOKENS", "KEY"},
			[]string{"", "1A", "A-B", "A=1", "HF_TOKEN", "hf_token", "OPENAI_API_KEY", "MY_SECRET", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "VLLM_API_KEY", "VLLM_SERVER_DEV_MODE"},
		},
		{"variable's value", VariableValue(), []string{"", "a b\n"}, []string{"\x00"}},
		{"secret", Secret(), []string{"HF_TOKEN"}, []string{"", "HF_TOKEN=x", "VLLM_API_KEY"}},
		{"duration", Duration(), []string{"1s", "10m", "24h"}, []string{"", "10", "0s", "-1m", "25h"}},
		{"burstiness", Burstiness(), []string{"1", "constant", "0.01", "1000", "2.50"}, []string{"", "0", "0.001", "1001", "-1", "1e3", ".5", "inf", "Constant", "1\n"}},
		{
			"server flag", ServerFlag(),
			[]string{"--dtype", "bfloat16", "--load-format", "--load-format=auto", "--max-num-partial-prefills=2", "--kv_cache_dtype", "-x", "a b", `{"a": 1}`, "--max-logprobs"},
			[]string{
				"--host", "--host=::", "--port=1", "--uds", "--api-key", "--gpu-memory-utilization", "--gpu_memory_utilization=0.9", "--max-num-seqs", "--max-num-batched-tokens", "--tensor-parallel-size",
				"-tp", "-pp", "-n", "-r", "--pipeline-parallel-size=2", "--nnodes", "--master_addr", "--headless", "--max-model-len", "--max-model", "--download-dir", "--enable-prefix-caching", "--no-enable-prefix-caching", "--no-enable-prefix", "--profiler-config", "--profiler-config.profiler",
				"--served-model-name", "--hf-token=hf_x", "--dtype half", "a\nb", "a\x00",
			},
		},
		{
			"directive", Directive(),
			[]string{"exclude", "nodelist", "exclusive", "mail-type", "core-spec"},
			[]string{"", "--exclude", "Exclude", "output", "error", "array", "dependency", "job-name", "requeue", "signal", "chdir", "export", "wrap", "parsable", "partition", "mem", "gres", "nonsense", "a\nb", "a b"},
		},
		{"line", Line(), []string{"", "n[1-4]", `{"a": "b c"}`}, []string{"a\nb", "a\x00", "a\rb"}},
		{
			"bash line", BashLine(),
			[]string{"source /a/b", `export A="$(cat ~/x)"`, "# remark", "a && b", "a\tb", `echo a\\`, `export HF_TOKEN="$(cat ~/.token)"`, "[[ -z $A ]] || B=1"},
			[]string{"", "a\nb", `echo "`, "if true", "cat <<EOF", `a \`, `a \\\`, "#SBATCH --output=x", "  #SBATCH -p y", "export HF_TOKEN=hf_abc", "HF_TOKEN='x' run", "a\x00", "f() {", ")"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, v := range c.good {
				if f := c.rule.Test(v); f != nil {
					t.Errorf("%q is refused: %s", v, f.What)
				}
			}
			for _, v := range c.bad {
				f := c.rule.Test(v)
				if f == nil {
					t.Errorf("%q is accepted", v)
				} else if f.What == "" || c.rule.Secret && v != "" && strings.Contains(f.What, "=x") {
					t.Errorf("%q is refused with %q", v, f.What)
				}
			}
		})
	}
}

func TestADirectiveIsRefusedWithTheReason(t *testing.T) {
	for v, want := range map[string]Fault{
		"output":   {What: "output is vtune's: its jobs depend on it"},
		"mem":      {What: "mem has a key of its own", Hint: "use site.memory"},
		"qos":      {What: "qos has a key of its own", Hint: "use site.qos"},
		"nodelst":  {What: "nodelst is not an option that vtune passes on", Hint: "did you mean nodelist?"},
		"whatever": {What: "whatever is not an option that vtune passes on"},
	} {
		if got := Directive().Test(v); got == nil || *got != want {
			t.Errorf("%s: got %+v, want %+v", v, got, want)
		}
	}
}

func TestAFaultInBashSaysWhere(t *testing.T) {
	for v, want := range map[string]int{`echo "a`: 5, `a \`: 2, "a; HF_TOKEN=x": 3, "a; )": 3} {
		if f := BashLine().Test(v); f == nil || f.Offset != want {
			t.Errorf("%s: got %+v, want offset %d", v, f, want)
		}
	}
}

// A line that is accepted keeps to itself: it does not change how the line after it parses.
func TestALineOfBashNeverReachesTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", " ", `\`, `"`, "'", "$", "(", ")", "{", "}", "<<", "E", "#", ";", "&&", "|", "`", "if ", "fi"}), 1, 8).Draw(t, "parts"), "")
		if BashLine().Test(line) != nil {
			return
		}
		f, err := syntax.NewParser().Parse(strings.NewReader(line+"\nexec agent\n"), "")
		if err != nil {
			t.Fatalf("%q breaks the script: %v", line, err)
		}
		last := f.Stmts[len(f.Stmts)-1]
		if call, ok := last.Cmd.(*syntax.CallExpr); !ok || last.Pos().Line() != 2 || len(call.Args) != 2 || call.Args[0].Lit() != "exec" {
			t.Fatalf("%q swallows the line after it", line)
		}
	})
}

func TestNamesNeverHoldWhatAShellReads(t *testing.T) {
	hostile := regexp.MustCompile("[\\s$`\"'\\\\;<>#~]")
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.String().Draw(t, "word")
		for name, r := range map[string]Rule{"site name": SiteName(), "constraint": Constraint(), "GPU type": GPUType(), "module": Module(), "memory": Memory(), "time": TimeLimit(), "directive": Directive()} {
			if r.Test(v) == nil && (hostile.MatchString(v) || strings.HasPrefix(v, "-")) {
				t.Fatalf("%s accepts %q", name, v)
			}
		}
	})
}

func TestTheNearestWordIsTheOneThatWasMeant(t *testing.T) {
	known := []string{"max_num_seqs", "max_num_batched_tokens", "model", "method", "qos", "time"}
	for got, want := range map[string]string{
		"max-num-seqs": "max_num_seqs", "MAX_NUM_SEQ": "max_num_seqs", "modle": "model", "metod": "method", "tiem": "time",
		"": "", "colour": "", "x": "", "max_batched_tokens": "max_num_batched_tokens",
	} {
		if n := Nearest(got, known); n != want {
			t.Errorf("%q is near %q, want %q", got, n, want)
		}
	}
}

func TestASpanSaysWhichNumbersAreOut(t *testing.T) {
	percentile := Between(0, 100, "hint")
	percentile.AtHigh = "would forbid everything"
	for _, c := range []struct {
		span Span
		v    float64
		want string
	}{
		{Above(0, ""), 1e-300, ""},
		{Above(0, ""), 0, "0 is not above 0"},
		{Above(0, ""), -1, "-1 is not above 0"},
		{percentile, 99.99, ""},
		{percentile, 0, "0 is not above 0 and below 100"},
		{percentile, 100, "100 would forbid everything"},
		{percentile, 100.5, "100.5 is not above 0 and below 100"},
		{From(0.1, 0.5), 0.1, ""},
		{From(0.1, 0.5), 0.5, ""},
		{From(0.1, 0.5), 0.51, "0.51 is not between 0.1 and 0.5"},
	} {
		got := ""
		if f := c.span.Test(fmt.Sprint(c.v), c.v); f != nil {
			got = f.What
		}
		if got != c.want {
			t.Errorf("%v in %+v: %q, want %q", c.v, c.span, got, c.want)
		}
	}
}
