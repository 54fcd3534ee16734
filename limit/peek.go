package limit

import (
	"fmt"
	"hash/maphash"
)

// Peeker is a [Limiter] that can be asked without counting.
type Peeker interface {
	// Peek returns what Take would, and counts nothing.
	Peek(key string, rate Rate, cost int) (State, error)
}

// QuotaPeeker is a [Quotas] that can be asked without counting.
type QuotaPeeker interface {
	// Peek returns what Take would, and counts nothing.
	Peek(key string, q Quota, cost int) (State, error)
}

// Peek implements [Peeker]. A key that nobody has counted gets no place by being asked about.
func (m *Memory) Peek(key string, rate Rate, cost int) (State, error) {
	g, err := newGCRA(rate, cost)
	if err != nil {
		return State{}, err
	}
	if len(key) > maxKey {
		return State{}, fmt.Errorf("a key of %d bytes is too long to be counted", len(key))
	}
	f := familyOf(key)
	all := *m.tables.Load()
	t := all[f]
	if t == nil {
		t = all[family{address: f.address}] // of families beyond those that have tables of their own
	}
	if t == nil {
		_, state := g.take(0, 0)
		return state, nil
	}
	s := &t.shards[maphash.String(m.seed, key)&t.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.read()
	if kept := s.keys.get(key); kept != nil {
		_, state := g.take(now, kept.full)
		return state, nil
	}
	if t.folded != nil {
		if state, ok := t.folded.peek(key, f, g); ok {
			return state, nil
		}
	}
	_, state := g.take(now, now)
	return state, nil
}

// peek is take of what is there, without taking.
func (f *folded) peek(key string, of family, g gcra) (State, bool) {
	if f.kept.Load() == 0 {
		return State{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.read()
	for i, level := range f.levels {
		if kept := level.get(fold(key, of, i)); kept != nil && kept.full > now {
			_, state := g.take(now, kept.full)
			return state, true
		}
	}
	return State{}, false
}

// Peek implements [QuotaPeeker].
func (m *MemoryQuotas) Peek(key string, q Quota, cost int) (State, error) {
	if err := q.Check(cost); err != nil {
		return State{}, err
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, state := s.kept[key].tally.Take(q, m.now(), cost)
	return state, nil
}
