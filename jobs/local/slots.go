package local

import (
	"path/filepath"
	"strconv"
	"strings"
)

// DetectSlots counts the machine's NVIDIA GPUs; a machine without any has one slot.
func DetectSlots() int {
	found, err := filepath.Glob("/dev/nvidia[0-9]*")
	if err != nil {
		return 1
	}
	return max(1, len(found))
}

// visibleDevices is how CUDA is told which GPUs a process may use.
const visibleDevices = "CUDA_VISIBLE_DEVICES"

// devices names the slots as CUDA_VISIBLE_DEVICES does. Where the submitter's own environment names enough of them (a share of
// a machine, or UUIDs), those are used.
func devices(slots int, getenv func(string) string) []string {
	var given []string
	for d := range strings.SplitSeq(getenv(visibleDevices), ",") {
		if d = strings.TrimSpace(d); d != "" {
			given = append(given, d)
		}
	}
	if len(given) >= slots {
		return given[:slots]
	}
	names := make([]string, slots)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}
