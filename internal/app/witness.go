package app

import (
	"fmt"
	"os"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
)

// witness keeps checkpoints of the event log in another folder, so that a log that
// was rewritten here is found there. The folder may be slow or away: one goroutine
// waits for it, and the newest checkpoint stands for those before it.
type witness struct {
	folder string
	warn   func(error)

	mu      sync.Mutex
	newest  *audit.Checkpoint // not yet kept; nil: none
	kept    time.Time         // time of the last that was
	failing bool              // the operator was told

	wake    chan struct{}
	running sync.WaitGroup
}

// keepEvery is how much time lies between two checkpoints that are kept.
const keepEvery = time.Minute

func openWitness(folder string, warn func(error)) (*witness, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("log.checkpoints: %w; name a folder that this user may write to", err)
	}
	if warn == nil {
		warn = func(error) {}
	}
	w := &witness{folder: folder, warn: warn, wake: make(chan struct{}, 1)}
	w.running.Go(w.run)
	return w, nil
}

// keep hands over a checkpoint. It does not wait for the folder.
func (w *witness) keep(point audit.Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest = &point
	if since := point.Time.Sub(w.kept); since >= 0 && since < keepEvery { // below 0 the clock was put back
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

func (w *witness) run() {
	for range w.wake {
		w.tellIf(w.write())
	}
}

// write appends the newest checkpoint, which stays to be written if that fails.
func (w *witness) write() error {
	w.mu.Lock()
	point := w.newest
	w.mu.Unlock()
	if point == nil {
		return nil
	}
	if err := audit.AppendCheckpoint(w.folder, *point); err != nil {
		return fmt.Errorf("log.checkpoints: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept, w.failing = point.Time, false
	if w.newest == point {
		w.newest = nil
	}
	return nil
}

// tellIf tells of the first failure of a row.
func (w *witness) tellIf(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	told := w.failing
	w.failing = true
	w.mu.Unlock()
	if !told {
		w.warn(fmt.Errorf("%w; it is tried again with the next checkpoint", err))
	}
}

// close writes what is left. keep must not be called any more.
func (w *witness) close() error {
	close(w.wake)
	w.running.Wait()
	return w.write()
}
