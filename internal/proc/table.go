package proc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// entry is what the kernel says of one process.
type entry struct {
	pid, parent, group, session int
	state                       byte
	start                       uint64 // clock ticks since boot; darwin: microseconds since 1970
}

// dead: a zombie has ended and holds nothing but its number.
func (e entry) dead() bool { return e.state == 'Z' || e.state == 'X' }

// parseStat reads one stat line. The name in it is whatever the process calls itself, parentheses and blanks included, so
// counting starts behind the last parenthesis.
func parseStat(line []byte) (entry, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return entry{}, fmt.Errorf("process status %.60q: no name", line)
	}
	fields := strings.Fields(string(line[end+1:]))
	const start = 19 // field 22 of the line; the first two are the pid and the name
	if len(fields) <= start || len(fields[0]) != 1 {
		return entry{}, fmt.Errorf("process status %.60q: too short", line)
	}
	e := entry{state: fields[0][0]}
	var err error
	if e.pid, err = strconv.Atoi(strings.TrimSpace(string(line[:open]))); err != nil {
		return entry{}, fmt.Errorf("process status: pid: %w", err)
	}
	for i, to := range []*int{&e.parent, &e.group, &e.session} {
		if *to, err = strconv.Atoi(fields[1+i]); err != nil {
			return entry{}, fmt.Errorf("process status: field %d: %w", 4+i, err)
		}
	}
	if e.start, err = strconv.ParseUint(fields[start], 10, 64); err != nil {
		return entry{}, fmt.Errorf("process status: start time: %w", err)
	}
	return e, nil
}
