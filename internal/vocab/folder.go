package vocab

import (
	"os"
	"path/filepath"
	"slices"
)

// Folder is where a model's own files are: the first of the folders in which Find looks that has the model's config.json; empty:
// none has.
func Folder(model, downloadDir string, env []string) string {
	found, _ := folders(model, downloadDir, env)
	i := slices.IndexFunc(found, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, configFile))
		return err == nil
	})
	if i < 0 {
		return ""
	}
	return found[i]
}
