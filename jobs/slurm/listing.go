package slurm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
)

// field is a column of squeue: the name it is asked by and the header it answers with.
type field struct{ name, header string }

// The job's name comes last: it is free text, and other people's hold bars and newlines.
func queueFields() []field {
	return []field{
		{"ArrayJobID", "ARRAY_JOB_ID"}, {"ArrayTaskID", "ARRAY_TASK_ID"}, {"State", "STATE"}, {"Reason", "REASON"}, {"exit_code", "EXIT_CODE"},
		{"StartTime", "START_TIME"}, {"NodeList", "NODELIST"}, {"Name", "NAME"},
	}
}

// queueFormat ends every field with a bar, without which squeue cuts it to 20 columns.
func queueFormat() string {
	var b strings.Builder
	for _, f := range queueFields() {
		b.WriteString(f.name + ":|,")
	}
	return strings.TrimSuffix(b.String(), ",")
}

// parseQueue reads squeue's listing, header included: squeue exits 0 when it does not know a field, and leaves the column
// empty, which must not pass for a run without jobs.
func parseQueue(listing, run string) ([]jobs.Status, error) {
	header, rows, _ := strings.Cut(listing, "\n")
	var want strings.Builder
	for _, f := range queueFields() {
		want.WriteString(f.header + "|")
	}
	if header != want.String() {
		return nil, fmt.Errorf("squeue: its header is %q, want %q", header, want.String())
	}
	var all []jobs.Status
	for line := range strings.Lines(rows) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", len(queueFields()))
		name, whole := strings.CutSuffix(f[len(f)-1], "|")
		if len(f) < len(queueFields()) || !whole || !strings.HasPrefix(name, record.NamePrefix(run)) {
			continue // another's job, or a piece of its name
		}
		id, task := f[0], -1
		if f[1] != "N/A" {
			var err error
			if task, err = strconv.Atoi(f[1]); err != nil || task < 0 {
				return nil, fmt.Errorf("squeue: task %q of %s", f[1], name)
			}
		}
		if !isJobID(id) {
			return nil, fmt.Errorf("squeue: id %q of %s", id, name)
		}
		st := jobs.Status{Handle: jobs.Handle{ID: id}, Name: name, Task: task, Word: f[2], Reason: reason(f[3]), ExitCode: waitStatus(f[4]), Node: f[6]}
		st.State = state(st.Word, st.Reason, st.ExitCode)
		if st.State != jobs.Pending && st.State != jobs.Stuck { // of a pending job, it is when it may start
			st.Started = epoch(f[5])
		}
		all = append(all, st)
	}
	return all, nil
}

func accountFormat() string { return "JobID,State,ExitCode,Start,NodeList,JobName" }

// parseAccounts reads sacct's listing of jobs that are over. What it says of living jobs is passed over: the database lags, and
// holds some for alive that no controller knows.
func parseAccounts(listing, run string) ([]jobs.Status, error) {
	var all []jobs.Status
	for line := range strings.Lines(listing) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 6)
		if len(f) < 6 || !strings.HasPrefix(f[5], record.NamePrefix(run)) {
			continue
		}
		word, _, _ := strings.Cut(f[1], " ") // "CANCELLED by 1000"
		st := jobs.Status{Name: f[5], Word: f[1], ExitCode: f[2], Started: epoch(f[3]), Node: f[4], State: state(word, "", f[2])}
		if !st.State.Ended() {
			continue
		}
		id, task, array := strings.Cut(f[0], "_")
		if st.ID, st.Task = id, -1; array {
			n, err := strconv.Atoi(task)
			if err != nil {
				continue // tasks that never became jobs: "16_[3-9]"
			}
			st.Task = n
		}
		if !isJobID(st.ID) {
			return nil, fmt.Errorf("sacct: id %q of %s", f[0], st.Name)
		}
		all = append(all, st)
	}
	return all, nil
}

// merge adds to what the controller knows what only the accounts remember.
func merge(known, remembered []jobs.Status) []jobs.Status {
	type key struct {
		id   string
		task int
	}
	seen := map[key]bool{}
	for _, st := range known {
		seen[key{st.ID, st.Task}] = true
	}
	for _, st := range remembered {
		if k := (key{st.ID, st.Task}); !seen[k] {
			seen[k] = true
			known = append(known, st)
		}
	}
	return known
}

// reason drops what squeue writes for none.
func reason(s string) string {
	if s == "None" || s == "(null)" {
		return ""
	}
	return s
}

// waitStatus turns the raw wait status that squeue shows into sacct's form, code:signal.
func waitStatus(s string) string {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return ""
	}
	if signal := n & 0x7f; signal != 0 {
		return fmt.Sprintf("0:%d", signal)
	}
	return fmt.Sprintf("%d:0", n>>8)
}

// epoch reads a time as SLURM_TIME_FORMAT=%s makes it.
func epoch(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// config is what the adapter must know of a cluster.
type config struct {
	maxArray   int
	minJobAge  time.Duration // 0: finished jobs are never forgotten
	accounting bool
}

var errNoConfig = errors.New("no MaxArraySize or MinJobAge in the answer")

// parseConfig reads scontrol show config.
func parseConfig(text string) (config, error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	age, _, _ := strings.Cut(values["MinJobAge"], " ") // "300 sec"
	seconds, err1 := strconv.Atoi(age)
	// The greatest index is MaxArraySize-1; counting from 0, that is as many tasks as it says.
	size, err2 := strconv.Atoi(values["MaxArraySize"])
	if err1 != nil || err2 != nil {
		return config{}, errNoConfig
	}
	for _, p := range strings.Split(values["SchedulerParameters"], ",") {
		if n, err := strconv.Atoi(strings.TrimPrefix(p, "max_array_tasks=")); err == nil && strings.HasPrefix(p, "max_array_tasks=") {
			size = min(size, n)
		}
	}
	storage := values["AccountingStorageType"]
	return config{
		maxArray: max(size, 0), minJobAge: time.Duration(max(seconds, 0)) * time.Second,
		accounting: slices.Contains([]string{"accounting_storage/slurmdbd", "accounting_storage/mysql"}, storage),
	}, nil
}
