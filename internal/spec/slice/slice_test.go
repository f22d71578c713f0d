package slice

import (
	"strings"
	"testing"
)

func TestASliceHasTheChipsAndHostsOfItsTable(t *testing.T) {
	for name, want := range map[string]Slice{
		"v6e-1":          {"v6e", 1, 1},
		"v6e-4":          {"v6e", 4, 1},
		"v6e-8":          {"v6e", 8, 1},
		"v6e-16":         {"v6e", 16, 4},
		"v6e-256":        {"v6e", 256, 64},
		"v5litepod-1":    {"v5litepod", 1, 1},
		"v5litepod-8":    {"v5litepod", 8, 1},
		"v5litepod-16":   {"v5litepod", 16, 4},
		"v5p-8":          {"v5p", 4, 1},
		"v5p-32":         {"v5p", 16, 4},
		"v4-8":           {"v4", 4, 1},
		"v4-16":          {"v4", 8, 2},
		"v3-8":           {"v3", 4, 1},
		"v3-32":          {"v3", 16, 4},
		"v2-8":           {"v2", 4, 1},
		"V6E 2x4":        {"v6e", 8, 1},
		"V6E 4x4":        {"v6e", 16, 4},
		"V6E 1x1":        {"v6e", 1, 1},
		"V5LITE_POD 2x2": {"v5litepod", 4, 1},
		"V4 2x2x2":       {"v4", 8, 2},
		"V5P 2x2x1":      {"v5p", 4, 1},
		"V5P 4x4x4":      {"v5p", 64, 16},
	} {
		acceleratorType, kind, topology := name, "", ""
		if before, after, ok := strings.Cut(name, " "); ok {
			acceleratorType, kind, topology = "", before, after
		}
		if got, err := Of(acceleratorType, kind, topology); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestASliceThatGoogleHasNotIsRefused(t *testing.T) {
	for _, c := range [][4]string{
		{"v6e-3", "", "", "no slice of v6e has 3 chips"},
		{"v6e-2", "", "", "no slice of v6e has 2 chips"},
		{"v6e-512", "", "", "largest slice"},
		{"v4-7", "", "", "TensorCores"},
		{"v5p-2", "", "", "no slice of v5p has 1 chips"},
		{"h100-8", "", "", "no TPU version"},
		{"v6e", "", "", "no accelerator type"},
		{"v6e-08", "", "", "no accelerator type"},
		{"", "V6E", "2x2x2", "2 dimensions"},
		{"", "V4", "2x2", "3 dimensions"},
		{"", "V4", "", "3 dimensions"},
		{"", "v6e", "2x4", "no TPU type"},
		{"", "", "", "no TPU type"},
	} {
		if got, err := Of(c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), c[3]) {
			t.Errorf("%q: %+v, %v; want an error with %q", c[:3], got, err, c[3])
		}
	}
}
