package renewed

import "time"

// Bounds of a [Pause].
const (
	firstPause = 5 * time.Second
	lastPause  = 15 * time.Minute
)

// Pause is the time after which something that failed is tried again: it grows from try to
// try. The zero value is over.
type Pause struct {
	long  time.Duration
	began time.Time
}

// Failed begins the next pause, and returns how long it is.
func (p *Pause) Failed(now time.Time) time.Duration {
	p.long = min(max(2*p.long, firstPause), lastPause)
	p.began = now
	return p.long
}

// IsOver reports whether it is time for the next try. A clock that was set back behind the
// beginning of the pause ends it: nobody knows how long it has lasted.
func (p *Pause) IsOver(now time.Time) bool {
	return !now.Before(p.began.Add(p.long)) || now.Before(p.began)
}
