// Package vocab finds token ids that prompts can be made of: those that a model's own tokenizer has, without the special ones. A
// server refuses an id that it does not have, and a special one in the middle of a prompt is another kind of work.
package vocab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Vocabulary is a set of token ids, ascending.
type Vocabulary struct {
	IDs    []int
	Source string // the file, or the number, that they come from
}

// lowest is where ids begin if only their number is known: tokenizers keep special tokens, and single bytes, at the low end.
const lowest = 256

// FromSize is for a model whose tokenizer is not at hand. A vocabulary too small to do without its low ids keeps them.
func FromSize(n int) Vocabulary {
	v := Vocabulary{Source: fmt.Sprintf("a vocabulary of %d", n)}
	low := lowest
	if n <= 4*lowest {
		low = 0
	}
	for id := low; id < n; id++ {
		v.IDs = append(v.IDs, id)
	}
	return v
}

// Find looks for a model that is a folder, or a name on the Hugging Face hub in one of the caches that a server with this
// environment and download directory would look into. It reads files and asks nobody.
func Find(model, downloadDir string, env []string) (Vocabulary, error) {
	const remedy = "set workload.vocab_size, or download the tokenizer"
	folders, looked := folders(model, downloadDir, env)
	var problems []error
	for _, folder := range folders {
		v, err := read(folder)
		if err == nil {
			return v, nil
		}
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return Vocabulary{}, fmt.Errorf("no token ids for model %q: %w (%s)", model, errors.Join(problems...), remedy)
	}
	return Vocabulary{}, fmt.Errorf("no tokenizer of model %q: looked for it in %s (%s)", model, strings.Join(looked, ", "), remedy)
}

// folders are those that exist, of those that were looked for.
func folders(model, downloadDir string, env []string) (found, looked []string) {
	if looked = append(looked, model); isFolder(model) {
		return looked, looked
	}
	if strings.Count(model, "/") > 1 || strings.HasPrefix(model, "/") || strings.HasPrefix(model, ".") {
		return nil, looked // a path, and nothing that a hub has
	}
	repository := "models--" + strings.ReplaceAll(model, "/", "--")
	for _, hub := range hubs(downloadDir, env) {
		folder := filepath.Join(hub, repository)
		looked = append(looked, folder)
		found = append(found, snapshots(folder)...)
	}
	return found, looked
}

// hubs are the cache directories in the order in which they win.
func hubs(downloadDir string, env []string) []string {
	get := func(name string) string {
		for _, v := range slices.Backward(env) { // the last of equal names counts
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
	var hubs []string
	add := func(base string, below ...string) {
		if base == "~" || strings.HasPrefix(base, "~/") {
			base = get("HOME") + base[1:]
		}
		if dir := filepath.Join(append([]string{base}, below...)...); base != "" && !slices.Contains(hubs, dir) {
			hubs = append(hubs, dir)
		}
	}
	add(downloadDir)
	add(get("HF_HUB_CACHE"))
	add(get("HUGGINGFACE_HUB_CACHE"))
	add(get("HF_HOME"), "hub")
	add(get("XDG_CACHE_HOME"), "huggingface", "hub")
	add(get("HOME"), ".cache", "huggingface", "hub")
	return hubs
}

// snapshots of a cached repository: that of main first, then the others by name, which is no order in time.
func snapshots(folder string) []string {
	var found []string
	if ref, err := os.ReadFile(filepath.Join(folder, "refs", "main")); err == nil {
		if name := strings.TrimSpace(string(ref)); filepath.IsLocal(name) {
			found = append(found, filepath.Join(folder, "snapshots", name))
		}
	}
	entries, err := os.ReadDir(filepath.Join(folder, "snapshots"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if dir := filepath.Join(folder, "snapshots", e.Name()); !slices.Contains(found, dir) {
			found = append(found, dir)
		}
	}
	return slices.DeleteFunc(found, func(dir string) bool { return !isFolder(dir) })
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// The files of a model that know about its tokens.
const (
	tokenizerFile       = "tokenizer.json"
	tokenizerConfigFile = "tokenizer_config.json"
	configFile          = "config.json"
)

// fileMost is several times the largest tokenizer there is.
const fileMost = 256 << 20

func read(folder string) (Vocabulary, error) {
	var files [3][]byte
	source := ""
	for i, name := range []string{tokenizerFile, tokenizerConfigFile, configFile} {
		path := filepath.Join(folder, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return Vocabulary{}, err
		case info.Size() > fileMost:
			return Vocabulary{}, fmt.Errorf("%s has %d MiB; %d are the most", path, info.Size()>>20, fileMost>>20)
		}
		if files[i], err = os.ReadFile(path); err != nil {
			return Vocabulary{}, err
		}
		if source == "" && name != tokenizerConfigFile {
			source = path
		}
	}
	if source == "" {
		return Vocabulary{}, fmt.Errorf("%s has neither %s nor %s", folder, tokenizerFile, configFile)
	}
	ids, err := parse(files[0], files[1], files[2])
	if err != nil {
		return Vocabulary{}, fmt.Errorf("%s: %w", folder, err)
	}
	return Vocabulary{IDs: ids, Source: source}, nil
}
