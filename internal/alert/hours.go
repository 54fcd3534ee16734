package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of hours.
const (
	hoursLeast  = 20 // requests within an hour
	hoursDays   = 10 // on which an identity was there, before anything is told
	hoursApart  = 3  // hours to the next at which it is usually there
	hoursUsual  = 14 // of 24 at which it may be there; who is there at more has no hours
	hoursForget = 60 // days after which what was learned counts half
)

// unusualHour notices an identity that calls at an hour of the day at which it never does.
func unusualHour(t thresholds) Kind {
	least := t.of("unusual_hour", hoursLeast)
	return Kind{
		Name: "unusual_hour", Severity: Low, Quiet: 12 * time.Hour, About: perIdentity.subjects(audit.Request),
		Means: "an identity that always calls at the same hours of the day calls at another, as much as it usually does: somebody works at night, or elsewhere in the world",
		Do:    "ask its owner (pavise log search --client NAME --since 2h)",
		Most:  least, Counts: "requests of one identity within an hour at which it never calls",
		New: func() Detection { return &clocks{least: least} },
	}
}

type clocks struct {
	sharer
	least int
}

// See implements Detection.
func (c *clocks) See(e *audit.Event, raise func(Alert)) {
	at := c.who.now
	if at == nil || at.HasToldHour || at.N <= uint32(c.least) || float32(at.N) < at.Typical || at.Days < hoursDays || !at.isUnusualHour() {
		return
	}
	at.HasToldHour = true
	raise(Alert{Subject: holderOf(e), What: fmt.Sprintf("%d requests between %d and %d o'clock UTC, when it never calls", at.N, at.Hour%24, (at.Hour+1)%24)})
}

// isUnusualHour reports whether the present hour is far from all at which it calls.
func (at *profile) isUnusualHour() bool {
	usual := 0
	for h, days := range at.SeenAt {
		if days == 0 {
			continue
		}
		usual++
		apart := (int(at.Hour%24) - h + 24) % 24
		if min(apart, 24-apart) < hoursApart {
			return false
		}
	}
	return usual <= hoursUsual
}
