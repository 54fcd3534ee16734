package audit

import "sync"

// Memory is a [Sink] that keeps the last events in memory: for tests and for
// programs that bring a log of their own. The zero value keeps 10,000.
type Memory struct {
	mu     sync.Mutex
	events []Event
}

// maxMemory is how many events a Memory keeps.
const maxMemory = 10_000

// Begin implements [Sink].
func (m *Memory) Begin(*Event) error { return nil }

// Complete implements [Sink].
func (m *Memory) Complete(e *Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) >= maxMemory {
		m.events = append(m.events[:0], m.events[len(m.events)/2:]...)
	}
	m.events = append(m.events, *e)
}

// Events returns the completed events, oldest first.
func (m *Memory) Events() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Event(nil), m.events...)
}
