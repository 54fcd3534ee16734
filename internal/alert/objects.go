package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// objects notices identities that read far more different objects than they used to.
func objects() Kind {
	return Kind{
		Name: "mass_reading", Severity: High, Quiet: 24 * time.Hour,
		Means: "one identity has asked one endpoint for thousands of different objects within a day: it copies your data, or walks through ids that are not its own (BOLA, API1:2023)",
		Do:    "look what it read (pavise log search --client NAME --endpoint 'PATTERN'); if it should not, pavise client disable NAME",
		New:   func() Detection { return &reading{Seen: Table[day]{Max: 200_000}} },
	}
}

// objectsMost is how many different objects of one endpoint an identity may ask for in a day.
const objectsMost = 5000

type reading struct{ Seen Table[day] }

// day is what one identity asked one endpoint for on one day (UTC).
type day struct {
	Number int64
	Paths  Distinct
	Raised bool
}

// State implements Detection.
func (d *reading) State() any { return d }

// See implements Detection.
func (d *reading) See(e *audit.Event, raise func(Alert)) {
	if e.Class != audit.Request || e.Decision != audit.Accepted || !e.Proved || e.Endpoint == "" {
		return
	}
	who := identityOf(e)
	seen := d.Seen.At(who.Name + "\x00" + e.API + "\x00" + e.Endpoint)
	if today := e.Time.Unix() / 86400; seen.Number != today {
		*seen = day{Number: today}
	}
	if !seen.Paths.Add(e.Path+"?"+e.Query) && !seen.Raised {
		return
	}
	if n := seen.Paths.Count(); n >= objectsMost {
		seen.Raised = true
		raise(Alert{Subject: who, What: fmt.Sprintf("some %.0f different objects of %s within a day", n, e.Endpoint)})
	}
}

// identityOf is the narrowest identity that an event proves.
func identityOf(e *audit.Event) Subject {
	switch {
	case e.User != "":
		return Subject{"user", e.User}
	case e.Client != "":
		return Subject{"client", e.Client}
	}
	return Subject{"credential", e.CredentialID}
}
