// Package depot opens what a run in a bucket is made of: the bucket, the mirror of the run's directory here, the machines, and the pool
// that puts them together. Commands know such a run by its directory; this is where that directory is found.
package depot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vtune/cmd/vtune/internal/ending"
	"vtune/cmd/vtune/internal/pool"
	"vtune/internal/bucket"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/gcp"
	"vtune/internal/mirror"
	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/shell"
	"vtune/internal/spec"
	"vtune/internal/spec/word"
	"vtune/jobs"
	"vtune/jobs/tpu"
)

// Env looks a variable up.
type Env func(name string) (string, bool)

// Progress is told how far a mirror is: of so many, 0 where that is not known. Without a word for what, nothing is under way any more.
type Progress = func(done, total int, what string)

// Home is the directory here that mirrors a place in a bucket: below XDG_STATE_HOME, because what submit has begun must outlive a
// cache's cleaning, and always the same one, so that a run is found again by its URL.
func Home(env Env, at bucket.Location) string {
	state, _ := env("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, _ := env("HOME")
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "vtune", "gs", at.Bucket, filepath.FromSlash(at.Prefix))
}

// Place is where the run of that name is in the spec's bucket; empty: in none.
func Place(s *spec.Spec, name string) string {
	at, err := bucket.Parse(s.Base)
	if !word.InBucket(s.Base) || err != nil {
		return ""
	}
	return at.Join(runs, name).String()
}

// HomeOf is the folder here that mirrors the runs of a spec's bucket.
func HomeOf(env Env, s *spec.Spec) (string, error) {
	at, err := bucket.Parse(s.Base)
	if err != nil {
		return "", diag.Wrap(err, diag.Usage)
	}
	return filepath.Join(Home(env, at), runs), nil
}

const runs = "auto-benchmark"

// Find is the directory here of the run at path, which may be a directory or a URL. One that was never here is fetched; what is new of
// one that was, is brought by whoever looks.
func Find(ctx context.Context, env Env, program, path string, say io.Writer, now func() time.Time, progress Progress) (record.Dir, error) {
	if !word.InBucket(path) {
		abs, err := filepath.Abs(path)
		return record.Dir(abs), err
	}
	hint := "a run in a bucket is what `" + program + " submit` prints: gs://<bucket>/<path>/" + runs + "/<time>"
	at, err := bucket.Parse(path)
	if err != nil {
		return "", diag.Wrap(err, diag.Usage, hint)
	}
	dir := record.Dir(Home(env, at))
	if _, err := os.Stat(dir.Run()); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		return "", err
	}
	d, err := Open(ctx, env, at.String(), dir, now, progress)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(say, "fetching %s into %s\n", at, dir)
	if err := d.Pull(ctx); err != nil {
		return "", diag.Wrap(fmt.Errorf("fetch %s: %w", at, err), diag.Scheduler)
	}
	if _, err := os.Stat(dir.Run()); errors.Is(err, fs.ErrNotExist) {
		return "", diag.Wrap(fmt.Errorf("%s is no run: it has no run.json", at), diag.Usage, hint)
	}
	return dir, nil
}

// RunAt is the run of a directory that somebody named by path; a usage error where there is none.
func RunAt(dir record.Dir, program, path string) (run record.Run, err error) {
	if err = fsx.ReadJSON(dir.Run(), &run); err == nil {
		return run, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is no run directory: it has no run.json", path)
	}
	return run, diag.Wrap(err, diag.Usage, "a run directory is what `"+program+" submit` prints: <base>/auto-benchmark/<time>")
}

// Depot is a run's.
type Depot struct {
	*pool.Pool
	At       bucket.Location
	bucket   *bucket.Bucket
	mirror   *mirror.Mirror
	progress Progress
	machines *tpu.Scheduler
}

// MinSilence is the least that a worker may show no sign of life: it beats every ten seconds, and a machine under load may be late.
const MinSilence = 30 * time.Second

// boot is how long a machine may take to show the first; all it does until then is to load the agent.
const boot = 20 * time.Minute

// Open opens the depot of a run whose directory here is dir, and may be empty still.
func Open(ctx context.Context, env Env, url string, dir record.Dir, now func() time.Time, progress Progress) (*Depot, error) {
	at, err := bucket.Parse(url)
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage)
	}
	b, err := bucket.Open(ctx, at.Bucket, env)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	writer := fmt.Sprintf("collector-%s-%d", host, os.Getpid())
	m := mirror.New(mirror.Config{Dir: dir, Store: b, Prefix: at.Prefix, Writer: writer, Now: now, Progress: progress})
	return &Depot{At: at, bucket: b, mirror: m, progress: progress}, nil
}

