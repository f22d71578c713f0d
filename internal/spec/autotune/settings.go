package autotune

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/spec"
	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// Setting is a variable of auto_tune.sh, or of the server's environment, that was given a value elsewhere than in a script.
type Setting struct {
	Name, Value string
	Pos         diag.Pos
}

// Settings are what an entry of a batch says, and Common what a spec says for all entries.
type (
	Settings struct {
		Pos         diag.Pos // of the entry
		Variables   []Setting
		Environment []Setting // of the server
	}
	Common struct {
		File   string // as positions have it
		Folder string // absolute: its relative paths count from there
		Data   []byte
		Sites  spec.Sites
	}
)

// Names are the variables of auto_tune.sh that can be set from outside.
func Names() []string {
	var names []string
	for _, v := range scriptVariables() {
		names = append(names, v.name)
	}
	return names
}

// FromSettings is a spec of what an entry says, over what the common spec says, which may be nil, over the script's defaults. A
// relative BASE counts from folder. The spec depends on nothing else: who makes it again gets the same bytes.
func FromSettings(folder string, set Settings, common *Common) (*Import, error) {
	if common == nil {
		common = &Common{}
	}
	m := merger{set: set, common: common, given: map[string]diag.Pos{}}
	m.said = spec.Locate(common.File, common.Data, common.Sites)
	puts := m.puts()
	text, err := tree.Edit(common.File, common.Data, puts)
	if err != nil {
		return nil, err
	}
	s, err := spec.ParseWith(common.File, text, common.Sites)
	if err != nil {
		return nil, m.translate(err)
	}
	text, err = tree.Edit(common.File, common.Data, append(puts, m.anchored(folder, s)...))
	return &Import{YAML: text, Notes: m.notes}, err
}

// anchored are the paths that count from the folder of the file that says them, written so that the made spec may be anywhere.
func (m *merger) anchored(folder string, s *spec.Spec) (puts []tree.Put) {
	if _, said := m.said["base"]; said && m.given["base"].File == "" {
		folder = m.common.Folder
	}
	if !word.InBucket(s.Base) && !filepath.IsAbs(s.Base) {
		puts = append(puts, tree.Put{Path: "base", Value: tree.Word(filepath.Join(folder, s.Base))})
	}
	if file := s.Server.SecretsFile; file != "" && !filepath.IsAbs(file) && !strings.HasPrefix(file, "~/") {
		puts = append(puts, tree.Put{Path: "server.secrets_file", Value: tree.Word(filepath.Join(m.common.Folder, file))})
	}
	return puts
}

// merger puts an entry over a common spec.
type merger struct {
	set    Settings
	common *Common
	said   map[string]diag.Pos // what the common spec says, by path
	given  map[string]diag.Pos // what the entry says, by path
	notes  []string
}

func (m *merger) puts() []tree.Put {
	var puts []tree.Put
	for _, v := range scriptVariables() {
		value, ok := v.standard, v.standard != "" && !m.says(v.path)
		for _, s := range m.set.Variables {
			if s.Name == v.name && (s.Value != "" || v.name == "DOWNLOAD_DIR") {
				value, ok, m.given[v.path] = s.Value, true, s.Pos
			}
		}
		if !ok {
			continue
		}
		if _, given := m.given[v.path]; !given {
			m.notes = append(m.notes, v.name+" is not set: the script's default "+value)
		}
		if v.path == limitPath {
			puts = append(puts, tree.Put{Path: "limits"})
		}
		puts = append(puts, tree.Put{Path: v.path, Value: v.yaml(value)})
		if v.name == "MIN_CACHE_HIT_PCT" && strings.TrimSpace(value) == "100" && !m.says("method") {
			puts = append(puts, tree.Put{Path: "method", Value: spec.MethodAutoTune})
			m.notes = append(m.notes, "method: auto_tune, since MIN_CACHE_HIT_PCT is 100")
		}
	}
	for _, s := range m.set.Environment {
		path := "server.environment." + s.Name
		m.given[path] = s.Pos
		puts = append(puts, tree.Put{Path: path, Value: tree.Word(s.Value)})
	}
	return puts
}

const limitPath = "limit.p99_e2el_ms"

// says reports whether the common spec has a key, or what stands for it.
func (m *merger) says(path string) bool {
	if path == limitPath {
		if _, ok := m.said["limits"]; ok {
			return true
		}
	}
	_, ok := m.said[path]
	return ok
}

// translate puts problems where the user can mend them: at the entry's key, at the common spec's, or at the entry.
func (m *merger) translate(err error) error {
	var in, out diag.Problems
	if !errors.As(err, &in) {
		return err
	}
	for _, p := range in {
		key, index, _ := strings.Cut(p.Path, "[")
		given, entrys := m.given[key]
		said, commons := m.said[key]
		switch {
		case entrys:
			p.Pos = given
			if i := slices.IndexFunc(scriptVariables(), func(v variable) bool { return v.path == key }); i >= 0 {
				if p.Path = scriptVariables()[i].name; index != "" {
					p.Path += "[" + index
				}
			}
		case commons:
			p.Pos = said
		case len(m.common.Data) > 0 && p.Pos.File != m.common.File: // a site file's
		case len(m.common.Data) > 0 && m.unknownKey(p):
			p.Pos = diag.Pos{File: m.common.File}
		default:
			p.Pos = m.set.Pos
		}
		out = append(out, p)
	}
	out.Sort()
	return out
}

// unknownKey reports whether a problem is about a key that only the common spec can have written.
func (m *merger) unknownKey(p diag.Problem) bool {
	return !slices.ContainsFunc(scriptVariables(), func(v variable) bool { return v.path == p.Path })
}
