package app

import (
	"sync/atomic"

	"pavise.dev/pavise/audit"
)

// audience is whoever wants events as they are written to the log. They are told by the
// goroutine that writes, so each must be quick and copy what it keeps.
type audience struct {
	listeners atomic.Pointer[[]func(seq uint64, e *audit.Event)]
}

// add lets somebody listen from now on. One goroutine adds.
func (a *audience) add(listener func(seq uint64, e *audit.Event)) {
	all := []func(uint64, *audit.Event){listener}
	if before := a.listeners.Load(); before != nil {
		all = append(all, *before...)
	}
	a.listeners.Store(&all)
}

// tell is what the log calls.
func (a *audience) tell(seq uint64, e *audit.Event) {
	if all := a.listeners.Load(); all != nil {
		for _, listener := range *all {
			listener(seq, e)
		}
	}
}
