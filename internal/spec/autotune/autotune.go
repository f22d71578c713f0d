// Package autotune takes the variables of auto_tune.sh over into a spec. It runs no script.
package autotune

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/spec"
	"vtune/internal/spec/script"
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Import is a spec that says what auto_tune.sh was told.
type Import struct {
	YAML  []byte   // parses, with comments that name the variable of each line
	Notes []string // what was assumed, and what the user should look at
}

// variable is one of auto_tune.sh's, where it goes, and what the script takes where it is not set.
type variable struct {
	name, path, standard string
	yaml                 func(string) string
}

// scriptVariables are all that can be set from outside; its lists and numbers are words of bash there.
func scriptVariables() []variable {
	return []variable{
		{"BASE", "base", "", yamlPath},
		{"MODEL", "model", "meta-llama/Llama-3.1-8B-Instruct", tree.Word},
		{"SYSTEM", "system", "", tree.Word},
		{"TP", "tensor_parallel", "1", yamlNumber},
		{"DOWNLOAD_DIR", "download_dir", "", tree.Word},
		{"INPUT_LEN", "workload.input_len", "4000", yamlNumber},
		{"OUTPUT_LEN", "workload.output_len", "16", yamlNumber},
		{"MAX_MODEL_LEN", "max_model_len", "4096", yamlNumber},
		{"MIN_CACHE_HIT_PCT", "workload.cache_hit_pct", "0", yamlNumber},
		{"MAX_LATENCY_ALLOWED_MS", "limit.p99_e2el_ms", "100000000000", yamlLimit},
		{"NUM_SEQS_LIST", "grid.max_num_seqs", "128 256", yamlNumbers},
		{"NUM_BATCHED_TOKENS_LIST", "grid.max_num_batched_tokens", "512 1024 2048 4096", yamlNumbers},
	}
}

func yamlPath(v string) string { return tree.Word(filepath.Clean(v)) }

// yamlNumber writes bare what may be a number; whether it is one, Parse says.
func yamlNumber(v string) string {
	v = strings.TrimSpace(v)
	if v != "" && strings.Trim(v, "0123456789.eE+-") == "" {
		return v
	}
	return strconv.Quote(v)
}

