package client

import "time"

// What was blocked or held while the clock was ahead would stay so until that time comes, after the
// clock was put back. It holds instead for as long as it was meant to from the moment at which the
// view saw the clock put back, or began. Nothing of it is written: it may be the present clock that
// is wrong, and then what stands in the store holds again when that is mended.
//
// Nothing is forgotten for a day of running time after the clock has jumped either way: revocations
// that are over by a clock that is ahead are not over.

const (
	ahead      = time.Hour        // what begins later than this from now was made by a clock that was ahead
	backwards  = 5 * time.Minute  // by which a clock is put back at least
	unseen     = 10 * time.Minute // between two looks, without which it has jumped
	doubtedFor = int(24 * time.Hour / collectEvery)
)

// looks are what the upkeep knows of the clock.
type looks struct {
	last  time.Time // of the wall's clock, which a monotonic one does not follow
	doubt int       // how often nothing is to be collected yet
}

// see looks at the clock, and reports whether it was put back.
func (l *looks) see(now time.Time) (back bool) {
	now = now.Round(0)
	gap := now.Sub(l.last)
	if !l.last.IsZero() && (gap < -backwards || gap > unseen) {
		l.doubt = doubtedFor
		back = gap < 0
	}
	l.last = now
	return back
}

// believed reports whether what is over by the clock may be forgotten.
func (l *looks) believed() bool {
	if l.doubt == 0 {
		return true
	}
	l.doubt--
	return false
}

// term is from when to when something holds.
type term struct{ since, until time.Time }

// in is the term as it holds now, if the clock was put back at the moment turned.
func (t term) in(now, turned time.Time) term {
	if t.since.Sub(now) <= ahead {
		return t
	}
	if end := turned.Add(t.until.Sub(t.since)); end.Before(t.until) {
		t.until = end
	}
	t.since = turned
	return t
}
