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
		{"ArrayJobID", "ARRAY_JOB_ID"},
		{"ArrayTaskID", "ARRAY_TASK_ID"},
		{"State", "STATE"},
		{"Reason", "REASON"},
		{"exit_code", "EXIT_CODE"},
		{"restartcnt", "RESTART_COUNT"},
		{"StartTime", "START_TIME"},
		{"NodeList", "NODELIST"},
		{"Name", "NAME"},
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
// empty, which must not pass for a run without jobs. The tasks of an array that wait, or were cancelled while they waited, are
// one row and become a status each.
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
	left := maxTasks
	for line := range strings.Lines(rows) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", len(queueFields()))
		name, whole := strings.CutSuffix(f[len(f)-1], "|")
		if len(f) < len(queueFields()) || !whole || !strings.HasPrefix(name, record.NamePrefix(run)) {
			continue // another's job, or a piece of its name
		}
		if !isJobID(f[0]) {
			return nil, fmt.Errorf("squeue: id %q of %s", f[0], name)
		}
		restarts, err := strconv.Atoi(f[5])
		if err != nil || restarts < 0 {
			return nil, fmt.Errorf("squeue: %q restarts of %s", f[5], name)
		}
		st := jobs.Status{
			Handle: jobs.Handle{ID: f[0]}, Name: name, Task: -1,
			Word: f[2], Reason: reason(f[3]), ExitCode: waitStatus(f[4]), Restarts: restarts, Node: f[7],
		}
		st.State = state(st.Word, st.Reason, st.ExitCode, st.Node)
		if !waits(st.State) { // of a pending job, it is when it may start
			st.Started = epoch(f[6])
		}
		if all, err = each(all, st, f[1], &left); err != nil {
			return nil, fmt.Errorf("squeue: %s: %w", name, err)
		}
	}
	return all, nil
}

// each appends st for every task that its column names; N/A is a single job's. left is what the listing may still name.
func each(all []jobs.Status, st jobs.Status, column string, left *int) ([]jobs.Status, error) {
	if column == "N/A" {
		return append(all, st), nil
	}
	named, err := tasks(column, *left)
	if err != nil {
		return nil, err
	}
	*left -= len(named)
	for _, st.Task = range named {
		all = append(all, st)
	}
	return all, nil
}

func accountFormat() string { return "JobID,State,ExitCode,Start,End,NodeList,JobName" }

// nowhere is what sacct writes for the node of a job that never had one.
const nowhere = "None assigned"

// parseAccounts reads sacct's listing of jobs that are over. What it says of living jobs is passed over: the database lags, and
// holds some for alive that no controller knows. Tasks of an array that were cancelled before they became jobs are one row,
// "16_[3-9%2]"; they come after all others, because such a row may be older than those of tasks that it still names. uid is the
// caller's.
func parseAccounts(listing, run, uid string) ([]jobs.Status, error) {
	var all, unborn []jobs.Status
	left := maxTasks
	for line := range strings.Lines(listing) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 7)
		if len(f) < 7 || !strings.HasPrefix(f[6], record.NamePrefix(run)) {
			continue
		}
		st := jobs.Status{Name: f[6], Task: -1, Word: f[1], ExitCode: f[2], Started: epoch(f[3]), Node: f[5]}
		if st.Node == nowhere {
			st.Node = ""
		}
		if st.State = accountState(st, f[4] == f[3], uid); !st.State.Ended() {
			continue
		}
		id, task, array := strings.Cut(f[0], "_")
		if st.ID = id; !isJobID(id) {
			return nil, fmt.Errorf("sacct: id %q of %s", f[0], st.Name)
		}
		if !array {
			task = "N/A"
		}
		list := &all
		if strings.HasPrefix(task, "[") {
			list = &unborn
		}
		var err error
		if *list, err = each(*list, st, task, &left); err != nil {
			return nil, fmt.Errorf("sacct: %s: %w", st.Name, err)
		}
	}
	return append(all, unborn...), nil
}

// accountState is the state of a job in the accounts, which keep no exit code of a cancelled job but know who cancelled it, and
// how long it had run: atOnce means less than a second.
func accountState(st jobs.Status, atOnce bool, uid string) jobs.JobState {
	word, _, _ := strings.Cut(st.Word, " ") // "CANCELLED by 1000"
	s := state(word, "", st.ExitCode, st.Node)
	if s == jobs.NoLaunch && word == "CANCELLED" && (!atOnce || byHand(st.Word, uid)) {
		return jobs.Cancelled
	}
	return s
}

// byHand reports whether the accounts say that the caller cancelled a job, which is never how a node daemon does it. Of root's
// own jobs it cannot be told.
func byHand(word, uid string) bool { return uid != "0" && word == "CANCELLED by "+uid }

// merge adds to what the controller knows what only the accounts remember, and who cancelled a job.
func merge(known, remembered []jobs.Status, uid string) []jobs.Status {
	type key struct {
		id   string
		task int
	}
	seen := make(map[key]int, len(known))
	for i, st := range known {
		seen[key{st.ID, st.Task}] = i
	}
	for _, st := range remembered {
		k := key{st.ID, st.Task}
		i, listed := seen[k]
		if !listed {
			seen[k] = len(known)
			known = append(known, st)
			continue
		}
		if k := &known[i]; k.State == jobs.NoLaunch && byHand(st.Word, uid) {
			k.State, k.Word = jobs.Cancelled, st.Word
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

// settings are the lines of scontrol show config.
func settings(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return values
}

func parseConfig(values map[string]string) (config, error) {
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
