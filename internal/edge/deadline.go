package edge

import (
	"sync"
	"time"
)

// deadline joins two opinions about when an operation must end: ours, and that of
// whoever uses the connection (net/http interrupts its reads with a deadline in
// the past). The earlier one is in force. It is safe for concurrent use.
type deadline struct {
	set func(time.Time) error // of the connection below

	mu            sync.Mutex
	ours, theirs  time.Time
	force         time.Time // what the connection below was told last
	theirsReplace bool      // theirs is a handler's own: it stands instead of ours
}

// limit sets ours; the zero time means none.
func (d *deadline) limit(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ours = t
	_ = d.apply() // it fails on a closed connection, as the operation itself will
}

// request sets theirs. net/http, configured without timeouts, asks only for none
// or for one in the past: a time to come is a handler's own.
func (d *deadline) request(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.theirs = t
	if t.After(time.Now()) {
		d.theirsReplace = true
	}
	return d.apply()
}

// next forgets a handler's own deadline when its request is over.
func (d *deadline) next() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.theirsReplace = false
}

// expired says whether ours has passed: then a timeout is the peer's fault.
func (d *deadline) expired(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.theirsReplace && !d.ours.IsZero() && !now.Before(d.ours)
}

func (d *deadline) apply() error {
	t := d.theirs
	if !d.theirsReplace && !d.ours.IsZero() && (t.IsZero() || d.ours.Before(t)) {
		t = d.ours
	}
	if t.Equal(d.force) {
		return nil
	}
	d.force = t
	return d.set(t)
}

// patience arms d before an operation that p paces. It leaves alone what is
// near enough to what it would set: arming costs as much as a short read.
func (d *deadline) patience(now time.Time, p *pace) {
	d.mu.Lock()
	near := d.ours.Sub(now)
	d.mu.Unlock()
	if near > p.left/2 && near <= p.left {
		return
	}
	d.limit(now.Add(p.left))
}
