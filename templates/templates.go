// Package templates turns a View into the script of a job. The template carries the site, the assignment the work: a script
// loads an environment and ends in the agent, so no flag of the server passes through bash, and the guards that keep a
// duplicate job harmless are the agent's, where a site's own template cannot lose them. It writes no file but reads a site's.
//
// --export=ALL, and not NONE: with anything but ALL an inner srun loses its PATH, and people rely on the virtual environment
// they submit from. What must not come along, SLURM_* and SBATCH_*, the Slurm adapter takes out before it submits.
package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"vtune/internal/diag"
)

// Scripts that can be rendered; each is made by the template of that name with .tmpl, the other templates are parts of them.
const (
	Slurm      = "slurm"       // one job
	SlurmArray = "slurm-array" // an array, whose tasks run the scripts of its jobs
	SlurmCrew  = "crew"        // an allocation that works off several jobs
	Local      = "local"
	Collect    = "collect" // a link of the chain that collects
	// Of what is made for a person to start, when the run is over:
	SlurmServe = "slurm-serve" // a job that serves the winner
	Kubernetes = "kubernetes"  // a Deployment and a Service for it
	// Of a server on several nodes: the program that the agent calls with the server's command line.
	LaunchMP  = "launch-mp"  // by vLLM's own way
	LaunchRay = "launch-ray" // on a Ray cluster
	LaunchTPU = "launch-tpu" // on the hosts of a slice, which the startup scripts have join
	// Of machines of Cloud TPU:
	TPUStartup = "tpu-startup" // what each host of a queued resource runs at each of its starts
	TPUJob     = "tpu-job"     // with which a machine begins a job: job AGENT ASSIGNMENT
	TPUJoin    = "tpu-join"    // what hosts other than the first go on doing; a part of the startup script
)

const extension = ".tmpl"

func scripts() []string {
	return []string{Slurm, SlurmArray, SlurmCrew, Local, Collect, SlurmServe, Kubernetes, LaunchMP, LaunchRay, LaunchTPU, TPUStartup, TPUJob, TPUJoin}
}

//go:embed *.tmpl
var embedded embed.FS

// Set is every template, parsed and tried.
type Set struct {
	tree    *template.Template
	sources map[string]source
}

// source is where a template comes from.
type source struct {
	file string
	text string
}

// Load is the embedded templates, each replaced by the file of the same name in overrideDir, if any ("": no such folder). A
// file that is no template of ours, does not parse, or renders a script that lacks the agent line makes diag.Problems.
func Load(overrideDir string) (*Set, error) {
	sources, err := readEmbedded()
	if err != nil {
		return nil, err
	}
	if overrideDir != "" {
		if err := override(sources, overrideDir); err != nil {
			return nil, err
		}
	}
	s := &Set{template.New("").Funcs(functions()).Option("missingkey=error"), sources}
	var problems diag.Problems
	for _, name := range names(sources) {
		if _, err := s.tree.New(name).Parse(sources[name].text); err != nil {
			problems = append(problems, s.problem(name, err))
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for _, name := range scripts() {
		for _, v := range samples(name) {
			if _, err := s.render(name, v); err != nil {
				problems = append(problems, s.problem(name+extension, err))
				break
			}
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return s, nil
}

// Render is the script that a template makes of v, or nothing: it is parsed and checked before it is given out.
func (s *Set) Render(name string, v View) ([]byte, error) {
	if !slices.Contains(scripts(), name) {
		return nil, fmt.Errorf("render %s: no such script; there are %s", name, strings.Join(scripts(), ", "))
	}
	script, err := s.render(name, v)
	if err != nil {
		return nil, fmt.Errorf("render %s for %s: %w", s.sources[name+extension].file, v.Name, err)
	}
	return script, nil
}

func (s *Set) render(name string, v View) ([]byte, error) {
	var b bytes.Buffer
	if err := s.tree.ExecuteTemplate(&b, name+extension, v); err != nil {
		return nil, err
	}
	if err := check(name, v, b.Bytes()); err != nil {
		var f *fault
		if errors.As(err, &f) {
			return nil, &rendered{f, b.String()}
		}
		return nil, err
	}
	return b.Bytes(), nil
}

// rendered is a fault together with the script that has it.
type rendered struct {
	*fault
	script string
}

func readEmbedded() (map[string]source, error) {
	entries, err := embedded.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("embedded templates: %w", err)
	}
	sources := map[string]source{}
	for _, e := range entries {
		text, err := embedded.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("embedded template: %w", err)
		}
		sources[e.Name()] = source{e.Name(), string(text)}
	}
	return sources, nil
}

// override takes over the files of dir. Hidden files are passed over: editors and version control leave them everywhere.
func override(sources map[string]source, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return diag.Wrap(fmt.Errorf("templates: %w", err), diag.Usage)
	}
	var problems diag.Problems
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if _, known := sources[e.Name()]; !known {
			problems = append(problems, diag.Problem{
				Pos: diag.Pos{File: path}, What: "no template has this name", Hint: "the templates are " + strings.Join(names(sources), ", "),
			})
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("templates: %w", err)
		}
		sources[e.Name()] = source{path, string(text)}
	}
	return problems.Err()
}

func names(sources map[string]source) []string {
	var ns []string
	for n := range sources {
		ns = append(ns, n)
	}
	slices.Sort(ns)
	return ns
}

// position is how text/template begins its errors.
var position = regexp.MustCompile(`^template: ([^:]+):(\d+):(?:(\d+):)? *`)

// problem gives err a place in a template's file.
func (s *Set) problem(name string, err error) diag.Problem {
	var r *rendered
	if errors.As(err, &r) {
		return diag.Problem{Pos: s.locate(name, r), What: r.what, Hint: r.hint}
	}
	what := err.Error()
	m := position.FindStringSubmatch(what)
	if m == nil {
		return diag.Problem{Pos: diag.Pos{File: s.sources[name].file}, What: what}
	}
	line, _ := strconv.Atoi(m[2])
	col, _ := strconv.Atoi(m[3])
	return diag.Problem{Pos: diag.Pos{File: s.sources[m[1]].file, Line: line, Col: col}, What: what[len(m[0]):]}
}

// locate finds the line of a template that a line of its script came from: the one that stands there word for word, or else
// the template's last, since what is wrong is mostly at the end.
func (s *Set) locate(name string, r *rendered) diag.Pos {
	if lines := strings.Split(r.script, "\n"); r.line > 0 && r.line <= len(lines) {
		for _, n := range append([]string{name}, names(s.sources)...) {
			for i, l := range strings.Split(s.sources[n].text, "\n") {
				if l != "" && l == lines[r.line-1] {
					return diag.Pos{File: s.sources[n].file, Line: i + 1}
				}
			}
		}
	}
	last := strings.Count(strings.TrimRight(s.sources[name].text, "\n"), "\n") + 1
	return diag.Pos{File: s.sources[name].file, Line: last}
}
