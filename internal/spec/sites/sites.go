// Package sites finds site files: the user's own, and those of whoever runs the machine. It does not look into them.
package sites

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/spec/word"
)

// system is where whoever runs the machine puts site files; Variable, a list of folders with colons between them, names others instead.
const (
	system   = "/etc/vtune/sites"
	Variable = "VTUNE_SITES"
)

const extension = ".yaml"

// Folders are where site files are looked for, the first that has a name first.
type Folders []string

// FoldersOf are the user's folder and the system's, by the variables of env (NAME=value).
func FoldersOf(env []string) Folders {
	vars := map[string]string{}
	for _, e := range env {
		if name, value, ok := strings.Cut(e, "="); ok {
			vars[name] = value
		}
	}
	var dirs Folders
	switch config := vars["XDG_CONFIG_HOME"]; {
	case filepath.IsAbs(config):
		dirs = append(dirs, filepath.Join(config, "vtune", "sites"))
	case filepath.IsAbs(vars["HOME"]):
		dirs = append(dirs, filepath.Join(vars["HOME"], ".config", "vtune", "sites"))
	}
	if vars[Variable] == "" {
		return append(dirs, system)
	}
	for _, dir := range filepath.SplitList(vars[Variable]) {
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Read is the text of the site file of that name (spec.Sites). A name that no folder has is an error with a hint.
func (dirs Folders) Read(name string) (file string, data []byte, err error) {
	if bad := word.FileName().Test(name); name == "" || bad != nil {
		return "", nil, diag.Errorf(diag.Usage, "%q is not %s", name, word.FileName().Says)
	}
	for _, dir := range dirs {
		file = filepath.Join(dir, name+extension)
		data, err = os.ReadFile(file)
		if err == nil {
			return file, data, nil
		}
		if !absent(err) {
			return "", nil, diag.Wrap(fmt.Errorf("read the site: %w", err), diag.Usage)
		}
	}
	return "", nil, diag.Wrap(fmt.Errorf("there is no site file %s%s", name, extension), diag.Usage, dirs.hint(name))
}

// absent: a folder that is not there has no files either.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (dirs Folders) hint(name string) string {
	looked := "looked in " + strings.Join(dirs, ", ")
	files, err := dirs.List()
	if err != nil {
		return looked
	}
	var known []string
	for _, f := range files {
		known = append(known, f.Name)
	}
	if hint := word.DidYouMean(name, known); hint != "" {
		return hint + " (" + looked + ")"
	}
	return looked
}

// File is a site file.
type File struct {
	Name   string `json:"name"`
	Path   string `json:"file"`
	Hidden bool   `json:"hidden"` // behind one of the same name in an earlier folder
}

// List is every site file, folder by folder. Files that no name can be given to a spec by are passed over.
func (dirs Folders) List() ([]File, error) {
	var files []File
	seen := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !absent(err) {
			return nil, fmt.Errorf("list the sites: %w", err)
		}
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), extension)
			if !ok || name == "" || e.IsDir() || word.FileName().Test(name) != nil {
				continue
			}
			files = append(files, File{name, filepath.Join(dir, e.Name()), seen[name]})
			seen[name] = true
		}
	}
	return files, nil
}
