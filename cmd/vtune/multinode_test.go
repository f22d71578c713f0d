package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vtune/internal/agent"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// wideSpec is of servers that take two nodes of 8 GPUs each.
const wideSpec = `model: llama-8b
max_model_len: 4096
tensor_parallel: 8
pipeline_parallel: 2
scheduler: slurm
site: {gpus_per_node: 8}
server:
  command: vllm-sim
  multi_node: %s
  environment: {VLLM_SIM_TIME_SCALE: "50", VLLM_SIM_HARDWARE: a10-like}
%s`

// walking is a search whose loads are many enough to be interrupted.
const walking = `method: auto_tune
workload: {input_len: 3000, output_len: 20, cache_hit_pct: 60}
limit: {p99_e2el_ms: 1}
grid: {max_num_seqs: [%s], max_num_batched_tokens: [2048]}
`

func submitWide(t *testing.T, env []string, multiNode, rest string) record.Dir {
	t.Helper()
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(spec, fmt.Appendf(nil, wideSpec, multiNode, rest), 0o644); err != nil {
		t.Fatal(err)
	}
	return record.Dir(vtune(t, env, "submit", spec))
}

// collectWide collects to the run's end; a run without a winner ends with a code of its own.
func collectWide(t *testing.T, env []string, dir record.Dir) record.State {
	t.Helper()
	c := exec.Command(filepath.Join(programs, "vtune"), "collect", "--watch", "--grace", "5s", string(dir))
	c.Env = env
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil && c.ProcessState.ExitCode() != 6 {
		t.Fatalf("collect: %v\n%s", err, out)
	}
	// What the agents say of ends: the ranks of other nodes were gone by themselves, and needed no sweep.
	logs, _ := filepath.Glob(filepath.Join(dir.Jobs(), "*", "log"))
	for _, path := range logs {
		if log, err := os.ReadFile(path); err != nil || bytes.Contains(log, []byte("had left their group")) {
			t.Errorf("%s: %v\n%s", path, err, log)
		}
	}
	nothingLeft(t, "after the run", dir)
	return state(t, dir)
}

func serverLog(t *testing.T, dir record.Dir, cell string, attempt int) string {
	t.Helper()
	log, err := os.ReadFile(dir.Attempt(record.KindCell, cell, attempt).ServerLog())
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// A run of servers that take two nodes each ends with a row for every cell, by both clients' ways to a server: the Unix socket of
// method vtune, and the port of auto_tune, which the other tests take.
func TestServersOfTwoNodesAreTuned(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitWide(t, env, "mp", `workload: {input_len: 1000, output_len: 20, vocab_size: 32000}
grid: {max_num_seqs: [8, 16], max_num_batched_tokens: [2048]}
plan: cells
`)
	st := collectWide(t, env, dir)
	if st.Best == nil || st.Accelerators != 16 {
		t.Errorf("best %+v of jobs with %d accelerators", st.Best, st.Accelerators)
	}
	text, err := os.ReadFile(dir.ResultTxt())
	if err != nil || strings.Count(string(text), "\nmax_num_seqs: ") != 2 || !strings.Contains(string(text), "\nbest_max_num_seqs: ") {
		t.Errorf("result.txt: %v\n%s", err, text)
	}
	jobs := strings.Split(strings.TrimSpace(slurm(t, env, "scontrol", "-o", "show", "jobs")), "\n")
	for _, job := range jobs {
		if !strings.Contains(job, " NumNodes=2 ") || !strings.Contains(job, "TresPerNode=gres:gpu:8") {
			t.Errorf("a job: %s", job)
		}
	}
	if len(jobs) != 2 {
		t.Errorf("%d jobs, want the probe's and a cell's", len(jobs))
	}
	log := serverLog(t, dir, "s8-t2048", 1)
	for _, want := range []string{"world_size=16, local_world_size=8", "Node rank 1 of 2 holds 8 simulated GPUs", "Application shutdown complete."} {
		if !strings.Contains(log, want) {
			t.Errorf("the server's log lacks %q\n%s", want, log)
		}
	}
	if said := vtune(t, env, "status", string(dir)); !strings.Contains(said, "over") {
		t.Errorf("status\n%s", said)
	}
}

// Two servers on four nodes of one machine meet at ports of their own. When a rank of one is killed, that one ends as crashed, with
// every rank, and is measured again; the other never notices.
func TestTheEndOfARankIsTheEndOfItsServerAlone(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitWide(t, env, "mp", fmt.Sprintf(walking, "2, 4"))
	awaitEvent(t, dir, "s2-t2048-1", "observation")
	awaitEvent(t, dir, "s4-t2048-1", "observation")
	kill(t, ranks(t, agent.Mark(dir, "s4-t2048-1"), 1))
	st := collectWide(t, env, dir)
	met := regexp.MustCompile(`master_addr=(\S+),`)
	var places []string
	for _, c := range st.Cells {
		if m := met.FindStringSubmatch(serverLog(t, dir, c.ID, 1)); m != nil {
			places = append(places, m[1])
		}
	}
	if len(places) != 2 || places[0] == places[1] {
		t.Errorf("the ranks met at %v", places)
	}
	unharmed, killed := st.Cells[0], st.Cells[1]
	if len(unharmed.Attempts) != 1 || unharmed.Attempts[0].Cause != "" {
		t.Errorf("the other server: %+v", unharmed.Attempts)
	}
	if len(killed.Attempts) != 2 || killed.Attempts[0].Cause != record.CauseCrash || killed.Attempts[1].Cause != "" {
		t.Fatalf("the server of the killed rank: %+v", killed.Attempts)
	}
	var result record.Result
	if err := fsx.ReadJSON(dir.Attempt(record.KindCell, "s4-t2048", 1).Result(), &result); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`task 1: Killed|node rank 1 is lost`).MatchString(result.Message) {
		t.Errorf("it ended because: %s", result.Message)
	}
	if log := serverLog(t, dir, "s4-t2048", 1); !strings.Contains(log, "task 1: Killed") {
		t.Errorf("the log does not name the rank that was killed\n%s", log)
	}
}

