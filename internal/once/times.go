package once

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/shield"
)

// A clock that was ahead and is put back makes the time between pass twice. What was used in its
// first pass may be forgotten, since it was over then, and would pass in its second; and to refuse all
// that ends before the latest moment that was ever seen would shut every caller out until it comes
// again, be that in sixteen years. So the store remembers the stretches of time in which it was
// used. When the clock is put back, it begins anew as after a cold start: what was made before now
// is refused, and so is, when its time comes, what may have been used in a stretch that lay ahead.
//
// Whoever signs now passes after a minute ([Options.Skew]); what was used never passes again.

// span is a stretch of time, in nanoseconds since 1970.
type span struct{ from, to int64 }

const (
	grain     = int64(time.Second) // of what is known of the present
	longPause = int64(time.Hour)   // without a claim ends a stretch
	mostSpans = 8
)

// times are the stretches of time in which a store was used, and those of which it has forgotten
// what was used.
type times struct {
	skew int64
	high atomic.Int64           // the latest moment that was seen, to within grain
	lost atomic.Pointer[[]span] // ahead of the clock when it was put back; never changed, replaced
	keep func(seen, lost []span)

	mu   sync.Mutex
	seen []span // oldest first; the last one is the present
}

// newTimes goes on with what is known.
func newTimes(skew time.Duration, seen, lost []span, keep func(seen, lost []span)) *times {
	t := &times{skew: int64(skew), seen: seen, keep: keep}
	t.lost.Store(&lost)
	if len(seen) > 0 {
		t.high.Store(seen[len(seen)-1].to)
	}
	return t
}

// see looks at the clock, and reports whether it was put back.
func (t *times) see(now int64) (back bool) {
	high := t.high.Load()
	if now > high+grain {
		t.extend(now)
	}
	return high-now > t.skew
}

func (t *times) extend(now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	high := t.high.Load()
	switch last := len(t.seen) - 1; {
	case now <= high:
		return
	case last >= 0 && now-high <= longPause:
		t.seen[last].to = now
	default:
		t.seen = fewer(append(t.seen, span{now, now}))
	}
	t.high.Store(now)
	t.keep(t.seen, *t.lost.Load())
}

// turnBack takes note of a clock that was put back; cold is from when on the store has known what
// was used. False: another call has done it. Nobody may use the store meanwhile.
func (t *times) turnBack(now, cold int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.high.Load()-now <= t.skew {
		return false
	}
	lost := slices.Clone(*t.lost.Load())
	var seen []span
	for _, s := range t.seen {
		if s.to > now {
			lost = append(lost, span{max(s.from, now), s.to + grain})
		}
		if s.from <= now {
			seen = append(seen, span{s.from, min(s.to, now)})
		}
	}
	if start := cold - t.skew; start > now { // what was used before that was not known either
		lost = append(lost, span{start, start})
	}
	lost = fewer(lost)
	t.seen = append(seen, span{now, now})
	t.seen = fewer(t.seen)
	t.lost.Store(&lost)
	t.high.Store(now)
	t.keep(t.seen, lost)
	return true
}

// mayBeLost reports whether a claim may have been used in a stretch of which nothing is known: it was
// good at some moment of it.
func (t *times) mayBeLost(c *shield.Once) bool {
	lost := *t.lost.Load()
	if len(lost) == 0 {
		return false
	}
	made, until := c.Made.UnixNano(), c.Until.UnixNano()
	return slices.ContainsFunc(lost, func(s span) bool { return until > s.from && made <= s.to+t.skew })
}

// fewer joins the stretches that are closest until there are not too many.
func fewer(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	for len(all) > mostSpans {
		closest := 1
		for i := 2; i < len(all); i++ {
			if all[i].from-all[i-1].to < all[closest].from-all[closest-1].to {
				closest = i
			}
		}
		all[closest-1].to = max(all[closest-1].to, all[closest].to)
		all = slices.Delete(all, closest, closest+1)
	}
	return all
}
