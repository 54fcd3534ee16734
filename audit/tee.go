package audit

import "fmt"

// Tee is a [Sink] that gives each event to several. First keeps it safe: whether
// Begin succeeds is First's word alone. The others get a copy of each event when it is
// complete; what they cannot take is told to Warn.
type Tee struct {
	First Sink
	Then  []Sink
	Warn  func(error) // safe for concurrent use; must not block
}

// Begin implements [Sink].
func (t *Tee) Begin(e *Event) error { return t.First.Begin(e) }

// Complete implements [Sink].
func (t *Tee) Complete(e *Event) {
	t.First.Complete(e)
	for _, sink := range t.Then {
		further := *e
		further.Handle = 0
		if err := Record(sink, &further); err != nil {
			t.Warn(fmt.Errorf("pass an event on: %w", err))
		}
	}
}
