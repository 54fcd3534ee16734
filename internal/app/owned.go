package app

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/renewed"
	"pavise.dev/pavise/shield"
)

// GatewayClient is the client to which the gateway's own certificates belong.
const GatewayClient = "pavise-gateway"

// owned are the certificates that the gateway has of its own authority: one for each host
// that wants one, and one towards upstreams. Their keys are in memory only.
type owned struct {
	app *App

	mu  sync.Mutex
	all map[string]*renewed.Certificate // by host; empty: towards upstreams
}

// get returns a certificate, getting it when it is asked for the first time.
func (o *owned) get(host string) (*tls.Certificate, error) {
	o.mu.Lock()
	c, known := o.all[host]
	if !known {
		c = renewed.New(renewed.Options{Source: ownSource{o.app, host}, Now: o.app.now, Jitter: rand.Float64()})
		if o.all == nil {
			o.all = map[string]*renewed.Certificate{}
		}
		o.all[host] = c
	}
	o.mu.Unlock()
	if _, err := c.Get(); errors.Is(err, renewed.ErrNone) {
		if _, err := c.Keep(o.app.life); err != nil {
			return nil, err
		}
	}
	return c.Get()
}

// keep renews what is due, and at once what would be refused; what no setting asks for any
// more is forgotten.
func (o *owned) keep(ctx context.Context) error {
	var faults []error
	for _, c := range o.wanted() {
		_, err := c.Keep(ctx)
		if err == nil && o.isRefused(c) {
			err = c.Renew(ctx)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// wanted are the certificates that the configuration in force asks for.
func (o *owned) wanted() (all []*renewed.Certificate) {
	f := o.app.current().file
	o.mu.Lock()
	defer o.mu.Unlock()
	for host, c := range o.all {
		if !wantsOwn(f, host) {
			delete(o.all, host)
			continue
		}
		all = append(all, c)
	}
	return all
}

// wantsOwn reports whether a host shows a certificate of the own authority; without a name,
// whether one is shown to some upstream.
func wantsOwn(f *config.File, host string) bool {
	if host != "" {
		return f.Hosts[host].Certificate.Source == "own"
	}
	for _, api := range f.APIs {
		if api.Upstream.ClientCertificate == "own" {
			return true
		}
	}
	return false
}

// isRefused reports whether a certificate is one that others would be right to refuse: it
// was revoked, or who has signed it, or it was made by a clock that was ahead.
func (o *owned) isRefused(c *renewed.Certificate) bool {
	shown, err := c.Get()
	if err != nil {
		return false // there is none
	}
	record, err := o.app.State.View.Credential(client.CertificateKind, pki.CredentialID(shown.Leaf))
	if errors.Is(err, shield.ErrStale) {
		return false // it is not known
	}
	return err != nil || !record.Revoked.IsZero() || !o.app.State.Authority.Trusts(record.Settings[pki.SettingCA]) ||
		o.app.now().Before(shown.Leaf.NotBefore)
}

// ownSource gets certificates for the gateway itself.
type ownSource struct {
	app  *App
	host string
}

// Obtain implements renewed.Source. The names are written anew each time, so that nothing
// depends on the record of the one before.
func (s ownSource) Obtain(ctx context.Context, key crypto.Signer, _ *tls.Certificate) ([]*x509.Certificate, error) {
	if err := s.app.gatewayClient(ctx); err != nil {
		return nil, err
	}
	n := pki.Request{Client: GatewayClient, Profile: "service"}
	if s.host != "" {
		kind := "dns:"
		if _, err := netip.ParseAddr(s.host); err == nil {
			kind = "ip:"
		}
		n.Profile, n.Names = "server", pki.Names{kind + s.host}
	}
	issued, change, err := s.app.State.Authority.Issue(ctx, n, &pki.SigningRequest{Key: key.Public()})
	if err != nil {
		return nil, err
	}
	s.app.record(&audit.Event{Class: audit.Admin, Decision: audit.Accepted, Actor: "certificate authority", Action: change.Action, Target: change.Target, Change: change.Text})
	return issued.Chain, s.app.State.View.Refresh(ctx)
}

// gatewayClient makes the client to which the gateway's certificates belong. It has no
// scopes.
func (a *App) gatewayClient(ctx context.Context) error {
	_, err := a.State.Registry.Client(ctx, GatewayClient)
	if errors.Is(err, client.ErrMissing) {
		if _, err = a.State.Registry.CreateClient(ctx, client.Client{ID: GatewayClient}); errors.Is(err, client.ErrExists) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("the client of the gateway's own certificates: %w", err)
	}
	return nil
}

// ownServer is the certificate that a host shows, of the own authority.
func (a *App) ownServer(host string) (*tls.Certificate, error) { return a.owned.get(host) }
