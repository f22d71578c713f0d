package spec

import (
	"fmt"
	"os"

	"gopkg.in/yaml.v3"

	"vtune/internal/diag"
	"vtune/internal/spec/tree"
)

// Load reads and parses the spec at path. A file that cannot be read is an error with exit code Spec; problems of its content
// are diag.Problems.
func Load(path string) (*Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, diag.Wrap(fmt.Errorf("read spec: %w", err), diag.Spec)
	}
	return Parse(path, data)
}

// Parse reads a spec, fills in every default and validates. The error is diag.Problems with every problem of the file, in the
// order of its lines; file is the name that their positions carry.
func Parse(file string, data []byte) (*Spec, error) {
	root, problem := tree.Read(file, data)
	if problem != nil {
		return nil, diag.Problems{*problem}
	}
	d := &decoder{file: file, spec: &Spec{}, seen: map[string]*yaml.Node{}, bad: map[string]bool{}}
	d.group(root, "", fields())
	d.derive(fields(), "")
	d.crossCheck()
	if short := d.spec.Limit.P99E2ELMS; short > 0 {
		d.spec.Limits, d.spec.Limit = []Limit{{Metric: "e2el", Percentile: 99, MS: short}}, P99{}
	}
	d.problems.Sort()
	if err := d.problems.Err(); err != nil {
		return nil, err
	}
	return d.spec, nil
}
