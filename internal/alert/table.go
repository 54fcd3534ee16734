package alert

import (
	"math"
	"math/bits"
	"time"
)

// Table keeps something about each of many callers, in bounded memory: the half that was looked
// at last is always there, and at most as many others. Its zero value, with Max set, is ready.
type Table[T any] struct {
	Max        int // entries at most
	Young, Old map[string]*T
}

// At returns what is kept of a caller, new if there is nothing.
func (t *Table[T]) At(name string) *T {
	if v := t.Young[name]; v != nil {
		return v
	}
	v := t.Old[name]
	if v == nil {
		v = new(T)
	}
	if t.Young == nil || len(t.Young) >= t.Max/2 {
		t.Old, t.Young = t.Young, make(map[string]*T)
	}
	t.Young[name] = v
	delete(t.Old, name)
	return v
}

// Known returns what is kept of a caller, nil if there is nothing.
func (t *Table[T]) Known(name string) *T {
	if v := t.Young[name]; v != nil {
		return v
	}
	return t.Old[name]
}

// Len is how many callers are kept.
func (t *Table[T]) Len() int { return len(t.Young) + len(t.Old) }

// Decaying counts events of the last while: each weighs less as time passes, half after Half
// times ln 2. After a steady stream it shows how many came within that time.
type Decaying struct {
	N    float64
	Last int64 // µs
}

// Add counts n more and returns the count; over is how long an event is remembered.
func (d *Decaying) Add(n float64, at time.Time, over time.Duration) float64 {
	d.N, d.Last = d.value(at, over)+n, max(d.Last, at.UnixMicro())
	return d.N
}

func (d *Decaying) value(at time.Time, over time.Duration) float64 {
	passed := at.UnixMicro() - d.Last
	if passed <= 0 {
		return d.N
	}
	return d.N * math.Exp(-float64(passed)/float64(over.Microseconds()))
}

// Value is the count now.
func (d *Decaying) Value(at time.Time, over time.Duration) float64 { return d.value(at, over) }

// Distinct estimates how many different names were seen, within a seventh or so, in 64 bytes
// (HyperLogLog: Flajolet et al. 2007).
type Distinct struct{ Registers [64]uint8 }

// Add counts a name, and reports whether the estimate may have grown.
func (d *Distinct) Add(name string) bool {
	h := hash(name)
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

// hash is the same after a restart: FNV-1a, mixed. Whoever chooses names so that they collide
// is counted as fewer than he is, which the other detections notice.
func hash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
