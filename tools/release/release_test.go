package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sassoftware/go-rpmutils"
)

const tag = "v0.1.0"

// checkout is a clone of this repository's last commit, with a tag, in which no file has the time or the group's rights that it has in another.
func checkout(t *testing.T, source string, mask int, at time.Time) string {
	t.Helper()
	old := syscall.Umask(mask)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "vtune")
	git(t, ".", "clone", "-q", source, dir)
	git(t, dir, "tag", "-f", tag)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/.git/") {
			return err
		}
		return os.Chtimes(path, at, at)
	}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// Whoever checks the commit out gets these bytes: elsewhere, at another time, in another time zone.
func TestAReleaseIsTheSameFromTwoCheckouts(t *testing.T) {
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var made [2]map[string][]byte
	for i, c := range []struct {
		zone string
		mask int
		at   time.Time
	}{
		{"UTC", 0o022, time.Unix(1_000_000_000, 0)},
		{"Asia/Tokyo", 0o027, time.Unix(1_700_000_000, 0)},
	} {
		dir := checkout(t, source, c.mask, c.at)
		t.Chdir(dir)
		t.Setenv("TZ", c.zone)
		t.Setenv("TMPDIR", t.TempDir())
		if err := run(t.Context(), tag, "dist", nodes.String()); err != nil {
			t.Fatal(err)
		}
		made[i] = read(t, filepath.Join(dir, "dist"))
	}
	names := slices.Sorted(maps.Keys(made[0]))
	want := []string{"SHA256SUMS", "vllm-tune-0.1.0-1.x86_64.rpm", "vllm-tune_0.1.0_amd64.deb", "vtune_v0.1.0_linux_amd64.cdx.json", "vtune_v0.1.0_linux_amd64.tar.gz"}
	if !slices.Equal(names, want) {
		t.Fatalf("made %v", names)
	}
	for _, name := range names {
		if !bytes.Equal(made[0][name], made[1][name]) {
			t.Errorf("%s differs: %d and %d bytes", name, len(made[0][name]), len(made[1][name]))
		}
	}
	t.Run("archive", func(t *testing.T) { checkArchive(t, made[0]["vtune_v0.1.0_linux_amd64.tar.gz"]) })
	t.Run("bill", func(t *testing.T) { checkBill(t, made[0]["vtune_v0.1.0_linux_amd64.cdx.json"]) })
	t.Run("rpm", func(t *testing.T) { checkRPM(t, made[0]["vllm-tune-0.1.0-1.x86_64.rpm"]) })
	t.Run("deb", func(t *testing.T) { checkDeb(t, "dist/vllm-tune_0.1.0_amd64.deb") })
	t.Run("sums", func(t *testing.T) { checkSums(t, made[0]) })
	t.Run("a checkout that was changed is refused", func(t *testing.T) {
		if err := os.WriteFile("README.md", []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), tag, "dist", ""); err == nil || !strings.Contains(err.Error(), "README.md") {
			t.Errorf("error %v", err)
		}
		git(t, ".", "checkout", "-q", "README.md")
	})
	t.Run("another version than the tag's is refused", func(t *testing.T) {
		if err := run(t.Context(), "v0.2.0", "dist", ""); err == nil || !strings.Contains(err.Error(), tag) {
			t.Errorf("error %v", err)
		}
	})
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, f := range files {
		if texts[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// checkArchive wants the files that belong to a program, and the program to say which version it is.
func checkArchive(t *testing.T, data []byte) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	modes, program := map[string]fs.FileMode{}, filepath.Join(t.TempDir(), "vtune")
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, inside := strings.CutPrefix(h.Name, "vtune_v0.1.0_linux_amd64/")
		if !inside || h.Uid != 0 || h.Uname != "root" {
			t.Errorf("%s of %s", h.Name, h.Uname)
		}
		modes[name] = fs.FileMode(h.Mode)
		if name == "vtune" {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, text, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, want := range map[string]fs.FileMode{
		"vtune": 0o755, "LICENSE": 0o644, "NOTICE": 0o644, "README.md": 0o644, "CHANGELOG.md": 0o644, "man/vtune-submit.1": 0o644, "completions/_vtune": 0o644,
		"docs/methods.md": 0o644, "examples/cpu-tiny/spec.yaml": 0o644, "LICENSES": 0o644,
	} {
		if modes[name] != want {
			t.Errorf("%s has mode %v", name, modes[name])
		}
	}
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil || string(out) != "vtune version "+tag+"\n" {
		t.Errorf("%s%v", out, err)
	}
}

func checkBill(t *testing.T, data []byte) {
	var bill struct {
		SerialNumber string
		Metadata     struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []struct {
			Name, Version, PURL string
			Hashes              []struct{ Alg, Content string }
		}
	}
	if err := json.Unmarshal(data, &bill); err != nil {
		t.Fatal(err)
	}
	if m := bill.Metadata; m.Component.Name != "vtune" || m.Component.Version != tag || m.Timestamp != "" || bill.SerialNumber != "" {
		t.Errorf("%+v", m)
	}
	found := false
	for _, c := range bill.Components {
		if c.Name == "github.com/spf13/cobra" {
			found = strings.HasPrefix(c.PURL, "pkg:golang/github.com/spf13/cobra@"+c.Version) && len(c.Hashes) == 1 && len(c.Hashes[0].Content) == 64
		}
	}
	if !found {
		t.Errorf("cobra, or how to check it, is missing in %s", data)
	}
}

// installed is what both packages have, by path: how it may be used, and what a link points to.
var installed = map[string]string{
	"/usr/bin/vtune":                                   "-rwxr-xr-x",
	"/usr/bin/vllm-tune":                               "-> vtune",
	"/usr/share/man/man1/vtune-submit.1":               "-rw-r--r--",
	"/usr/share/man/man1/vllm-tune-submit.1":           "-rw-r--r--",
	"/usr/share/bash-completion/completions/vllm-tune": "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/vtune.fish":  "-rw-r--r--",
	"/usr/share/doc/vllm-tune/copyright":               "-rw-r--r--",
	"/usr/share/doc/vllm-tune/LICENSES":                "-rw-r--r--",
}

func checkRPM(t *testing.T, data []byte) {
	r, err := rpmutils.ReadRpm(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Header.GetNEVRA()
	if err != nil || id.Name != "vllm-tune" || id.Version != "0.1.0" || id.Arch != "x86_64" {
		t.Errorf("%v, %v", id, err)
	}
	files, err := r.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range files {
		found[f.Name()] = fs.FileMode(f.Mode() & 0o777).String()
		switch {
		case f.Linkname() != "":
			found[f.Name()] = "-> " + f.Linkname()
		case f.Mode()&0o170000 == 0o040000:
			found[f.Name()] = "d" + found[f.Name()][1:]
		}
		if f.UserName() != "root" {
			t.Errorf("%s is %s's", f.Name(), f.UserName())
		}
	}
	checkInstalled(t, found)
}

func checkDeb(t *testing.T, path string) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("dpkg-deb is not installed")
		}
		t.Skip("dpkg-deb is not installed")
	}
	out, err := exec.Command("dpkg-deb", "--show", "--showformat", "${Package} ${Version} ${Architecture}", path).CombinedOutput()
	if err != nil || string(out) != "vllm-tune 0.1.0 amd64" {
		t.Errorf("%s, %v", out, err)
	}
	out, err = exec.Command("dpkg-deb", "--contents", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // mode owner size day time path [-> link]
		name := strings.TrimSuffix(strings.TrimPrefix(f[5], "."), "/")
		found[name] = f[0]
		if len(f) == 8 {
			found[name] = "-> " + f[7]
		}
		if f[1] != "root/root" {
			t.Errorf("%s is %s's", name, f[1])
		}
	}
	checkInstalled(t, found)
}

