package alert

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Table keeps a value for each of many callers, in bounded memory: the half that was looked at
// last is always there, and at most as many others. Callers are known by a hash of their names
// under a seed of the table's own, so that nobody can choose a name that is taken for another.
// Values lie side by side in pages, and should hold no pointers: so a garbage collector passes over a million.
type Table[T any] struct {
	Seed       uint64
	Young, Old Half[T]

	max int // not kept: another version may have another
}

// Half is a part of a table.
type Half[T any] struct {
	Pages []Page[T] // all but the last are full

	index map[uint64]uint32 // of a key, its place; made when it is first needed
}

// Page holds some entries, so that a table grows without moving what it has.
type Page[T any] struct {
	Keys   []uint64
	Values []T
}

const pageSize = 256

// NewTable makes a table of so many entries at most.
func NewTable[T any](most int) Table[T] { return Table[T]{Seed: rand.Uint64() | 1, max: most} }

// Key is how the table knows a caller by his names.
func (t *Table[T]) Key(names ...string) uint64 { return hash(t.Seed, names...) }

// At returns what is kept of a caller, new if there is nothing. It is good until the next call.
func (t *Table[T]) At(key uint64) *T {
	if v := t.Young.find(key); v != nil {
		return v
	}
	if len(t.Young.index) >= max(t.max/2, 1) {
		t.Old, t.Young = t.Young, Half[T]{}
	}
	var kept T
	if v := t.Old.find(key); v != nil {
		kept = *v
		delete(t.Old.index, key)
	}
	return t.Young.add(key, kept)
}

// Known returns what is kept of a caller, nil if there is nothing.
func (t *Table[T]) Known(key uint64) *T {
	if v := t.Young.find(key); v != nil {
		return v
	}
	return t.Old.find(key)
}

// Len is how many callers are kept.
func (t *Table[T]) Len() int {
	t.Young.ready()
	t.Old.ready()
	return len(t.Young.index) + len(t.Old.index)
}

func (h *Half[T]) find(key uint64) *T {
	h.ready()
	if at, ok := h.index[key]; ok {
		return &h.Pages[at/pageSize].Values[at%pageSize]
	}
	return nil
}

func (h *Half[T]) add(key uint64, value T) *T {
	h.ready()
	last := len(h.Pages) - 1
	if last < 0 || len(h.Pages[last].Keys) == pageSize {
		last++
		h.Pages = append(h.Pages, Page[T]{make([]uint64, 0, pageSize), make([]T, 0, pageSize)})
	}
	page := &h.Pages[last]
	h.index[key] = uint32(last*pageSize + len(page.Keys))
	page.Keys, page.Values = append(page.Keys, key), append(page.Values, value)
	return &page.Values[len(page.Values)-1]
}

// ready makes the index of what came from a file.
func (h *Half[T]) ready() {
	if h.index != nil {
		return
	}
	h.index = make(map[uint64]uint32, len(h.Pages)*pageSize)
	for i, page := range h.Pages {
		if len(page.Keys) != len(page.Values) || i < len(h.Pages)-1 && len(page.Keys) != pageSize || len(page.Keys) > pageSize {
			h.Pages = h.Pages[:i] // a file that is not as we write it: what follows is forgotten
			return
		}
		for at, key := range page.Keys {
			h.index[key] = uint32(i*pageSize + at)
		}
	}
}

// windowParts is how many parts the count of a window has; one more than fill it, so that
// never less than the window is counted.
const windowParts = 8

// Window counts events of the last while: at least of that time, and at most of a seventh more.
// Its zero value is ready.
type Window struct {
	Slot int64 // number of the newest part, since 1970
	N    [windowParts]uint32
}

// slotOf is the number of the part of a window in which a time lies.
func slotOf(at time.Time, over time.Duration) int64 {
	return at.UnixMilli() / max(over.Milliseconds()/(windowParts-1), 1)
}

// Add counts n more and returns how many there are; over is the window's length.
func (w *Window) Add(n int, at time.Time, over time.Duration) int {
	slot := slotOf(at, over)
	switch passed := slot - w.Slot; {
	case passed >= windowParts:
		w.N = [windowParts]uint32{}
		w.Slot = slot
	case passed > 0:
		for i := range passed {
			w.N[(w.Slot+1+i)%windowParts] = 0
		}
		w.Slot = slot
	}
	part := &w.N[w.Slot%windowParts] // what comes late counts as of now
	*part = uint32(min(uint64(*part)+uint64(max(n, 0)), math.MaxUint32))
	sum := 0
	for _, n := range w.N {
		sum += int(n)
	}
	return sum
}

