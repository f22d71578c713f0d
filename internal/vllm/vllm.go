// Package vllm knows vLLM from outside: the command lines of `vllm serve` and `vllm bench serve`, the routes of a running
// server, the JSON that the benchmark client leaves, and what a server's log says when it could not start. It starts no
// process, waits for nothing longer than one request, and decides nothing about a search.
package vllm

import (
	"regexp"
	"strconv"
	"strings"
)

// Loopback is the address that servers bind to. A server under test is nobody else's business, and on a shared node another
// tenant's client would be part of the measurement.
const Loopback = "127.0.0.1"

var release = regexp.MustCompile(`^v?(\d+)\.(\d+)(.*)$`)

// Release is the major and minor number in a version as servers report it ("0.20.2", "0.32.0+cpu", "v0.11.1rc2"). ok is
// false for what is no release: an empty string, or a build from a checkout without tags, which calls itself 0.1.dev…
// whatever its age.
func Release(version string) (major, minor int, ok bool) {
	m := release.FindStringSubmatch(version)
	if m == nil || (m[1] == "0" && m[2] == "1" && strings.Contains(m[3], "dev")) {
		return 0, 0, false
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(m[2])
	return major, minor, err == nil
}

// number prints f as a person would type it: no exponent, no trailing zeros, and none of the noise that 0.98-0.01 carries.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'f', 6, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
