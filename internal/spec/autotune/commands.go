package autotune

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/diag"
	"vtune/internal/spec/script"
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// This file takes over what people changed below the script's variables: in the calls of the server and of the client, and around
// them. What a spec can say goes into it; of everything else there is a note with its place.

// taken is a value for a key, and where the script says it.
type taken struct {
	yaml string
	pos  diag.Pos
}

func (m *importer) at(w script.Word) diag.Pos {
	return diag.Pos{File: m.file, Line: w.Line, Col: w.Col}
}

func (m *importer) noteAt(pos diag.Pos, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !m.told[text] { // the script has three calls of the client, and says the same in each
		m.note("%s: %s", pos, text)
	}
	m.told[text] = true
}

func (m *importer) take(path, yaml string, pos diag.Pos) {
	if _, ok := m.taken[path]; !ok {
		m.taken[path] = taken{yaml, pos}
	}
}

func (m *importer) commands(s *script.Script, src []byte) {
	servers, clients := lines(s.Calls)
	var flags []string
	seen := map[string]bool{}
	for _, l := range servers {
		m.program(l)
		if l.model != nil {
			m.model(*l.model)
		}
		for _, f := range l.flags {
			if !seen[f.name] {
				flags = append(flags, m.serverFlag(f)...)
			}
			seen[f.name] = true
		}
		for _, w := range l.loose {
			m.noteAt(m.at(w), "%s is left out: %s; flags of the server go into server.flags", w.Source, because(w.Unknown))
		}
	}
	m.absent(servers, seen, &flags)
	if len(flags) > 0 {
		m.take("server.flags", tree.Text(&flags), m.at(servers[0].call.Words[0]))
	}
	m.environment(s, servers)
	for _, l := range clients {
		for _, f := range l.flags {
			m.clientFlag(f)
		}
	}
	m.waits(s, servers)
	m.probe(s, src)
	for _, c := range s.Calls {
		if name := c.Words[0].Text; (name == "source" || name == ".") && len(c.Words) > 1 {
			m.noteAt(m.at(c.Words[0]), "what %s sets is not read", c.Words[1].Source)
		}
	}
	if at := mention.FindIndex(src); at != nil && len(servers) == 0 {
		m.noteAt(position(m.file, src, at[0]), "how the server is started there is not read: its flags go into server.flags")
	}
}

var mention = regexp.MustCompile(`(?m)^[^#\n]*(vllm serve [^"' |]|openai\.api_server)`)

func position(file string, src []byte, offset int) diag.Pos {
	before := string(src[:offset])
	return diag.Pos{File: file, Line: strings.Count(before, "\n") + 1, Col: offset - strings.LastIndex(before, "\n")}
}

// program is what stands before the server's flags: a path, or a program that starts another (numactl).
func (m *importer) program(l line) {
	var command []string
	for _, w := range l.before {
		switch {
		case w.Unknown != "":
			m.noteAt(m.at(w), "%s in front of the server is left out: %s; see server.command", w.Source, because(w.Unknown))
			return
		case len(command) == 0 && slices.Contains([]string{"nohup", "exec", "command", "time", "setsid"}, w.Text): // a server runs in a group of its own anyway
		default:
			command = append(command, w.Text)
		}
	}
	if len(command) == 0 || strings.HasPrefix(path.Base(command[0]), "python") && path.Base(command[len(command)-1]) != "vllm" || slices.Equal(command, []string{"vllm"}) {
		return // python -m of the server's module is what vllm serve runs
	}
	for len(command) > 1 && command[0] == "env" && strings.Contains(command[1], "=") {
		m.noteAt(m.at(l.before[0]), "%s goes into server.environment", command[1])
		command = slices.Delete(command, 1, 2)
	}
	if slices.Equal(command, []string{"env", "vllm"}) {
		return
	}
	m.take("server.command", tree.Text(&command), m.at(l.before[0]))
}

// model that the server is started with, where it is not $MODEL.
func (m *importer) model(w script.Word) {
	switch set, ok := m.set["MODEL"]; {
	case w.Unknown != "" || ok && set.Value == w.Text:
	default:
		m.take("model", tree.Word(w.Text), m.at(w))
	}
}

// instead are keys that a flag of the server has, and the variable that the script makes it of.
func instead() map[string]struct{ path, variable string } {
	return map[string]struct{ path, variable string }{
		"--tensor-parallel-size":   {"tensor_parallel", "TP"},
		"--pipeline-parallel-size": {"pipeline_parallel", ""},
		"--max-model-len":          {"max_model_len", "MAX_MODEL_LEN"},
		"--download-dir":           {"download_dir", "DOWNLOAD_DIR"},
		"--max-num-seqs":           {"grid.max_num_seqs", ""},
		"--max-num-batched-tokens": {"grid.max_num_batched_tokens", ""},
	}
}

