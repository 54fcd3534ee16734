package own_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack/own"
)

// clock is that of a gateway and of the attack on it: it goes on when the attack waits.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	step time.Duration         // of time that goes on
	then func(context.Context) // what happens at each step; nil: nothing
	to   *installation
}

func newClock() *clock { return &clock{now: time.Now(), step: 5 * time.Second} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Wait lets time go on, step by step.
func (c *clock) Wait(ctx context.Context, d time.Duration) error {
	for ; d > 0; d -= c.step {
		c.add(min(d, c.step))
		if d < c.step {
			return ctx.Err()
		}
		if err := c.to.running.App().State.View.Refresh(ctx); err != nil {
			return err
		}
		if c.then != nil {
			c.then(ctx)
		}
	}
	return ctx.Err()
}

// installOn starts a gateway on a clock of the test's.
func installOn(t *testing.T, c *clock, yaml string, files map[string]string) *installation {
	t.Helper()
	c.to = installWith(t, yaml, files, app.Options{Now: c.Now})
	return c.to
}

func (c *clock) on(g *own.Gateway) { g.Now, g.Wait = c.Now, c.Wait }