func yamlNumbers(v string) string {
	words := strings.Fields(v)
	for i, w := range words {
		words[i] = yamlNumber(w)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// noLimit and above is how the script's users say that there is none: it is 116 days.
const noLimit = 1e10

func yamlLimit(v string) string {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && ms >= noLimit {
		return "null"
	}
	return yamlNumber(v)
}

// FromScript takes over the variables of auto_tune.sh from an edited copy of it, or from a script that calls it with them. src
// is never run. environment holds NAME=value lines, which go before the script's defaults as they do when it runs; it may be
// nil. The error is diag.Problems with positions in src.
func FromScript(name string, src []byte, environment []string) (*Import, error) {
	read, err := script.Read(name, src, lookUpTable(environment))
	if err != nil {
		what, pos := word.BashError(err)
		at := diag.Pos{File: name, Line: max(1, int(pos.Line())), Col: max(1, int(pos.Col()))}
		return nil, diag.Problems{{Pos: at, What: "does not parse as bash: " + what}}
	}
	set := older(read.Set)
	imp := importer{file: name, set: set, taken: map[string]taken{}, told: map[string]bool{}}
	found, problems := 0, diag.Problems{}
	for _, v := range scriptVariables() {
		s, ok := set[v.name]
		if !ok {
			continue
		}
		found++
		switch {
		case s.Unknown != "":
			problems = append(problems, diag.Problem{Pos: imp.pos(v.name), Path: v.name, What: s.Unknown, Hint: "write the value out"})
		case s.FromEnvironment:
			imp.note("%s: %q, from the environment", v.name, s.Value)
		case s.FromFolder:
			imp.note("%s: %q, counted from the script's folder", v.name, s.Value)
		}
	}
	if found == 0 {
		at := diag.Pos{File: name, Line: 1, Col: 1}
		problems = append(problems, diag.Problem{Pos: at, What: "sets none of auto_tune.sh's variables", Hint: "they are " + variableNames()})
	}
	problems.Sort()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	imp.commands(read, src)
	return imp.write()
}

// older gives the lists their present names; the first versions of the script had them in small letters, and nowhere else.
func older(set map[string]script.Variable) map[string]script.Variable {
	for _, name := range []string{"NUM_SEQS_LIST", "NUM_BATCHED_TOKENS_LIST"} {
		if v, ok := set[strings.ToLower(name)]; ok {
			if _, newer := set[name]; !newer {
				set[name] = v
			}
		}
	}
	return set
}

// FromEnviron takes over the variables of auto_tune.sh from NAME=value lines. An empty value counts as not set, as it does for
// the script.
func FromEnviron(environment []string) (*Import, error) {
	imp := importer{file: "environment", set: map[string]script.Variable{}}
	env := lookUpTable(environment)
	for _, v := range scriptVariables() {
		if value := env[v.name]; value != "" {
			imp.set[v.name] = script.Variable{Value: value}
		}
	}
	if len(imp.set) == 0 {
		return nil, diag.Wrap(errors.New("none of auto_tune.sh's variables is set in the environment"), diag.Usage, "they are "+variableNames())
	}
	return imp.write()
}

func variableNames() string { return strings.Join(Names(), " ") }

func lookUpTable(environment []string) map[string]string {
	table := map[string]string{}
	for _, line := range environment {
		if name, value, ok := strings.Cut(line, "="); ok {
			table[name] = value
		}
	}
	return table
}

type importer struct {
	file  string
	set   map[string]script.Variable
	taken map[string]taken // by path, what stands elsewhere than in a variable
	told  map[string]bool
	notes []string
}

func (m *importer) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func (m *importer) pos(name string) diag.Pos {
	return diag.Pos{File: m.file, Line: m.set[name].Line, Col: m.set[name].Col}
}

// write makes the spec and lets Parse judge it, so that a script gets the same checks as a spec.
func (m *importer) write() (*Import, error) {
	lines := map[string]spec.Line{}
	for _, v := range scriptVariables() {
		if l, ok := m.line(v); ok {
			lines[v.path] = l
		}
	}
	for path, t := range m.taken {
		lines[path] = spec.Line{Value: t.yaml, Comment: fmt.Sprintf("from line %d: ", t.pos.Line)}
	}
	m.method(lines)
	text := spec.Page("Taken over from auto_tune.sh ("+strconv.Quote(filepath.Base(m.file))+").\nKeys that are commented out show their default or an example.", lines)
	if _, err := spec.Parse(m.file, text); err != nil {
		return nil, m.translate(err)
	}
	return &Import{YAML: text, Notes: m.notes}, nil
}

// method says how the answer will differ from the script's, and how to have the script's. Requests without a token of their own
// only the script's procedure can send.
func (m *importer) method(lines map[string]spec.Line) {
	const key = "method"
	if s := m.set["MIN_CACHE_HIT_PCT"]; strings.TrimSpace(s.Value) == "100" {
		lines[key] = spec.Line{Value: spec.MethodAutoTune, Comment: "requests that share all of their input; "}
		m.note("method: auto_tune, since MIN_CACHE_HIT_PCT is 100")
		return
	}
	lines[key] = spec.Line{Value: spec.MethodAutoTune, Comment: "the script's procedure to the letter; without this line, ", Off: true}
	m.note("method: vtune is the default: it finds request rates to 2 %% instead of whole ones, is as sure of each answer as `test` says, and starts fewer servers")
	m.note("method: auto_tune follows the script to the letter: 1000 and 100 requests, whole rates, one run decides")
}

func (m *importer) line(v variable) (spec.Line, bool) {
	s, ok := m.set[v.name]
	if t, elsewhere := m.taken[v.path]; elsewhere {
		if ok && s.Value != "" {
			m.noteAt(t.pos, "%s, and not what %s says", strings.TrimSpace(v.path+": "+t.yaml), v.name)
		}
		return spec.Line{}, false
	}
	switch {
	case ok && (s.Value != "" || v.name == "DOWNLOAD_DIR"):
		if v.name == "SYSTEM" && s.Value == "TPU" {
			m.note("SYSTEM is TPU, the script's default, which it never looks at: on GPUs write system: GPU")
			m.note("with TPUs that Google Cloud is to be asked for, write scheduler: tpu, a base in a bucket and the keys of its site (docs/tpu.md)")
		}
		return spec.Line{Value: v.yaml(s.Value), Comment: "from " + v.name + ": "}, true
	case v.standard != "":
		m.note("%s is not set: the script's default %s", v.name, v.standard)
		return spec.Line{Value: v.yaml(v.standard), Comment: "default of " + v.name + ": "}, true
	}
	return spec.Line{}, false
}

// translate puts problems of the spec where the user can mend them: at the variable that it came from.
func (m *importer) translate(err error) error {
	var in, out diag.Problems
	if !errors.As(err, &in) {
		return err
	}
	for _, p := range in {
		key, index, _ := strings.Cut(p.Path, "[")
		p.Pos = diag.Pos{File: m.file}
		for path, t := range m.taken {
			if path == key || strings.HasPrefix(key, path+".") {
				p.Pos = t.pos
			}
		}
		for _, v := range scriptVariables() {
			if _, elsewhere := m.taken[key]; v.path == key && !elsewhere {
				p.Pos = m.pos(v.name)
				if p.Path = v.name; index != "" {
					p.Path += "[" + index
				}
			}
		}
		out = append(out, p)
	}
	out.Sort()
	return out
}
