package batch

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"vtune/internal/bucket"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// uploader puts the folder of a run that is over into a bucket, for people to read.
type uploader struct {
	env func(string) (string, bool)
}

// parallel uploads of one run.
const parallel = 8

// upload is below to, under the run's name, or under its id where another run of that name is there: names are minutes. What is there
// already is not sent again, and what another run put there is never replaced.
func (u uploader) upload(ctx context.Context, r Run, to string) (string, error) {
	at, err := bucket.Parse(to)
	if err != nil {
		return "", diag.Wrap(err, diag.Usage)
	}
	b, err := bucket.Open(ctx, at.Bucket, u.env)
	if err != nil {
		return "", err
	}
	var run record.Run
	if err := fsx.ReadJSON(r.Dir().Run(), &run); err != nil {
		return "", err
	}
	own := r.Dir().Run()
	home := at.Join(r.Name())
	err = put(ctx, b, home.Join("run.json").Prefix, own, false)
	if errors.Is(err, fs.ErrExist) {
		home = at.Join(run.ID)
		err = put(ctx, b, home.Join("run.json").Prefix, own, false)
	}
	if err != nil {
		return "", err
	}
	files, err := cargo(r.Dir())
	if err != nil {
		return "", err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, name := range files {
		g.Go(func() error {
			return put(ctx, b, home.Join(name).Prefix, filepath.Join(string(r.Dir()), filepath.FromSlash(name)), true)
		})
	}
	return home.String(), g.Wait()
}

// put creates an object, finds that it is there, or, where that may be, replaces what an interrupted upload left there.
func put(ctx context.Context, b *bucket.Bucket, name, path string, replace bool) error {
	_, err := b.PutFile(ctx, name, path, 0)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, serr := b.Stat(ctx, name)
	if serr != nil {
		return serr
	}
	same, serr := sumIs(path, there)
	if serr != nil || same {
		return serr
	}
	if !replace {
		return err
	}
	_, err = b.PutFile(ctx, name, path, there.Generation)
	return err
}

func sumIs(path string, o bucket.Object) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.Copy(sum, f)
	return err == nil && n == o.Size && sum.Sum32() == o.CRC32C, err
}

// cargo are the files that go up: those that would of a run which lives in a bucket, without secrets, environments and programs; and
// the logs under the script's names, which people who know it look for.
func cargo(dir record.Dir) (files []string, err error) {
	err = filepath.WalkDir(string(dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(dir.Rel(p))
		if d.IsDir() {
			if name == "bin" || name == "scheduler" {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := os.Stat(p); err != nil || !info.Mode().IsRegular() {
			return nil // a link that leads nowhere, a socket
		}
		scripts := !strings.Contains(name, "/") && (strings.HasPrefix(name, "vllm_log_") || strings.HasPrefix(name, "bm_log_"))
		if (scripts || names.Of(name).Whose != names.Nobodys) && inside(dir, p) && names.Proper(name) {
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// inside reports whether a file, or what a link leads to, is the run's and no secret.
func inside(dir record.Dir, path string) bool {
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	root, err := filepath.EvalSymlinks(string(dir))
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(root, to)
	return err == nil && filepath.IsLocal(rel) && rel != names.Secrets && rel != "environment.json"
}