// serverFlag takes a flag over, by a key of its own or as the words that it returns.
func (m *importer) serverFlag(f option) []string {
	v, known := f.value()
	pos := m.at(f.at)
	if to, ok := instead()[f.name]; ok {
		switch {
		case !known && f.told() != "" && !strings.HasPrefix(to.path, "grid."): // of a cell's two, the script's functions are told
			m.noteAt(pos, "%s is left out: %s; see %s", f.written(), because(f.told()), to.path)
		case !known || v == "" || to.variable != "" && m.set[to.variable].Value == v && m.set[to.variable].Unknown == "":
		case strings.HasPrefix(to.path, "grid."):
			m.take(to.path, yamlNumbers(v), pos)
			m.noteAt(pos, "%s: every cell has this one value there", f.written())
		case to.path == "download_dir":
			m.take(to.path, tree.Word(v), pos)
		default:
			m.take(to.path, yamlNumber(v), pos)
		}
		return nil
	}
	switch f.name {
	case "--profiler-config", "--enable-prefix-caching":
		return nil
	case "--host":
		return nil // a name of this machine there, its loopback here: nobody else shall be in the measurement
	case "--port":
		if known && v != "8004" {
			m.noteAt(pos, "%s is left out: each server has a free port of its own", f.written())
		}
		return nil
	case "--gpu-memory-utilization":
		if known {
			m.noteAt(pos, "%s is left out: the probe finds the highest that the model fits in", f.written())
		}
		return nil
	case "--disable-log-requests", "--no-enable-log-requests":
		m.noteAt(pos, "%s is left out: requests are not logged anyway, and newer servers do not know the flag", f.written())
		return nil
	case "--load-format":
		if v == "dummy" {
			return nil
		}
	case "--model":
		if known {
			m.model(f.values[0])
		}
		return nil
	}
	if why := f.told(); why != "" {
		m.noteAt(pos, "%s is left out: %s; see server.flags", f.written(), because(why))
		return nil
	}
	for _, w := range f.words() {
		if fault := word.ServerFlag().Test(w); fault != nil {
			m.noteAt(pos, "%s is left out: %s%s", f.name, fault.What, hint(fault.Hint))
			return nil
		}
	}
	return f.words()
}

// because makes a sentence of why something is unknown.
func because(why string) string {
	if strings.HasPrefix(why, "$") {
		return why
	}
	return "it " + why
}

