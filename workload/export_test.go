package workload

import (
	"context"
	"time"
)

// Still returns options whose certificate does by itself nothing: Look does it.
func Still(o Options) Options {
	o.tick = make(chan time.Time)
	return o
}

// Ticking returns options whose certificate looks at each tick.
func Ticking(o Options, tick <-chan time.Time) Options {
	o.tick = tick
	return o
}

// Look does what is done each second.
func (c *Certificate) Look(ctx context.Context) { c.keep(ctx) }
