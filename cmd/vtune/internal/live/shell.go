package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"vtune/cmd/vtune/internal/screen"
	"vtune/collect"
	"vtune/internal/record"
)

// ErrQuit and ErrInterrupted are the causes with which a person at the keyboard ends a view's context.
var (
	ErrQuit        = errors.New("quit")
	ErrInterrupted = errors.New("interrupted")
)

// Config of a View.
type Config struct {
	In      io.Reader
	Out     any          // a stream, or a Talk
	Talk    *screen.Talk // is shown in the view, and said again after it
	Env     []string
	Now     func() time.Time
	Dir     record.Dir
	Place   string // the run, as people call it
	Created time.Time
}

// View is a run on the whole terminal, until it is closed. Its methods may be called from any goroutine.
type View struct {
	c       Config
	program *tea.Program
	ended   chan struct{}
	broken  error
	back    func()
	refresh chan struct{}
	closed  sync.Once
	guard   sync.Mutex
	held    []string // what was said meanwhile
}

// Open takes the terminal. The context that it returns ends when a person does not want to see more; its cause says how. Close gives the
// terminal back: deferred, it does so in a panic as well. Signals are the caller's: it ends its context, and closes.
func Open(ctx context.Context, c Config) (context.Context, *View) {
	ctx, end := context.WithCancelCause(ctx)
	v := &View{c: c, ended: make(chan struct{}), refresh: make(chan struct{}, 1)}
	m := &model{place: c.Place, since: c.Created, glyphs: glyphsOf(c.getenv)}
	v.program = tea.NewProgram(shell{m, v, end}, tea.WithInput(c.In), tea.WithOutput(screen.Terminal(c.Out)), tea.WithEnvironment(c.Env), tea.WithoutSignalHandler())
	v.back = c.Talk.Divert(said{v})
	go func() {
		defer close(v.ended)
		_, v.broken = v.program.Run()
		end(v.broken) // the library's own failure; nil where somebody quit
	}()
	return ctx, v
}

// Possible reports whether there is a terminal to take: one to write to and one to read keys from, in whose foreground this process is, so
// that reading does not stop it, and of a person who wants no plain lines.
func (c Config) Possible() bool {
	out, in := screen.Terminal(c.Out), screen.Terminal(c.In)
	if out == nil || in == nil || c.Talk.Plain {
		return false
	}
	group, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func (c Config) getenv(name string) string {
	for _, e := range slices.Backward(c.Env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// Event is news of what the run did.
func (v *View) Event(e record.Event) { v.program.Send(e) }

// Pass is where the run stands, and what went wrong with looking.
func (v *View) Pass(st record.State, err error) { v.program.Send(passed{st: st, err: err}) }

// see is where the run stands, as an onlooker sees it.
func (v *View) see(st record.State, seen map[string]collect.Seen) {
	v.program.Send(passed{st: st, seen: seen})
}

// Close gives the terminal back, and then says what was said meanwhile.
func (v *View) Close() {
	v.closed.Do(func() {
		v.program.Quit()
		<-v.ended
		v.back()
		for _, text := range v.held {
			io.WriteString(v.c.Talk, text)
		}
		if v.broken != nil {
			fmt.Fprintln(v.c.Talk, "warning: the view ended:", v.broken)
		}
	})
}

// said takes what is said while the view has the terminal.
type said struct{ v *View }

func (s said) Write(p []byte) (int, error) {
	s.v.guard.Lock()
	if text := string(p); !slices.Contains(s.v.held, text) {
		s.v.held = append(s.v.held, text)
	}
	s.v.guard.Unlock()
	s.v.program.Send(remark(p))
	return len(p), nil
}

type (
	passed struct {
		st   record.State
		seen map[string]collect.Seen
		err  error
	}
	remark string
	second struct{}
)

// shell makes the library's messages the model's, and the model's frames the library's.
type shell struct {
	m   *model
	v   *View
	end context.CancelCauseFunc
}

// tick has the clock go on, and a log that is open be read again.
func tick() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return second{} }) }

// Init is the first command.
func (s shell) Init() tea.Cmd { return tick() }

// Update hands a message on.
func (s shell) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.m.width, s.m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return s, s.act(s.m.press(msg.String()))
	case record.Event:
		s.m.event(msg)
	case passed:
		s.m.pass(msg.st, msg.seen)
		if msg.err != nil {
			s.m.warn(s.v.c.Now(), msg.err.Error()+" (going on)")
		}
	case remark:
		for text := range strings.Lines(string(msg)) {
			s.m.warn(s.v.c.Now(), text)
		}
	case resumed:
		return s, tea.ClearScreen
	case log:
		if s.m.page == logs {
			s.m.shown(msg)
		}
	case second:
		if s.m.page == logs {
			return s, tea.Batch(tick(), s.read())
		}
		return s, tick()
	}
	return s, nil
}

func (s shell) act(a act) tea.Cmd {
	switch a {
	case quit:
		s.end(ErrQuit)
		return tea.Quit
	case interrupt:
		s.end(ErrInterrupted)
		return tea.Quit
	case suspend:
		return pause()
	case refresh:
		select {
		case s.v.refresh <- struct{}{}:
		default: // it is asked for already
		}
		return tea.ClearScreen
	case openLog:
		return s.read()
	}
	return nil
}

// read is the command that reads the log which is open.
func (s shell) read() tea.Cmd {
	if s.m.selected >= len(s.m.state.Cells) {
		return nil
	}
	dir, cell, which := s.v.c.Dir, s.m.state.Cells[s.m.selected], s.m.log.which
	return func() tea.Msg { return read(dir, cell, which) }
}

// View is the frame of this moment.
func (s shell) View() tea.View {
	var lines []string
	for _, l := range s.m.frame(s.v.c.Now()) {
		lines = append(lines, l.coloured())
	}
	v := tea.NewView(strings.Join(lines, "\n"))
	v.AltScreen = true
	return v
}
