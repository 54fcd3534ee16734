package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of stuffing.
const (
	stuffingMost  = 40 // networks with wrong credentials at one API
	stuffingOver  = 10 * time.Minute
	stuffingOften = 4 // times the usual number
)

// stuffing notices wrong credentials that come from everywhere, a few from each network.
func stuffing(t thresholds) Kind {
	most := t.of("stuffing", stuffingMost)
	return Kind{
		Name: "stuffing", Severity: High, Quiet: time.Hour, About: []string{"api", "system"}, Codes: append(wrongCredential(), "person.sign_in_failed"),
		Means: "wrong credentials or passwords come from many networks, a few from each: a list of stolen ones is tried, from rented machines",
		Do:    "look which credentials were accepted from such networks meanwhile (pavise log search --since 1h --decision accepted); demand a second factor where people sign in; block what the networks have in common",
		Most:  most, Counts: "networks with wrong credentials at one API within " + span(stuffingOver),
		New: func() Detection { return &spread{most: most, seen: NewTable[networks](2_000)} },
	}
}

type spread struct {
	most int
	seen Table[networks]
}

// networks are those with wrong credentials at one API.
type networks struct {
	Period int64
	Now    Bitmap
	Usual  Usual // of a period
}

// State implements Detection.
func (s *spread) State() any { return &s.seen }

// See implements Detection.
func (s *spread) See(e *audit.Event, raise func(Alert)) {
	network := networkOf(e.Remote.Addr())
	if !network.IsValid() || e.Class != audit.Request && e.Class != audit.Grant {
		return
	}
	key, about := s.seen.Key("api", e.API), Subject{"api", e.API}
	if e.Class == audit.Grant {
		key, about = s.seen.Key("signing in"), Subject{"system", "signing in"}
	} else if e.API == "" {
		return
	}
	at := s.seen.At(key)
	if period := e.Time.Unix() / int64(stuffingOver/time.Second); period > at.Period {
		if at.Period != 0 {
			at.Usual.Learn(min(at.Now.Count(), s.limit(at)), 144) // a day
			for range min(period-at.Period-1, 144) {
				at.Usual.Learn(0, 144)
			}
		}
		at.Period, at.Now = period, Bitmap{}
	}
	if !at.Now.Add(hashNetwork(s.seen.Seed, network)) && float64(s.most) > at.Now.Count() {
		return
	}
	if n := at.Now.Count(); n > s.limit(at) {
		raise(Alert{Subject: about, What: fmt.Sprintf("wrong credentials from some %.0f networks within %s; from %.0f is usual", n, span(stuffingOver), at.Usual.Mean)})
	}
}

func (s *spread) limit(at *networks) float64 {
	return max(float64(s.most), min(stuffingOften*float64(at.Usual.Mean), MaxDifferent)) // more cannot be told apart
}
