package app

import (
	"context"
	"sync"
)

// beside runs what shields do beside requests, until their generation is closed. What runs may
// begin more.
type beside struct {
	life    context.Context
	end     context.CancelFunc
	mu      sync.Mutex
	closed  bool // nothing begins any more; guarded by mu
	running sync.WaitGroup
}

func newBeside() *beside {
	b := &beside{}
	b.life, b.end = context.WithCancel(context.Background())
	return b
}

// Go runs f, unless the generation is closed. Its context ends with the generation.
func (b *beside) Go(f func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.running.Go(func() { f(b.life) })
	}
}

// close ends what runs, and waits for it.
func (b *beside) close() {
	b.end()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.running.Wait()
}
