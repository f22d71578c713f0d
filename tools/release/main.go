// Command release makes what is published of a version, from a clean checkout of it: programs, archives, packages, bills of materials and
// checksums. The same commit gives the same bytes, wherever and whenever it is checked out: nothing here asks a clock, and what would
// differ between machines (owners, modes, times, the order of a directory) is written as it should be and not as it is found.
//
// It lives in the module of the tools and not in vtune's own, whose dependencies are those of the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// target is a system and an architecture, as Go names them.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

// nodes is what jobs run on where the login side is another system: the hosts of Cloud TPU.
var nodes = target{"linux", "amd64"}

// targets are all that is released. Nodes are Linux; darwin has the login side alone.
var targets = []target{nodes, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func main() {
	version := flag.String("version", "", "the version, as v0.1.0")
	out := flag.String("out", "dist", "directory to write into; what it has is removed")
	only := flag.String("targets", "", "instead of all: a list such as linux/amd64,darwin/arm64")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *version, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, version, out, only string) error {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	r := release{version: version, out: out}
	if err := r.look(ctx); err != nil {
		return err
	}
	return r.make(ctx, chosen)
}

func choose(only string) ([]target, error) {
	if only == "" {
		return targets, nil
	}
	var chosen []target
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("%q is none of %v", name, targets)
		}
		chosen = append(chosen, targets[i])
	}
	return chosen, nil
}

// release is one version that is being made.
type release struct {
	version string
	out     string
	time    time.Time // of the commit
}

// look wants a checkout from which anybody else would make the same.
func (r *release) look(ctx context.Context) error {
	if !isVersion(r.version) {
		return fmt.Errorf("%q is no version: make release VERSION=v0.1.0", r.version)
	}
	changed, err := output(ctx, "git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return errors.New("there are changes that are in no commit, and nobody else could make this release:\n" + changed)
	}
	seconds, err := output(ctx, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	if r.time, err = unixTime(seconds); err != nil {
		return err
	}
	tags, err := output(ctx, "git", "tag", "--points-at", "HEAD")
	if err != nil {
		return err
	}
	for tag := range strings.FieldsSeq(tags) {
		if isVersion(tag) && tag != r.version {
			return fmt.Errorf("this commit is tagged %s and not %s", tag, r.version)
		}
	}
	return nil
}

// make writes everything for the chosen targets, the checksums last.
func (r *release) make(ctx context.Context, chosen []target) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "vtune-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	// Pages come from the program itself, so one for this machine is made first.
	here := target{runtime.GOOS, runtime.GOARCH}
	pages, err := r.pages(ctx, work, here)
	if err != nil {
		return err
	}
	for _, t := range chosen {
		fmt.Fprintln(os.Stderr, "release:", t)
		if err := r.target(ctx, work, t, pages); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	return checksums(r.out)
}