// Sketch estimates how many different things were seen in one to two periods, within a tenth up
// to some three hundred, which is the most that it tells apart (linear counting: Whang et al.
// 1990). Its zero value is ready.
type Sketch struct {
	Period      int64
	Now, Before Bitmap
}

// periodOf is the number of the period of a sketch in which a time lies.
func periodOf(at time.Time, over time.Duration) int64 {
	return at.UnixMilli() / max(over.Milliseconds(), 1)
}

// Add counts a thing by its hash and returns how many there are.
func (s *Sketch) Add(h uint64, at time.Time, over time.Duration) float64 {
	period := periodOf(at, over)
	switch passed := period - s.Period; {
	case passed == 1:
		s.Before, s.Now, s.Period = s.Now, Bitmap{}, period
	case passed > 1:
		s.Before, s.Now, s.Period = Bitmap{}, Bitmap{}, period
	}
	s.Now.Add(h)
	return Bitmap{s.Now[0] | s.Before[0], s.Now[1] | s.Before[1]}.Count()
}

// Bitmap counts different things, as one period of a Sketch does.
type Bitmap [2]uint64

// Add counts a thing by its hash, and reports whether the count has grown.
func (b *Bitmap) Add(h uint64) bool {
	word, bit := &b[h>>6&1], uint64(1)<<(h&63)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// Count is the estimate.
func (b Bitmap) Count() float64 {
	const m = 128
	empty := m - bits.OnesCount64(b[0]) - bits.OnesCount64(b[1])
	return m * math.Log(m/max(float64(empty), 0.5))
}

// Distinct estimates how many different names were seen, within a seventh or so, in 64 bytes
// (HyperLogLog: Flajolet et al. 2007).
type Distinct struct{ Registers [64]uint8 }

// Add counts a name, and reports whether the estimate may have grown.
func (d *Distinct) Add(name string) bool { return d.add(hash(0, name)) }

func (d *Distinct) add(h uint64) bool {
	i := h >> 58
	rank := uint8(bits.LeadingZeros64(h<<6|1<<5) + 1)
	if rank <= d.Registers[i] {
		return false
	}
	d.Registers[i] = rank
	return true
}

// Count is the estimate.
func (d *Distinct) Count() float64 {
	const m = 64
	sum, empty := 0.0, 0
	for _, r := range d.Registers {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	estimate := 0.709 * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		return m * math.Log(float64(m)/float64(empty))
	}
	return estimate
}

// Usual learns how large something usually is: an exponentially weighted mean and mean
// deviation. Its zero value has learned nothing.
type Usual struct {
	Mean, Dev float32
	N         uint16
}

// Learn takes in a value; the newest of about `memory` values weigh as much as all before.
func (u *Usual) Learn(value float64, memory float64) {
	u.N = uint16(min(int(u.N)+1, math.MaxUint16))
	weight := 1 / min(float64(u.N), memory)
	off := value - float64(u.Mean)
	u.Mean += float32(off * weight)
	if u.N > 1 {
		u.Dev += float32((math.Abs(off) - float64(u.Dev)) * weight)
	}
}

// hash is the same after a restart. It is that of wyhash (Wang Yi) in its plainest form: words of
// eight bytes are multiplied in, and the halves of the product folded.
func hash(seed uint64, names ...string) uint64 {
	h := seed ^ 0xa0761d6478bd642f
	for _, s := range names {
		h = fold(h^uint64(len(s)), 0xe7037ed1a0b428db)
		for ; len(s) >= 8; s = s[8:] {
			h = fold(h^word(s), 0x8ebc6af09c88c6e3)
		}
		var rest uint64
		for i := range len(s) {
			rest |= uint64(s[i]) << (8 * i)
		}
		h = fold(h^rest, 0x589965cc75374cc3)
	}
	return fold(h, 0x1d8e4e27c47d124f)
}

// hashNetwork is that of a network.
func hashNetwork(seed uint64, p netip.Prefix) uint64 {
	b := p.Addr().As16()
	h := seed ^ uint64(p.Bits())<<1 ^ 0xa0761d6478bd642f
	if p.Addr().Is4() {
		h++
	}
	h = fold(h^word(b[:8]), 0xe7037ed1a0b428db)
	h = fold(h^word(b[8:]), 0x8ebc6af09c88c6e3)
	return fold(h, 0x1d8e4e27c47d124f) // else neighbours share out bits so evenly that a sketch counts too many
}

func word[S string | []byte](s S) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
