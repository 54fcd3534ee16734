package sink

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// tellEvery is the least time between two notes of one code. What is told becomes an event,
// which is to be delivered, too: without a bound, a destination that rejects everything would
// fill the log with what it rejects.
const tellEvery = time.Minute

// teller tells the operator how a feed is. It belongs to the feed's loop.
type teller struct {
	s Settings

	told       map[string]time.Time // by code
	ailing     bool                 // that it fails was told
	lostCount  uint64               // not yet told
	rejections uint64               // not yet told
}

func newTeller(s Settings) teller { return teller{s: s, told: map[string]time.Time{}} }

func (t *teller) fails(err error) {
	if !t.ailing && t.due(Failing) {
		t.ailing = true
		t.note(Failing, "%v", err)
	}
}

func (t *teller) works() {
	if t.ailing {
		t.ailing = false
		t.note(Recovered, "events are delivered again")
	}
}

func (t *teller) lost(events uint64) {
	t.lostCount += events
	if t.due(Lost) {
		t.note(Lost, "%d events were removed from the log before they were delivered", t.lostCount)
		t.lostCount = 0
	}
}

// rejected tells of an event that was refused for good. That of an event which tells of
// sinks is only counted.
func (t *teller) rejected(f audit.Found, why error) {
	t.rejections++
	if isOwn(&f.Event) || !t.due(Rejected) {
		return
	}
	more := ""
	if t.rejections > 1 {
		more = fmt.Sprintf(", and %d before it", t.rejections-1)
	}
	t.note(Rejected, "event %s (%d)%s: %v", f.Event.ID, f.Seq, more, why)
	t.rejections = 0
}

// isOwn reports whether an event tells of sinks.
func isOwn(e *audit.Event) bool {
	switch e.Code {
	case Failing, Recovered, Lost, Rejected, Full:
		return e.Class == audit.System
	}
	return false
}

// due reports whether enough time has passed since a code was told, and counts it as told.
func (t *teller) due(code string) bool {
	now := t.s.Now()
	if last, ok := t.told[code]; ok && now.Sub(last) < tellEvery {
		return false
	}
	t.told[code] = now
	return true
}

func (t *teller) note(code, format string, args ...any) {
	if t.s.Note != nil {
		t.s.Note(code, "sink "+t.s.Name+": "+fmt.Sprintf(format, args...))
	}
}
