package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// base is how files of a target are called, but for their ends.
func (r *release) base(t target) string {
	return fmt.Sprintf("vtune_%s_%s_%s", r.version, t.os, t.arch)
}

// build makes the program for a target once.
func (r *release) build(ctx context.Context, work string, t target) (path string, err error) {
	path = filepath.Join(work, t.os+"-"+t.arch, "vtune")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// -buildvcs=true fails where the commit cannot be told, instead of leaving it out: the bytes would be others. -s -w leave tables for
	// debuggers out, a third of the size; traces of a panic do not need them.
	cmd := command(ctx, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags", "-s -w -X main.version="+r.version, "-o", path, "./cmd/vtune")
	// What a developer has set of Go's variables must not get into a release.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch, "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off")
	return path, cmd.Run()
}

// pages are man pages and completions under both names that packages install the program by; see nfpm.yaml.
func (r *release) pages(ctx context.Context, work string, here target) (dir string, err error) {
	program, err := r.build(ctx, work, here)
	if err != nil {
		return "", err
	}
	other := filepath.Join(work, "vllm-tune")
	if err := os.Symlink(program, other); err != nil {
		return "", err
	}
	dir = filepath.Join(work, "pages")
	for _, name := range []string{program, other} {
		if err := command(ctx, name, "docs", filepath.Join(dir, filepath.Base(name))).Run(); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// target makes what is published for one target.
func (r *release) target(ctx context.Context, work string, t target, pages string) error {
	program, err := r.build(ctx, work, t)
	if err != nil {
		return err
	}
	entries := []entry{{"vtune", program, 0o755}}
	if t.os != nodes.os {
		agent, err := r.build(ctx, work, nodes)
		if err != nil {
			return err
		}
		entries = append(entries, entry{"vtune-agent", agent, 0o755})
	}
	// What git knows of: a checkout that was worked in has more.
	files, err := output(ctx, "git", "ls-files", "LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "docs", "examples")
	if err != nil {
		return err
	}
	for name := range strings.Lines(files) {
		name = strings.TrimSpace(name)
		if !strings.Contains(name, "/want/") { // goldens of the tests
			entries = append(entries, entry{name, name, 0o644})
		}
	}
	entries = append(entries, entry{"man", filepath.Join(pages, "vtune", "man"), 0o644}, entry{"completions", filepath.Join(pages, "vtune", "completions"), 0o644})
	terms, err := licenses(ctx, program)
	if err != nil {
		return err
	}
	others := filepath.Join(work, t.os+"-"+t.arch, "LICENSES")
	if err := os.WriteFile(others, terms, 0o644); err != nil {
		return err
	}
	entries = append(entries, entry{"LICENSES", others, 0o644})
	archive, err := pack(r.base(t), entries, r.time)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, r.base(t)+".tar.gz"), archive, 0o644); err != nil {
		return err
	}
	bill, err := materials(r.version, t, program)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, r.base(t)+".cdx.json"), bill, 0o644); err != nil {
		return err
	}
	if t.os == "linux" {
		return r.packages(ctx, t, program, pages, others)
	}
	return nil
}

// packages are for package managers; tools/nfpm.yaml says what is in them.
func (r *release) packages(ctx context.Context, t target, program, pages, others string) error {
	for _, packager := range []string{"deb", "rpm"} {
		cmd := command(ctx, "go", "tool", "-modfile=tools/go.mod", "nfpm", "package", "--config", "tools/nfpm.yaml", "--packager", packager, "--target", r.out+"/")
		cmd.Env = append(os.Environ(), "VERSION="+r.version, "ARCH="+t.arch, "PROGRAM="+program, "PAGES="+pages, "LICENSES="+others,
			"SOURCE_DATE_EPOCH="+strconv.FormatInt(r.time.Unix(), 10))
		cmd.Stdout = nil
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := command(ctx, name, args...)
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func unixTime(seconds string) (time.Time, error) {
	n, err := strconv.ParseInt(seconds, 10, 64)
	return time.Unix(n, 0).UTC(), err
}

var version = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

func isVersion(s string) bool { return version.MatchString(s) }
