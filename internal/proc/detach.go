package proc

import (
	"fmt"
	"os"
)

// Detach starts a process that survives the caller and the caller's terminal: a session of its own, stdin from /dev/null,
// stdout and stderr appended to the file logPath. It belongs to no attempt, whoever starts it.
func Detach(argv, env []string, dir, logPath string) (Identity, error) {
	log, err := os.OpenFile(logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return Identity{}, fmt.Errorf("detach: %w", err)
	}
	defer log.Close()
	if env == nil {
		env = os.Environ()
	}
	p, err := Start(Spec{Argv: argv, Env: unmarked(env), Dir: dir, Stdout: log, Stderr: log, Session: true})
	if err != nil {
		return Identity{}, fmt.Errorf("detach: %w", err)
	}
	return p.Identity(), nil
}
