package spec

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// crossCheck looks for values that are fine alone and wrong together. It says nothing about a key that has a problem already.
func (d *decoder) crossCheck() {
	d.checkLengths()
	d.checkGrid()
	d.checkSecrets()
}

func (d *decoder) sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return d.bad[p] })
}

// checkLengths: the server would refuse every request.
func (d *decoder) checkLengths() {
	const path = "max_model_len"
	s := d.spec
	if n := d.seen[path]; n != nil && d.sound(path, "workload.input_len", "workload.output_len") {
		if need := s.Workload.InputLen + s.Workload.OutputLen; need > s.MaxModelLen {
			d.problem(n, path, fmt.Sprintf("%d is less than the %d + %d tokens of a request", s.MaxModelLen, s.Workload.InputLen, s.Workload.OutputLen),
				fmt.Sprintf("write at least %d", need))
		}
	}
}

// maxCells bounds what one run may ask for, against a list that was generated with the wrong step.
const maxCells = 100_000

// checkGrid: vLLM does not start where a step has fewer tokens than requests.
func (d *decoder) checkGrid() {
	const seqsPath, tokensPath = "grid.max_num_seqs", "grid.max_num_batched_tokens"
	if !d.sound(seqsPath, tokensPath) {
		return
	}
	g := d.spec.Grid
	if n := len(g.MaxNumSeqs) * len(g.MaxNumBatchedTokens); n > maxCells {
		d.problem(d.seen[tokensPath], tokensPath, fmt.Sprintf("makes %d cells, more than %d", n, maxCells), "")
	}
	var sound []*yaml.Node // the items that were taken over; refused ones are not in the grid
	var paths []string
	for i, item := range d.seen[tokensPath].Content {
		if path := fmt.Sprintf("%s[%d]", tokensPath, i); !d.bad[path] {
			sound, paths = append(sound, resolve(item)), append(paths, path)
		}
	}
	for i, tokens := range g.MaxNumBatchedTokens {
		var above []string
		for _, seqs := range g.MaxNumSeqs {
			if seqs > tokens {
				above = append(above, fmt.Sprint(seqs))
			}
		}
		if above != nil {
			d.problem(sound[i], paths[i], fmt.Sprintf("%d is below max_num_seqs %s, which vLLM refuses", tokens, strings.Join(above, ", ")),
				"each value must be at least the largest max_num_seqs")
		}
	}
}

func (d *decoder) checkSecrets() {
	seen := map[string]bool{}
	for i, name := range d.spec.Server.Secrets {
		path := fmt.Sprintf("server.secrets[%d]", i)
		if d.bad[path] {
			continue
		}
		n := resolve(d.seen["server.secrets"].Content[i])
		if seen[name] {
			d.problem(n, path, name+" stands here a second time", "")
		}
		if _, ok := d.spec.Server.Environment[name]; ok {
			d.problem(n, path, name+" stands in server.environment too", "keep one of the two")
		}
		seen[name] = true
	}
}
