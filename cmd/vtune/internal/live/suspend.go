package live

import (
	"io"
	"os"
	"os/signal"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
)

// pause stops this process and those that it shares its group with, as ctrl-z does where a terminal sees to it, and gives the terminal back
// before. The library's own waits for ever where no shell would ever have it go on, because the system does not stop such a group: one
// that ssh or a container began.
func pause() tea.Cmd {
	return tea.Exec(stop{}, func(error) tea.Msg { return resumed{} })
}

type resumed struct{}

type stop struct{}

// Run returns when the process has been continued, or was not stopped.
func (stop) Run() error {
	on := make(chan os.Signal, 1)
	signal.Notify(on, unix.SIGCONT)
	defer signal.Stop(on)
	if err := unix.Kill(0, unix.SIGTSTP); err != nil {
		return err
	}
	select {
	case <-on:
	case <-time.After(200 * time.Millisecond): // which pass while it is stopped, too
	}
	return nil
}

// SetStdin, SetStdout and SetStderr are for commands that have some.
func (stop) SetStdin(io.Reader)  {}
func (stop) SetStdout(io.Writer) {}
func (stop) SetStderr(io.Writer) {}
