package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/jobs"
)

const schema = 1

// folder is where file names of the scheduler are written down.
type folder string

func (f folder) path(dir, name string) string { return filepath.Join(string(f), dir, name) }

func (f folder) settings() string { return filepath.Join(string(f), "settings.json") }
func (f folder) log() string      { return filepath.Join(string(f), "log") } // stderr of the daemon and the runners

func (f folder) daemon(n int) string   { return f.path("daemons", strconv.Itoa(n)+".json") }
func (f folder) retired(n int) string  { return f.path("daemons", strconv.Itoa(n)+".retired") }
func (f folder) request(id int) string { return f.path("requests", strconv.Itoa(id)+".json") }
func (f folder) cancel(id int) string  { return f.path("cancels", strconv.Itoa(id)+".json") }
func (f folder) start(id int) string   { return f.path("starts", strconv.Itoa(id)+".json") }
func (f folder) runner(id int) string  { return f.path("runners", strconv.Itoa(id)+".json") }
func (f folder) exit(id int) string    { return f.path("exits", strconv.Itoa(id)+".json") }

func (f folder) make() error {
	for _, dir := range []string{"daemons", "requests", "cancels", "starts", "runners", "exits"} {
		if err := os.MkdirAll(filepath.Join(string(f), dir), 0o755); err != nil {
			return fmt.Errorf("make the local scheduler's folder: %w", err)
		}
	}
	return nil
}

// numbers lists the <n>.<suffix> of one of the folder's directories. One that does not exist yet is empty.
func (f folder) numbers(dir, suffix string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(string(f), dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the local scheduler's folder: %w", err)
	}
	var all []int
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.Atoi(name); is && err == nil {
			all = append(all, n)
		}
	}
	return all, nil
}

// publishOnce publishes a fact; when it is there already, the error is fs.ErrExist and the first one stands.
func publishOnce(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	return fsx.PublishNew(path, append(data, '\n'), 0o644)
}

// settings of a folder, fixed by its first Submit.
type settings struct {
	Schema       int      `json:"schema"`
	Slots        int      `json:"slots"`
	Devices      []string `json:"devices"` // what CUDA_VISIBLE_DEVICES calls each slot
	GraceSeconds float64  `json:"grace_s"`
}

func (s settings) grace() time.Duration { return time.Duration(s.GraceSeconds * float64(time.Second)) }

// request is a job as it was submitted.
type request struct {
	Schema    int              `json:"schema"`
	Run       string           `json:"run"`
	Name      string           `json:"name"`
	Script    string           `json:"script"`
	Log       string           `json:"log"`
	WorkDir   string           `json:"work_dir"`
	After     []edge           `json:"after,omitempty"`
	Resources record.Resources `json:"resources"`
	At        time.Time        `json:"at"`
}

// edge is a dependency on an earlier job.
type edge struct {
	On   int         `json:"on"`
	When record.When `json:"when"`
}

// cancel says that somebody wants the job to end.
type cancel struct {
	Schema int       `json:"schema"`
	At     time.Time `json:"at"`
}

// start is the daemon's decision. From here the job owns its slots until its exit, whoever gets to run it.
type start struct {
	Schema int       `json:"schema"`
	Slots  []int     `json:"slots"`
	Token  string    `json:"token"` // the mark of everything the job starts
	At     time.Time `json:"at"`
}

// runner is the claim to run the job: of all processes told to, the one that publishes it does.
type runner struct {
	Schema   int           `json:"schema"`
	Identity proc.Identity `json:"identity"`
	At       time.Time     `json:"at"`
}

// exit is how a job ended.
type exit struct {
	Schema int           `json:"schema"`
	State  jobs.JobState `json:"state"`
	Reason string        `json:"reason,omitempty"`
	Code   int           `json:"exit_code"`
	Signal int           `json:"signal"`
	At     time.Time     `json:"at"`
}
