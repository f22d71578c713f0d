package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/screen/screentest"
	"vtune/internal/record"
)

// watched is what stands on a terminal.
type watched struct {
	guard sync.Mutex
	seen  bytes.Buffer
}

func watch(tty *os.File) *watched {
	w := &watched{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := tty.Read(b)
			w.guard.Lock()
			w.seen.Write(b[:n])
			w.guard.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w
}

func (w *watched) text() string {
	w.guard.Lock()
	defer w.guard.Unlock()
	return w.seen.String()
}

func (w *watched) awaits(t *testing.T, words string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(w.text(), words); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute for %q:\n%q", words, w.text())
		}
	}
}

// A command that fails in the middle of everything must not leave a terminal behind on which nobody sees what they type.
func TestAPanicGivesTheTerminalBackAndWhatWasSaidIsSaidAfterwards(t *testing.T) {
	tty, program := screentest.Terminal(t, 80, 24)
	defer program.Close()
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	w := watch(tty)
	talk := screen.NewTalk(program, nil)
	dir := halfway(t)
	m := modelOf(t, dir)
	ctx, v := Open(context.Background(), Config{In: program, Out: talk, Talk: talk, Env: []string{"TERM=xterm"}, Now: time.Now, Dir: dir, Place: "somewhere"})
	func() {
		defer func() {
			if fmt.Sprint(recover()) != "broken" {
				t.Error("the panic did not go on")
			}
		}()
		defer v.Close()
		v.Pass(m.state, errors.New("it does not answer"))
		v.Event(record.Event{At: m.since, Kind: record.KindProbe, What: "started", Detail: "on a node"})
		for range 2 {
			fmt.Fprintln(talk, "warning: the disk is nearly full")
		}
		w.awaits(t, "1 of 4 cells")
		w.awaits(t, "nearly full")
		w.awaits(t, "it does not answer (going on)")
		w.awaits(t, "on a node")
		panic("broken")
	}()
	v.Close()
	w.awaits(t, "warning: the disk is nearly full\r\n")
	_, after, _ := strings.Cut(w.text(), "\x1b[?1049l")
	if strings.Count(after, "nearly full") != 1 || strings.Contains(after, "it does not answer") {
		t.Errorf("after the view it said %q", after)
	}
	if now, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil || *now != *before {
		t.Errorf("the terminal is in another mode: %v\nbefore %+v\nafter  %+v", err, before, now)
	}
	if ctx.Err() == nil {
		t.Error("the view's context goes on")
	}
}

func TestKeysEndTheContextEachInItsWay(t *testing.T) {
	for key, want := range map[string]error{"q": ErrQuit, "\x03": ErrInterrupted} {
		tty, program := screentest.Terminal(t, 80, 24)
		defer program.Close()
		w := watch(tty)
		talk := screen.NewTalk(program, nil)
		ctx, v := Open(t.Context(), Config{In: program, Out: program, Talk: talk, Env: []string{"TERM=xterm"}, Now: time.Now})
		w.awaits(t, "looking at the run")
		if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 40, Row: 8}); err != nil {
			t.Fatal(err)
		}
		if _, err := tty.WriteString(key); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		v.Close()
		if cause := context.Cause(ctx); !errors.Is(cause, want) {
			t.Errorf("%q ends it with %v", key, cause)
		}
	}
}
