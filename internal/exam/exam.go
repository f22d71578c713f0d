// Package exam looks around for the doctor: on a node, from inside a job that runs as a run's jobs would (Run), and from here,
// where that job's files are awaited (Watch). It gathers facts, each in bounded time, and judges nothing.
//
// The two sides meet in a folder of the job's, by the rules of every run: a file is published by rename and found by listing
// its folder. The node greets; the other side, which has changed nothing in the folder until then (a client of NFS that changes
// a folder reads it anew), answers by a ping, the node by a pong, and so on for a few rounds; the findings come last.
package exam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vtune/internal/doctor"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/vocab"
)

// Job is the id of the check-up's only job in its folder.
const Job = "exam"

// rounds of ping and pong.
const rounds = 3

// Files of the exchange.
const (
	greetingFile = "greeting.json"
	findingsFile = "findings.json"
	claimedDir   = "claimed" // made by the other side before the job begins: the node must not be able to make it again
)

func pingFile(n int) string { return fmt.Sprintf("ping-%d.json", n) }
func pongFile(n int) string { return fmt.Sprintf("pong-%d.json", n) }

// Exchange is the folder in which the two sides meet.
func Exchange(dir record.Dir) string { return filepath.Join(string(dir), "exchange") }

// times are what either side writes: when it saw the last file of the other, and when it wrote this one, by its own clock.
type times struct {
	Seen time.Time `json:"seen,omitzero"`
	Made time.Time `json:"made"`
}

// Ordered reports whether an assignment is an order to look around.
func Ordered(assignment string) bool {
	var o doctor.Order
	return fsx.ReadJSON(assignment, &o) == nil && o.Kind == doctor.KindExam
}

// Config of Run.
type Config struct {
	Dir        record.Dir
	Assignment string
	Env        []string
	Log        io.Writer // lines of progress, for the job's log
}

// Run looks around on this node and publishes what it found. An error means that not even that could be done.
func Run(ctx context.Context, c Config) error {
	var o doctor.Order
	if err := fsx.ReadJSON(c.Assignment, &o); err != nil {
		return fmt.Errorf("assignment: %w", err)
	}
	n := node{c, o, Exchange(c.Dir), doctor.Findings{CPUs: runtime.NumCPU()}}
	var err error
	if n.found.Host, err = os.Hostname(); err != nil {
		return err
	}
	fmt.Fprintf(c.Log, "looking around on %s\n", n.found.Host)
	if err := n.greet(); err != nil {
		return err
	}
	if err := n.answer(ctx); err != nil {
		return err
	}
	n.claim()
	if n.found.Dir, err = StatDisk(n.exchange); err != nil {
		return err
	}
	n.temp()
	env := slices.Concat(c.Env, settings(o.Server.Environment))
	n.gpus(ctx)
	n.found.Inside = lookup(c.Env, "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")
	n.found.Model = model(ctx, o.Server, env)
	fmt.Fprintln(c.Log, "asking the server's command for its version")
	n.found.Version = run(ctx, versionPatience, env, append(slices.Clone(o.Server.Command), "--version")...)
	return fsx.PublishJSON(filepath.Join(n.exchange, findingsFile), n.found)
}

type node struct {
	Config
	order    doctor.Order
	exchange string
	found    doctor.Findings
}