func hint(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// absent are flags of the script that somebody took out.
func (m *importer) absent(servers []line, seen map[string]bool, flags *[]string) {
	if len(servers) == 0 {
		return
	}
	pos := m.at(servers[0].call.Words[0])
	if !seen["--enable-prefix-caching"] && !seen["--no-enable-prefix-caching"] {
		m.noteAt(pos, "the server has no --enable-prefix-caching there; here it always has, and its cache is emptied between loads")
	}
	if !seen["--load-format"] {
		*flags = append(*flags, "--load-format", "auto")
		m.noteAt(pos, "the server has no --load-format dummy there, and so real weights: --load-format auto")
	}
}

// clientFlag notes what differs from the script's own calls; a seed and the arrivals' burstiness have keys.
func (m *importer) clientFlag(f option) {
	v, known := f.value()
	pos := m.at(f.at)
	usual := map[string][]string{
		"--backend": {"vllm", "openai"}, "--dataset-name": {"random"}, "--percentile-metrics": {"ttft,tpot,itl,e2el"}, "--num-prompts": {"1000", "100"}, "--temperature": {"0", "0.0"},
	}
	switch f.name {
	case "--model", "--host", "--port", "--ignore-eos", "--disable-tqdm", "--profile", "--base-url", "--save-result", "--result-dir", "--result-filename", "--save-detailed", "--label":
		return
	case "--seed":
		if known {
			m.take("seed", yamlNumber(v), pos)
			return
		}
	case "--burstiness":
		if known {
			m.take("arrivals.burstiness", yamlNumber(v), pos)
			return
		}
	case "--goodput":
		if slices.Equal(texts(f), []string{"e2el:" + m.set["MAX_LATENCY_ALLOWED_MS"].Value}) {
			return
		}
	case "--request-rate":
		if !known || v == "inf" {
			return
		}
	case "--random-input-len", "--random-output-len", "--random-prefix-len":
		if v == m.usualLength(f.name) || !known {
			return
		}
	}
	if known && slices.Contains(usual[f.name], v) {
		return
	}
	m.noteAt(pos, "%s of the client is left out: %s", f.written(), reason(f.name))
}

// reason why a flag of the client has no key.
func reason(name string) string {
	switch name {
	case "--num-prompts":
		return "as many requests are sent as a verdict takes; by method auto_tune 1000 and 100"
	case "--percentile-metrics", "--metric-percentiles":
		return "P50, P90 and P99 of all metrics are recorded; a limit on any goes into limits"
	case "--goodput":
		return "the script prints it, and decides by P99 E2EL alone; limits with goodput_pct decide here"
	case "--max-concurrency":
		return "what bounds the requests at work is max_num_seqs"
	case "--random-range-ratio":
		return "all requests have the same lengths"
	case "--request-rate":
		return "rates are searched"
	case "--random-input-len", "--random-output-len", "--random-prefix-len":
		return "it is another length than the script's variables give; see workload"
	case "--dataset-name", "--dataset-path", "--sonnet-input-len", "--sonnet-output-len", "--sonnet-prefix-len", "--sharegpt-output-len", "--hf-split", "--hf-subset":
		return "requests here are of random tokens"
	case "--temperature", "--top-p", "--top-k":
		return "decoding is greedy"
	case "--backend", "--endpoint":
		return "requests go to /v1/completions"
	}
	return "there is no key for it"
}

func texts(f option) (all []string) {
	for _, v := range f.values {
		all = append(all, v.Text)
	}
	return all
}

// usualLength is what the script makes of its variables.
func (m *importer) usualLength(name string) string {
	input, _ := strconv.Atoi(m.set["INPUT_LEN"].Value) // where it is no number, the spec says so
	pct, _ := strconv.Atoi(m.set["MIN_CACHE_HIT_PCT"].Value)
	switch prefix := input * pct / 100; name {
	case "--random-output-len":
		return m.set["OUTPUT_LEN"].Value
	case "--random-prefix-len":
		return fmt.Sprint(prefix)
	default:
		return fmt.Sprint(input - prefix)
	}
}

// environment of the server: what is exported, and what stands in front of its command.
func (m *importer) environment(s *script.Script, servers []line) {
	vars := map[string]string{}
	var first diag.Pos
	add := func(name string, w script.Word, fromEnvironment bool) {
		pos := m.at(w)
		switch fate, why := FateOf(name); {
		case fate == Ours:
		case fate == Left:
			m.noteAt(pos, "%s %s", name, why)
		case w.Unknown != "":
			m.noteAt(pos, "%s is left out: %s; see server.environment", name, because(w.Unknown))
		case fate == Unknown && (fromEnvironment || strings.HasSuffix(name, "PATH")):
			m.noteAt(pos, "%s is left out: a line that sets it for a job goes into site.environment", name)
		default:
			if _, ok := vars[name]; !ok {
				vars[name] = w.Text
			}
			if fault := word.Variable().Test(name); fault != nil {
				delete(vars, name)
				m.noteAt(pos, "%s is left out: %s%s", name, fault.What, hint(fault.Hint))
			} else if first.Line == 0 {
				first = pos
			}
		}
	}
	for _, l := range servers {
		for _, a := range l.call.Assigns {
			add(a.Name, a.Word, false)
		}
	}
	own := append(Names(), "TAG", "LOG_FOLDER", "RESULT", "PROFILE_PATH", "HOSTNAME", "SCRIPT_DIR")
	var exported []string
	for name, v := range s.Set {
		if v.Exported && !slices.Contains(own, name) {
			exported = append(exported, name)
		}
	}
	slices.SortFunc(exported, func(a, b string) int {
		if s.Set[a].Line != s.Set[b].Line {
			return s.Set[a].Line - s.Set[b].Line
		}
		return s.Set[a].Col - s.Set[b].Col
	})
	for _, name := range exported {
		v := s.Set[name]
		add(name, script.Word{Text: v.Value, Unknown: v.Unknown, Line: v.Line, Col: v.Col}, v.FromEnvironment)
	}
	if v, ok := s.Set["VLLM_LOGGING_LEVEL"]; ok && !v.Exported && v.Value != "INFO" && v.Unknown == "" {
		m.noteAt(diag.Pos{File: m.file, Line: v.Line, Col: v.Col}, "VLLM_LOGGING_LEVEL is left out: the script does not export it, so that no server sees it; see server.environment")
	}
	if len(vars) > 0 {
		m.take("server.environment", tree.Text(&vars), first)
	}
}

// waits takes the longest wait for a server over, where it is not the script's ten minutes.
func (m *importer) waits(s *script.Script, servers []line) {
	var longest script.Wait
	for _, w := range s.Waits {
		if w.Seconds > longest.Seconds {
			longest = w
		}
	}
	if len(servers) == 0 || longest.Seconds == 0 || longest.Seconds == 600 {
		return
	}
	text := strings.TrimSuffix((time.Duration(longest.Seconds) * time.Second).String(), "0s")
	pos := diag.Pos{File: m.file, Line: longest.Line, Col: longest.Col}
	if fault := word.Duration().Test(text); fault != nil {
		m.noteAt(pos, "the wait for the server is left out: %s", fault.What)
		return
	}
	m.take("server.start_timeout", text, pos)
}

var lowest = regexp.MustCompile(`(?m)^[^#\n]*gpu_memory_utilization\s*>=?\s*([0-9.]+)`)

// probe notes where the script's search for memory was changed.
func (m *importer) probe(s *script.Script, src []byte) {
	if v, ok := s.First["gpu_memory_utilization"]; ok && v.Unknown == "" && v.Value != "0.98" {
		m.noteAt(diag.Pos{File: m.file, Line: v.Line, Col: v.Col}, "the probe begins at %s there; here it begins at 0.98", v.Value)
	}
	if at := lowest.FindSubmatchIndex(src); at != nil {
		if bound := string(src[at[2]:at[3]]); bound != "0.9" && bound != "0.90" {
			m.noteAt(position(m.file, src, at[2]), "the probe ends at %s there; here it ends at 0.50, by method auto_tune at 0.90", bound)
		}
	}
}
