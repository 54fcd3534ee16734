package limit

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull says that every client and user that can be counted for one limit was
// so recently that forgetting one would give it a new quota. The caller refuses.
// Addresses never get it.
var ErrFull = errors.New("too many keys are being counted at once")

// DefaultMaxKeys bounds a [Memory] whose options name no bound.
const DefaultMaxKeys = 1_000_000

// maxKey is the longest key in bytes; names and ids are far shorter.
const maxKey = 1024

// MemoryOptions are the settings of a [Memory]. The zero value is useful.
type MemoryOptions struct {
	// MaxKeys bounds how many clients, users and endpoints are counted at once
	// for each limit, and an eighth of it how many addresses; 0 means
	// [DefaultMaxKeys]. A key whose bucket is full again is not counted. Keys
	// spread over shards by chance, so a few percent of the bound may stay
	// unused when it is reached.
	MaxKeys int

	// Now tells how much time passes; nil means time.Now, whose monotonic
	// reading makes steps of the wall clock invisible. A source without such
	// readings may step back, which neither gives quota nor blocks anybody; a
	// step forward cannot be told from waiting and refills as waiting would, by
	// one burst at most. So leave this nil, or give it a clock that only tests
	// move.
	Now func() time.Time
}

// Memory is a [Limiter] in memory: GCRA, exact under concurrency. For each key
// it keeps one moment, the one at which the bucket will be full again; nothing
// runs in the background. It is safe for concurrent use.
//
// Each limit has tables of its own, those of addresses apart from all others.
type Memory struct {
	options MemoryOptions
	seed    maphash.Seed

	adding sync.Mutex
	tables atomic.Pointer[map[family]*tables] // never changed, replaced
}

// maxFamilies bounds the tables. Limits come from the configuration, so that more
// of them are a mistake: they share one table.
const maxFamilies = 1 << 14

// tables are those of one family.
type tables struct {
	mask   uint64
	shards []shard
	folded *folded // nil: these are no addresses
}

type shard struct {
	mu    sync.Mutex
	clock clock
	keys  *table[string, bucket]
	_     [64]byte // its own cache line
}

// bucket holds the moment at which it is full again.
type bucket struct{ full int64 }

func (b bucket) over() int64 { return b.full }

// NewMemory returns an empty Memory.
func NewMemory(o MemoryOptions) (*Memory, error) {
	if o.MaxKeys < 0 {
		return nil, fmt.Errorf("a limiter for %d keys counts nothing", o.MaxKeys)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	m := &Memory{options: o, seed: maphash.MakeSeed()}
	m.tables.Store(&map[family]*tables{})
	return m, nil
}

// Take implements [Limiter]. Errors are [ErrFull], a rate or cost that cannot
// be counted, or a key longer than 1 KiB.
func (m *Memory) Take(key string, rate Rate, cost int) (State, error) {
	g, err := newGCRA(rate, cost)
	if err != nil {
		return State{}, err
	}
	if len(key) > maxKey {
		return State{}, fmt.Errorf("a key of %d bytes is too long to be counted", len(key))
	}
	f := familyOf(key)
	t := m.of(f)
	s := &t.shards[maphash.String(m.seed, key)&t.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.read()
	if kept := s.keys.get(key); kept != nil {
		full, state := g.take(now, kept.full)
		kept.full = full
		return state, nil
	}
	if t.folded != nil {
		if state, ok := t.folded.take(key, f, g, false); ok {
			return state, nil
		}
	}
	full, state := g.take(now, now)
	if s.keys.add(key, bucket{full}, now) {
		return state, nil
	}
	if t.folded != nil {
		state, _ := t.folded.take(key, f, g, true)
		return state, nil
	}
	return State{}, ErrFull
}

// of returns the tables of a family, and makes them if there are none.
func (m *Memory) of(f family) *tables {
	if t := (*m.tables.Load())[f]; t != nil {
		return t
	}
	m.adding.Lock()
	defer m.adding.Unlock()
	all := *m.tables.Load()
	if t := all[f]; t != nil {
		return t
	}
	if len(all) >= maxFamilies {
		f = family{address: f.address}
		if t := all[f]; t != nil {
			return t
		}
	}
	f.limit = strings.Clone(f.limit)
	next := maps.Clone(all)
	next[f] = newTables(m.options, f.address)
	m.tables.Store(&next)
	return next[f]
}

func newTables(o MemoryOptions, address bool) *tables {
	t := &tables{}
	if address {
		o.MaxKeys = max(o.MaxKeys/8, 1)
		t.folded = newFolded(o)
	}
	n := 1
	for n < 32 && o.MaxKeys/(2*n) >= 1024 {
		n *= 2
	}
	t.mask, t.shards = uint64(n-1), make([]shard, n)
	for i := range t.shards {
		t.shards[i].clock = newClock(o.Now)
		t.shards[i].keys = newTable[string, bucket]((o.MaxKeys + n - 1) / n)
	}
	return t
}

// Len returns how many keys are kept.
func (m *Memory) Len() int {
	n := 0
	for _, t := range *m.tables.Load() {
		for i := range t.shards {
			s := &t.shards[i]
			s.mu.Lock()
			n += len(s.keys.index)
			s.mu.Unlock()
		}
		if t.folded != nil {
			n += t.folded.len()
		}
	}
	return n
}

// gcra is a rate and a cost in nanoseconds: one token every interval, a bucket
// that takes depth to fill.
type gcra struct {
	interval, depth, cost int64
}

// newGCRA rounds the interval up to whole nanoseconds: never more than the rate.
func newGCRA(rate Rate, cost int) (gcra, error) {
	burst := rate.burst()
	if rate.Count < 1 || rate.Count > MaxCount || rate.Per < MinPer || rate.Per > MaxPer || burst < 1 || burst > rate.Count {
		return gcra{}, fmt.Errorf("count %d per %s: %w", rate.Count, rate.Per, rate.Validate())
	}
	if cost < 1 || cost > burst {
		return gcra{}, fmt.Errorf("a request that costs %d can never pass: the bucket holds %d", cost, burst)
	}
	interval := (int64(rate.Per) + int64(rate.Count) - 1) / int64(rate.Count)
	return gcra{interval, interval * int64(burst), interval * int64(cost)}, nil
}

// take takes the cost at the moment now from a bucket that is full at the
// moment full, and returns when it is full from now on.
func (g gcra) take(now, full int64) (int64, State) {
	// An empty bucket is full after depth. A later moment comes from a rate that
	// was changed, and must not block for longer than the new one says.
	full = min(max(full, now), now+g.depth)
	after := full + g.cost
	if wait := after - g.depth - now; wait > 0 {
		return full, State{
			Remaining: int((g.depth - (full - now)) / g.interval),
			Reset:     time.Duration(full - now),
			Retry:     time.Duration(wait),
		}
	}
	return after, State{
		Allowed:   true,
		Remaining: int((g.depth - (after - now)) / g.interval),
		Reset:     time.Duration(after - now),
	}
}
