package templates_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vtune/internal/record"
	"vtune/templates"
)

const token = "ya29.secret-of-the-machine"

// cloud is a metadata server, a bucket and the deletion of queued resources, as far as a startup script needs them.
type cloud struct {
	*httptest.Server
	mu       sync.Mutex
	metadata map[string]string
	objects  map[string][]byte
	failures int      // so many requests to the bucket fail from now on
	calls    []string // method and path
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{objects: map[string][]byte{}, metadata: map[string]string{
		"service-accounts/default/token": `{"access_token":"` + token + `","expires_in":3599,"token_type":"Bearer"}`,
	}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key, ok := strings.CutPrefix(r.URL.Path, "/computeMetadata/v1/instance/"); ok {
		if value, known := c.metadata[key]; known && r.Header.Get("Metadata-Flavor") == "Google" {
			io.WriteString(w, value)
			return
		}
		http.NotFound(w, r)
		return
	}
	c.calls = append(c.calls, r.Method+" "+r.URL.Path)
	if r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodDelete {
		io.WriteString(w, "{}")
		return
	}
	if c.failures > 0 {
		c.failures--
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/storage/v1/b/bucket 1/o/")
	if r.URL.Path == "/upload/storage/v1/b/bucket 1/o" && r.Method == http.MethodPost {
		q := r.URL.Query()
		name = q.Get("name")
		if _, there := c.objects[name]; there || q.Get("ifGenerationMatch") != "0" || q.Get("uploadType") != "media" {
			http.Error(w, "conditionNotMet", http.StatusPreconditionFailed)
			return
		}
		data, _ := io.ReadAll(r.Body)
		c.objects[name] = data
	}
	data, there := c.objects[name]
	switch {
	case !there:
		http.NotFound(w, r)
	case r.URL.Query().Get("alt") == "media":
		w.Write(data)
	default:
		sum := binary.BigEndian.AppendUint32(nil, crc(data))
		json.NewEncoder(w).Encode(map[string]string{"name": name, "crc32c": base64.StdEncoding.EncodeToString(sum), "size": fmt.Sprint(len(data))})
	}
}

func crc(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func (c *cloud) object(name string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[name]
}

func (c *cloud) called(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, made := range c.calls {
		if made == call {
			n++
		}
	}
	return n
}

// machine is a host whose startup script is run for real.
type machine struct {
	*testing.T
	*cloud
	view  templates.View
	state string // VTUNE_STATE_DIR
	bin   string // on its PATH, before all else
	env   []string
}

// newMachine is one whose agent is a script that runs body, with what it was called with in the file args.
func newMachine(t *testing.T, body string) *machine {
	t.Parallel()
	c := newCloud(t)
	m := &machine{T: t, cloud: c, state: filepath.Join(t.TempDir(), "it's $HOME"), bin: t.TempDir()}
	agent := "#!/bin/bash\nprintf '%s\\n' \"$VTUNE_BOOT\" \"$@\" >\"$VTUNE_STATE_DIR/args\"\n" + body + "\n"
	c.objects["a b/run/bin/vtune"] = []byte(agent)
	m.view = templates.View{Run: "run", System: "TPU", Machine: templates.Machine{
		Bucket: "bucket 1", Prefix: "a b/run", Unit: "pool-1", AgentSHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(agent))),
		Endpoint: c.URL, MaxRun: 3600, Hosts: 1,
		SelfDelete: templates.SelfDelete{Project: "lab", Zone: "zone", Resource: "vt-1", Endpoint: c.URL},
	}}
	for _, name := range []string{"shutdown", "docker", "ray"} {
		write(t, filepath.Join(m.bin, name), "#!/bin/bash\nprintf '%s\\n' \"$@\" >>\"$VTUNE_STATE_DIR/"+name+"\"\n")
	}
	m.env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.Contains(e, "_proxy=") || strings.HasPrefix(e, "VTUNE_") }),
		"VTUNE_STATE_DIR="+m.state, "GCE_METADATA_HOST="+strings.TrimPrefix(c.URL, "http://"), "PATH="+m.bin+":"+os.Getenv("PATH"))
	t.Cleanup(m.vanish)
	return m
}

// vanish ends everything on the machine, at once.
func (m *machine) vanish() {
	for left := true; left; {
		left = false
		environments, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			m.Fatal(err)
		}
		for _, path := range environments {
			data, _ := os.ReadFile(path) // of another's process, or of none any more
			if bytes.Contains(data, []byte("="+m.state+"\x00")) {
				var pid int
				fmt.Sscanf(path, "/proc/%d/", &pid)
				left = syscall.Kill(pid, syscall.SIGKILL) == nil || left
			}
		}
	}
}

