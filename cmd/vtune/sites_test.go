package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

// siteSpecs are specs that fit the example of a site; one cell each, all other examples take the first.
var siteSpecs = map[string]string{
	"":           "tensor_parallel: 2\n",
	"cpu":        "system: CPU\n",
	"multi-node": "tensor_parallel: 8\npipeline_parallel: 2\n",
}

// Each example of a site, under a spec that names it, gives scripts that bash can read, and a real Slurm accepts what they ask for. The
// Slurm of the test has the examples' partitions and no features of nodes, so it is asked for none.
func TestTheExampleSitesMakeScriptsThatSlurmAccepts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/sites/*.yaml")
	files = slices.DeleteFunc(files, func(path string) bool { return strings.HasPrefix(filepath.Base(path), "tpu-") }) // no Slurm is asked for these
	if err != nil || len(files) < 8 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	env := lab(t)
	for _, partition := range []string{"batch", "compute", "cpu", "large", "serial"} {
		slurm(t, env, "scontrol", "create", "PartitionName="+partition, "Nodes=ALL", "State=UP")
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			keys, ok := siteSpecs[name]
			if !ok {
				keys = siteSpecs[""]
			}
			spec := "model: m\nworkload: {input_len: 100, output_len: 10}\ngrid: {max_num_seqs: [4, 8], max_num_batched_tokens: [64, 128]}\n" +
				"scheduler: slurm\nplan: cells\nsite: {use: " + name + ", constraint: \"\"}\n" + keys
			if err := os.WriteFile(filepath.Join(dir, "spec.yaml"), []byte(spec), 0o644); err != nil {
				t.Fatal(err)
			}
			withSites := append(env, "VTUNE_SITES=../../examples/sites", "XDG_CONFIG_HOME="+dir, "HF_TOKEN=x")
			vtune(t, withSites, "site", "show", name)
			vtune(t, withSites, "render", filepath.Join(dir, "spec.yaml"), "-o", filepath.Join(dir, "run"))
			scripts, err := filepath.Glob(filepath.Join(dir, "run", "jobs", "*", "script"))
			if err != nil || len(scripts) < 2 {
				t.Fatalf("%d scripts: %v", len(scripts), err)
			}
			for _, script := range scripts {
				text, err := os.ReadFile(script)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(string(text)), script); err != nil {
					t.Error(err)
				}
				slurm(t, env, "sbatch", "--test-only", script)
			}
		})
	}
}
