package gateway

import (
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

// watchEvery is how often the credentials of open streams are asked after: a
// revocation takes effect within a second (invariant 7).
const watchEvery = 500 * time.Millisecond

// watcher ends exchanges whose credential has ended. One goroutine of the
// upstream calls tick.
type watcher struct {
	mu   sync.Mutex
	open map[*watched]struct{}
}

type watched struct {
	x  *exchange
	up interruptible

	mu   sync.Mutex
	over bool
}

func (w *watcher) add(x *exchange, up interruptible) *watched {
	entry := &watched{x: x, up: up}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[entry] = struct{}{}
	return entry
}

// is replaces what is to be interrupted.
func (entry *watched) is(up interruptible) {
	entry.mu.Lock()
	defer entry.mu.Unlock()
	entry.up = up
}

// remove returns only when the exchange is not being ended at this moment, so
// that its writer is not touched after its handler.
func (w *watcher) remove(entry *watched) {
	w.mu.Lock()
	delete(w.open, entry)
	w.mu.Unlock()
	entry.mu.Lock()
	defer entry.mu.Unlock()
	entry.over = true
}

// tick ends every exchange whose credential is over. It asks outside the lock,
// for Revocation is somebody else's code.
func (w *watcher) tick(now time.Time, held func(*shield.Identity) bool) {
	w.mu.Lock()
	entries := make([]*watched, 0, len(w.open))
	for entry := range w.open {
		entries = append(entries, entry)
	}
	w.mu.Unlock()
	for _, entry := range entries {
		why := overBecause(entry.x.identity, now)
		if why == "" && held != nil && entry.x.identity != nil && held(entry.x.identity) {
			why = "held"
		}
		if why != "" {
			entry.end(why)
		}
	}
}

func (entry *watched) end(why string) {
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if entry.over {
		return
	}
	entry.over = true
	entry.x.end(why, entry.up)
}

// overBecause returns why an identity no longer holds; "" if it does.
func overBecause(id *shield.Identity, now time.Time) (why string) {
	if id == nil {
		return ""
	}
	id.All(func(proof *shield.Identity) {
		switch {
		case why != "":
		case !proof.Expires.IsZero() && !now.Before(proof.Expires):
			why = "expired"
		case proof.Revocation != nil && proof.Revocation():
			why = "revoked"
		}
	})
	return why
}

// endAll ends every exchange that is watched.
func (w *watcher) endAll(why string) {
	w.mu.Lock()
	entries := make([]*watched, 0, len(w.open))
	for entry := range w.open {
		entries = append(entries, entry)
	}
	w.mu.Unlock()
	for _, entry := range entries {
		entry.end(why)
	}
}
