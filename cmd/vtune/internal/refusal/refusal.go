// Package refusal says to a person what a scheduler's error means: what to do about it, and which line of the spec has caused it.
package refusal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/internal/spec/sites"
	"vtune/jobs"
)

// Text is what a refused run was asked for with.
type Text struct {
	Dir     record.Dir
	Place   string // where people find the run
	Program string
	Env     []string
	Written string // the spec's file as the user named it; empty where a run was opened by its folder
}

// Explain gives an adapter's error the exit code and the hint that its kind deserves.
func (t Text) Explain(err error) error {
	again := fmt.Sprintf("nothing is lost: %s submit %s goes on from here and submits nothing twice", t.Program, t.Place)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jobs.ErrRefused):
		return diag.Wrap(err, diag.Scheduler, t.hint(err.Error()))
	case errors.Is(err, jobs.ErrUnavailable), errors.Is(err, jobs.ErrAmbiguous), errors.Is(err, jobs.ErrBackpressure):
		return diag.Wrap(err, diag.Scheduler, again)
	}
	return err
}

// named is a key of the spec in an error's text.
var named = regexp.MustCompile(`\bsite\.[a-z_]+`)

// hint names the line of the spec, or of its site file, that a scheduler's words most likely mean. The most telling words come
// first: every refusal for a partition says something of nodes.
func (t Text) hint(words string) string {
	words = strings.ToLower(words)
	places := t.places()
	if key := named.FindString(words); key != "" { // by an adapter that knows what its scheduler means
		if at, ok := places[key]; ok {
			return fmt.Sprintf("%s: %s", at, key)
		}
		return fmt.Sprintf("%s, which %s does not say", key, t.Dir.Spec())
	}
	for _, k := range []struct {
		word  string
		paths []string // the first that is written
	}{
		{"invalid account", []string{"site.account"}},
		{"partition", []string{"site.partition"}},
		{"account", []string{"site.account"}},
		{"qos", []string{"site.qos"}},
		{"reservation", []string{"site.reservation"}},
		{"feature", []string{"site.constraint"}},
		{"constraint", []string{"site.constraint"}},
		{"gres", []string{"site.gpu_type", "site.gpu_style", "tensor_parallel"}},
		{"memory", []string{"site.memory"}},
		{"cpu count", []string{"site.cpus"}},
		{"time limit", []string{"site.time"}},
		{"license", []string{"site.directives.licenses"}},
		{"node name", []string{"site.directives.nodelist", "site.directives.exclude"}},
		{"node count", []string{"site.nodes", "pipeline_parallel"}},
		{"node configuration", []string{"site.gpu_type", "site.directives.exclude", "site.cpus", "tensor_parallel"}},
	} {
		if !strings.Contains(words, k.word) {
			continue
		}
		for _, path := range k.paths {
			if at, ok := places[path]; ok {
				return fmt.Sprintf("%s: %s", at, path)
			}
		}
		return fmt.Sprintf("%s, which %s does not say", k.paths[0], t.Dir.Spec())
	}
	return "the directives that were sent stand in " + t.Dir.Jobs()
}

// places are where the user wrote what the spec says: in the file that was submitted, if it is what it was, or in its copy.
func (t Text) places() map[string]diag.Pos {
	data, err := os.ReadFile(t.Dir.Spec())
	if err != nil {
		return nil
	}
	file := t.Dir.Spec()
	if now, err := os.ReadFile(t.Written); err == nil && string(now) == string(data) {
		file = t.Written
	}
	return spec.Locate(filepath.Clean(file), data, sites.FoldersOf(t.Env).Read)
}
