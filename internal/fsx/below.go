package fsx

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Below are the paths below dir that match pattern, as filepath.Glob has it. dir is a person's, who may have a [ or a * in it; a Glob of
// both joined finds nothing there, and nobody hears of it. The error is one of the pattern.
func Below(dir, pattern string) ([]string, error) {
	names, err := fs.Glob(os.DirFS(dir), pattern)
	for i, name := range names {
		names[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return names, err
}
