// Package machine is a host of a TPU slice that is none: a folder in which a startup script really runs, and a metadata server
// of its own. It is for tests. What it starts is found again by internal/proc, by group, mark and brand, and never by name.
package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"vtune/internal/proc"
)

// Config is what a machine is told at its birth.
type Config struct {
	Dir  string // its folder, made here
	Mark string // no other machine's, on this computer and at this time

	Project, Zone string
	Node          string   // the TPU node that it belongs to
	Worker        int      // its number in the slice, from 0
	Endpoints     []string // addresses of all workers of the slice
	Slice         string   // MEGASCALE_SLICE_ID; "": the node is one of its own
	Type          string   // v6e-8
	Preemptible   bool

	Metadata       map[string]string // custom, startup-script among it
	ServiceAccount string
	Scopes         []string
	// Token issues one to the machine's service account.
	Token func(scopes []string) (token string, life time.Duration)

	Env  []string // beside what every machine has
	Path []string // before the usual directories
	// Minute is how long a minute of shutdown(8) takes; 0: a minute.
	Minute time.Duration
}

// Machine is one that has been made; it may be off.
type Machine struct {
	cfg    Config
	meta   *metadata
	server *http.Server
	addr   string

	mu     sync.Mutex
	script *proc.Process // of the last boot
	boots  int
	on     bool
	closed bool
	off    *time.Timer // a shutdown that was asked for
}

// usualPath is a TPU VM's, for services.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// New makes a machine that is off.
func New(c Config) (*Machine, error) {
	m := &Machine{cfg: c}
	for _, dir := range []string{m.State(), m.path("bin"), m.path("tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make machine %s: %w", m, err)
		}
	}
	for name, text := range programs {
		if err := os.WriteFile(m.path("bin", name), []byte(text), 0o755); err != nil {
			return nil, fmt.Errorf("make machine %s: %w", m, err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("make machine %s: %w", m, err)
	}
	m.addr = listener.Addr().String()
	m.meta = newMetadata(c)
	mux := http.NewServeMux()
	mux.Handle("/", m.meta)
	mux.HandleFunc("POST "+powerPath, m.power)
	m.server = &http.Server{Handler: mux}
	go m.server.Serve(listener) // ends with Close; a machine without it is one that is off
	return m, nil
}

func (m *Machine) String() string { return fmt.Sprintf("%s-w-%d", m.cfg.Node, m.cfg.Worker) }

func (m *Machine) path(parts ...string) string {
	return filepath.Join(append([]string{m.cfg.Dir}, parts...)...)
}

// Dir is the machine's folder.
func (m *Machine) Dir() string { return m.cfg.Dir }

// State is the machine's disk: what stays over a reboot.
func (m *Machine) State() string { return m.path("state") }

// Log is the file into which the startup script writes, over all boots.
func (m *Machine) Log() string { return m.path("startup.log") }

// Address of the metadata server, host:port.
func (m *Machine) Address() string { return m.addr }

// Tokens is how many the metadata server has given away.
func (m *Machine) Tokens() int { return m.meta.given() }

// Boots counts the starts of the machine.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// On reports whether the machine has power.
func (m *Machine) On() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on
}

// Boot switches the machine on: its startup script, if it has one, is started as a process group.
func (m *Machine) Boot() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return fmt.Errorf("boot %s: it is gone", m)
	case m.on:
		return nil
	}
	// What is in /tmp and /run does not outlive a boot.
	if err := errors.Join(os.RemoveAll(m.path("tmp")), os.Mkdir(m.path("tmp"), 0o755)); err != nil {
		return fmt.Errorf("boot %s: %w", m, err)
	}
	m.on = true
	m.boots++
	script := m.cfg.Metadata["startup-script"]
	if script == "" {
		return nil
	}
	if err := os.WriteFile(m.path("startup-script"), []byte(script), 0o700); err != nil {
		return fmt.Errorf("boot %s: %w", m, err)
	}
	log, err := os.OpenFile(m.Log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("boot %s: %w", m, err)
	}
	defer log.Close()
	fmt.Fprintf(log, "== boot %d of %s\n", m.boots, m)
	// Google's guest agent hands the file to bash too, so a script without a first line runs. The shell before it only brands.
	m.script, err = proc.Start(proc.Spec{
		Argv: []string{"/bin/bash", "-c", fmt.Sprintf(`ulimit -S -x %d; exec /bin/bash -c "$0"`, proc.Brand(m.cfg.Mark)), m.path("startup-script")},
		Env:  m.env(), Dir: m.cfg.Dir, Stdout: log, Stderr: log, Mark: m.cfg.Mark, Session: true,
	})
	if err != nil {
		return fmt.Errorf("boot %s: %w", m, err)
	}
	return nil
}

// env is what a startup script has: a service of systemd's has no HOME.
func (m *Machine) env() []string {
	path := strings.Join(append([]string{m.path("bin")}, m.cfg.Path...), ":") + ":" + usualPath
	return append([]string{"PATH=" + path, "LANG=C.UTF-8", "TMPDIR=" + m.path("tmp"), "GCE_METADATA_HOST=" + m.addr, "VTUNE_STATE_DIR=" + m.State(), sandboxVariable + "=" + m.cfg.Dir}, m.cfg.Env...)
}

// Script is the exit of the startup script of the last boot; false while it runs, or if there was none.
func (m *Machine) Script() (proc.Exit, bool) {
	m.mu.Lock()
	p := m.script
	m.mu.Unlock()
	if p == nil {
		return proc.Exit{}, false
	}
	select {
	case <-p.Done():
		return p.Wait(), true
	default:
		return proc.Exit{}, false
	}
}

// Processes are all that live on the machine.
func (m *Machine) Processes() ([]proc.Identity, error) { return proc.Marked(m.cfg.Mark) }

// Signal sends sig to every process of the machine, as the shutdown of its system does with SIGTERM.
func (m *Machine) Signal(sig syscall.Signal) error {
	all, err := m.Processes()
	if err != nil {
		return err
	}
	for _, id := range all {
		if err := id.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal %s: %w", id, err)
		}
	}
	return nil
}

// Notice tells the machine that it is being taken away: instance/preempted becomes TRUE.
func (m *Machine) Notice() { m.meta.set("instance/preempted", "TRUE") }

// Maintain sets instance/maintenance-event.
func (m *Machine) Maintain(event string) { m.meta.set("instance/maintenance-event", event) }

// patience with the kernel, which alone can delay the end of what it was told to kill.
const patience = 20 * time.Second

// Kill takes the power away: nothing of the machine lives when it returns. Its metadata server goes on until Close.
func (m *Machine) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kill()
}

func (m *Machine) kill() error {
	m.on = false
	if m.off != nil {
		m.off.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// All at once: where the power goes, nobody is left to see another one die.
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("kill %s: %w", m, err)
	}
	if _, err := proc.SweepMarked(ctx, m.cfg.Mark, 0); err != nil {
		return fmt.Errorf("kill %s: %w", m, err)
	}
	if m.script != nil {
		m.script.Wait()
	}
	return nil
}

// Reboot kills everything and boots again; what is in State stays.
func (m *Machine) Reboot() error {
	if err := m.Kill(); err != nil {
		return err
	}
	return m.Boot()
}

// Close ends the machine for good: what ran is dead, and its metadata server does not answer.
func (m *Machine) Close() error {
	m.mu.Lock()
	m.closed = true
	err := m.kill()
	m.mu.Unlock()
	return errors.Join(err, m.server.Close())
}
