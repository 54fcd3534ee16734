package once

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

// Memory is a [Store] in memory. Its start is a cold one unless
// [Options.First] says otherwise: what was used before the restart is unknown.
type Memory struct {
	options Options
	cold    time.Time
	shares  *shares

	mu        sync.Mutex
	used      map[name]time.Time // until when
	forgotten time.Time          // no claim that ended later was ever forgotten
	times     *times
	sweep     time.Time // before it no claim ends
}

type name struct {
	space  string
	digest [32]byte
}

// NewMemory returns an empty store.
func NewMemory(o Options) (*Memory, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	m := &Memory{options: o, used: map[name]time.Time{}, shares: newShares(o.Capacity), times: newTimes(o.Skew, nil, nil, func(_, _ []span) {})}
	if !o.First {
		m.cold = o.Now().Add(o.Skew)
	}
	return m, nil
}

// Consume implements [Store].
func (m *Memory) Consume(ctx context.Context, claims []shield.Once) error {
	if err := admissible(ctx, claims); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Now()
	if m.times.see(now.UnixNano()) {
		m.turnBack(now)
	}
	t := terms{m.cold, now, m.options.MaxAhead, m.times}
	for i := range claims {
		if err := m.check(&claims[i], claims[:i], t); err != nil {
			return err
		}
	}
	if !m.makeRoom(len(claims), t.now) {
		return ErrFull
	}
	ample := len(m.used)+len(claims) <= m.options.Capacity
	for i := range claims {
		if !m.shares.add(&claims[i], t.now.UnixNano(), ample) {
			return overShare(&claims[i])
		}
	}
	for i := range claims {
		c := &claims[i]
		m.used[name{c.Space, c.Digest}] = c.Until
		if m.sweep.IsZero() || c.Until.Before(m.sweep) {
			m.sweep = c.Until
		}
	}
	return nil
}

// turnBack begins anew after the clock was put back.
func (m *Memory) turnBack(now time.Time) {
	if !m.times.turnBack(now.UnixNano(), nanoseconds(m.cold)) {
		return
	}
	clear(m.used)
	m.cold, m.forgotten, m.sweep = now.Add(m.options.Skew), time.Time{}, time.Time{}
	m.options.Warn(fmt.Errorf("used claims: %w", errSetBack))
}

func (m *Memory) check(c *shield.Once, before []shield.Once, t terms) error {
	if err := t.check(c); err != nil {
		return err
	}
	if !c.Until.After(m.forgotten) {
		return forgotten(c)
	}
	if until, ok := m.used[name{c.Space, c.Digest}]; ok && until.After(t.now) {
		return used(c)
	}
	for i := range before {
		if before[i].Space == c.Space && before[i].Digest == c.Digest {
			return used(c)
		}
	}
	return nil
}

// makeRoom forgets claims that are over if there is no room for n more, and
// reports whether there is then. Over the capacity there is half as much again,
// for spaces that have not had their share.
func (m *Memory) makeRoom(n int, now time.Time) bool {
	if len(m.used)+n <= m.options.Capacity {
		return true
	}
	room := m.options.Capacity + m.options.Capacity/2
	if m.sweep.After(now) {
		return len(m.used)+n <= room
	}
	m.sweep = time.Time{}
	for key, until := range m.used {
		switch {
		case !until.After(now):
			delete(m.used, key)
			if until.After(m.forgotten) {
				m.forgotten = until
			}
		case m.sweep.IsZero() || until.Before(m.sweep):
			m.sweep = until
		}
	}
	return len(m.used)+n <= room
}
