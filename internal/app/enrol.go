package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/public"
)

// addEnrolment puts the addresses at which programs get certificates behind the guard.
func (a *App) addEnrolment(f *config.File, p *pavise.Policy) error {
	if f.PKI.Host == "" || a.library {
		return nil
	}
	open, err := (&public.Config{Reason: "an enrolment token is judged by the authority itself"}).Open(shield.Env{})
	if err != nil {
		return err
	}
	server := &est.Server{Options: est.Options{
		Authority: a.State.Authority, Tokens: a.State.Enrolment, Tries: a.tries, Refresh: a.State.View.Refresh,
		Renewing: func(r *http.Request) string { return pavise.IdentityOf(r.Context()).CredentialID },
		Done:     a.enrolled,
		Decline:  func(r *http.Request, _ int, code, why string) { pavise.Decline(r, code, why) },
	}}
	api := pavise.API{Name: config.EnrolAPI, Hosts: []string{f.PKI.Host}}
	for _, e := range server.Endpoints() {
		s := open
		limits := []limit.Limit{{Name: "enrolment", Rate: limit.Rate{Count: f.PKI.EnrolPerMinute, Per: time.Minute}, Per: limit.PerAddress}}
		if e.Mutual { // the configuration sees to it that the host asks for certificates
			s = inForce{a.lookup, a.State.Authority.Trusts, a.now}
			limits = append(limits, limit.Limit{Name: "renewal", Rate: limit.Rate{Count: f.PKI.RenewPerMinute, Per: time.Minute}, Per: limit.PerClient})
		}
		api.Endpoints = append(api.Endpoints, pavise.Endpoint{
			Pattern: e.Pattern, Shield: s, AnyScope: true, Handler: e.Handler, MaxBody: est.MaxBody, Judges: []string{"Authorization"},
			Limits: limits,
		})
	}
	p.APIs = append(p.APIs, api)
	return nil
}

// enrolled records a certificate that somebody got elsewhere.
func (a *App) enrolled(r *http.Request, c client.Change, by string) {
	a.record(&audit.Event{
		Class: audit.Admin, Decision: audit.Accepted, Actor: by, Action: c.Action, Target: c.Target, Change: c.Text,
		Detail: "request " + pavise.RequestID(r.Context()),
	})
}

// inForce is the shield of renewal: the caller is whoever proved in the handshake to hold
// the key of a certificate that the authority has a record of, for clients or for servers.
// That it is this very certificate says its digest; no chain has to be looked at.
type inForce struct {
	lookup shield.Lookup
	trusts func(pin string) bool // whether an issuing authority counts
	now    clock
}

// Needs implements shield.Needy.
func (inForce) Needs() shield.Needs { return shield.Needs{ClientCert: true} }

// Verify implements shield.Shield.
func (s inForce) Verify(r *http.Request) (*shield.Identity, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, shield.Refuse(shield.Absent, "the connection has no client certificate")
	}
	presented := r.TLS.PeerCertificates[0]
	id := pki.CredentialID(presented)
	record, err := s.lookup.Credential(client.CertificateKind, id)
	if errors.Is(err, shield.ErrUnknown) {
		return nil, shield.Refuse(shield.Foreign, "this installation's authority has no record of the certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("look up certificate %s: %w", id, err)
	}
	digest := sha256.Sum256(presented.Raw)
	if record.Settings[pki.SettingFingerprint] != hex.EncodeToString(digest[:]) {
		return nil, shield.Refuse(shield.Foreign, "another certificate is recorded under this serial number")
	}
	now := s.now()
	if err := record.Usable(now, r); err != nil {
		return nil, err
	}
	if !s.trusts(record.Settings[pki.SettingCA]) {
		return nil, shield.Refuse(shield.RevokedCredential, "the authority that has signed it was revoked").Of(record.ID, record.Client.ID, true)
	}
	return record.Identity(now), nil
}
