// Package doorbell is a hint that something changed in a folder. It is never relied upon: on NFS and Lustre it never rings.
package doorbell

import (
	"github.com/fsnotify/fsnotify"

	"vtune/internal/fsx"
)

// Hang has a bell ring when something changes in dir, on file systems that say so. It carries no news; a missing or broken bell, or
// one that overflowed, only means waiting for the next rescan.
func Hang(dir string) (<-chan struct{}, func()) {
	ring := make(chan struct{}, 1)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return ring, func() {}
	}
	if err := w.Add(dir); err != nil {
		w.Close()
		return ring, func() {}
	}
	go func() {
		for {
			select {
			case e, ok := <-w.Events:
				if !ok {
					return
				}
				if fsx.Temporary(e.Name) {
					continue
				}
			case _, ok := <-w.Errors:
				if !ok {
					return
				}
			}
			select {
			case ring <- struct{}{}:
			default:
			}
		}
	}()
	return ring, func() { w.Close() }
}
