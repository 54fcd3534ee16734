package limit

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// ErrFull says that every key that can be kept has been used so recently that
// forgetting it would give its owner a new quota. The caller refuses.
var ErrFull = errors.New("too many keys are being counted at once")

// DefaultMaxKeys bounds a [Memory] whose options name no bound.
const DefaultMaxKeys = 1_000_000

// maxKey is the longest key in bytes; names and ids are far shorter.
const maxKey = 1024

// MemoryOptions are the settings of a [Memory]. The zero value is useful.
type MemoryOptions struct {
	// MaxKeys bounds how many keys are counted at once; 0 means
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
type Memory struct {
	seed   maphash.Seed
	mask   uint64
	shards []shard
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
	n := 1
	for n < 64 && o.MaxKeys/(2*n) >= 1024 {
		n *= 2
	}
	m := &Memory{seed: maphash.MakeSeed(), mask: uint64(n - 1), shards: make([]shard, n)}
	for i := range m.shards {
		m.shards[i].clock = newClock(o.Now)
		m.shards[i].keys = newTable[string, bucket]((o.MaxKeys + n - 1) / n)
	}
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
	s := &m.shards[maphash.String(m.seed, key)&m.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.read()
	kept := s.keys.get(key)
	if kept == nil {
		full, state := g.take(now, now)
		if !s.keys.add(key, bucket{full}, now) {
			return State{}, ErrFull
		}
		return state, nil
	}
	full, state := g.take(now, kept.full)
	kept.full = full
	return state, nil
}

// Len returns how many keys are kept.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.keys.index)
		s.mu.Unlock()
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
