package proc

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MarkVariable holds the token of a process's attempt; where attempts nest (a job of the local scheduler runs an agent), the
// tokens of all of them, outermost first, with commas between.
const MarkVariable = "VTUNE_ATTEMPT"

// marked is env with token added to its mark.
func marked(env []string, token string) []string {
	value := token
	out := slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		outer, is := strings.CutPrefix(entry, MarkVariable+"=")
		if is && outer != "" {
			value = outer + "," + token
		}
		return is
	})
	return append(out, MarkVariable+"="+value)
}

// unmarked is env without any mark.
func unmarked(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool { return strings.HasPrefix(entry, MarkVariable+"=") })
}

// hasMark looks for token in the raw environment of a process. What cannot be read is another user's.
func hasMark(pid int, token string) bool {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && environMarked(environ, token)
}

func environMarked(environ []byte, token string) bool {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if value, is := bytes.CutPrefix(entry, []byte(MarkVariable+"=")); is {
			return slices.Contains(strings.Split(string(value), ","), token)
		}
	}
	return false
}

// brand is the token as a resource limit: always a huge number of file locks, so that it could not matter even if enforced.
func brand(token string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(token))
	return h.Sum64()>>2 | 1<<61
}

func branded(pid int, token string) bool {
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_LOCKS, nil, &limit)
	return err == nil && limit.Cur == brand(token)
}

// Supervisor is the role of a process that answers for the end of everything that descends from it.
type Supervisor struct{ token string }

// Supervise takes that role for the rest of this process's life: orphaned descendants become its children instead of init's,
// and everything it starts from now on bears its brand as well as the mark that Spec.Mark gives. The outermost supervisor's
// brand stays; an inner one is told from the others by mark and descent.
func Supervise(token string) (*Supervisor, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("adopt orphaned descendants: %w", err)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_LOCKS, nil, &limit); err != nil {
		return nil, fmt.Errorf("brand this process: %w", err)
	}
	// A finite limit is an outer supervisor's brand, or a site's wish: neither is ours to change.
	if limit.Cur == unix.RLIM_INFINITY && limit.Max == unix.RLIM_INFINITY {
		limit.Cur = brand(token)
		if err := unix.Prlimit(0, unix.RLIMIT_LOCKS, &limit, nil); err != nil {
			return nil, fmt.Errorf("brand this process: %w", err)
		}
	}
	return &Supervisor{token: token}, nil
}

// Marked finds every living process of an attempt: those that bear its mark or its brand, whatever descends from them, and the
// groups and sessions that they lead. The caller is among them if it belongs to the attempt.
func Marked(token string) ([]Identity, error) {
	return family(func(e entry) bool { return hasMark(e.pid, token) || branded(e.pid, token) })
}

// family is everything alive that is related to a process which carries.
func family(carries func(entry) bool) ([]Identity, error) {
	here, err := thisBoot()
	if err != nil {
		return nil, err
	}
	all, err := table()
	if err != nil {
		return nil, err
	}
	in := map[int]bool{}
	for _, e := range all {
		if !e.dead() && carries(e) {
			in[e.pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, e := range all {
			if !in[e.pid] && (in[e.parent] || in[e.group] || in[e.session]) {
				in[e.pid], grown = true, true
			}
		}
	}
	var found []Identity
	for _, e := range all {
		if in[e.pid] && !e.dead() {
			found = append(found, here.of(e))
		}
	}
	return found, nil
}
