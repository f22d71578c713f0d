package proc

import (
	"bytes"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// Supervisor is the role of a process that answers for the end of everything that descends from it.
type Supervisor struct{ token string }

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
