package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of many networks.
const (
	manyPeriod = 15 * time.Minute // "at once"
	manyMost   = 7                // networks of one credential within a period
	manyOften  = 3                // times the usual number, on top
	manyDevs   = 6                // deviations above it
	manyLearn  = 48               // periods in which the credential was used, before anything is told
	manyShared = 20               // networks that are usual: many people share it, and it is not judged
)

// manyNetworks notices a credential that is used from many places at once.
func manyNetworks(t thresholds) Kind {
	most := t.of("many_networks", manyMost)
	return Kind{
		Name: "many_networks", Severity: High, Quiet: 6 * time.Hour, About: perIdentity.subjects(audit.Request),
		Means: "one credential is used from many networks at once, which it never was: it was published, sold, or put into an app",
		Do:    "look from where (pavise log search --credential ID, or --client NAME); if its owner does not know these networks, pavise revoke it",
		Most:  most, Counts: "networks (IPv4 /24, IPv6 /48) of one credential within " + span(manyPeriod) + ", and far more than usual",
		New: func() Detection { return &places{most: most} },
	}
}

type places struct {
	sharer
	most int
}

type placesOf struct {
	Period uint32
	Now    Bitmap
	Usual  Usual
}

// See implements Detection.
func (p *places) See(e *audit.Event, raise func(Alert)) {
	if p.who.now == nil {
		return
	}
	network := cut(e.Remote.Addr(), wide4, wide6)
	if !network.IsValid() {
		return
	}
	at := &p.who.now.Places
	if period := uint32(e.Time.Unix() / int64(manyPeriod/time.Second)); period > at.Period {
		if at.Period != 0 {
			at.Usual.Learn(min(at.Now.Count(), p.limit(at)), 500)
		}
		at.Period, at.Now = period, Bitmap{}
	}
	if !at.Now.Add(hashNetwork(p.who.all.Seed, network)) || at.Usual.N < manyLearn || at.Usual.Mean > manyShared {
		return
	}
	if n := at.Now.Count(); n > p.limit(at) {
		raise(Alert{Subject: holderOf(e), What: fmt.Sprintf("used from some %.0f networks within %s; %.1f are usual", n, span(manyPeriod), at.Usual.Mean)})
	}
}

func (p *places) limit(at *placesOf) float64 {
	return max(float64(p.most), float64(at.Usual.Mean)*(1+manyOften)+manyDevs*float64(at.Usual.Dev))
}
