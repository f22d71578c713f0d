// Package report turns a run's state into what people and other programs read: result.txt, result.json, the script's log
// names, a row a cell, a line of progress, a summary. Pure functions of records: it reads no file, asks no clock and decides
// nothing; which cell is best, and whether a run is over, stands in the state.
package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"vtune/internal/record"
)

// because is a cause in words.
func because(c record.Cause) string {
	switch c {
	case record.CauseOOM:
		return "out of memory"
	case record.CauseCrash:
		return "server crashed"
	case record.CauseTimeout:
		return "timed out"
	case record.CausePort:
		return "port taken"
	case record.CauseFlags:
		return "server refused its arguments"
	case record.CauseClient:
		return "load client failed"
	case record.CauseRequests:
		return "requests failed"
	case record.CauseTimeLimit:
		return "time limit reached"
	case record.CauseStopped:
		return "stopped by the scheduler"
	case record.CausePreempted:
		return "preempted"
	case record.CauseRestart:
		return "restarted by the scheduler"
	case record.CauseProbe:
		return "not run"
	case record.CauseLost:
		return "job lost"
	case record.CauseNode:
		return "node failed"
	case record.CauseUnbegun:
		return "not begun"
	case record.CauseRateLater:
		return "rate search follows"
	case record.CauseAgent:
		return "agent failed"
	case record.CauseNone:
		return "cause unknown"
	}
	return oneLine(string(c)) // of a newer build
}

// why is a cause in words and the message of whoever knows more, on one line.
func why(c record.Cause, message string) string {
	if message = oneLine(message); message == "" {
		return because(c)
	}
	if c == record.CauseNone {
		return message
	}
	return because(c) + ": " + message
}

const longestMessage = 500

// Unbroken has nothing in it that breaks a line or moves a cursor.
func Unbroken(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) { // false for every line break and control, bidirectional ones too
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
}

// oneLine keeps foreign words on their line, harmless to a terminal, and no longer than a person reads.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(Unbroken(s)), " ")
	if len(s) <= longestMessage {
		return s
	}
	cut := longestMessage
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// limit is what a cell must hold, as result.txt has it: the script's one limit in ms as a person writes it in a spec, else words.
func limit(p record.Policy) string {
	if p.LimitMS > 0 {
		return strconv.FormatFloat(p.LimitMS, 'f', -1, 64)
	}
	return p.LimitText()
}

// limitWords is the same in a sentence.
func limitWords(p record.Policy) string {
	if p.LimitMS > 0 {
		return "the limit of " + limit(p) + " ms"
	}
	return limit(p)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Simulated reports whether a server's version says that it is no real one: the local part of vllm-sim's is "sim".
func Simulated(version string) bool {
	_, local, _ := strings.Cut(version, "+")
	return local == "sim" || strings.HasPrefix(local, "sim.")
}
