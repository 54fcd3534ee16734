package pki

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pavise.dev/pavise/internal/rows"
)

// Nothing is forgotten, and nothing made ahead of its time, because a clock says so for a
// moment: machines start with a clock of 1970 or 2042, and NTP mends it a minute later. So
// the authority remembers when it was last looked at the clock, and believes it after a day
// in which it went on as a clock does.
//
// A clock that is wrong by the same amount for a whole day is believed. What is lost then
// are records of certificates that have ended by it; the authority's own keys never are.
const (
	// lookEvery is how often the moment is kept.
	lookEvery = time.Hour
	// steadyFor is how long the clock must have gone on steadily. Only time in which somebody
	// looked counts: a jump adds one look, however far it goes.
	steadyFor = 24 * time.Hour
	// backwards is how far a clock may be set back without being doubted.
	backwards = 5 * time.Minute
	// unseen is the longest time without a look. It is shorter than KeepCertificates: a jump
	// that is taken for a pause reaches nothing that is in force.
	unseen = 3 * 24 * time.Hour
)

// sighting is what is remembered of the clock.
type sighting struct {
	Last   time.Time     `json:"last"`
	Steady time.Duration `json:"steady"` // how long it has gone on steadily until then
}

// next is the sighting at a later moment, and what is odd about it.
func (s sighting) next(now time.Time) (next sighting, odd string) {
	gap := now.Round(0).Sub(s.Last) // the wall's clock: a monotonic one does not jump
	switch {
	case gap < -backwards:
		odd = fmt.Sprintf("the clock was %s and is %s now: it was set back", s.Last.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case gap > unseen:
		odd = fmt.Sprintf("the clock was %s when it was last looked at, and is %s now: it has jumped, or nothing ran meanwhile", s.Last.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	default:
		return sighting{Last: now.UTC(), Steady: min(s.Steady+min(max(gap, 0), 2*lookEvery), steadyFor)}, ""
	}
	return sighting{Last: now.UTC()}, odd
}

// steadiness is the clock as the authority knows it.
type steadiness struct {
	table rows.Table[sighting]
	mu    sync.Mutex
	seen  sighting // the last one that was kept; zero: none yet
}

const clockID = "clock"

// JumpError says that the clock did not go on as a clock does.
type JumpError struct{ text string }

// Error says from when to when.
func (e *JumpError) Error() string {
	return e.text + ". Until it has gone on steadily for a day, nothing is removed and no authority is replaced by itself"
}

// Steady looks at the clock, and reports whether it may be believed when something is to be
// removed for good. After a jump it returns a [JumpError], once.
func (a *Authority) Steady(ctx context.Context) (bool, error) {
	if _, err := a.hierarchy(); err != nil {
		return false, nil // there is nothing to be kept
	}
	c := &a.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	now := a.options.Now()
	if err := c.remember(ctx, now); err != nil {
		return false, fmt.Errorf("remember the clock: %w", err)
	}
	if gap := now.Round(0).Sub(c.seen.Last); gap >= -backwards && gap < lookEvery {
		return c.seen.Steady >= steadyFor, nil
	}
	odd := ""
	kept, err := c.table.Change(ctx, clockID, func(s *sighting) error { *s, odd = s.next(now); return nil })
	if err != nil {
		return false, fmt.Errorf("remember the clock: %w", err)
	}
	c.seen = kept
	if odd != "" {
		return false, &JumpError{odd}
	}
	return kept.Steady >= steadyFor, nil
}

// remember reads what is remembered, and begins if there is nothing yet.
func (c *steadiness) remember(ctx context.Context, now time.Time) error {
	if !c.seen.Last.IsZero() {
		return nil
	}
	row, err := c.table.Get(ctx, clockID)
	if errors.Is(err, rows.ErrMissing) {
		row.Value = sighting{Last: now.UTC()}
		err = c.table.Add(ctx, clockID, row.Value)
	}
	if err == nil {
		c.seen = row.Value
	}
	return err
}