// ranks are the processes of a server on node n, by the mark of what started it.
func ranks(t *testing.T, mark string, n int) (found []proc.Identity) {
	t.Helper()
	marked, err := proc.Marked(mark)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range marked {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", id.PID))
		program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", id.PID))
		if slices.Contains(strings.Split(string(environ), "\x00"), fmt.Sprintf("SLURM_NODEID=%d", n)) && filepath.Base(program) == "vllm-sim" {
			found = append(found, id)
		}
	}
	if found == nil {
		t.Fatalf("none of %v runs on node %d", marked, n)
	}
	return found
}

// kill ends all at once, as the kernel does when a node's memory is out: Slurm without control groups, as here, loses a child whose
// parent was killed.
func kill(t *testing.T, all []proc.Identity) {
	t.Helper()
	for _, id := range all {
		if err := id.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
}

// The command that scripts and summaries show does what the agent does, in any job of two nodes. The end of the head is the end of
// the headless rank, which would not end by itself.
func TestAPersonStartsAServerOnTwoNodesByTheLaunchProgram(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := t.TempDir()
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	if err := os.WriteFile(spec, fmt.Appendf(nil, wideSpec, "mp", fmt.Sprintf(walking, "2")), 0o644); err != nil {
		t.Fatal(err)
	}
	vtune(t, env, "render", spec, "-o", out)
	launch := record.Dir(out).Launch()
	if script, err := os.ReadFile(record.Dir(out).Script("probe-1")); err != nil || !strings.Contains(string(script), " "+launch+" vllm-sim serve ") {
		t.Errorf("%v: the script shows no such command\n%s", err, script)
	}
	short, err := os.MkdirTemp("/tmp", "vs") // a Unix socket's path has some hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	var said bytes.Buffer
	person, err := proc.Start(proc.Spec{
		Argv: []string{"salloc", "--quiet", "--nodes=2", "--gres=gpu:8", launch, "vllm-sim", "serve", "tiny", "--uds", socket, "-tp", "8", "-pp", "2", "--max-model-len", "2048"},
		Env:  append(env, "VLLM_SIM_TIME_SCALE=50", "VTUNE_MASTER_PORT="+strconv.Itoa(freePort(t))), Mark: dir, Stdout: &said, Stderr: &said,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a server", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	kill(t, ranks(t, dir, 0))
	select {
	case <-person.Done():
	case <-time.After(time.Minute):
		t.Fatalf("it goes on without its head\n%s", slurm(t, env, "squeue", "--steps"))
	}
	if exit := person.Wait(); exit.Code != 137 {
		t.Errorf("it ended with %v\n%s", exit, &said)
	}
	eventually(t, "the end of every rank", func() bool {
		left, err := proc.Marked(dir)
		return err == nil && len(left) == 0
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// The node of a headless rank fails: Slurm ends the job, and the cell goes on on two other nodes.
func TestACellGoesOnAfterTheNodeOfARankFailed(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitWide(t, env, "mp", fmt.Sprintf(walking, "2"))
	awaitEvent(t, dir, "s2-t2048-1", "observation")
	id := strings.TrimSpace(slurm(t, env, "squeue", "-h", "-t", "RUNNING", "-o", "%A"))
	both := strings.Fields(slurm(t, env, "scontrol", "show", "hostnames", strings.TrimSpace(slurm(t, env, "squeue", "-h", "-j", id, "-o", "%N"))))
	if len(both) != 2 {
		t.Fatalf("job %s runs on %v", id, both)
	}
	slurm(t, env, "scontrol", "update", "NodeName="+both[1], "State=DOWN", "Reason=test")
	st := collectWide(t, env, dir)
	if job := slurm(t, env, "scontrol", "-o", "show", "job", id); !strings.Contains(job, "JobState=NODE_FAIL") {
		t.Errorf("the first job: %s", job)
	}
	c := st.Cells[0]
	if len(c.Attempts) != 2 || c.Attempts[1].Cause != "" {
		t.Errorf("attempts %+v", c.Attempts)
	}
	measuredOnce(t, c)
	if log := serverLog(t, dir, "s2-t2048", 2); !strings.Contains(log, "Node rank 1 of 2 holds 8") {
		t.Errorf("the second server\n%s", log)
	}
}

// With multi_node: ray the server starts when Ray runs on every node, and Ray ends with it. The simulated server starts nothing on
// Ray, so this tests the launch. Ray is a stand-in unless VTUNE_TEST_RAY names a folder with a real one.
func TestAServerOnRayHasAClusterOfItsOwn(t *testing.T) {
	t.Parallel()
	env := lab(t)
	bin := os.Getenv("VTUNE_TEST_RAY")
	if bin == "" {
		bin = t.TempDir()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(bin, "ray")); err != nil {
			t.Fatal(err)
		}
	}
	env = append(env, "PATH="+bin+":"+programs+":"+os.Getenv("PATH"))
	dir := submitWide(t, env, "ray", fmt.Sprintf(walking, "2"))
	st := collectWide(t, env, dir)
	if c := st.Cells[0]; len(c.Attempts) != 1 || c.Attempts[0].Cause != "" || len(c.Observations) < 2 {
		t.Errorf("attempts %+v, %d loads", c.Attempts, len(c.Observations))
	}
	log := serverLog(t, dir, "s2-t2048", 1)
	for _, want := range []string{"Ray runtime started.", "The Ray cluster at ", "Application shutdown complete."} {
		if !strings.Contains(log, want) {
			t.Errorf("the server's log lacks %q\n%s", want, log)
		}
	}
	if strings.Contains(log, "srun: First task exited") {
		t.Errorf("the other node's Ray was waited for\n%s", log)
	}
}

// This test binary under the name ray is the stand-in.
func init() {
	if filepath.Base(os.Args[0]) == "ray" {
		if err := rayStandIn(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "ray stand-in:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// rayStandIn knows the calls of launch-ray.tmpl and no others. A head counts who joins it with its token; a node stays until its
// head has gone.
func rayStandIn(args []string) error {
	token := os.Getenv("RAY_AUTH_TOKEN")
	if os.Getenv("RAY_AUTH_MODE") != "token" || len(token) != 64 {
		return fmt.Errorf("no token: %q", token)
	}
	ask := func(address, what string) (*bufio.Reader, error) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		_, err = fmt.Fprintf(c, "%s %s\n", token, what)
		return bufio.NewReader(c), err
	}
	if slices.Equal(args, []string{"status"}) {
		answer, err := ask(os.Getenv("RAY_ADDRESS"), "status")
		if err != nil {
			return err
		}
		_, err = answer.WriteTo(os.Stdout)
		return err
	}
	node := []string{"start", "--block", "--disable-usage-stats", "--log-color=false", "--num-gpus=8", "--min-worker-port=0", "--max-worker-port=0"}
	if len(args) <= len(node) || !slices.Equal(args[:len(node)], node) {
		return fmt.Errorf("unknown call: %q", args)
	}
	if !signal.Ignored(syscall.SIGINT) {
		return fmt.Errorf("the SIGINT to the server would end the cluster below it")
	}
	rest := args[len(node):]
	if address, ok := strings.CutPrefix(rest[0], "--address="); ok && len(rest) == 1 {
		answer, err := ask(address, "join")
		if err != nil {
			return err
		}
		fmt.Println("Ray runtime started. (a stand-in)")
		for err == nil {
			_, err = answer.ReadByte()
		}
		return fmt.Errorf("the head has gone: %w", err)
	}
	port, ok := strings.CutPrefix(rest[1], "--port=")
	if _, err := strconv.Atoi(port); !ok || err != nil || len(rest) != 3 || rest[0] != "--head" || rest[2] != "--include-dashboard=false" {
		return fmt.Errorf("unknown call: %q", args)
	}
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Println("Ray runtime started. (a stand-in)")
	var nodes atomic.Int64
	nodes.Store(1)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			line, _ := bufio.NewReader(c).ReadString('\n')
			switch line {
			case token + " join\n":
				nodes.Add(1) // and its connection stays open
				return
			case token + " status\n":
				fmt.Fprint(c, "Node status\nActive:\n"+strings.Repeat(" 1 node_0123\n", int(nodes.Load()))+"Pending:\n")
			}
			c.Close()
		}()
	}
}
