package tputest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vtune/jobs/tpu/tputest/schema"
)

// slice is a shape that may be asked for.
type slice struct {
	name, kind, topology string // v6e-8, V6E, 2x4
	hosts                int
}

// slices that the fake has, in every zone. Names count chips from the generation of v5e and v6e on, and cores before and at v5p;
// a host has 8 chips in the small slices of v5e and v6e, and 4 otherwise.
var catalog = func() []slice {
	var all []slice
	for _, family := range []struct {
		prefix, kind string
		perChip      int
		small        int // chips that are one host's
		topologies   []string
	}{
		{"v5litepod", "V5LITE_POD", 1, 8, []string{"1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"}},
		{"v6e", "V6E", 1, 8, []string{"1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"}},
		{"v5p", "V5P", 2, 4, []string{"2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4"}},
		{"v4", "V4", 2, 4, []string{"2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4"}},
	} {
		for _, topology := range family.topologies {
			chips := 1
			for side := range strings.SplitSeq(topology, "x") {
				n, _ := strconv.Atoi(side) // the table above
				chips *= n
			}
			hosts := 1
			if chips > family.small {
				hosts = chips / 4
			}
			all = append(all, slice{fmt.Sprintf("%s-%d", family.prefix, chips*family.perChip), family.kind, topology, hosts})
		}
	}
	return all
}()

var runtimes = []string{"tpu-ubuntu2204-base", "v2-alpha-tpuv4", "v2-alpha-tpuv5", "v2-alpha-tpuv5-lite", "v2-alpha-tpuv6e"}

func zone() schema.Zone {
	z := schema.Zone{Accelerators: map[string]bool{}, Topologies: map[string]bool{}, Runtimes: map[string]bool{}}
	for _, s := range catalog {
		z.Accelerators[s.name] = true
		z.Topologies[s.kind+" "+s.topology] = true
	}
	for _, r := range runtimes {
		z.Runtimes[r] = true
	}
	return z
}

// shape of a node whose type the schema's rules have passed.
func shape(node map[string]any) slice {
	name, _ := node["acceleratorType"].(string)
	config, _ := node["acceleratorConfig"].(map[string]any)
	i := slices.IndexFunc(catalog, func(s slice) bool {
		return s.name == name || config != nil && s.kind == config["type"] && s.topology == config["topology"]
	})
	if i < 0 {
		return slice{name: name, hosts: 1}
	}
	return catalog[i]
}
