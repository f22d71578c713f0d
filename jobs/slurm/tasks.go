package slurm

import (
	"fmt"
	"strconv"
	"strings"
)

// maxTasks is how many tasks the ranges of one listing may name together. It is far above what a run has and what its statuses
// may cost in memory; a range is text from outside, and "0-4000000" is short.
const maxTasks = 1 << 20

// tasks are the numbers that a range of an array's tasks names, as Slurm writes it for those that are still one record:
// "3-7%2", "0-20:5", "[0-2,5,7-9%1]". After the percent sign stands the throttle. More than most are an error, and so is a list
// that was cut short ("0,3,7...").
func tasks(text string, most int) ([]int, error) {
	list, throttle, throttled := strings.Cut(unbracketed(text), "%")
	if _, ok := number(throttle); throttled && !ok {
		return nil, fmt.Errorf("tasks %.100q: %q is no throttle", text, throttle)
	}
	var all []int
	for item := range strings.SplitSeq(list, ",") {
		span, by, stepped := strings.Cut(item, ":")
		from, to, ranged := strings.Cut(span, "-")
		first, ok := number(from)
		last, step := first, 1
		if ranged {
			last, ranged = number(to)
			ok = ok && ranged
		}
		if stepped {
			step, stepped = number(by)
			ok = ok && stepped && ranged
		}
		if !ok || last < first || step == 0 {
			return nil, fmt.Errorf("tasks %.100q: %q is no range", text, item)
		}
		if (last-first)/step >= most-len(all) {
			return nil, fmt.Errorf("tasks %.100q: more than %d", text, most)
		}
		for task := first; task <= last; task += step {
			all = append(all, task)
		}
	}
	return all, nil
}

func unbracketed(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return s
}

// number reads digits and nothing else; nine of them are more than Slurm's greatest index.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && len(s) <= 9
}
