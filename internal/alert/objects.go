package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of objects.
const (
	objectsMost  = 5000 // different objects of one endpoint that an identity may ask for in a day (UTC)
	objectsFirst = 500  // requests of a day behind which different objects are counted: most never come so far

	missesMost  = 40 // different objects of one endpoint that one identity asks for and does not get
	missesOver  = 10 * time.Minute
	missesOften = 4                                  // times as many as usual
	missesLearn = 3                                  // days after the first event in which nobody is told
	missesDay   = int64(24 * time.Hour / missesOver) // periods
)

// massReading notices identities that read far more different objects than they used to.
func massReading(t thresholds) Kind {
	most := t.of("mass_reading", objectsMost)
	return Kind{
		Name: "mass_reading", Severity: High, Quiet: 24 * time.Hour, About: perIdentity.subjects(audit.Request),
		Means: "one identity has asked one endpoint for thousands of different objects within a day: it copies your data, or walks through ids that are not its own (BOLA, API1:2023)",
		Do:    "look what it read (pavise log search --client NAME --endpoint 'PATTERN'); if it should not, pavise client disable NAME",
		Most:  most, Counts: "different objects of one endpoint for which one identity asks within a day",
		New: func() Detection {
			return &reading{most: most, seen: NewTable[day](200_000)}
		},
	}
}

type reading struct {
	who  *profiles
	most int
	seen Table[day]
}

// share implements profiler. What it wants of profiles is forgotten at midnight anyway.
func (d *reading) share(p *profiles, _ bool) bool {
	d.who = p
	return false
}

// day is what one identity asked one endpoint for on one day.
type day struct {
	Number int64
	Paths  Distinct
	Raised bool
}

// State implements Detection.
func (d *reading) State() any { return &d.seen }

// See implements Detection.
func (d *reading) See(e *audit.Event, raise func(Alert)) {
	if d.who.now == nil || d.who.now.Today <= objectsFirst || e.Endpoint == "" {
		return
	}
	seed := d.seen.Seed
	seen := d.seen.At(fold(identityKey(e, seed), hash(seed, e.API, e.Endpoint)))
	today := e.Time.Unix() / 86400
	if seen.Number != today {
		*seen = day{Number: today}
	}
	if !seen.Paths.add(hash(seed, e.Path, e.Query)) && !seen.Raised {
		return
	}
	if n := seen.Paths.Count(); n >= float64(d.most) {
		seen.Raised = true
		raise(Alert{Subject: identityOf(e), What: fmt.Sprintf("some %.0f different objects of %s within a day", n, e.Endpoint)})
	}
}

// objectProbing notices identities that try ids: the service has no such object, or does not let
// them have it.
func objectProbing(t thresholds) Kind {
	most := t.of("object_probing", missesMost)
	return Kind{
		Name: "object_probing", Severity: High, Quiet: 6 * time.Hour, About: perIdentity.subjects(audit.Request),
		Means: "one identity asks one endpoint for many different objects that are not there or not its own (answers 404 or 403 of the service): it tries ids (BOLA, API1:2023)",
		Do:    "look which it got (pavise log search --client NAME --endpoint 'PATTERN' --decision accepted), whether they are its own, and mend the service if not; pavise client disable NAME",
		Most:  most, Counts: "different objects of one endpoint that one identity asks for and does not get within " + span(missesOver),
		New: func() Detection { return &probing{most: most, seen: probingState{Misses: NewTable[misses](200_000)}} },
	}
}

type probing struct {
	most int
	seen probingState
}

type probingState struct {
	First  int64 // s, of the first event
	Misses Table[misses]
}

// misses are the objects that one identity did not get of one endpoint.
type misses struct {
	Period int64
	Now    Bitmap
	Usual  Usual   // of a period with any
	Known  float32 // what was usual when the day began
}

// State implements Detection.
func (p *probing) State() any { return &p.seen }

// See implements Detection.
func (p *probing) See(e *audit.Event, raise func(Alert)) {
	if p.seen.First == 0 {
		p.seen.First = e.Time.Unix()
	}
	if e.Status != 404 && e.Status != 403 || !isUse(e) || e.Endpoint == "" {
		return
	}
	seed := p.seen.Misses.Seed
	at := p.seen.Misses.At(fold(identityKey(e, seed), hash(seed, e.API, e.Endpoint)))
	if period := e.Time.Unix() / int64(missesOver/time.Second); period > at.Period {
		if at.Period != 0 {
			at.Usual.Learn(min(at.Now.Count(), p.limit(at)), 50)
		}
		if period/missesDay != at.Period/missesDay {
			at.Known = at.Usual.Mean
		}
		at.Period, at.Now = period, Bitmap{}
	}
	if !at.Now.Add(hash(seed, e.Path, e.Query)) && at.Now.Count() <= float64(p.most) {
		return
	}
	n := at.Now.Count()
	if n > p.limit(at) && e.Time.Unix() > p.seen.First+missesLearn*86400 {
		raise(Alert{Subject: identityOf(e), What: fmt.Sprintf("some %.0f different objects of %s within %s that it did not get", n, e.Endpoint, span(missesOver))})
	}
}

// limit is what an identity may miss. What is usual counts from the next day on, and only as far as
// different objects can be told apart: else whoever begins below the threshold and asks for more
// each time would have taught within the hour that anything is usual.
func (p *probing) limit(at *misses) float64 {
	return max(float64(p.most), min(missesOften*float64(at.Known), MaxDifferent))
}