// greet publishes the node's first file step by step, to see how long each takes.
func (n *node) greet() (err error) {
	data, err := json.Marshal(times{Made: time.Now()})
	if err != nil {
		return err
	}
	path := filepath.Join(n.exchange, greetingFile)
	f, err := os.CreateTemp(n.exchange, greetingFile+".tmp-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	began := time.Now()
	// A file system that has no fsync does not hold a run up.
	if serr := f.Sync(); serr != nil && !errors.Is(serr, unix.ENOTSUP) && !errors.Is(serr, unix.EINVAL) {
		err = errors.Join(err, serr)
	}
	n.found.Fsync = time.Since(began).Seconds()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	began = time.Now()
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	n.found.Rename = time.Since(began).Seconds()
	return nil
}

// answer waits for the other side's files, for as long as the order says each time.
func (n *node) answer(ctx context.Context) error {
	patience := time.Duration(n.order.Patience * float64(time.Second))
	for i := 1; i <= rounds; i++ {
		seen, err := awaitFile(ctx, n.exchange, pingFile(i), patience)
		if err != nil || seen.IsZero() {
			return err
		}
		if err := fsx.PublishJSON(filepath.Join(n.exchange, pongFile(i)), times{Seen: seen, Made: time.Now()}); err != nil {
			return err
		}
		n.found.Answered = i
	}
	return nil
}

// nodePoll is the pause between two looks of the node.
const nodePoll = 50 * time.Millisecond

// awaitFile is when a file was seen; zero if it was not in time.
func awaitFile(ctx context.Context, dir, name string, patience time.Duration) (time.Time, error) {
	tick := time.NewTicker(nodePoll)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < patience; {
		there, err := listed(dir)
		if err != nil {
			return time.Time{}, err
		}
		if there[name] {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-tick.C:
		}
	}
	return time.Time{}, nil
}

func listed(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names, nil
}

// claim makes folders that must not be made twice: one of its own, and one that the other side made.
func (n *node) claim() {
	own := filepath.Join(n.exchange, "claim")
	first, again := os.Mkdir(own, 0o755), os.Mkdir(own, 0o755)
	theirs := os.Mkdir(filepath.Join(n.exchange, claimedDir), 0o755)
	switch {
	case first != nil:
		n.found.Claims = fmt.Sprintf("no folder can be made: %v", first)
	case !errors.Is(again, fs.ErrExist):
		n.found.Claims = fmt.Sprintf("making a folder a second time gives %v", again)
	case !errors.Is(theirs, fs.ErrExist):
		n.found.Claims = fmt.Sprintf("making a folder that the other machine has made gives %v", theirs)
	}
}

// temp looks at the job's temporary folder, where a server's socket is.
func (n *node) temp() {
	dir, err := os.MkdirTemp("", "vt-")
	if err != nil {
		n.found.TempProblem = err.Error()
		return
	}
	defer os.RemoveAll(dir)
	if n.found.Temp, err = StatDisk(os.TempDir()); err != nil {
		n.found.TempProblem = err.Error()
	}
	// A path that is too long for a socket's address is no trouble: the agent then takes /tmp.
	if len(dir) >= addressMost {
		if dir, err = os.MkdirTemp("/tmp", "vt-"); err != nil {
			n.found.Socket = err.Error()
			return
		}
		defer os.RemoveAll(dir)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		n.found.Socket = err.Error()
		return
	}
	l.Close()
}

// addressMost is what a Unix socket's address holds, with a margin.
const addressMost = 100

// StatDisk is the file system that path, or the nearest folder above it that there is, lies on.
func StatDisk(path string) (doctor.Disk, error) {
	for at := path; ; at = filepath.Dir(at) {
		var s unix.Statfs_t
		err := unix.Statfs(at, &s)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			continue
		}
		if err != nil {
			return doctor.Disk{}, fmt.Errorf("statfs %s: %w", at, err)
		}
		return doctor.Disk{
			Path: path, Magic: uint32(s.Type), Free: s.Bavail * uint64(s.Bsize), NoExec: s.Flags&noExec != 0,
		}, nil
	}
}

func settings(environment map[string]string) []string {
	var env []string
	for name, value := range environment {
		env = append(env, name+"="+value)
	}
	return env
}

// lookup is the first of the variables that is set.
func lookup(env []string, names ...string) string {
	for _, name := range names {
		for _, e := range slices.Backward(env) {
			if value, ok := strings.CutPrefix(e, name+"="); ok && value != "" {
				return value
			}
		}
	}
	return ""
}

// model looks for the model's files where a server would, and asks the hub for what is not a folder.
func model(ctx context.Context, s record.Server, env []string) doctor.Model {
	m := doctor.Model{Local: strings.HasPrefix(s.Model, "/"), Folder: vocab.Folder(s.Model, s.DownloadDir, env)}
	if offline := lookup(env, "HF_HUB_OFFLINE"); m.Local || offline != "" && offline != "0" {
		return m
	}
	m.Asked = true
	token := lookup(env, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
	m.Token = token != ""
	status, err := ask(ctx, lookup(env, "HF_ENDPOINT"), s.Model, token, env)
	m.Status = status
	if err != nil {
		m.Error = err.Error()
	}
	return m
}