func (m *machine) script() string {
	m.Helper()
	script, err := load(m.T, "").Render(templates.TPUStartup, m.view)
	if err != nil {
		m.Fatal(err)
	}
	return string(script)
}

func (m *machine) boot() (string, error) { return m.bootWith(m.script()) }

func (m *machine) bootWith(script string) (string, error) {
	m.Helper()
	path := filepath.Join(m.TempDir(), "startup-script")
	write(m.T, path, script)
	cmd := exec.Command(path)
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), token) {
		m.Errorf("the token is in the log:\n%s", out)
	}
	return string(out), err
}

func (m *machine) mustBoot() {
	m.Helper()
	if out, err := m.boot(); err != nil {
		m.Fatalf("%v:\n%s", err, out)
	}
}

func (m *machine) dir(name string) string { return filepath.Join(m.state, "run", name) }

func (m *machine) read(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func eventually(done func() bool) bool {
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func (m *machine) await(what string, done func() bool) {
	m.Helper()
	if eventually(done) {
		return
	}
	logs := ""
	found, _ := filepath.Glob(m.dir("*.log"))
	for _, f := range found {
		logs += f + ":\n" + m.read(f)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Fatalf("waited for %s\n%s\n%q", what, logs, m.calls)
}

func (m *machine) awaitFile(name string) string {
	m.Helper()
	m.await(name, func() bool { return strings.HasSuffix(m.read(filepath.Join(m.state, name)), "\n") })
	return m.read(filepath.Join(m.state, name))
}

// awaitDone waits for the machine's last word, and holds that a manifest tells of it.
func (m *machine) awaitDone() record.Done {
	m.Helper()
	const name = "a b/run/jobs/pool-1/done.json"
	var manifest record.Manifest
	m.await("a manifest", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for name, data := range m.objects {
			if strings.HasPrefix(name, "a b/run/events/") {
				stamp, writer, _ := strings.Cut(strings.TrimPrefix(name, "a b/run/events/"), "-")
				if len(stamp) != 13 || writer != "pool-1-script-000001.json" {
					m.Errorf("a manifest is named %s", name)
				}
				return json.Unmarshal(data, &manifest) == nil
			}
		}
		return false
	})
	data := m.object(name)
	want := []record.Stored{{Path: "jobs/pool-1/done.json", Size: int64(len(data)), CRC32C: crc(data), Data: data}}
	if len(manifest.Files) != 1 || fmt.Sprint(manifest.Files) != fmt.Sprint(want) || manifest.Writer != "pool-1-script" || manifest.Schema != record.Schema || manifest.At.IsZero() {
		m.Errorf("manifest %+v\nof %s", manifest, data)
	}
	var done record.Done
	if err := json.Unmarshal(data, &done); err != nil {
		m.Fatalf("%v: %s", err, data)
	}
	return done
}

func (m *machine) args(boot string) string {
	return strings.Join([]string{boot, "worker", "--bucket", "gs://bucket 1/a b/run", "--unit", "pool-1", "--dir", filepath.Join(m.state, "run")}, "\n") + "\n"
}

func TestAMachineFetchesItsAgentAndRunsTheWorker(t *testing.T) {
	m := newMachine(t, "echo output; echo $VTUNE_STORAGE_ENDPOINT; exit 3")
	m.failures = 1
	m.mustBoot()
	if got := m.awaitFile("args"); got != m.args("1") {
		t.Errorf("the worker got %q", got)
	}
	done := m.awaitDone()
	if done.Unit != "pool-1" || done.ExitCode != "3:0" || done.Message != "the worker ended without a word" || done.At.IsZero() || done.Schema != record.Schema {
		t.Errorf("%+v", done)
	}
	if log := m.read(m.dir("worker.log")); log != "output\n"+m.URL+"\n" {
		t.Errorf("worker.log: %q", log)
	}
	for _, name := range []string{"", "worker.log", "machine-work"} {
		if info, err := os.Stat(m.dir(name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	m.await("the end of the work", func() bool { _, err := os.Stat(m.dir("over")); return err == nil })
	os.Remove(filepath.Join(m.state, "args"))
	if out, err := m.boot(); err != nil || !strings.Contains(out, "work is over") || m.read(filepath.Join(m.state, "args")) != "" {
		t.Errorf("the machine goes on after its end: %v\n%s", err, out)
	}
}

// Names that bash would act upon if it saw more than words in them arrive as they were, in arguments, paths, URLs and JSON.
func TestNamesOnAMachineStayWords(t *testing.T) {
	m := newMachine(t, "")
	m.view.Run, m.view.Machine.Unit = "it's $(touch owned) `touch owned` \"1\"\n&", "u\"1\" $(touch owned); 'x' + %41 \\"
	m.mustBoot()
	unit := m.view.Machine.Unit
	want := strings.Join([]string{"1", "worker", "--bucket", "gs://bucket 1/a b/run", "--unit", unit, "--dir", filepath.Join(m.state, m.view.Run)}, "\n") + "\n"
	m.await("the worker", func() bool { return m.read(filepath.Join(m.state, "args")) == want })
	var done record.Done
	var manifest record.Manifest
	m.await("its end", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for name, data := range m.objects {
			if strings.HasPrefix(name, "a b/run/events/") && strings.HasSuffix(name, "-"+unit+"-script-000001.json") {
				return json.Unmarshal(data, &manifest) == nil && json.Unmarshal(m.objects["a b/run/jobs/"+unit+"/done.json"], &done) == nil
			}
		}
		return false
	})
	if done.Unit != unit || manifest.Writer != unit+"-script" || len(manifest.Files) != 1 || manifest.Files[0].Path != "jobs/"+unit+"/done.json" {
		t.Errorf("%+v\n%+v", done, manifest)
	}
	for _, dir := range []string{".", m.state, filepath.Join(m.state, m.view.Run)} {
		if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
			t.Errorf("a name was run, in %s", dir)
		}
	}
}

func TestAWorkersOwnLastWordStands(t *testing.T) {
	m := newMachine(t, "")
	m.objects["a b/run/jobs/pool-1/done.json"] = []byte(`{"schema":1,"unit":"pool-1","exit_code":"0:0","message":"all is done"}`)
	m.mustBoot()
	if done := m.awaitDone(); done.Message != "all is done" {
		t.Errorf("%+v", done)
	}
}

func TestAWorkerThatASignalEndsIsTold(t *testing.T) {
	m := newMachine(t, "kill -KILL $$")
	m.mustBoot()
	if done := m.awaitDone(); done.ExitCode != "0:9" {
		t.Errorf("%+v", done)
	}
}

// One was replaced, the other cut off: both may still be done elsewhere, or here when the machine is back.
func TestAWorkerThatWasNotThroughIsNotDone(t *testing.T) {
	for _, code := range []string{"7", "8"} {
		t.Run(code, func(t *testing.T) {
			m := newMachine(t, "exit "+code)
			m.mustBoot()
			m.await("the worker's end", func() bool { return strings.Contains(m.read(m.dir("work.log")), "ended with code "+code) })
			m.await("the keeper's end", func() bool { return exec.Command("flock", "--nonblock", m.dir("work.lock"), "true").Run() == nil })
			if done := m.object("a b/run/jobs/pool-1/done.json"); done != nil {
				t.Errorf("done.json %s", done)
			}
		})
	}
}

func TestAnotherAgentIsNeverRun(t *testing.T) {
	m := newMachine(t, "")
	m.view.Machine.AgentSHA256 = strings.Repeat("0", 64)
	out, err := m.boot()
	if err == nil || !strings.Contains(out, "not the one that this run was submitted with") {
		t.Errorf("%v: %s", err, out)
	}
	if done := m.awaitDone(); done.ExitCode != "1:0" || !strings.Contains(done.Message, "not the one") {
		t.Errorf("%+v", done)
	}
	info, err := os.Stat(m.dir("bin/vtune"))
	if err != nil || info.Mode()&0o111 != 0 || m.read(filepath.Join(m.state, "args")) != "" {
		t.Errorf("it is executable or was run: %v, %v", info, err)
	}
}

// A machine that is started again goes on: with the deadline that it had, without fetching what it has, and only once.
func TestAMachineThatIsStartedAgainGoesOn(t *testing.T) {
	m := newMachine(t, "exec sleep 1000")
	m.mustBoot()
	m.awaitFile("args")
	deadline := m.read(m.dir("deadline"))
	again := exec.Command("timeout", "20", "/bin/bash", m.dir("machine-work"), "work") // as the script begins it, twice at once
	again.Env = m.env
	if out, err := again.CombinedOutput(); err != nil || m.read(m.dir("boots")) != "1\n" {
		t.Errorf("a second worker beside the first: %v: %s, boots %s", err, out, m.read(m.dir("boots")))
	}
	m.vanish()
	os.Remove(filepath.Join(m.state, "args"))
	m.view.Machine.MaxRun = 7200
	m.mustBoot()
	if got := m.awaitFile("args"); got != m.args("2") {
		t.Errorf("the worker got %q", got)
	}
	if now := m.read(m.dir("deadline")); now != deadline || deadline == "" {
		t.Errorf("the deadline moved from %s to %s", deadline, now)
	}
	if n := m.called("GET /storage/v1/b/bucket 1/o/a b/run/bin/vtune"); n != 1 {
		t.Errorf("the agent was fetched %d times", n)
	}
	if m.object("a b/run/jobs/pool-1/done.json") != nil {
		t.Error("a machine that vanished is said to be done")
	}
}

// systemd runs a unit with an environment of its own and not as a child of the script; a unit of a name that is there is refused.
const systemdRun = `#!/bin/bash
while [[ $1 == --* ]]; do
  case $1 in
    --quiet | --collect | --property=OOMScoreAdjust=-900) ;;
    --unit=*) unit=${1#*=} ;;
    *) echo "systemd-run stand-in: $1?" >&2; exit 2 ;;
  esac
  shift
done
mkdir "$VTUNE_STATE_DIR/units/$unit.service" || exit 1
env -i PATH=/usr/bin:/bin MARK="$VTUNE_STATE_DIR" setsid "$@" </dev/null >/dev/null 2>&1 &
`

// Where systemd runs, the machine's processes are units of it. What is machine-wide is put into a folder here.
func TestWhereSystemdRunsItKeepsTheMachinesProcesses(t *testing.T) {
	m := newMachine(t, "exec sleep 1000")
	units := filepath.Join(m.state, "units")
	if err := os.MkdirAll(units, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.bin, "systemd-run"), systemdRun)
	write(t, filepath.Join(m.bin, "systemctl"), "#!/bin/bash\n[ \"$1 $2\" = 'is-active --quiet' ] && [ -d \"$VTUNE_STATE_DIR/units/$3\" ]\n")
	script := strings.Replace(m.script(), `[ -z "${VTUNE_STATE_DIR-}" ] && [ -d /run/systemd/system ]`, `[ -d "$VTUNE_STATE_DIR" ]`, 1)
	for range 2 {
		if out, err := m.bootWith(script); err != nil || out != "" {
			t.Fatalf("%v:\n%s", err, out)
		}
	}
	if got := m.awaitFile("args"); got != m.args("1") {
		t.Errorf("the worker got %q", got)
	}
	found, err := filepath.Glob(filepath.Join(units, "*"))
	if want := []string{filepath.Join(units, "vtune-expire.service"), filepath.Join(units, "vtune-work.service")}; err != nil || !slices.Equal(found, want) {
		t.Errorf("units %q, %v", found, err)
	}
}

// Another boot may have come only so far when a process of the one before reads what it is to do.
func TestABootThatHasJustBegunTakesNothingFromTheOneBefore(t *testing.T) {
	m := newMachine(t, "exec sleep 1000")
	m.mustBoot()
	m.awaitFile("args")
	begun, _, found := strings.Cut(m.script(), "\ndetach expire\n")
	if !found {
		t.Fatal("the script does not say detach expire")
	}
	if out, err := m.bootWith(begun); err != nil || out != "" {
		t.Fatalf("%v:\n%s", err, out)
	}
	if text := m.read(m.dir("machine-work")); !strings.Contains(text, "work ()") {
		t.Error("the process that works would not find what work is")
	}
}

// On a shutdown both get SIGTERM: the worker says what it has to say, and the machine may come back.
func TestAMachineThatIsShutDownIsNotDone(t *testing.T) {
	m := newMachine(t, "trap 'exit 0' TERM; echo $PPID >\"$VTUNE_STATE_DIR/parent\"; while :; do sleep 0.05; done")
	m.mustBoot()
	var keeper int
	fmt.Sscan(m.awaitFile("parent"), &keeper)
	m.awaitFile("args")
	if err := syscall.Kill(-keeper, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await("the keeper's end", func() bool { return syscall.Kill(keeper, 0) != nil })
	if log := m.read(m.dir("work.log")); !strings.Contains(log, "ended with code 0") || m.object("a b/run/jobs/pool-1/done.json") != nil {
		t.Errorf("work.log %s\ndone.json %s", log, m.object("a b/run/jobs/pool-1/done.json"))
	}
}

func TestAMachineWhoseTimeIsOverDeletesItselfAndShutsDown(t *testing.T) {
	m := newMachine(t, "exec sleep 1000")
	m.view.Machine.MaxRun = 1
	m.mustBoot()
	if got := m.awaitFile("shutdown"); got != "-h\nnow\n" {
		t.Errorf("shutdown %q", got)
	}
	if n := m.called("DELETE /v2/projects/lab/locations/zone/queuedResources/vt-1"); n != 1 {
		t.Errorf("%d deletions: %q", n, m.calls)
	}
}

// It is armed before anything that can fail, and needs nobody's leave.
func TestAMachineThatReachesNothingStillShutsDown(t *testing.T) {
	m := newMachine(t, "")
	m.Close()
	m.view.Machine.MaxRun = 1
	cmd := make(chan error, 1)
	go func() {
		_, err := m.boot()
		cmd <- err
	}()
	m.awaitFile("shutdown")
	m.vanish() // the script is still trying
	<-cmd
}

func TestTheHostsOfASliceJoinTheFirst(t *testing.T) {
	for name, number := range map[string]map[string]string{
		"by its number":      {"attributes/agent-worker-number": "2"},
		"by its environment": {"attributes/tpu-env": "ACCELERATOR_TYPE: 'v6e-16'\nWORKER_ID: '2'\nZONE: 'z'\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "")
			m.view.Machine.Hosts = 4
			maps.Copy(m.metadata, number)
			m.metadata["attributes/worker-network-endpoints"] = "unknown:unknown:10.1.2.3,unknown:unknown:10.1.2.4"
			m.objects["a b/run/jobs/pool-1/ray-token"] = []byte("0123abcd")
			m.mustBoot()
			if head, token := m.read(m.dir("head")), m.read(m.dir("ray-token")); head != "10.1.2.3\n" || token != "0123abcd" {
				t.Errorf("head %q, token %q", head, token)
			}
			if m.called("GET /storage/v1/b/bucket 1/o/a b/run/bin/vtune") != 0 || m.read(filepath.Join(m.state, "args")) != "" {
				t.Error("it has an agent, or a worker")
			}
			m.await("its joining", func() bool { _, err := os.Stat(m.dir("join_slice.log")); return err == nil })
			want, err := load(t, "").Render(templates.TPUJoin, m.view)
			if got := strings.TrimSpace(m.read(m.dir("join"))); err != nil || got != strings.TrimSpace(string(want)) {
				t.Errorf("%v: it joins by\n%s", err, got)
			}
		})
	}
}

func TestTheFirstHostOfASliceDrawsTheTokenAndWorks(t *testing.T) {
	m := newMachine(t, "exec sleep 1000")
	m.view.Machine.Hosts = 4
	m.metadata["attributes/agent-worker-number"] = "0"
	m.metadata["attributes/worker-network-endpoints"] = "unknown:unknown:10.1.2.3,unknown:unknown:10.1.2.4"
	m.mustBoot()
	m.awaitFile("args")
	drawn := string(m.object("a b/run/jobs/pool-1/ray-token"))
	if len(drawn) != 64 || m.read(m.dir("ray-token")) != drawn || m.read(m.dir("join")) != "" {
		t.Errorf("drawn %q, kept %q, join %q", drawn, m.read(m.dir("ray-token")), m.read(m.dir("join")))
	}
}

// join runs for real against a head that is only a port; a ray that ends is started again.
func TestAHostJoinsOneClusterAfterTheOther(t *testing.T) {
	m := newMachine(t, "")
	m.view.Machine.Hosts = 4
	write(t, filepath.Join(m.bin, "ray"), "#!/bin/bash\necho \"$RAY_AUTH_MODE $RAY_AUTH_TOKEN $TPU_MULTIHOST_BACKEND $*\" >>\"$VTUNE_STATE_DIR/ray\"\n")
	script, err := load(t, "").Render(templates.TPUJoin, m.view)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(m.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(m.state, "run")
	write(t, filepath.Join(dir, "join"), strings.Replace(string(script), "port=6379", "port="+u.Port(), 1))
	write(t, filepath.Join(dir, "ray-token"), "0123abcd")
	cmd := exec.Command("/bin/bash", filepath.Join(dir, "join"), u.Hostname())
	cmd.Env = m.env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer m.vanish()
	want := "token 0123abcd ray start --block --address=" + u.Host + " --disable-usage-stats --log-color=false --min-worker-port=0 --max-worker-port=0\n"
	m.await("two starts", func() bool { return strings.Count(m.read(filepath.Join(m.state, "ray")), want) >= 2 })
}