// Equip gives the depot its machines, and makes it a pool.
func (d *Depot) Equip(ctx context.Context, env Env, s *spec.Spec, c pool.Config) (err error) {
	if d.machines, err = Machines(ctx, env, s, c.Dir, c.Now); err != nil {
		return err
	}
	c.Mirror, c.Machines, c.Chips, c.Silence, c.Boot = d.mirror, d.machines, d.machines.Chips(), MinSilence, boot
	d.Pool = pool.New(c)
	return nil
}

// Machines is the scheduler of a spec's queued resources.
func Machines(ctx context.Context, env Env, s *spec.Spec, dir record.Dir, now func() time.Time) (*tpu.Scheduler, error) {
	client, err := gcp.Client(ctx, gcp.Options{Env: env}, gcp.Scope)
	if err != nil {
		return nil, err
	}
	endpoint, _ := env("VTUNE_TPU_ENDPOINT")
	return tpu.New(tpu.Config{HTTP: client, Endpoint: endpoint, Site: s.Site.TPU, Reservation: s.Site.Reservation, Dir: dir, Now: now})
}

// Claim takes a run's name in its bucket; false: somebody has it.
func (d *Depot) Claim(ctx context.Context, by string) (bool, error) {
	_, err := d.bucket.Put(ctx, d.At.Join("claim").Prefix, []byte(by+"\n"), 0, nil)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// Pull brings in what is new in the bucket.
func (d *Depot) Pull(ctx context.Context) error {
	defer d.rest()
	_, err := d.mirror.Pull(ctx)
	return err
}

// Push puts up what is new here.
func (d *Depot) Push(ctx context.Context) error {
	defer d.rest()
	return d.mirror.Push(ctx)
}

// rest says that nothing is under way any more.
func (d *Depot) rest() {
	if d.progress != nil {
		d.progress(0, 0, "")
	}
}

// Withdraw takes out of the bucket what must not stay there when a run is over.
func (d *Depot) Withdraw(ctx context.Context) error { return d.mirror.Withdraw(ctx) }

// Fetch brings what people look into when a run stands so: large files that not everybody needs. What is not there was never made.
func (d *Depot) Fetch(ctx context.Context, st record.State) error {
	defer d.rest()
	err := d.mirror.Fetch(ctx, wanted(st)...)
	if log := ending.Log(st); err == nil && log != "" {
		err = d.mirror.Fetch(ctx, log)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

const lock = "collector.lock"

// Lease makes this process the only one that decides on the run, wherever others are.
func (d *Depot) Lease(ctx context.Context, cfg fsx.LeaseConfig) (*bucket.Lease, error) {
	return d.bucket.Acquire(ctx, d.At.Join(lock).Prefix, cfg)
}

// Holder is who has the run in hands.
func (d *Depot) Holder(ctx context.Context) (fsx.Owner, bool) {
	return d.bucket.Holder(ctx, d.At.Join(lock).Prefix)
}

// Render writes what a machine's scheduler would be asked for, and the same as a command for people.
func Render(s *spec.Spec, dir record.Dir, unit string, r jobs.Request, now func() time.Time) error {
	machines, err := tpu.New(tpu.Config{Site: s.Site.TPU, Reservation: s.Site.Reservation, Dir: dir, Now: now})
	if err != nil {
		return err
	}
	body, err := machines.Request(r)
	if err != nil {
		return err
	}
	if err := fsx.Publish(dir.Request(unit), body, 0o644); err != nil {
		return err
	}
	argv, err := machines.ByHand(r, dir.Script(unit))
	if err != nil {
		return err
	}
	line, err := shell.Command(argv)
	if err != nil {
		return err
	}
	return fsx.Publish(dir.ByHand(unit), []byte("#!/bin/sh\n# The same request by hand. What a machine needs of the run must be in its bucket before.\n"+line+"\n"), 0o755)
}

// wanted are the winner's traces, and the logs that have the script's names, unless those are too many to be read by anybody.
func wanted(st record.State) []string {
	files := slices.Clone(st.ProfileFiles)
	for i, l := range report.Logs(st) {
		if i >= mostLogs {
			break
		}
		files = append(files, l.Target)
	}
	return files
}

const mostLogs = 500
