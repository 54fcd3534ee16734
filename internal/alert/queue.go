package alert

import (
	"sync"

	"pavise.dev/pavise/audit"
)

// maxQueued bounds the events that wait to be seen. More are read from the log.
const maxQueued = 8192

// queue holds events that were just written, so that they need not be read back from the log.
// What it has no room for leaves a gap in the numbers.
type queue struct {
	mu     sync.Mutex
	events []numbered
	newest uint64        // that was offered, whether or not there was room
	bell   chan struct{} // something is there
}

type numbered struct {
	seq   uint64
	event audit.Event
}

func newQueue() *queue { return &queue{bell: make(chan struct{}, 1)} }

// offer copies an event. It does not wait.
func (q *queue) offer(seq uint64, e *audit.Event) {
	q.mu.Lock()
	q.newest = seq
	if len(q.events) < maxQueued {
		q.events = append(q.events, numbered{seq, *e})
	}
	q.mu.Unlock()
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

// take returns what is there, and the newest number that was offered. used is given back to
// be filled again.
func (q *queue) take(used []numbered) ([]numbered, uint64) {
	clear(used)
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.events
	q.events = used[:0]
	return taken, q.newest
}
