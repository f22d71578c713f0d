package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ledger books simulated GPU memory on disk, so that processes of one machine
// see each other's: gpu-<index>/<pid>-<start time> holds the GiB taken. An
// entry counts only while its process lives, so kill -9 frees memory as a
// driver does, and a left-behind engine keeps it. flock is right here and
// nowhere near a run directory: this directory is local to one machine.
type ledger struct{ dir string }

// MachineDir is where a machine's simulated GPUs are. Nodes that a lab's Slurm
// runs side by side on one host have GPUs of their own.
func MachineDir(env func(string) string) string {
	dir := env("VLLM_SIM_GPU_DIR")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("vllm-sim-%d", os.Getuid()))
	}
	if node := env("SLURMD_NODENAME"); node != "" {
		dir = filepath.Join(dir, fileName(node))
	}
	return dir
}

// VisibleDevices are the first n GPUs that CUDA_VISIBLE_DEVICES shows.
func VisibleDevices(visible string, n int) ([]string, error) {
	var names []string
	if visible == "" {
		for i := range max(n, 0) {
			names = append(names, strconv.Itoa(i))
		}
		return names, nil
	}
	for name := range strings.SplitSeq(visible, ",") {
		names = append(names, fileName(strings.TrimSpace(name)))
	}
	if len(names) < n {
		return nil, fmt.Errorf("ValueError: World size (%d) is larger than the number of available GPUs (%d) in this node.", n, len(names))
	}
	return names[:max(n, 0)], nil
}

// fileName keeps a foreign name from becoming a path.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

// claim finds what others hold on the fullest device, asks decide how much to
// take, and books it on every device for the life of this process. Claims of
// one machine exclude each other.
func (l ledger) claim(devices []string, decide func(heldGiB float64) (takeGiB float64, err error)) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("gpu ledger: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(l.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("gpu ledger: %w", err)
	}
	defer lock.Close() // and with it the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("gpu ledger: lock: %w", err)
	}
	held := 0.0
	for _, d := range devices {
		h, err := l.held(d)
		if err != nil {
			return fmt.Errorf("gpu ledger: %w", err)
		}
		held = max(held, h)
	}
	take, err := decide(held)
	if err != nil {
		return err
	}
	born, _ := processStart(os.Getpid())
	for _, d := range devices {
		entry := filepath.Join(l.gpu(d), fmt.Sprintf("%d-%d", os.Getpid(), born))
		if err := os.WriteFile(entry, strconv.AppendFloat(nil, take, 'g', -1, 64), 0o600); err != nil {
			return fmt.Errorf("gpu ledger: %w", err)
		}
	}
	return nil
}

func (l ledger) gpu(device string) string { return filepath.Join(l.dir, "gpu-"+device) }

// held sums the entries of living processes and removes those of the dead.
func (l ledger) held(device string) (float64, error) {
	if err := os.MkdirAll(l.gpu(device), 0o700); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(l.gpu(device))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, entry := range entries {
		path := filepath.Join(l.gpu(device), entry.Name())
		var pid int
		var born uint64
		if _, err := fmt.Sscanf(entry.Name(), "%d-%d", &pid, &born); err != nil {
			continue // not ours
		}
		if now, alive := processStart(pid); !alive || now != born {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		gib, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += gib
	}
	return sum, nil
}

// processStart is the start time of a process in clock ticks since boot, which
// tells it from a later one with the same pid. A zombie holds no memory.
func processStart(pid int) (ticks uint64, alive bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The second field is a name in parentheses that can hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, err == nil
}

// compiled reports whether compile has been called for this key on this
// machine: the stand-in for vLLM's torch_compile_cache.
func (l ledger) compiled(key string) bool {
	_, err := os.Stat(l.compiledPath(key))
	return key == "" || err == nil
}

// compile remembers a key. A cache that cannot be written stays cold.
func (l ledger) compile(key string) {
	path := l.compiledPath(key)
	if key == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	_ = os.WriteFile(path, nil, 0o600)
}

func (l ledger) compiledPath(key string) string {
	return filepath.Join(l.dir, "compiled", fileName(key))
}
