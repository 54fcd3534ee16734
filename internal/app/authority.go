package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/status"
	"pavise.dev/pavise/shield"
)

// openAuthority opens the certificate authority of a state, if one was made.
func (s *State) openAuthority(ctx context.Context, f *config.File, o StateOptions) (err error) {
	s.Authority, err = pki.Open(ctx, pki.Options{
		Records: s.Registry.AuthorityRecords(), Registry: s.Registry, Refresh: s.View.Refresh, Now: o.Now, Rand: rand.Reader,
		InForce: s.View.CertificatesInForce,
		Changed: func(action, target, text string) {
			e := audit.Event{
				Class: audit.Admin, Decision: audit.Noted, Time: o.Now(), ID: newID(rand.Reader),
				Actor: "certificate authority", Action: action, Target: target, Change: text,
			}
			if err := audit.Record(s.Log, &e); err != nil && o.Warn != nil {
				o.Warn(fmt.Errorf("record %s: %w", action, err))
			}
		},
	})
	if err != nil {
		return err
	}
	s.Authority.SetPolicy(pkiPolicy(f))
	s.Enrolment = est.NewTokens(s.Registry.AuthorityRecords(), o.Now)
	s.Status = status.New(status.Options{Authority: s.Authority, Records: s.View, Kept: s.Registry.AuthorityRecords(), Now: o.Now, Rand: rand.Reader})
	return nil
}

// pkiPolicy is what a configuration says of certificates.
func pkiPolicy(f *config.File) pki.Policy {
	p := pki.Policy{Status: f.PKI.Status, Limits: map[string]pki.Limits{}}
	for name, profile := range f.PKI.Profiles {
		p.Limits[name] = pki.Limits{Life: profile.Life.Duration, Max: profile.MaxLife.Duration}
	}
	return p
}

// authority is the certificate authority as the shields of a generation see it.
func (a *App) authority(g *generation) shield.Authority {
	if a.State == nil { // nothing is opened: a configuration is checked
		return asked{app: a}
	}
	return ownAuthority{a.State.Authority, g.files}
}

type ownAuthority struct {
	*pki.Authority
	files *files
}

// Watch implements shield.Authority: the hierarchy is looked at as often as files are.
func (o ownAuthority) Watch(changed func()) {
	o.files.watch(func() stamp { return stamp{size: int64(o.Generation())} }, changed)
}

// Pins implements shield.Authority.
func (o ownAuthority) Pins() (all []string) {
	members, err := o.Members()
	if err != nil {
		return nil // there is no authority yet
	}
	for _, m := range members {
		all = append(all, pki.Pin(m.Certificate))
	}
	return all
}

// Pins implements shield.Authority.
func (nobody) Pins() []string { return nil }

// Watch implements shield.Authority.
func (nobody) Watch(func()) {}

// statusOf answers questions about certificates without TLS, if that is configured.
func (a *App) statusOf(f *config.File) (handler http.Handler, isOurs func(*http.Request) bool) {
	if f.PKI.Status == "" {
		return nil, nil
	}
	return a.State.Status, a.State.Status.Handles
}
