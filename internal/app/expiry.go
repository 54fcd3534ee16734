package app

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/shield"
)

// ahead are the times before a certificate's end at which it is told: once each.
func ahead() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{30 * day, 7 * day, day}
}

// ending is a certificate whose end somebody should know of.
type ending struct {
	name  string
	begin time.Time
	end   time.Time
}

// due returns the latest moment of warning that is over, if the certificate was meant to
// live for much longer: one of a day is not warned about all its life.
func (e ending) due(now time.Time) (warning time.Duration, ok bool) {
	for _, d := range ahead() {
		if e.end.Sub(e.begin) > 2*d && !now.Before(e.end.Add(-d)) {
			warning, ok = d, true
		}
	}
	return warning, ok
}

// expiry remembers what was told. It belongs to the upkeep's goroutine.
type expiry struct {
	looked time.Time
	told   map[string]time.Duration // by name and end: the last warning
}

// lookAhead is how often certificates are looked at for their ends.
const lookAhead = time.Hour

// warnOfEnds tells of certificates that end soon: 30 days ahead, 7 days, and one.
func (a *App) warnOfEnds(x *expiry) {
	now := a.now()
	if now.Sub(x.looked) < lookAhead {
		return
	}
	x.looked = now
	told := map[string]time.Duration{}
	for _, e := range a.endings() {
		warning, ok := e.due(now)
		if !ok {
			continue
		}
		key := e.name + " " + e.end.UTC().Format(time.RFC3339)
		told[key] = warning
		if x.told[key] == warning {
			continue
		}
		text := fmt.Sprintf("ends at %s, in %s", e.end.UTC().Format(time.RFC3339), inWords(e.end.Sub(now)))
		a.note("certificate_expiring", e.name, text)
		a.warn(fmt.Errorf("certificate of %s %s", e.name, text))
	}
	x.told = told
}

func inWords(left time.Duration) string {
	if left < 48*time.Hour {
		return max(0, left).Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", left/(24*time.Hour))
}

// endings are all certificates that are ours, the soonest first: of hosts, towards
// upstreams, of the authority, and those that it has issued for long, unless there is a
// successor.
func (a *App) endings() []ending {
	g := a.current()
	var all []ending
	for host := range g.file.Hosts {
		c, err := g.certs.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
		if err == nil && c.Leaf != nil { // others are told as certificate_warning
			all = append(all, ending{"host " + host, c.Leaf.NotBefore, c.Leaf.NotAfter})
		}
	}
	for _, pair := range g.pairs {
		leaf := pair.Certificate().Leaf
		all = append(all, ending{"upstream client " + leaf.Subject.String(), leaf.NotBefore, leaf.NotAfter})
	}
	if members, err := a.State.Authority.Members(); err == nil {
		for _, m := range members {
			if m.State == "active" {
				all = append(all, ending{"authority " + m.Certificate.Subject.CommonName, m.Certificate.NotBefore, m.Certificate.NotAfter})
			}
		}
	}
	all = append(all, a.issuedEndings()...)
	slices.SortFunc(all, func(x, y ending) int { return cmp.Or(x.end.Compare(y.end), cmp.Compare(x.name, y.name)) })
	return all
}

// issuedEndings are certificates of clients that have no successor yet.
func (a *App) issuedEndings() (all []ending) {
	newest := map[string]*shield.Record{} // by client and names: a renewal has the same
	for r := range a.State.View.Each(client.CertificateKind) {
		if r.Settings[pki.SettingProfile] == "" || !r.Revoked.IsZero() || r.Client == nil || r.Client.ID == GatewayClient {
			continue
		}
		key := r.Client.ID + " " + r.Settings[pki.SettingNames]
		if known := newest[key]; known == nil || r.Expires.After(known.Expires) {
			newest[key] = r
		}
	}
	for key, r := range newest {
		all = append(all, ending{"client " + key, r.Created, r.Expires})
	}
	return all
}

// certificates are the gateway's own with their ends, for status.
func (a *App) certificates() (all []admin.CertificateEnd) {
	for _, e := range a.endings() {
		all = append(all, admin.CertificateEnd{Name: e.name, NotAfter: e.end.UTC(), Left: int64(e.end.Sub(a.now()) / time.Second)})
	}
	return all
}
