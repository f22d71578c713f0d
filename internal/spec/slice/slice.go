// Package slice knows how large a TPU slice is: how many chips an accelerator type or a topology stands for, and on how many
// machines they are. The numbers are those of Google's pages on each version ("TPU v6e", "TPU v5e", "TPU v5p", "TPU v4",
// "TPU v2", "TPU v3" below cloud.google.com/tpu/docs); the API tells them nowhere.
package slice

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Slice is what one node of Cloud TPU is made of.
type Slice struct {
	Version string // as accelerator types begin: v6e, v5litepod
	Chips   int
	Hosts   int // virtual machines; each runs the startup script
}

// version is how one generation counts. Up to v4, and for v5p, the number in an accelerator type counts TensorCores, of which a
// chip has two; v5e and v6e have one in a chip, and their machines come with 1, 4 or 8 chips, while slices of more than 8 are made
// of machines with 4.
type version struct {
	name, kind   string // in accelerator types, and in the API's acceleratorConfig
	coresPerChip int
	dimensions   int // of a topology
	wholeHost    int // the greatest number of chips on one machine
	most         int // chips of the largest slice
}

func versions() []version {
	return []version{
		{"v2", "V2", 2, 2, 4, 256},
		{"v3", "V3", 2, 2, 4, 1024},
		{"v4", "V4", 2, 3, 4, 4096},
		{"v5p", "V5P", 2, 3, 4, 8960},
		{"v5litepod", "V5LITE_POD", 1, 2, 8, 256},
		{"v6e", "V6E", 1, 2, 8, 256},
	}
}

const perHost = 4 // chips, in a slice of several hosts

// Of is the slice that a request asks for: by accelerator type (v6e-8), or else by the API's type and a topology (V6E, 2x4).
func Of(acceleratorType, kind, topology string) (Slice, error) {
	if acceleratorType != "" {
		return byType(acceleratorType)
	}
	return byTopology(kind, topology)
}

var typeForm = regexp.MustCompile(`^([a-z0-9]+)-([1-9][0-9]{0,4})$`)

func byType(name string) (Slice, error) {
	m := typeForm.FindStringSubmatch(name)
	if m == nil {
		return Slice{}, fmt.Errorf("%q is no accelerator type such as v6e-8", name)
	}
	for _, v := range versions() {
		if v.name != m[1] {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return Slice{}, fmt.Errorf("%q: %w", name, err)
		}
		if n%v.coresPerChip != 0 {
			return Slice{}, fmt.Errorf("%s counts TensorCores, of which each chip has %d; %d is no multiple", v.name, v.coresPerChip, n)
		}
		return v.slice(name, n/v.coresPerChip)
	}
	return Slice{}, fmt.Errorf("no TPU version %q is known; known are %s", m[1], known(func(v version) string { return v.name }))
}

var topologyForm = regexp.MustCompile(`^[1-9][0-9]{0,3}(x[1-9][0-9]{0,3}){1,2}$`)

func byTopology(kind, topology string) (Slice, error) {
	for _, v := range versions() {
		if v.kind != kind {
			continue
		}
		sides := strings.Split(topology, "x")
		if !topologyForm.MatchString(topology) || len(sides) != v.dimensions {
			return Slice{}, fmt.Errorf("%q is no topology of %s, which has %d dimensions", topology, kind, v.dimensions)
		}
		chips := 1
		for _, side := range sides {
			n, err := strconv.Atoi(side)
			if err != nil {
				return Slice{}, fmt.Errorf("topology %q: %w", topology, err)
			}
			chips *= n
		}
		return v.slice(topology, chips)
	}
	return Slice{}, fmt.Errorf("no TPU type %q is known; known are %s", kind, known(func(v version) string { return v.kind }))
}

// slice counts the hosts. A single host has 1, 4 or 8 chips, or 4 where the version has no other machine.
func (v version) slice(what string, chips int) (Slice, error) {
	s := Slice{Version: v.name, Chips: chips, Hosts: chips / perHost}
	switch {
	case chips > v.most:
		return Slice{}, fmt.Errorf("%s: the largest slice of %s has %d chips", what, v.name, v.most)
	case chips == perHost, chips == v.wholeHost, chips == 1 && v.wholeHost > perHost:
		s.Hosts = 1
	case chips < perHost || chips%perHost != 0:
		return Slice{}, fmt.Errorf("%s: no slice of %s has %d chips", what, v.name, chips)
	}
	return s, nil
}

func known(name func(version) string) string {
	var names []string
	for _, v := range versions() {
		names = append(names, name(v))
	}
	return strings.Join(names, ", ")
}
