package sites_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
	"vtune/internal/spec/sites"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheUsersFolderIsLookedInBeforeTheSystems(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want sites.Folders
	}{
		{[]string{"HOME=/home/a"}, sites.Folders{"/home/a/.config/vtune/sites", "/etc/vtune/sites"}},
		{[]string{"HOME=/home/a", "XDG_CONFIG_HOME=/cfg"}, sites.Folders{"/cfg/vtune/sites", "/etc/vtune/sites"}},
		{[]string{"HOME=/home/a", "XDG_CONFIG_HOME=relative"}, sites.Folders{"/home/a/.config/vtune/sites", "/etc/vtune/sites"}},
		{[]string{"HOME=/home/a", "VTUNE_SITES=/a::/b"}, sites.Folders{"/home/a/.config/vtune/sites", "/a", "/b"}},
		{nil, sites.Folders{"/etc/vtune/sites"}},
	} {
		if diff := cmp.Diff(c.want, sites.FoldersOf(c.env)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.env, diff)
		}
	}
}

func TestTheFirstFolderThatHasANameAnswers(t *testing.T) {
	dir := t.TempDir()
	folders := sites.Folders{filepath.Join(dir, "none"), filepath.Join(dir, "user"), filepath.Join(dir, "system")}
	write(t, filepath.Join(folders[1], "both.yaml"), "user")
	write(t, filepath.Join(folders[1], ".both.yaml"), "an editor's")
	write(t, filepath.Join(folders[1], "notes.txt"), "no site")
	write(t, filepath.Join(folders[2], "both.yaml"), "system")
	write(t, filepath.Join(folders[2], "other.yaml"), "other")
	for name, want := range map[string]string{"both": "user", "other": "other"} {
		file, data, err := folders.Read(name)
		if err != nil || string(data) != want || filepath.Base(file) != name+".yaml" {
			t.Errorf("%s: %s, %q, %v", name, file, data, err)
		}
	}
	got, err := folders.List()
	want := []sites.File{
		{Name: "both", Path: filepath.Join(folders[1], "both.yaml")},
		{Name: "both", Path: filepath.Join(folders[2], "both.yaml"), Hidden: true},
		{Name: "other", Path: filepath.Join(folders[2], "other.yaml")},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestAnUnknownNameIsToldWhatItMayHaveMeantAndWhereItWasLookedFor(t *testing.T) {
	dir := t.TempDir()
	folders := sites.Folders{dir, "/nowhere"}
	write(t, filepath.Join(dir, "mycluster.yaml"), "")
	for name, want := range map[string]string{
		"myclutser": "did you mean mycluster? (looked in " + dir + ", /nowhere)",
		"zzz":       "looked in " + dir + ", /nowhere",
	} {
		_, _, err := folders.Read(name)
		if !slices.Equal(diag.HintsOf(err), []string{want}) || diag.CodeOf(err) != diag.Usage || !strings.Contains(err.Error(), name+".yaml") {
			t.Errorf("%s: %v, hints %q", name, err, diag.HintsOf(err))
		}
	}
}

func TestANameCannotLeaveTheFolders(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret.yaml"), "out of reach")
	folders := sites.Folders{filepath.Join(dir, "sites")}
	write(t, filepath.Join(folders[0], "a.yaml"), "")
	for _, name := range []string{"../secret", filepath.Join(dir, "secret"), "a/../../secret", "..", ".", "", "a\x00"} {
		if file, _, err := folders.Read(name); err == nil || !strings.Contains(err.Error(), "is not a name") {
			t.Errorf("%q: %s, %v", name, file, err)
		}
	}
}

func TestAFileThatMustNotBeReadIsNoUnknownName(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (sites.Folders{dir}).Read("folder"); err == nil || strings.Contains(err.Error(), "no site file") {
		t.Errorf("%v", err)
	}
}
