package names

import (
	"path"
	"strconv"
	"strings"

	"vtune/internal/record"
)

// Carries is the metadata of a manifest that says how many of its files have their content in it. With "0", a listing of the run says
// as much as the manifest does; where it is missing, nobody knows.
const Carries = "carries"

// Unit is whose sign of life an object is.
func Unit(object string) string { return strings.TrimSuffix(path.Base(object), ".json") }

// Describe is a sign of life as the metadata of its object, which a listing has in it.
func Describe(w record.Worker) map[string]string {
	return map[string]string{
		"phase": string(w.Phase), "manifests": strconv.Itoa(w.Manifests), "job": w.Job, "boot": strconv.Itoa(w.Boot), "node": w.Node,
	}
}

// Described reads metadata back; false: it describes no sign of life. A number that is none is 0.
func Described(unit string, meta map[string]string) (record.Worker, bool) {
	w := record.Worker{Schema: record.Schema, Unit: unit, Phase: record.WorkerPhase(meta["phase"]), Job: meta["job"], Node: meta["node"]}
	w.Boot, _ = strconv.Atoi(meta["boot"])
	w.Manifests, _ = strconv.Atoi(meta["manifests"])
	return w, w.Phase != ""
}