func checkInstalled(t *testing.T, found map[string]string) {
	t.Helper()
	for name, want := range installed {
		if found[name] != want {
			t.Errorf("%s is %q, want %q", name, found[name], want)
		}
	}
}

func checkSums(t *testing.T, made map[string][]byte) {
	lines := strings.Split(strings.TrimSpace(string(made["SHA256SUMS"])), "\n")
	if len(lines) != len(made)-1 {
		t.Errorf("%d sums of %d files", len(lines), len(made)-1)
	}
	for _, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		if got := fmt.Sprintf("%x", sha256.Sum256(made[name])); got != sum {
			t.Errorf("%s has %s, the list says %s", name, got, sum)
		}
	}
}

// What a link points to may be anything, and on another machine something else.
func TestAnArchiveTakesPlainFilesOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := pack("top", []entry{{"d", dir, 0o644}}, time.Unix(0, 0)); err == nil {
		t.Error("a link was packed")
	}
}

func TestAVersionIsASemanticOne(t *testing.T) {
	for s, want := range map[string]bool{
		"v0.1.0": true, "v1.2.3-rc.1": true, "0.1.0": false, "v1": false, "v01.0.0": false, "v1.0.0+dirty": false, "v1.0.0 -X main.x=y": false, "": false,
	} {
		if isVersion(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
