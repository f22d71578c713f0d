package crew

import (
	"os"
	"os/signal"
	"syscall"

	"vtune/internal/record"
)

// Causes turns signals to this process into causes: USR2 is the early warning that scripts ask for before a time limit, TERM is an
// order to end, and so is StopSignal, by which a crew passes it on. All let an agent publish what it has.
func Causes() (<-chan record.Cause, func()) {
	signals := make(chan os.Signal, 4)
	causes := make(chan record.Cause, 4)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT, StopSignal)
	quit := make(chan struct{})
	go func() {
		for {
			select {
			case <-quit:
				return
			case s := <-signals:
				cause := record.CauseStopped
				if s == syscall.SIGUSR2 {
					cause = record.CauseTimeLimit
				}
				select {
				case causes <- cause:
				default: // four orders are waiting already
				}
			}
		}
	}()
	return causes, func() { signal.Stop(signals); close(quit) }
}
