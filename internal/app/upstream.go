package app

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/shield"
)

// openUpstream readies what stands behind an API; in a library it is nothing of
// ours, and nil.
func (a *App) openUpstream(f *config.File, g *generation, name string) (*gateway.Upstream, error) {
	if a.library {
		return nil, nil
	}
	api := f.APIs[name]
	s := upstreamSettings(name, api)
	s.Now, s.Fail, s.Report = a.now, pavise.Fail, report
	s.Identity = func(r *http.Request) *shield.Identity { return pavise.IdentityOf(r.Context()) }
	s.RequestID = func(r *http.Request) string { return pavise.RequestID(r.Context()) }
	s.Strip = func(*http.Request) []string { return g.carriers }
	if holds := a.holds(); holds != nil {
		s.Held = func(id *shield.Identity) bool { return holds.Held(id) != nil }
	}
	if api.Identity.Token {
		s.Signer = a.signer
	}
	if api.Identity.Certificate {
		s.ClientCertificate = provedCertificate
	}
	if err := a.secureUpstream(f, g, api.Upstream, &s); err != nil {
		return nil, err
	}
	opened, err := gateway.New(s)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	g.upstream = append(g.upstream, opened)
	return opened, nil
}

// upstreamSettings says in the gateway's words what the configuration says.
func upstreamSettings(name string, api config.API) gateway.Settings {
	u := api.Upstream
	s := gateway.Settings{
		Name: name, Addresses: u.URL, MaxConns: u.MaxConnections, PreserveHost: u.PreserveHost,
		Timeouts: gateway.Timeouts{
			Connect: u.Connect.Duration, ResponseHeader: api.Timeout.Duration, Idle: u.IdleTimeout.Duration, Total: u.TotalTimeout.Duration,
		},
		Health:       gateway.Health{Path: u.Health, Interval: u.HealthInterval.Duration, Timeout: u.HealthTimeout.Duration},
		Breaker:      gateway.Breaker{Failures: u.BreakerFailures, Open: u.BreakerOpen.Duration, MaxOpen: longestOpen * u.BreakerOpen.Duration},
		Retry:        gateway.Retry{Max: u.Retries},
		PlainHeaders: api.Identity.Headers, KeepBanners: u.KeepBanners, Via: u.Via,
	}
	if u.Retries == 0 {
		s.Retry.Max = -1 // none
	}
	if u.Protocol == "h2c" {
		s.Protocol = u.Protocol
	}
	s.Upgrades = slices.DeleteFunc(slices.Clone([]string(u.Upgrades)), func(word string) bool { return word == "none" })
	for _, kept := range u.KeepHeaders {
		s.InsecureKeepHeaders = append(s.InsecureKeepHeaders, kept.What)
	}
	return s
}

// longestOpen is how many times the first ejection of an address the longest one is.
const longestOpen = 30

// report puts into the event of a request what came of it behind the gateway.
func report(r *http.Request, result gateway.Result) {
	pavise.Report(r.Context(), pavise.Outcome{Address: result.Addr, Status: result.Status, Duration: result.Duration, Note: result.Note, Unsent: result.Unsent})
}

// secureUpstream sets how addresses with https prove who they are, and who we are.
func (a *App) secureUpstream(f *config.File, g *generation, u config.Upstream, s *gateway.Settings) error {
	s.TLS.ServerName = u.ServerName
	if u.Skip != nil {
		s.TLS.InsecureSkipVerify = u.Skip.Reason
	}
	if u.CA != "" {
		pool, err := tlsconf.ReadPool(f.Abs(u.CA))
		if err != nil {
			return fmt.Errorf("upstream.ca: %w", err)
		}
		s.TLS.Roots = pool
	}
	if u.ClientCertificate == "" {
		return nil
	}
	switch u.ClientCertificate {
	case "own":
		return a.ownCertificate(s)
	case "local":
		return a.localCertificate(f, s)
	}
	name := f.Abs(u.ClientCertificate)
	pair, err := tlsconf.OpenPair(name, name, a.now())
	if err != nil {
		return fmt.Errorf("upstream.client_certificate: %w", err)
	}
	g.pairs = append(g.pairs, pair)
	s.TLS.Certificate = func() *tls.Certificate { return pair.Certificate() }
	return nil
}

// localName is the name in local certificates by which the gateway proves who it is.
const localName = "pavise"

// ownCertificate lets the gateway prove who it is by the certificate authority of the
// installation.
func (a *App) ownCertificate(s *gateway.Settings) error {
	if _, err := a.owned.get(""); err != nil {
		return fmt.Errorf("upstream.client_certificate: %w", err)
	}
	s.TLS.Certificate = func() *tls.Certificate {
		cert, err := a.owned.get("")
		if err != nil {
			a.warn(fmt.Errorf("upstream.client_certificate: %w", err))
			return nil
		}
		return cert
	}
	return nil
}

// localCertificate lets the gateway prove who it is by its local CA.
func (a *App) localCertificate(f *config.File, s *gateway.Settings) error {
	local, err := tlsconf.OpenLocal(filepath.Join(f.State.Folder, "local-ca"), a.now)
	if err != nil {
		return fmt.Errorf("upstream.client_certificate: %w", err)
	}
	if _, err := local.Own(localName); err != nil {
		return fmt.Errorf("upstream.client_certificate: %w", err)
	}
	s.TLS.Certificate = func() *tls.Certificate {
		cert, err := local.Own(localName)
		if err != nil {
			a.warn(fmt.Errorf("upstream.client_certificate: %w", err))
			return nil
		}
		return cert
	}
	return nil
}

// provedCertificate is the certificate of the caller if a shield has accepted it,
// or a credential was bound to it (RFC 8705) and the guard has compared the two.
func provedCertificate(r *http.Request) *x509.Certificate {
	id := pavise.IdentityOf(r.Context())
	if id == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	proved := false
	id.All(func(one *shield.Identity) { proved = proved || one.Shield == "mtls" || one.Confirm.Certificate != "" })
	if !proved {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// openSigner readies the key of the identity tokens that upstreams verify.
func openSigner(ctx context.Context, r *client.Registry, now clock) (*gateway.Signer, error) {
	seed, err := r.Secret(ctx, "identity-tokens", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return gateway.NewSigner(gateway.SignerSettings{Issuer: "pavise", Key: ed25519.NewKeyFromSeed(seed), Now: now})
}

// newID returns the ID of an event that belongs to no request.
func newID(random io.Reader) string {
	var b [10]byte
	_, _ = io.ReadFull(random, b[:]) // an ID of zeros is an ID
	return base32.HexEncoding.EncodeToString(b[:])
}

// written is a list of changes for an event, or for a person.
func written(changes []config.Change) string {
	var lines []string
	for _, change := range changes {
		lines = append(lines, change.String())
	}
	return strings.Join(lines, "; ")
}
