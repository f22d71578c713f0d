package deploy_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"mvdan.cc/sh/v3/shell"
	"pgregory.net/rapid"

	"vtune/internal/deploy"
	"vtune/internal/record"
)

func winner(model string, flags ...string) deploy.Winner {
	prefix := []string{"vllm"}
	return deploy.Winner{
		Run: record.Run{ID: "2026_11_23_10_30-0a1b2c3d"}, Phase: record.PhaseOver, Place: "/base/run", Version: "0.32.0", System: "GPU", Model: model, Prefix: prefix,
		Argv: slices.Concat(prefix, []string{"serve", model}, flags), Flags: flags, Resources: record.Resources{GPUs: 2},
	}
}

// asVLLM is the command line that vLLM makes of a config file: each key a flag, before what is typed.
func asVLLM(t interface{ Fatalf(string, ...any) }, text string) (model string, flags []string) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if err := root.Decode(new(map[string]any)); err != nil { // two equal keys, of which a reader keeps one
		t.Fatalf("%v in\n%s", err, text)
	}
	content := root.Content[0].Content
	for i := 0; i+1 < len(content); i += 2 {
		key, value := content[i].Value, content[i+1]
		switch {
		case key == "model":
			model = value.Value
		case value.Kind == yaml.SequenceNode:
			flags = append(flags, "--"+key)
			for _, item := range value.Content {
				flags = append(flags, python(t, item))
			}
		case value.Tag == "!!bool" && value.Value == "true":
			flags = append(flags, "--"+key)
		default:
			flags = append(flags, "--"+key, python(t, value))
		}
	}
	return model, append(flags, typed(t, text)...)
}

// python is str() of a value: what is read as a number is printed as one, which may not be how it was written.
func python(t interface{ Fatalf(string, ...any) }, n *yaml.Node) string {
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatalf("%v", err)
	}
	switch v := v.(type) {
	case string:
		return v
	case float64:
		if v != 0 && (math.Abs(v) < 1e-4 || math.Abs(v) >= 1e16) {
			return strconv.FormatFloat(v, 'e', -1, 64)
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case nil:
		return "None"
	}
	return fmt.Sprint(v)
}

// typed is what the command line in the comments has behind the file.
func typed(t interface{ Fatalf(string, ...any) }, text string) []string {
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "#   "); ok {
			words, err := shell.Fields(command, func(string) string { return "" })
			if at := slices.Index(words, "--config"); err == nil && at >= 0 {
				return words[at+2:]
			}
		}
	}
	t.Fatalf("no command line in\n%s", text)
	return nil
}

// occurrences are flags with their values, in any order: the one form that all spellings of a flag have.
func occurrences(flags []string) []string {
	var all [][]string
	for _, word := range flags {
		if !strings.HasPrefix(word, "-") || len(word) > 1 && word[1] >= '0' && word[1] <= '9' {
			all[len(all)-1] = append(all[len(all)-1], word)
			continue
		}
		name, value, joined := strings.Cut(word, "=")
		if long, ok := map[string]string{"-tp": "--tensor-parallel-size", "-q": "--quantization"}[name]; ok {
			name = long
		}
		head, tail, dotted := strings.Cut(name, ".")
		next := []string{strings.ReplaceAll(head, "_", "-")}
		if dotted {
			next[0] += "." + tail
		}
		if joined {
			next = append(next, value)
		}
		all = append(all, next)
	}
	var out []string
	for _, words := range all {
		out = append(out, fmt.Sprintf("%q", words))
	}
	slices.Sort(out)
	return out
}

func TestTheConfigFileSaysWhatTheCommandLineSays(t *testing.T) {
	hostile := []string{"010", "null", "true", "No", "1e5", "0.98", "0.00001", "1_000", "", " ", "a: b", "# not a comment", `{"mode": 3}`, "it's", `"`, "a\nb", "ü\u2028\u0085\ufeff", "\\", "$(id)", "-1", "-0.5", "16"}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.SampledFrom(hostile), rapid.StringMatching(`[^-\x00\x{fffd}][^\x00\x{fffd}]{0,8}`))
		var flags []string
		for range rapid.IntRange(0, 6).Draw(t, "flags") {
			name := rapid.SampledFrom([]string{"--max-num-seqs", "--a_b", "--x.y_z", "--no-enable-x", "-tp", "-q", "-O3", "--seed"}).Draw(t, "name")
			switch rapid.IntRange(0, 3).Draw(t, "form") {
			case 0:
				flags = append(flags, name)
			case 1:
				flags = append(flags, name+"="+rapid.OneOf(value, rapid.Just("-x"), rapid.Just("--y=1")).Draw(t, "value"))
			default:
				flags = append(flags, append([]string{name}, rapid.SliceOfN(value, 1, 3).Draw(t, "values")...)...)
			}
		}
		model := value.Draw(t, "model")
		text, err := deploy.Config(winner(model, flags...), "vllm.yaml")
		if err != nil {
			t.Fatalf("%q: %v", flags, err)
		}
		gotModel, got := asVLLM(t, text)
		if want := occurrences(flags); gotModel != model || !slices.Equal(occurrences(got), want) {
			t.Fatalf("model %q, want %q; flags\n%q\nwant\n%q\nin\n%s", gotModel, model, occurrences(got), want, text)
		}
	})
}

// Of two equal keys YAML keeps one, and a value with a dash before it would be the next flag: both stay on the command line.
func TestWhatTheConfigFileCannotSayIsTyped(t *testing.T) {
	text, err := deploy.Config(winner("m", "--a", "1", "--b=-x", "-O3", "--a", "2", "--c"), "vllm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := typed(t, text), []string{"--b=-x", "-O3", "--a", "2"}; !slices.Equal(got, want) {
		t.Errorf("typed %q, want %q", got, want)
	}
	if !strings.HasSuffix(text, "model: \"m\"\n\"a\": 1\n\"c\": true\n") {
		t.Error(text)
	}
}

func TestTextThatIsNoUTF8IsAnErrorInYAML(t *testing.T) {
	if _, err := deploy.Config(winner("m\xff"), "vllm.yaml"); err == nil {
		t.Error("a model that YAML cannot say")
	}
}

// A comment ends where a line does, by the rules of whoever reads it: what follows would be a key, or a command.
func FuzzNoCommentBecomesMore(f *testing.F) {
	f.Add("a\nmodel: evil", "x\u0085port: 1", "\u2028b")
	f.Add("\r\n#", "\xff\xfe", "$(reboot)\n")
	f.Fuzz(func(t *testing.T, warning, version, place string) {
		w := winner("m")
		w.Warnings, w.Version, w.Place = []string{warning}, version, place
		for _, line := range w.About() {
			if strings.ContainsAny(line, "\n\r\v\f\u0085\u2028\u2029\x00\x1b") {
				t.Errorf("%q", line)
			}
		}
		text, err := deploy.Config(w, "vllm.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := yaml.Unmarshal([]byte(text), &keys); err != nil || len(keys) != 1 || keys["model"] != "m" {
			t.Errorf("%v, %v", keys, err)
		}
	})
}
