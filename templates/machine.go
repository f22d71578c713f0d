package templates

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// Machine is what each host of a Cloud TPU slice is told when it starts. None of it is secret: it stands in the slice's metadata.
type Machine struct {
	Bucket, Prefix string // where the run is; the prefix has no slash at either end
	Unit           string
	AgentSHA256    string // of bin/vtune, in hexadecimal digits
	Endpoint       string // of the storage API, without a slash at its end; empty: Google's
	MaxRun         int    // s from its first start, after which the machine ends itself
	Hosts          int    // of the slice
	SelfDelete     SelfDelete
}

// SelfDelete is the queued resource that a machine tries to delete when its time is over. Without a resource it only shuts down.
type SelfDelete struct {
	Project, Zone, Resource string
	API                     string // v2 or v2alpha1; empty: v2
	Endpoint                string // without a slash at its end; empty: Google's
}

const (
	storageEndpoint = "https://storage.googleapis.com"
	tpuEndpoint     = "https://tpu.googleapis.com"
)

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// OwnEndpoint is the storage API's where it is not Google's.
func (m Machine) OwnEndpoint() string {
	if m.Endpoint == storageEndpoint {
		return ""
	}
	return m.Endpoint
}

// URL of the run, as the worker is told.
func (m Machine) URL() string { return "gs://" + m.Bucket + "/" + m.Prefix }

func (m Machine) name(path string) string { return strings.TrimPrefix(m.Prefix+"/"+path, "/") }

// Object is the URL of an object's description; with ?alt=media it is its content. Path is relative to the run.
func (m Machine) Object(path string) string {
	return or(m.Endpoint, storageEndpoint) + "/storage/v1/b/" + url.PathEscape(m.Bucket) + "/o/" + url.PathEscape(m.name(path))
}

// Create is the URL to which an object is uploaded that is not there yet. It ends in the name, to which Escape may add.
func (m Machine) Create(path string) string {
	return or(m.Endpoint, storageEndpoint) + "/upload/storage/v1/b/" + url.PathEscape(m.Bucket) + "/o?uploadType=media&ifGenerationMatch=0&name=" + m.Escape(m.name(path))
}

// Escape is s as a part of a query.
func (Machine) Escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// JSON is s as JSON has it, quotes included.
func (Machine) JSON(s string) (string, error) {
	data, err := json.Marshal(s)
	return string(data), err
}

// Schema of the records that the script writes.
func (Machine) Schema() int { return record.Schema }

// Done is the path of the machine's last word, RayToken of what lets its hosts into their Ray cluster.
func (m Machine) Done() string     { return record.Dir("").Done(m.Unit) }
func (m Machine) RayToken() string { return record.Dir("").Job(m.Unit) + "/ray-token" }

// URL by which the resource is deleted, with its nodes; empty: there is none.
func (d SelfDelete) URL() string {
	if d.Resource == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s/projects/%s/locations/%s/queuedResources/%s?force=true", or(d.Endpoint, tpuEndpoint), or(d.API, "v2"),
		url.PathEscape(d.Project), url.PathEscape(d.Zone), url.PathEscape(d.Resource))
}

// Docker is how a container is run on a machine of Cloud TPU, without its image. The devices are the container's as they are, the
// network is the host's, for the server's clients and for the other hosts. Memory that processes share is the container's own, so
// that it goes with it. What is the machine's, the run directory above all, is for the script to add.
func (v View) Docker() ([]string, error) {
	if v.Site.Container.Runtime != "docker" {
		return nil, fmt.Errorf("site.container.runtime %s: on Cloud TPU it is docker, or none", v.Site.Container.Runtime)
	}
	v.RunDir, v.Site.Scratch = "", ""
	mounts, err := v.mounts()
	if err != nil {
		return nil, err
	}
	argv := []string{"docker", "run", "--rm", "--privileged", "--net=host", "--shm-size=16g"}
	for _, m := range mounts {
		argv = append(argv, "--volume="+m)
	}
	return append(argv, v.Site.Container.Options...), nil
}

// Carried are the variables that a container is told of whether or not the machine had them before: as patterns of bash.
func (v View) Carried() []string {
	names := append(v.carried(), "VTUNE_*")
	slices.Sort(names)
	return names
}

// machines are samples of them.
func machines(least, most View) []View {
	least.Machine = Machine{Bucket: "bucket", Prefix: "auto-benchmark/" + least.Run, Unit: "machine-1", AgentSHA256: strings.Repeat("0123abcd", 8), MaxRun: 3600, Hosts: 1}
	most.Machine, most.System = least.Machine, "TPU"
	most.Machine.Hosts, most.Machine.Endpoint = 4, "https://storage.example"
	most.Machine.SelfDelete = SelfDelete{Project: "project", Zone: "zone", Resource: "resource"}
	bare := most
	most.Site.Container = spec.Container{Runtime: "docker", Image: "vllm/vllm-tpu"}
	return []View{most, bare, least}
}
