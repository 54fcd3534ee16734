package once

import (
	"hash/maphash"
	"sync"

	"pavise.dev/pavise/shield"
)

// shares count roughly how many live claims each space has, so that one caller
// who floods cannot fill the store for all. While there is ample room nobody is
// refused; after that, a space with more than a quarter of the capacity is.
//
// A cell counts in epochs that are as long as its claims live, and remembers the
// one before: a claim counts for one to two of its lives, so the flooder is over
// its share early and never late. Spaces may share a cell by chance, one in 4096,
// which nobody can aim at. A restart begins at zero. It is safe for concurrent use.
type shares struct {
	seed  maphash.Seed
	most  int
	cells [shareCells]cell
}

const shareCells = 1 << 12

type cell struct {
	mu           sync.Mutex
	end, life    int64 // of the epoch, nanoseconds
	count, older int
}

func newShares(capacity int) *shares {
	return &shares{seed: maphash.MakeSeed(), most: max(capacity/4, 1)}
}

// add counts a claim and reports whether its space may have it.
func (s *shares) add(c *shield.Once, now int64, ample bool) bool {
	cell := &s.cells[maphash.String(s.seed, c.Space)%shareCells]
	cell.mu.Lock()
	defer cell.mu.Unlock()
	cell.turn(now)
	if life := c.Until.UnixNano() - now; life > cell.life {
		cell.end += life - cell.life
		cell.life = life
	}
	if !ample && cell.count+cell.older >= s.most {
		return false
	}
	cell.count++
	return true
}

// turn begins a new epoch if the last one is over.
func (c *cell) turn(now int64) {
	switch {
	case c.end-now > c.life: // the clock was set back
		c.end = now + c.life
	case now < c.end:
	case now < c.end+c.life:
		c.older, c.count, c.end = c.count, 0, now+c.life
	default: // idle for so long that nothing is left
		c.older, c.count, c.life, c.end = 0, 0, 0, now
	}
}
