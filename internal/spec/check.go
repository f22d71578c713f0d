package spec

import (
	"fmt"
	"math"
	"strings"

	"gopkg.in/yaml.v3"

	"vtune/internal/spec/tree"
)

// crossCheck looks for values that are fine alone and wrong together. It says nothing about a key that has a problem already.
func (d *decoder) crossCheck() {
	d.checkLengths()
	d.checkGrid()
	d.checkLimits()
	d.checkMethod()
	d.checkServer()
	d.checkSecrets()
	d.checkCluster()
	d.checkBudget()
}

// checkLengths: the server would refuse every request.
func (d *decoder) checkLengths() {
	const path = "max_model_len"
	s := d.spec
	if n := d.seen[path]; n != nil && d.Sound(path, "workload.input_len", "workload.output_len") {
		if need := s.Workload.InputLen + s.Workload.OutputLen; need > s.MaxModelLen {
			d.Problem(n, path, fmt.Sprintf("%d is less than the %d + %d tokens of a request", s.MaxModelLen, s.Workload.InputLen, s.Workload.OutputLen),
				fmt.Sprintf("write at least %d", need))
		}
	}
}

// maxCells bounds what one run may ask for, against a list that was generated with the wrong step.
const maxCells = 100_000

// checkGrid: vLLM does not start where a step has fewer tokens than requests.
func (d *decoder) checkGrid() {
	const seqsPath, tokensPath = "grid.max_num_seqs", "grid.max_num_batched_tokens"
	if !d.Sound(seqsPath, tokensPath) {
		return
	}
	g := d.spec.Grid
	n := len(g.MaxNumSeqs) * len(g.MaxNumBatchedTokens)
	if n > maxCells {
		d.Problem(d.seen[tokensPath], tokensPath, fmt.Sprintf("makes %d cells, more than %d", n, maxCells), "")
	}
	const claim = "verify.rate"
	if at := d.seen[claim]; at != nil && d.Sound(claim) && n > 1 {
		d.Problem(at, claim, fmt.Sprintf("is a claim about one cell, and the grid has %d", n), "write one value for each axis, or leave verify out to search")
	}
	var sound []*yaml.Node // the items that were taken over; refused ones are not in the grid
	var paths []string
	for i, item := range d.seen[tokensPath].Content {
		if path := fmt.Sprintf("%s[%d]", tokensPath, i); d.Sound(path) {
			sound, paths = append(sound, tree.Resolve(item)), append(paths, path)
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
			d.Problem(sound[i], paths[i], fmt.Sprintf("%d is below max_num_seqs %s, which vLLM refuses", tokens, strings.Join(above, ", ")),
				"each value must be at least the largest max_num_seqs")
		}
	}
}

// checkLimits: a limit that another implies, or that another forbids, is a mistake in one of the two.
func (d *decoder) checkLimits() {
	const short, list, goodput = "limit.p99_e2el_ms", "limits", "goodput_pct"
	limits, n := d.spec.Limits, d.seen[list]
	if s := d.seen[short]; s != nil && len(limits) > 0 {
		d.Problem(n, list, fmt.Sprintf("stands beside %s in line %d", short, s.Line), "keep one of the two")
	}
	for i, l := range limits {
		for j, before := range limits[:i] {
			if l.Metric != before.Metric || !d.soundLimit(i) || !d.soundLimit(j) {
				continue
			}
			node, path := tree.Resolve(n.Content[i]), fmt.Sprintf("%s[%d]", list, i)
			switch {
			case l.Percentile == before.Percentile:
				d.Problem(node, path, fmt.Sprintf("P%g of %s stands at [%d] already", l.Percentile, l.Metric, j), "")
			case (l.Percentile > before.Percentile) == (l.MS < before.MS) && l.MS != before.MS:
				d.Problem(node, path, fmt.Sprintf("P%g of %s cannot be below its P%g: one of %g ms and %g ms (at [%d]) is without effect",
					max(l.Percentile, before.Percentile), l.Metric, min(l.Percentile, before.Percentile), l.MS, before.MS, j), "leave the looser one out")
			}
		}
	}
	if g := d.seen[goodput]; g != nil && len(limits) == 0 && d.seen[short] == nil && d.Sound(goodput, list) {
		d.Problem(g, goodput, "there is no limit that requests could be within", "write limits")
	}
}

// checkBudget: of n independent requests none is beyond a limit with probability (1-p)^n although a share p is. What so many cannot
// show no test can, so every cell would be unsure. Of ITL the samples are gaps, of which a request has many.
func (d *decoder) checkBudget() {
	s := d.spec
	if len(d.Problems) > 0 || s.Method != MethodVtune {
		return
	}
	most, budget, longer := s.Test.MaxRequests, "test.max_requests", "test.max_requests well above that"
	if s.Verify.Rate > 0 {
		most, budget, longer = s.Verify.Requests(), "the requests of verify", "a longer verify.duration"
	}
	check := func(path string, n *yaml.Node, percentile float64) {
		p := min((1+s.Test.Zone)*(1-percentile/100), 0.999)
		if need := math.Ceil(math.Log(s.Test.FalsePass) / math.Log1p(-p)); need > float64(most) {
			d.Problem(n, path, fmt.Sprintf("%g %% cannot be shown by %s %d: it takes %.0f even if none is beyond the limit", percentile, budget, most, need),
				"write a lower percentile, or "+longer)
		}
	}
	const short, goodput = "limit.p99_e2el_ms", "goodput_pct"
	switch {
	case s.GoodputPct > 0:
		check(goodput, d.seen[goodput], s.GoodputPct)
	case d.seen[short] != nil:
		check(short, d.seen[short], 99)
	default:
		for i, l := range s.Limits {
			if l.Metric != "itl" {
				check(fmt.Sprintf("limits[%d]", i), tree.Resolve(d.seen["limits"].Content[i]), l.Percentile)
			}
		}
	}
}

func (d *decoder) soundLimit(i int) bool {
	at := fmt.Sprintf("limits[%d]", i)
	return d.Sound(at, at+".metric", at+".percentile", at+".ms")
}

// checkServer: what is said twice might differ.
func (d *decoder) checkServer() {
	const file = "server.secrets_file"
	if n := d.seen[file]; n != nil && !d.Own(n) && d.Sound(file) && !strings.HasPrefix(n.Value, "/") && !strings.HasPrefix(n.Value, "~/") && n.Value != "" {
		d.Problem(n, file, "a relative path would be looked for beside each spec", "write it out from / or from ~/")
	}
	const path, variable = "server.cache_root", "VLLM_CACHE_ROOT"
	if n := d.seen[path]; n != nil && n.Value != "" {
		if _, ok := d.spec.Server.Environment[variable]; ok {
			d.Problem(n, path, variable+" stands in server.environment too", "keep one of the two")
		}
	}
}

func (d *decoder) checkSecrets() {
	seen := map[string]bool{}
	for i, name := range d.spec.Server.Secrets {
		path := fmt.Sprintf("server.secrets[%d]", i)
		if !d.Sound(path) {
			continue
		}
		n := tree.Resolve(d.seen["server.secrets"].Content[i])
		if seen[name] {
			d.Problem(n, path, name+" stands here a second time", "")
		}
		if _, ok := d.spec.Server.Environment[name]; ok {
			d.Problem(n, path, name+" stands in server.environment too", "keep one of the two")
		}
		seen[name] = true
	}
}
