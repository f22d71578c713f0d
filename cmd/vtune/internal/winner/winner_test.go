package winner_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
	"mvdan.cc/sh/v3/shell"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/cmd/vtune/internal/winner"
	"vtune/internal/diag"
	"vtune/internal/need"
	"vtune/internal/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const demo = "../../../../testdata/runs/demo"

func world(said io.Writer) tuning.World {
	return tuning.World{Now: time.Now, Program: "vtune", Err: said}
}

func text(t *testing.T, run string, r winner.Request) string {
	t.Helper()
	out, err := winner.Text(t.Context(), world(io.Discard), run, r)
	if err != nil {
		t.Fatalf("%s: %v", r.Format, err)
	}
	return string(out)
}

// siteFile is a site with all that a job script may have of it.
func siteFile(t *testing.T) string {
	t.Helper()
	return write(t, "site.yaml", `{partition: gpu, account: team, time: "8:00:00", memory: 64G, cpus: 8, gpu_style: gres, gpu_type: h100, gpus_per_node: 8,
scratch: /scratch, modules: [cuda/12.4], environment: ["export A='b c'"], container: {runtime: apptainer, image: /images/vllm.sif}}`)
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryFormatOfARunsWinner(t *testing.T) {
	place, err := filepath.Abs(demo)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range winner.Formats() {
		r := winner.Request{Format: format}
		if format == "sbatch" {
			r.Site = siteFile(t)
		}
		got := strings.ReplaceAll(text(t, demo, r), place, "/home/me/tuning/auto-benchmark/2026_11_30_19_55")
		golden := filepath.Join("testdata", "demo."+format)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

// What each form says is the same server: what the command line has, and nothing that belongs to measuring.
func TestAllFormatsStartTheSameServer(t *testing.T) {
	words, err := shell.Fields(text(t, demo, winner.Request{Format: "command"}), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	flags := words[slices.Index(words, "serve")+2:]
	for _, measuring := range []string{"--load-format", "--host", "--port", "--profiler-config"} {
		if slices.Contains(flags, measuring) {
			t.Errorf("%s is in %q", measuring, flags)
		}
	}
	for format, sep := range map[string]string{"sbatch": " ", "json": "\",\n    \""} {
		r := winner.Request{Format: format}
		if format == "sbatch" {
			r.Site = siteFile(t)
		}
		if got := text(t, demo, r); !strings.Contains(got, strings.Join(flags, sep)) {
			t.Errorf("%s has not the flags %q:\n%s", format, flags, got)
		}
	}
	_, args := deployment(t, text(t, demo, winner.Request{Format: "k8s"}))
	if want := append(slices.Clone(flags), "--host", "0.0.0.0", "--port", "8000"); !slices.Equal(args[1:], want) {
		t.Errorf("args %q, want %q", args[1:], want)
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text(t, demo, winner.Request{Format: "config"})), &config); err != nil || len(config) != 7 || config["max-num-seqs"] != 16 {
		t.Errorf("%v, %v", config, err)
	}
}

// variant is the demo's run with some of its spec replaced. Only what is read of it is there.
func variant(t *testing.T, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(demo)); err != nil {
		t.Fatal(err)
	}
	file := record.Dir(dir).Effective()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(replace...).Replace(string(data))
	if changed == string(data) {
		t.Fatalf("nothing to replace in %s: %q", file, replace)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Kubernetes judges a manifest by its OpenAPI, which testdata has the names and types of.
func TestAManifestIsOneToKubernetes(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace []string
	}{
		{"as it is", []string{"seed: 0", "seed: 1"}},
		{"a server with everything", []string{
			"flags: []", `flags: ["--chat-template", "$(HOME) $$ \"x\" ' #", "--x=ü"]`, "secrets: []", "secrets: [HF_TOKEN, OTHER]",
			"download_dir: \"\"", "download_dir: /models", "  cpus: 0", "  cpus: 4", "memory: \"\"", "memory: 64G", "VLLM_SIM_HARDWARE: a10-like", `VLLM_SIM_HARDWARE: "a\n$(b)"`,
		}},
		{"a server on CPU", []string{"system: GPU", "system: CPU"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, problem := range judge(t, text(t, variant(t, c.replace...), winner.Request{Format: "k8s"})) {
				t.Error(problem)
			}
		})
	}
}

// A judge that finds nothing wrong with anything would be none.
func TestTheJudgeOfManifestsSeesWhatIsWrong(t *testing.T) {
	good := text(t, demo, winner.Request{Format: "k8s"})
	for _, c := range []struct{ from, to string }{
		{"enableServiceLinks: false", "enableServiceLink: false"},
		{"failureThreshold: 180", `failureThreshold: "180"`},
		{`value: "60"`, "value: 60"},
		{"matchLabels:", "matchLabel:"},
		{"replicas: 1", "replicas: one"},
		{"      app.kubernetes.io/instance: vllm", "      app.kubernetes.io/instance: x"},
		{`nvidia.com/gpu: "1"`, `nvidia.com/gpu: "one"`},
		{"name: vllm-2026", "name: Vllm_2026"},
		{"targetPort: http", "targetPort: [http]"},
		{"          ports:", "          port:"},
	} {
		bad := strings.Replace(good, c.from, c.to, 1)
		if bad == good {
			t.Errorf("%q is not there", c.from)
		}
		if len(judge(t, bad)) == 0 {
			t.Errorf("nothing wrong with %q", c.to)
		}
	}
}

func TestHostileStringsReachTheServerOfAManifestAsTheyAre(t *testing.T) {
	run := variant(t, "flags: []", `flags: ["--chat-template", "$(HF_TOKEN) $$(x) $ \"x\" ' # y: ü"]`, "VLLM_SIM_HARDWARE: a10-like", `VLLM_SIM_HARDWARE: "a: b\n$(HF_TOKEN)'"`)
	container, args := deployment(t, text(t, run, winner.Request{Format: "k8s"}))
	if want := "$(HF_TOKEN) $$(x) $ \"x\" ' # y: ü"; !slices.Contains(args, want) {
		t.Errorf("%q is not in %q", want, args)
	}
	env, _ := container["env"].([]any)
	if first, _ := env[0].(map[string]any); expand(first["value"].(string)) != "a: b\n$(HF_TOKEN)'" {
		t.Errorf("%v", first)
	}
}

// deployment is the container of a manifest, and its arguments as Kubernetes hands them on.
func deployment(t *testing.T, manifest string) (container map[string]any, args []string) {
	t.Helper()
	var d struct {
		Spec struct {
			Template struct {
				Spec struct{ Containers []map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(manifest), &d); err != nil {
		t.Fatal(err)
	}
	container = d.Spec.Template.Spec.Containers[0]
	for _, arg := range container["args"].([]any) {
		args = append(args, expand(arg.(string)))
	}
	return container, args
}

// expand is what Kubernetes makes of dollar signs: $$ is one, and $(NAME) would be a variable's value.
func expand(s string) string {
	return regexp.MustCompile(`\$\$|\$\([A-Za-z_]+\)`).ReplaceAllStringFunc(s, func(found string) string {
		if found == "$$" {
			return "$"
		}
		return "EXPANDED"
	})
}

func TestASiteThatIsNotSaidIsAskedFor(t *testing.T) {
	_, err := winner.Text(t.Context(), world(io.Discard), demo, winner.Request{Format: "sbatch"})
	if diag.CodeOf(err) != diag.Usage || !strings.Contains(strings.Join(diag.HintsOf(err), ""), "--site") {
		t.Errorf("%v", err)
	}
	_, err = winner.Text(t.Context(), world(io.Discard), demo, winner.Request{Format: "sbatch", Site: write(t, "bad.yaml", "partitoin: gpu")})
	if diag.CodeOf(err) != diag.Spec {
		t.Errorf("%v", err)
	}
}

func TestASitesOwnTemplatesMakeTheJobAndTheManifest(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"environment.tmpl": "\n. /site/profile", "kubernetes.tmpl": "kind: Site\nrun: {{yaml .Run}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(t, demo, winner.Request{Format: "sbatch", Site: siteFile(t), TemplateDir: dir}); !strings.Contains(got, "\n. /site/profile\n") || strings.Contains(got, "module load") {
		t.Error(got)
	}
	if got := text(t, demo, winner.Request{Format: "k8s", TemplateDir: dir}); got != "kind: Site\nrun: \"2026_11_30_19_55-f05eb35f\"\n" {
		t.Error(got)
	}
}

func TestServingJobsAreGoodBash(t *testing.T) {
	need.Program(t, "shellcheck", "make deps")
	hostile := variant(t, "flags: []", `flags: ["--chat-template", "$(id) 'x' \"y\" # z"]`, "VLLM_SIM_HARDWARE: a10-like", `VLLM_SIM_HARDWARE: "a'\n$b"`)
	for _, run := range []string{demo, hostile} {
		c := exec.CommandContext(t.Context(), "shellcheck", "-")
		c.Stdin = strings.NewReader(text(t, run, winner.Request{Format: "sbatch", Site: siteFile(t)}))
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// changed is the demo's run without the attempts that told of its answer, so that there is none (yet).
func without(t *testing.T, paths ...string) string {
	t.Helper()
	dir := variant(t, "seed: 0", "seed: 1")
	for _, path := range paths {
		if err := os.RemoveAll(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestARunWithoutAWinnerSaysWhy(t *testing.T) {
	running := without(t, "cells", "probe/1/result.json", "jobs/probe-1/ended.json")
	_, err := winner.Text(t.Context(), world(io.Discard), running, winner.Request{Format: "command"})
	if diag.CodeOf(err) != diag.Unfinished || len(diag.HintsOf(err)) != 1 {
		t.Errorf("%v", err)
	}
}

func TestOfARunThatIsNotOverThereIsTheBestYet(t *testing.T) {
	running := without(t, "cells/s16-t4096/1/result.json", "jobs/s16-t4096-1/ended.json")
	var said bytes.Buffer
	out, err := winner.Text(t.Context(), world(&said), running, winner.Request{Format: "config"})
	if err != nil || !strings.Contains(said.String(), "best yet") || !strings.Contains(string(out), "which is not over") {
		t.Errorf("%v, said %q, wrote\n%s", err, said.String(), out)
	}
}

func TestAFormatThatIsNoneIsAUsageError(t *testing.T) {
	for _, r := range []winner.Request{{Format: "helm"}, {Format: "env", Site: "x"}, {Format: "env", Image: "x"}, {Format: "config", Output: "vllm.conf"}} {
		if _, err := winner.Text(t.Context(), world(io.Discard), demo, r); diag.CodeOf(err) != diag.Usage {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// kind is a type of testdata/kubernetes.json.
type kind struct {
	Ref        string
	Type       string
	Format     string
	Required   []string
	Properties map[string]*kind
	Items      *kind
	Values     *kind
}

var (
	quantity = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?([KMGT]i?|m)?$`)
	label    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	value    = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

// judge is what Kubernetes would not take of a manifest: by its types, and by what it wants of names, labels and quantities.
func judge(t *testing.T, manifest string) (problems []string) {
	t.Helper()
	data, err := os.ReadFile("testdata/kubernetes.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Types map[string]*kind }
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(strings.NewReader(manifest))
	for _, root := range []string{"io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.Service"} {
		var doc map[string]any
		if err := d.Decode(&doc); err != nil {
			t.Fatalf("%v in\n%s", err, manifest)
		}
		problems = append(problems, check(schema.Types, schema.Types[root], doc, doc["kind"].(string))...)
		meta, _ := doc["metadata"].(map[string]any)
		if name, _ := meta["name"].(string); !label.MatchString(name) {
			problems = append(problems, "no name: "+name)
		}
		for key, v := range meta["labels"].(map[string]any) {
			if text, _ := v.(string); !value.MatchString(text) {
				problems = append(problems, "no label "+key)
			}
		}
	}
	var selected struct {
		Spec struct {
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			Template struct {
				Metadata struct{ Labels map[string]string }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(manifest), &selected); err != nil {
		problems = append(problems, err.Error())
	}
	for key, v := range selected.Spec.Selector.MatchLabels {
		if selected.Spec.Template.Metadata.Labels[key] != v {
			problems = append(problems, "the selector does not find the pods: "+key)
		}
	}
	return problems
}

func check(types map[string]*kind, k *kind, v any, path string) (problems []string) {
	wrong := func(what string) []string { return []string{path + ": " + what} }
	isQuantity := strings.HasSuffix(k.Ref, ".Quantity")
	if k.Ref != "" {
		k = types[k.Ref]
	}
	switch v := v.(type) {
	case map[string]any:
		if k.Properties == nil && k.Values == nil {
			return wrong("is no object")
		}
		for _, name := range k.Required {
			if _, there := v[name]; !there {
				problems = append(problems, path+": lacks "+name)
			}
		}
		for name, item := range v {
			of := k.Properties[name]
			if of == nil {
				of = k.Values
			}
			if of == nil {
				problems = append(problems, path+": has no "+name)
				continue
			}
			problems = append(problems, check(types, of, item, path+"."+name)...)
		}
		return problems
	case []any:
		if k.Items == nil {
			return wrong("is no list")
		}
		for _, item := range v {
			problems = append(problems, check(types, k.Items, item, path+"[]")...)
		}
		return problems
	case string:
		if k.Type != "string" || isQuantity && !quantity.MatchString(v) {
			return wrong("is no " + k.Type + ": " + v)
		}
	case int:
		if k.Type != "integer" && k.Format != "int-or-string" {
			return wrong("is no number")
		}
	case bool:
		if k.Type != "boolean" {
			return wrong("is no truth value")
		}
	default:
		return wrong("is of no type")
	}
	return nil
}
