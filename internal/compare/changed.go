package compare

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/spec"
)

// question are the keys of a spec that say what is asked. With another answer to one of them two runs measure different things.
var question = []string{"model", "tensor_parallel", "pipeline_parallel", "workload", "method", "client"}

// load are those that a throughput of all requests at once does not depend on.
var load = []string{"limits", "goodput_pct", "arrivals"}

// apart is what would have to be the same, and is not.
func apart(a, b Side, m Metric) []string {
	keys := question
	if m != Throughput {
		keys = slices.Concat(question, load)
	}
	var all []string
	for _, c := range specChanges(a.Spec, b.Spec) {
		if c.What == "workload.vocab_size" {
			continue // token ids, of which each model has its own: no shape of a request
		}
		if slices.ContainsFunc(keys, func(k string) bool { return c.What == k || strings.HasPrefix(c.What, k+".") }) {
			all = append(all, fmt.Sprintf("%s is %s and %s", c.What, orNone(c.A), orNone(c.B)))
		}
	}
	inB := byID(b.State)
	if !slices.ContainsFunc(a.State.Cells, func(c record.CellState) bool { _, ok := inB[c.ID]; return ok }) {
		all = append(all, "no cell is common to both grids")
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	return s
}

// changes are what is not the same: of the software, of the machines, and of the specs.
func changes(a, b Side) []Change {
	var all []Change
	add := func(what, a, b string) {
		if a != b {
			all = append(all, Change{what, a, b})
		}
	}
	add("vLLM", report.OneLine(a.State.ServerVersion), report.OneLine(b.State.ServerVersion))
	add("vtune", report.OneLine(a.Run.Version), report.OneLine(b.Run.Version))
	for _, n := range []struct {
		what string
		of   func(record.NodeState) []string
	}{
		{"nodes", func(n record.NodeState) []string { return []string{n.Node} }},
		{"GPUs", func(n record.NodeState) []string { return n.GPUs }},
		{"driver", func(n record.NodeState) []string { return []string{n.Driver} }},
		{"CPU", func(n record.NodeState) []string { return []string{n.CPU} }},
		{"kernel", func(n record.NodeState) []string { return []string{n.Kernel} }},
	} {
		add(n.what, distinct(a.State, n.of), distinct(b.State, n.of))
	}
	add("gpu-memory-utilization", utilization(a.State), utilization(b.State))
	if ta, tb := check(a.State), check(b.State); ta > 0 && tb > 0 && max(ta, tb) > 1.05*min(ta, tb) {
		add("self-check, one token of a request alone", fmt.Sprintf("%.2f ms", ta), fmt.Sprintf("%.2f ms", tb))
	}
	return append(all, specChanges(a.Spec, b.Spec)...)
}

func distinct(st record.State, of func(record.NodeState) []string) string {
	seen := map[string]bool{}
	for _, n := range st.Nodes {
		for _, s := range of(n) {
			if s != "" {
				seen[report.OneLine(s)] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}

func utilization(st record.State) string {
	if st.Utilization == 0 {
		return ""
	}
	return strconv.FormatFloat(st.Utilization, 'f', 2, 64)
}

// check is the median node's time per token when one request is alone: it depends on nodes and software, not on the load.
func check(st record.State) float64 {
	var times []float64
	for _, n := range st.Nodes {
		if n.TPOT > 0 {
			times = append(times, n.TPOT)
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)-1)/2]
}

// specChanges are the keys of two specs that have other values, under the names that they have there.
func specChanges(a, b *spec.Spec) []Change {
	va, vb := map[string]string{}, map[string]string{}
	var order []string
	flatten(reflect.ValueOf(*a), "", va, &order)
	flatten(reflect.ValueOf(*b), "", vb, &order)
	var all []Change
	told := map[string]bool{}
	for _, k := range order {
		if va[k] != vb[k] && !told[k] {
			told[k] = true
			all = append(all, Change{report.OneLine(k), report.OneLine(va[k]), report.OneLine(vb[k])})
		}
	}
	return all
}

// flatten writes a struct's leaves under their YAML names.
func flatten(v reflect.Value, path string, into map[string]string, order *[]string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, inline, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if inline == "" && path != "" {
				name = path + "." + name
			} else if inline != "" {
				name = path
			}
			flatten(v.Field(i), name, into, order)
		}
		return
	case reflect.Map:
		for _, k := range v.MapKeys() {
			flatten(v.MapIndex(k), path+"."+k.String(), into, order)
		}
		return
	case reflect.Slice:
		var words []string
		for i := range v.Len() {
			word := fmt.Sprintf("%+v", v.Index(i).Interface())
			if l, ok := v.Index(i).Interface().(spec.Limit); ok {
				word = record.Limit{Metric: record.Metric(l.Metric), Percentile: l.Percentile, MS: l.MS}.String()
			}
			words = append(words, word)
		}
		into[path] = strings.Join(words, " ")
	default:
		into[path] = fmt.Sprint(v.Interface())
	}
	*order = append(*order, path)
}

// answers are the cells of which the two runs say something else, those that one grid has not left out.
func answers(a, b record.State) []CellChange {
	all := []CellChange{}
	inB := byID(b)
	for _, c := range a.Cells {
		other, common := inB[c.ID]
		if !common {
			continue
		}
		if x, y := report.AnswerOf(c, a.Policy), report.AnswerOf(other, b.Policy); x != y {
			all = append(all, CellChange{c.ID, x, y, report.WhyNot(b, other)})
		}
	}
	return all
}
