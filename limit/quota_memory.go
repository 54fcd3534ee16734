package limit

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// MemoryQuotas are [Quotas] in memory: whoever restarts the program begins anew. The
// gateway keeps its quotas in a file instead.
type MemoryQuotas struct {
	now    func() time.Time
	seed   maphash.Seed
	shards [32]quotaShard
}

type quotaShard struct {
	mu   sync.Mutex
	kept map[string]keptTally
	most int
	_    [40]byte // its own cache line
}

type keptTally struct {
	tally  Tally
	period Period
}

// NewMemoryQuotas returns quotas for at most maxKeys keys at once, which have used
// something in this period or the one before; 0 means [DefaultMaxKeys]. More are refused
// with [ErrFull]. Now is the clock whose days and months count; nil means time.Now.
func NewMemoryQuotas(maxKeys int, now func() time.Time) (*MemoryQuotas, error) {
	if maxKeys < 0 {
		return nil, fmt.Errorf("quotas for %d keys count nothing", maxKeys)
	}
	if maxKeys == 0 {
		maxKeys = DefaultMaxKeys
	}
	if now == nil {
		now = time.Now
	}
	m := &MemoryQuotas{now: now, seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].kept = map[string]keptTally{}
		m.shards[i].most = (maxKeys + len(m.shards) - 1) / len(m.shards)
	}
	return m, nil
}

func (m *MemoryQuotas) shard(key string) *quotaShard {
	return &m.shards[maphash.String(m.seed, key)%uint64(len(m.shards))]
}

// Take implements [Quotas].
func (m *MemoryQuotas) Take(key string, q Quota, cost int) (State, error) {
	if err := q.Check(cost); err != nil {
		return State{}, err
	}
	if len(key) > maxKey {
		return State{}, fmt.Errorf("a key of %d bytes is too long to be counted", len(key))
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	k, known := s.kept[key]
	if !known && len(s.kept) >= s.most && !s.forget(now) {
		return State{}, ErrFull
	}
	tally, state := k.tally.Take(q, now, cost)
	if !known {
		key = strings.Clone(key)
	}
	s.kept[key] = keptTally{tally, q.Period}
	return state, nil
}

// forget drops what is over, and reports whether there was any.
func (s *quotaShard) forget(now time.Time) bool {
	before := len(s.kept)
	for key, k := range s.kept {
		if k.tally.Over(k.period, now) {
			delete(s.kept, key)
		}
	}
	return len(s.kept) < before
}

// Return implements [Quotas].
func (m *MemoryQuotas) Return(key string, q Quota, cost int) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, known := s.kept[key]; known {
		s.kept[key] = keptTally{k.tally.Return(q, m.now(), cost), q.Period}
	}
}
