package limit

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Concurrency bounds how much is under way at once: for each key, and in all.
// It keeps only keys that have something under way, so it is bounded by the
// total. It is safe for concurrent use and exact.
type Concurrency struct {
	perKey int
	total  int64
	inUse  atomic.Int64
	seed   maphash.Seed
	shards [16]places
}

type places struct {
	mu   sync.Mutex
	used map[string]int
	_    [48]byte // its own cache line
}

// DefaultTotal is the bound in all where none is given.
const DefaultTotal = 65536

// NewConcurrency returns a Concurrency that lets each key have perKey things
// under way, and all together total; total 0 means [DefaultTotal].
func NewConcurrency(perKey, total int) (*Concurrency, error) {
	if total == 0 {
		total = max(DefaultTotal, perKey)
	}
	if perKey < 1 || total < perKey {
		return nil, fmt.Errorf("%d at once for each and %d in all: want at least 1, and no more for each than in all", perKey, total)
	}
	c := &Concurrency{perKey: perKey, total: int64(total), seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].used = map[string]int{}
	}
	return c, nil
}

// Acquire takes a place for key. If ok, release gives it back; calling it more
// than once does no harm. If not ok, release is nil and nothing was taken.
func (c *Concurrency) Acquire(key string) (release func(), ok bool) {
	s := &c.shards[maphash.String(c.seed, key)%uint64(len(c.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.used[key]
	if used >= c.perKey || !c.enter() {
		return nil, false
	}
	s.used[key] = used + 1
	p := &place{of: c, shard: s, key: key}
	return p.release, true
}

// enter takes one of the total, never more even for a moment.
func (c *Concurrency) enter() bool {
	for {
		n := c.inUse.Load()
		if n >= c.total {
			return false
		}
		if c.inUse.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// InUse returns how many places are taken now.
func (c *Concurrency) InUse() int { return int(c.inUse.Load()) }

type place struct {
	of    *Concurrency
	shard *places
	key   string
	once  atomic.Bool
}

func (p *place) release() {
	if p.once.Swap(true) {
		return
	}
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if left := p.shard.used[p.key] - 1; left > 0 {
		p.shard.used[p.key] = left
	} else {
		delete(p.shard.used, p.key)
	}
	p.of.inUse.Add(-1)
}
