package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of errors.
const (
	errorsWindow = 5 * time.Minute // over which the share of errors is taken
	errorsLeast  = 20              // errors within a window, below which nobody is told
	errorsAbove  = 0.05            // share above the usual one
	errorsDevs   = 6               // deviations above the usual share
	errorsHeld   = 7 * time.Minute // so long it must last: a deployment is over by then
	errorsLearn  = 24              // windows with traffic, two hours of it, before anything is told
	hoursOfWeek  = 168
)

// errorRate notices an endpoint that fails more often than it does at this hour of the week.
func errorRate(t thresholds) Kind {
	least := t.of("error_rate", errorsLeast)
	return Kind{
		Name: "error_rate", Severity: High, Quiet: 30 * time.Minute, About: []string{"endpoint"},
		Means: "an endpoint fails more often than it usually does at this hour of the week, and not only for the minutes of a deployment",
		Do:    "look at the service behind it (pavise log search --endpoint 'PATTERN' --decision failed; the upstream's status and address are in each event)",
		Most:  least, Counts: "errors of one endpoint within " + span(errorsWindow) + ", and far more than usual",
		New: func() Detection { return &failures{least: least, seen: NewTable[endpointErrors](20_000)} },
	}
}

type failures struct {
	least int
	seen  Table[endpointErrors]
}

// endpointErrors is what is known of the errors of one endpoint.
type endpointErrors struct {
	Window  int64 // number of the present one
	N, Bad  uint32
	Since   int64 // µs, since when there are too many; 0: there are not
	Always  Usual // share of errors, at any hour
	HourOf  [hoursOfWeek]float32
	DevOf   [hoursOfWeek]float32
	Learned [hoursOfWeek]uint16 // windows
}

// State implements Detection.
func (f *failures) State() any { return &f.seen }

// See implements Detection.
func (f *failures) See(e *audit.Event, raise func(Alert)) {
	if e.Class != audit.Request || e.Endpoint == "" || e.Decision == audit.Refused {
		return
	}
	key, _ := PerEndpoint.key(e, f.seen.Seed)
	at := f.seen.At(key)
	if window := e.Time.Unix() / int64(errorsWindow/time.Second); window > at.Window {
		at.turn(window, f.least)
	}
	at.N++
	if e.Status < 500 && e.Decision != audit.Failed {
		return
	}
	at.Bad++
	usual, most := at.bounds()
	if !at.tooMany(f.least, most) {
		return
	}
	if at.Since == 0 {
		at.Since = e.Time.UnixMicro()
	}
	if e.Time.Sub(time.UnixMicro(at.Since)) >= errorsHeld {
		raise(Alert{Subject: PerEndpoint.subject(e), What: fmt.Sprintf("%d of %d requests failed within some minutes, %.1f %% are usual at this hour", at.Bad, at.N, 100*usual)})
	}
}

// turn ends a window: it is learned, but for what is above bounds, and the next begins.
func (at *endpointErrors) turn(window int64, least int) {
	const enough = 10 // requests that make a share
	_, most := at.bounds()
	if !at.tooMany(least, most) || window > at.Window+1 {
		at.Since = 0
	}
	if at.N >= enough {
		share := min(float64(at.Bad)/float64(at.N), most)
		hour := at.hour()
		u := Usual{at.HourOf[hour], at.DevOf[hour], at.Learned[hour]}
		u.Learn(share, 48) // four weeks
		at.HourOf[hour], at.DevOf[hour], at.Learned[hour] = u.Mean, u.Dev, u.N
		at.Always.Learn(share, 2016) // a week
	}
	at.Window, at.N, at.Bad = window, 0, 0
}

func (at *endpointErrors) hour() int64 {
	return at.Window / int64(time.Hour/errorsWindow) % hoursOfWeek
}

// bounds are the usual share of errors at the hour of the present window, or at any hour until
// that is known; and the share from which there are too many.
func (at *endpointErrors) bounds() (usual, most float64) {
	u := at.Always
	if hour := at.hour(); at.Learned[hour] >= 2*uint16(time.Hour/errorsWindow) { // two weeks
		u = Usual{max(at.HourOf[hour], u.Mean/2), max(at.DevOf[hour], u.Dev/2), at.Learned[hour]}
	}
	return float64(u.Mean), min(float64(u.Mean)+errorsAbove+errorsDevs*float64(u.Dev), 0.9)
}

func (at *endpointErrors) tooMany(least int, most float64) bool {
	return at.Always.N >= errorsLearn && at.Bad >= uint32(least) && float64(at.Bad) > most*float64(at.N)
}
