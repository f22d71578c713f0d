package machine

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// metadata is the server that a machine asks about itself. Directories are listed, one value a line; recursion is not there
// but for a service account, which Google's Python libraries ask for so.
type metadata struct {
	cfg Config

	mu      sync.Mutex
	values  map[string]string
	changed chan struct{} // closed when a value changes
	tokens  int
}

const (
	root    = "/computeMetadata/v1/"
	account = "instance/service-accounts/"
)

func newMetadata(c Config) *metadata {
	d := &metadata{cfg: c, changed: make(chan struct{})}
	sum := fnv.New32a()
	sum.Write([]byte(c.Mark))
	vm := fmt.Sprintf("t1v-n-%08x-w-%d", sum.Sum32(), c.Worker)
	var workers []string
	for _, address := range c.Endpoints {
		workers = append(workers, "unknown:unknown:"+address)
	}
	d.values = map[string]string{
		"project/project-id":         c.Project,
		"project/numeric-project-id": "123456789012",
		"instance/id":                strconv.FormatUint(uint64(sum.Sum32()), 10),
		"instance/name":              vm,
		"instance/hostname":          fmt.Sprintf("%s.%s.c.%s.internal", vm, c.Zone, c.Project),
		"instance/zone":              "projects/123456789012/zones/" + c.Zone,
		"instance/preempted":         "FALSE",
		"instance/maintenance-event": "NONE",

		account + "default/email":   c.ServiceAccount,
		account + "default/aliases": "default\n",
		account + "default/scopes":  strings.Join(c.Scopes, "\n") + "\n",

		"instance/attributes/accelerator-type":         c.Type,
		"instance/attributes/agent-worker-number":      strconv.Itoa(c.Worker),
		"instance/attributes/worker-network-endpoints": strings.Join(workers, ","),
		"instance/attributes/tpu-env":                  tpuEnv(c),
	}
	for key, value := range c.Metadata {
		d.values["instance/attributes/"+key] = value
	}
	return d
}

// tpuEnv has the lines of a TPU VM that anybody reads.
func tpuEnv(c Config) string {
	lines := map[string]string{
		"ACCELERATOR_TYPE": c.Type, "CONSUMER_PROJECT_ID": c.Project, "NODE_ID": c.Node, "WORKER_ID": strconv.Itoa(c.Worker), "ZONE": c.Zone,
		"PREEMPTIBLE": strconv.FormatBool(c.Preemptible), "RUNTIME_VERSION": "vtune-fake", "SOURCE": "", "UID": c.Mark,
	}
	if c.Slice != "" {
		lines["MEGASCALE_SLICE_ID"] = c.Slice
	}
	var b strings.Builder
	for _, name := range keys(lines) {
		fmt.Fprintf(&b, "%s: '%s'\n", name, lines[name])
	}
	return b.String()
}

func keys(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (d *metadata) set(key, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.values[key] == value {
		return
	}
	d.values[key] = value
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *metadata) given() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tokens
}

// ServeHTTP is the protocol: a header that no browser and no redirected request has, an ETag for who waits for a change.
func (d *metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", "vtune-fake-metadata (a test, not Google)")
	h.Set("Metadata-Flavor", "Google")
	h.Set("Content-Type", "application/text")
	switch key, under := strings.CutPrefix(r.URL.Path, root); {
	case r.Header.Get("Metadata-Flavor") != "Google":
		http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
	case r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "a metadata server answers its own machine only", http.StatusForbidden)
	case r.Method != http.MethodGet:
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
	case r.URL.Path == "/" || r.URL.Path == "/computeMetadata/":
		fmt.Fprint(w, "v1/\n")
	case !under:
		http.NotFound(w, r)
	case key == account+"default/token":
		d.token(w, r)
	case strings.TrimSuffix(key, "/") == account+"default" && r.URL.Query().Get("recursive") == "true":
		answer(w, map[string]any{"aliases": []string{"default"}, "email": d.cfg.ServiceAccount, "scopes": d.cfg.Scopes})
	case r.URL.Query().Get("recursive") == "true":
		http.Error(w, "this fake does not know recursion", http.StatusNotImplemented)
	default:
		d.value(w, r, key)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // an asker that has gone is no error here
}

func (d *metadata) token(w http.ResponseWriter, r *http.Request) {
	if d.cfg.ServiceAccount == "" || d.cfg.Token == nil {
		http.NotFound(w, r)
		return
	}
	d.mu.Lock()
	d.tokens++
	d.mu.Unlock()
	value, life := d.cfg.Token(d.cfg.Scopes)
	answer(w, map[string]any{"access_token": value, "expires_in": int(life.Seconds()), "token_type": "Bearer"})
}

// longest is how long a wait may last that names no timeout; clients come back.
const longest = 5 * time.Minute

func (d *metadata) value(w http.ResponseWriter, r *http.Request, key string) {
	q := r.URL.Query()
	wait := longest
	if s := q.Get("timeout_sec"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			http.Error(w, "timeout_sec must be a whole number", http.StatusBadRequest)
			return
		}
		wait = time.Duration(n) * time.Second
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	waiting := q.Get("wait_for_change") == "true"
	last := q.Get("last_etag")
	for {
		d.mu.Lock()
		text, there := d.look(key)
		changed := d.changed
		d.mu.Unlock()
		tag := etag(text)
		if waiting && last == "" {
			last = tag // whatever it is now, the next one is meant
		}
		if !waiting || tag != last {
			d.write(w, r, text, tag, there)
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			waiting = false
		case <-r.Context().Done():
			return
		}
	}
}

func (d *metadata) write(w http.ResponseWriter, r *http.Request, text, tag string, there bool) {
	if !there {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", tag)
	fmt.Fprint(w, text)
}

func etag(text string) string {
	h := fnv.New64a()
	h.Write([]byte(text))
	return fmt.Sprintf("%016x", h.Sum64())
}

// look finds a value, or lists a directory.
func (d *metadata) look(key string) (string, bool) {
	if text, is := d.values[key]; is {
		return text, true
	}
	dir := strings.TrimSuffix(key, "/") + "/"
	if dir == "/" {
		dir = ""
	}
	var names []string
	for _, k := range keys(d.values) {
		rest, in := strings.CutPrefix(k, dir)
		if !in {
			continue
		}
		if first, _, deeper := strings.Cut(rest, "/"); deeper {
			rest = first + "/"
		}
		if !slices.Contains(names, rest) {
			names = append(names, rest)
		}
	}
	return strings.Join(names, "\n"), len(names) > 0
}
