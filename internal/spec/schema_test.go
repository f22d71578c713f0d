package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"vtune/internal/spec/tree"
)

// validate is a JSON Schema validator for the keywords that Schema uses. A keyword it does not know is a failure, so that none
// can be added without being tested.
func validate(schema any, value any, path string) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, path+": "+fmt.Sprintf(format, args...))
	}
	if schema == true {
		return nil
	}
	s := schema.(map[string]any)
	object, isObject := value.(map[string]any)
	list, isList := value.([]any)
	text, isText := value.(string)
	number, isNumber := value.(float64)
	for keyword, want := range s {
		switch keyword {
		case "$schema", "title", "description", "default":
		case "type":
			if !slices.ContainsFunc(want.([]any), func(t any) bool { return isType(value, t.(string)) }) {
				fault("is not of type %v", want)
			}
		case "enum":
			if !slices.Contains(want.([]any), value) {
				fault("is not one of %v", want)
			}
		case "minimum":
			if isNumber && number < want.(float64) {
				fault("is below %v", want)
			}
		case "maximum":
			if isNumber && number > want.(float64) {
				fault("is above %v", want)
			}
		case "exclusiveMinimum":
			if isNumber && number <= want.(float64) {
				fault("is not above %v", want)
			}
		case "exclusiveMaximum":
			if isNumber && number >= want.(float64) {
				fault("is not below %v", want)
			}
		case "pattern":
			if isText && !regexp.MustCompile(want.(string)).MatchString(text) {
				fault("does not match %v", want)
			}
		case "minItems":
			if isList && len(list) < int(want.(float64)) {
				fault("is too short")
			}
		case "uniqueItems":
			for i := range list {
				if slices.ContainsFunc(list[:i], func(v any) bool { return reflect.DeepEqual(v, list[i]) }) {
					fault("has a value twice")
				}
			}
		case "items":
			for i, item := range list {
				faults = append(faults, validate(want, item, fmt.Sprintf("%s[%d]", path, i))...)
			}
		case "required":
			for _, key := range want.([]any) {
				if _, ok := object[key.(string)]; isObject && !ok {
					fault("lacks %v", key)
				}
			}
		case "propertyNames":
			for key := range object {
				faults = append(faults, validate(want, key, path)...)
			}
		case "properties", "patternProperties", "additionalProperties": // together, below
		default:
			fault("keyword %s is not known to the test", keyword)
		}
	}
	for key, v := range object {
		faults = append(faults, validate(property(s, key), v, tree.Join(path, key))...)
	}
	return faults
}

// property is the schema of one key of an object under s.
func property(s map[string]any, key string) any {
	if known, ok := s["properties"].(map[string]any); ok && known[key] != nil {
		return known[key]
	}
	if patterns, ok := s["patternProperties"].(map[string]any); ok {
		for p, sub := range patterns {
			if regexp.MustCompile(p).MatchString(key) {
				return sub
			}
		}
	}
	switch additional := s["additionalProperties"].(type) {
	case map[string]any:
		return additional
	case bool:
		if !additional {
			return map[string]any{"type": []any{}, "description": "an unknown key"}
		}
	}
	return true
}

func isType(v any, t string) bool {
	switch v := v.(type) {
	case nil:
		return t == "null"
	case bool:
		return t == "boolean"
	case string:
		return t == "string"
	case float64:
		return t == "number" || t == "integer" && v == math.Trunc(v)
	case []any:
		return t == "array"
	case map[string]any:
		return t == "object"
	}
	return false
}

type failer interface {
	Helper()
	Fatal(...any)
}

// faults validates a spec as an editor would: through YAML to JSON values.
func faults(t failer, spec []byte) []string {
	t.Helper()
	var schema, raw, value any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(spec, &raw); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return validate(schema, value, "")
}

func TestTheSchemaAcceptsExamplesAndTemplate(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/spec.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no examples (%v)", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults(t, data) {
			t.Errorf("%s: %s", f, fault)
		}
	}
	for _, fault := range faults(t, Template()) {
		t.Errorf("template: %s", fault)
	}
}

func TestTheSchemaAcceptsWhateverParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySpec().Draw(t, "spec")
		if got := faults(t, s.Effective()); len(got) > 0 {
			t.Fatalf("%v\n%s", got, s.Effective())
		}
	})
	if got := faults(t, []byte(minimal+"site: {time: 60}\nserver: {command: vllm}\nx-note: [1, {a: b}]\nlimit:\n")); len(got) > 0 {
		t.Error(got)
	}
}

func TestTheSchemaRefusesMistakes(t *testing.T) {
	for _, c := range []struct{ name, spec, at string }{
		{"an unknown key", minimal + "colour: red\n", "colour: "},
		{"an unknown key in a group", minimal + "site: {colour: red}\n", "site.colour: "},
		{"a missing key", strings.Replace(minimal, "model: org/model\n", "", 1), ": lacks model"},
		{"a missing group", "model: a\nworkload: {input_len: 1, output_len: 1}\n", ": lacks grid"},
		{"an empty required group", minimal[:17] + "grid: {max_num_seqs: [1], max_num_batched_tokens: [1]}\nworkload:\n", "workload: is not of type"},
		{"text for a number", minimal + "tensor_parallel: two\n", "tensor_parallel: "},
		{"a word that is no choice", minimal + "system: gpu\n", "system: "},
		{"a number out of range", strings.Replace(minimal, "20}", "20, cache_hit_pct: 101}", 1), "workload.cache_hit_pct: "},
		{"a limit of nothing", minimal + "limit: {p99_e2el_ms: 0}\n", "limit.p99_e2el_ms: "},
		{"a limit of nothing in the list", minimal + "limits: [{metric: e2el, ms: 0}]\n", "limits[0].ms: "},
		{"a percentile of 100", minimal + "limits: [{metric: e2el, ms: 1, percentile: 100}]\n", "limits[0].percentile: "},
		{"a limit without a metric", minimal + "limits: [{ms: 1}]\n", "limits[0]: lacks metric"},
		{"an unknown key of a limit", minimal + "limits: [{metric: e2el, ms: 1, p: 1}]\n", "limits[0].p: "},
		{"a tolerance of nothing", minimal + "tolerance: 0\n", "tolerance: "},
		{"a word as a burstiness", minimal + "arrivals: {burstiness: poisson}\n", "arrivals.burstiness: "},
		{"a value twice", strings.Replace(minimal, "[128, 256]", "[128, 128]", 1), "grid.max_num_seqs: "},
		{"an empty axis", strings.Replace(minimal, "[128, 256]", "[]", 1), "grid.max_num_seqs: "},
		{"a hostile partition", minimal + "site: {partition: \"gpu --wrap=id\"}\n", "site.partition: "},
		{"text for a truth", onTPU + v6e + "spot: \"true\"}\n", "site.spot: "},
		{"a hostile network", onTPU + v6e + "network: \"a --metadata=x\"}\n", "site.network: "},
		{"a bound of nothing", onTPU + v6e + "}\nmax_chip_hours: 0\n", "max_chip_hours: "},
		{"a hostile variable", minimal + "server: {environment: {\"A B\": c}}\n", "server.environment: "},
		{"a newline in a model", "model: \"a\\nb\"\n" + minimal[17:], "model: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faults(t, []byte(c.spec))
			if len(got) == 0 || !strings.HasPrefix(got[0], c.at) {
				t.Errorf("got %q, want a fault at %s", got, c.at)
			}
			if _, err := Parse("s", []byte(c.spec)); err == nil {
				t.Error("Parse accepts what the schema refuses")
			}
		})
	}
}
