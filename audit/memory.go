package audit

import (
	"context"
	"errors"
	"sync"
)

// Memory is a [Sink] that keeps the last events in memory: for tests, and for
// programs that bring a log of their own. The zero value keeps 10,000. It is safe
// for concurrent use.
type Memory struct {
	Keep int // how many completed events are kept; 0: 10,000. Set before the first use.

	mu     sync.Mutex
	begun  map[uint64]bool // handles
	next   uint64
	events []Event // a ring once it is full
	from   int
	grown  chan struct{} // closed when an event is added
}

const defaultMemory = 10_000

// maxUnderWay bounds what is begun and not completed.
const maxUnderWay = 1 << 20

// Begin implements [Sink].
func (m *Memory) Begin(e *Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.begun) >= maxUnderWay {
		return errors.New("too many events are under way")
	}
	if m.begun == nil {
		m.begun = map[uint64]bool{}
	}
	m.next++
	m.begun[m.next] = true
	e.Handle = m.next
	return nil
}

// Complete implements [Sink]. An event that was not begun, or is complete already,
// is passed over.
func (m *Memory) Complete(e *Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.begun[e.Handle] {
		return
	}
	delete(m.begun, e.Handle)
	e.Handle = 0
	if most := max(m.Keep, 0); most == 0 && len(m.events) < defaultMemory || len(m.events) < most {
		m.events = append(m.events, *e)
	} else {
		m.events[m.from] = *e
		m.from = (m.from + 1) % len(m.events)
	}
	if m.grown != nil {
		close(m.grown)
		m.grown = nil
	}
}

// Events returns the completed events that are kept, oldest first.
func (m *Memory) Events() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(append([]Event(nil), m.events[m.from:]...), m.events[:m.from]...)
}

// Wait returns the first kept event that suits; if there is none yet, it waits for
// one until the context ends.
func (m *Memory) Wait(ctx context.Context, suits func(Event) bool) (Event, error) {
	for {
		m.mu.Lock()
		if m.grown == nil {
			m.grown = make(chan struct{})
		}
		grown := m.grown
		m.mu.Unlock()
		for _, e := range m.Events() {
			if suits(e) {
				return e, nil
			}
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}
