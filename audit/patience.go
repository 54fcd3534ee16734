package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What is removed because of its age is gone for good, and a clock can be wrong for a moment:
// machines start in 1970 or 2042, and a minute later somebody mends it. So the log looks at the
// clock every minute, and where it has jumped ahead since the last look, nothing is removed
// because of its age for a day of running time, or until an operator says that the clock is right.
// What is too large is removed all the same: the disk does not wait.
//
// A gateway that was off for long looks the same, and waits too. A clock that is wrong for a
// whole day is believed.
const (
	// heldFor is how long the clock must go on as a clock does after a jump.
	heldFor = 24 * time.Hour
	// longestLook is how much of it one look counts at most, so that a jump within it adds little.
	longestLook = 10 * time.Minute
	// longestGap is the longest time between two looks that is no jump, however long things are
	// kept.
	longestGap = 7 * 24 * time.Hour
	// sightEvery is how often what is known of the clock is kept.
	sightEvery = 10 * time.Minute
)

const clockName = "clock"

// sight is what is known of the clock. The file clock holds it.
type sight struct {
	Last time.Time     `json:"last"`           // when it was last looked at
	Held *Hold         `json:"held,omitempty"` // nil: what is old may go
	Ran  time.Duration `json:"ran,omitempty"`  // how long it has gone on since the jump
}

// Hold says why nothing is removed because of its age at present.
type Hold struct {
	From time.Time     `json:"from"` // the last look at the clock before it jumped
	To   time.Time     `json:"to"`   // the first one after
	Left time.Duration `json:"left"` // of running time, until what is old goes
}

// next looks at the clock. A step back holds nothing: what would be removed becomes less.
func (s *sight) next(now time.Time, gap time.Duration) {
	passed := now.Round(0).Sub(s.Last) // of the wall's clock: a monotonic one does not jump
	switch {
	case gap > 0 && passed > gap:
		s.Held, s.Ran = &Hold{From: s.Last, To: now.UTC().Round(0)}, 0
	case s.Held != nil:
		if s.Ran += min(max(passed, 0), longestLook); s.Ran >= heldFor {
			s.Held, s.Ran = nil, 0
		}
	}
	s.Last = now.UTC().Round(0)
}

// patience is the watch over the clock. The drain looks, others ask.
type patience struct {
	mu   sync.Mutex
	seen sight
	kept sight // as the file has it
}

// hold is the hold in force; nil: there is none.
func (p *patience) hold() *Hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen.Held == nil {
		return nil
	}
	held := *p.seen.Held
	held.Left = heldFor - p.seen.Ran
	return &held
}

// gap is the longest time between two looks that is no jump; 0: nothing is removed because of
// its age.
func (o *Options) gap() time.Duration {
	shortest := o.shortest()
	if others := o.OthersKeep; others > 0 && (shortest == 0 || others < shortest) {
		shortest = others
	}
	return min(shortest/4, longestGap)
}

// openClock reads what is known of the clock. Of a log that had no such file yet, or that lost it,
// the newest checkpoint says when it was last written.
func (c *chain) openClock(points []Checkpoint) error {
	text, err := os.ReadFile(filepath.Join(c.Dir, clockName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("event log: read when the clock was last looked at: %w", err)
	}
	p := &c.patience
	if json.Unmarshal(text, &p.seen) != nil || p.seen.Last.IsZero() {
		p.seen = sight{Last: newestOf(points).Time}
	}
	p.kept = p.seen
	if p.seen.Last.IsZero() {
		p.seen.Last = c.Now().UTC().Round(0)
	}
	return nil
}

// look looks at the clock, and tells where it has jumped and where it is believed again. It
// belongs to the drain.
func (c *chain) look() {
	p := &c.patience
	p.mu.Lock()
	before := p.seen.Held
	p.seen.next(c.Now(), c.gap())
	held := p.seen.Held
	p.mu.Unlock()
	switch {
	case held != nil && held != before:
		why := held.why()
		c.tell(&Event{Code: codeHeld, Detail: why})
		c.Warn(fmt.Errorf("event log: %s; if the clock is right: pavise log retention --go-on", why))
	case held == nil && before != nil:
		c.tell(&Event{Code: codeResumed, Detail: "the clock has gone on for a day as a clock does"})
	}
	c.keepSight(held != before)
}

// Codes of the events that say that nothing is removed because of its age, and that it is again.
const (
	codeHeld    = "retention_held"
	codeResumed = "retention_resumed"
)

func (h *Hold) why() string {
	return fmt.Sprintf("the clock was %s when it was last looked at, and %s at the next look: it has jumped, or nothing ran meanwhile; nothing is removed because of its age until it has gone on for a day",
		h.From.Format(time.RFC3339), h.To.Format(time.RFC3339))
}

// keepSight writes what is known of the clock, now or if it was long ago. What cannot be written
// is tried again at the next look: the log itself has more to say of a disk that fails.
func (c *chain) keepSight(now bool) {
	p := &c.patience
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	since := seen.Last.Sub(p.kept.Last)
	if !now && since >= 0 && since < sightEvery {
		return
	}
	text, err := json.Marshal(seen)
	if err != nil {
		return
	}
	name := filepath.Join(c.Dir, clockName)
	if now {
		err = replaceFile(name, text)
	} else if err = os.WriteFile(name+".new", text, 0o600); err == nil {
		err = os.Rename(name+".new", name) // what the loss of power takes of it, the newest checkpoint says
	}
	if err == nil {
		p.kept = seen
	}
}

// Hold returns why nothing is removed because of its age at present, be it of the log or of what
// others keep ([Options.OthersKeep]); nil: what is old goes.
func (l *Log) Hold() *Hold { return l.chain.patience.hold() }

// GoOn lets what is old go again, because somebody says that the clock is right. It reports
// whether it was held.
func (l *Log) GoOn() (held bool, err error) {
	err = l.ask(func(c *chain) error {
		p := &c.patience
		p.mu.Lock()
		held = p.seen.Held != nil
		p.seen.Held, p.seen.Ran, p.seen.Last = nil, 0, c.Now().UTC().Round(0)
		p.mu.Unlock()
		if !held {
			return nil
		}
		c.tell(&Event{Code: codeResumed, Detail: "an operator says that the clock is right"})
		c.keepSight(true)
		c.retained = time.Time{}
		return c.write()
	})
	return held, err
}
