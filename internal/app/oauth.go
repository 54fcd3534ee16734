package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/public"
)

// openAuthBase opens what lasts of the authorization server, when a configuration first
// asks for one. Its issuer and its keys' settings are those of that moment.
func (a *App) openAuthBase(f *config.File) error {
	if f.OAuth.Issuer == "" || a.oauth != nil {
		return nil
	}
	base, err := authserver.OpenBase(a.life, authserver.BaseOptions{
		Issuer: f.OAuth.Issuer, Registry: a.State.Registry, Refresh: a.State.View.Refresh, Algorithm: f.OAuth.Algorithm,
		Rotate: f.OAuth.RotateKeys.Duration, AccessToken: f.OAuth.AccessToken.Duration, Now: a.now, Rand: a.rand,
		Changed: func(action, target, text string) {
			a.record(&audit.Event{Class: audit.Admin, Decision: audit.Noted, Actor: "authorization server", Action: action, Target: target, Change: text})
		},
	})
	a.oauth, a.lasting = base, f.OAuth
	return err
}

// oauthOf are the settings in force: those that cannot change while the installation runs
// are as they were when the server was opened.
func (a *App) oauthOf(f *config.File) config.OAuth {
	o := f.OAuth
	o.Issuer, o.AccessToken = a.lasting.Issuer, a.lasting.AccessToken
	return o
}

// ownIssuer is the authorization server as shields see it: its keys come from memory, its
// clients are ours, and whoever revokes a grant revokes its tokens.
func (a *App) ownIssuer(f *config.File, g *generation) issuer.Settings {
	o := a.oauthOf(f)
	return issuer.Settings{
		Name: config.OwnIssuer, URL: o.Issuer, MayGrant: shield.Scopes{"*"}, Algorithms: []string{"ES256", "EdDSA", "PS256", "RS256"},
		MaxAge: o.AccessToken.Duration + time.Minute, Keys: a.oauth, Introspect: ownTokens{g}, Clients: registration.KindName, Family: authserver.FamilyClaim, Grantee: protocol.GranteeClaim,
	}
}

// ownTokens asks the authorization server of a generation, which is opened after the
// shields that ask it.
type ownTokens struct{ of *generation }

// Introspect implements shield.Introspector.
func (o ownTokens) Introspect(ctx context.Context, token string) (map[string]any, error) {
	return o.of.oauth.Introspect(ctx, token)
}

// addAuthServer puts the authorization server's addresses behind the guard.
func (a *App) addAuthServer(f *config.File, g *generation, p *pavise.Policy) error {
	fetcher, err := fetch.New(fetch.Settings{Allow: f.Upstream.Allow})
	if err != nil {
		return fmt.Errorf("fetch.allow: %w", err)
	}
	proofs, err := a.proofsOf(f)
	if err != nil {
		return err
	}
	mutual, err := a.mutualOf(f)
	if err != nil {
		return err
	}
	signIn, theme, err := signInOf(f, g.files, fetcher)
	if err != nil {
		return fmt.Errorf("sign_in: %w", err)
	}
	g.oauth, err = a.oauth.Open(authserver.Options{
		Proofs: proofs, SignIn: signIn, ACR: f.OAuth.SignIn.ACR, Theme: theme, Registration: f.OAuth.Registration,
		Scopes: scopesOf(f), APIs: a.apisOf(f), RefreshToken: f.OAuth.RefreshToken.Duration, RefreshIdle: f.OAuth.RefreshIdle.Duration,
		Lookup: a.lookup, Revoked: a.revoked, Once: a.once, Tries: a.tries,
		Fetch:  func() *http.Client { return fetcher.HTTP(maxFetched) },
		Mutual: mutual,
		Record: a.recordGrant, Decline: decline, RequestID: func(r *http.Request) string { return pavise.RequestID(r.Context()) },
	})
	if err != nil {
		return err
	}
	return addEndpoints(a.oauthOf(f), g, p)
}

// proofsOf judges DPoP proofs at the server's own endpoints.
func (a *App) proofsOf(f *config.File) (authserver.Proofs, error) {
	p := authserver.Proofs{Verifier: &dpop.Verifier{Now: a.now, Ports: f.Ports()}}
	if !f.OAuth.DPoPNonce {
		return p, nil
	}
	key, err := a.shieldKey("dpop-nonces")
	if err != nil {
		return p, fmt.Errorf("dpop_nonce: %w", err)
	}
	p.Verifier.Nonces = dpop.NewNonces(key, "server")
	return p, nil
}

func scopesOf(f *config.File) []protocol.Scope {
	var all []protocol.Scope
	for _, name := range slices.Sorted(maps.Keys(f.Scopes)) {
		all = append(all, protocol.Scope{Name: name, Text: f.Scopes[name]})
	}
	return all
}

// apisOf are the APIs for which tokens are issued, with the scopes that they ask for: one
// entry for each name by which clients may ask for them.
func (a *App) apisOf(f *config.File) []protocol.API {
	var all []protocol.API
	for _, name := range slices.Sorted(maps.Keys(f.APIs)) {
		scopes := scopesAsked(f.APIs[name])
		for _, resource := range f.Resources(name) {
			all = append(all, protocol.API{Name: name, Resource: resource, Scopes: scopes})
		}
	}
	return all
}

// scopesAsked are the scopes that endpoints of an API ask for, each once, sorted.
func scopesAsked(api config.API) []string {
	var all []string
	for _, e := range api.Endpoints {
		_, scopes, _ := api.Effective(e)
		all = append(all, scopes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// mutualOf says whether the server's host asks for certificates: then clients may prove
// themselves by them, and have tokens bound to them.
func (a *App) mutualOf(f *config.File) (protocol.Mutual, error) {
	o := a.oauthOf(f)
	if f.Hosts[o.Host()].ClientCertificates != "ask" {
		return protocol.Mutual{}, nil
	}
	m := protocol.Mutual{Host: o.Issuer}
	if o.ClientCA == "" {
		return m, nil
	}
	roots, err := tlsconf.ReadPool(f.Abs(o.ClientCA))
	if err != nil {
		return m, fmt.Errorf("client_ca: %w", err)
	}
	m.Trust = func(chain []*x509.Certificate) error { return verifyChain(chain, roots, a.now()) }
	return m, nil
}

func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// Names of the built-in APIs.
const (
	oauthAPI  = "oauth"
	signInAPI = "sign-in"
)

// addEndpoints makes two APIs of the server: one for clients, which scripts of listed
// origins may ask, and one for people, which no script may read.
func addEndpoints(o config.OAuth, g *generation, p *pavise.Policy) error {
	open, err := (&public.Config{Reason: "the authorization server decides for itself"}).Open(shield.Env{})
	if err != nil {
		return err
	}
	host := o.Host()
	clients := pavise.API{Name: oauthAPI, Hosts: []string{host}, Origins: o.Browsers}
	pages := pavise.API{Name: signInAPI, Hosts: []string{host}}
	asked, err := limit.ParseRate(o.Limit)
	if err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	for _, e := range g.oauth.Endpoints() {
		rate := limit.Rate{Count: e.PerMinute, Per: time.Minute}
		if e.PerMinute == 0 {
			rate = asked
		}
		into := &clients
		if e.Pages {
			into = &pages
		}
		into.Endpoints = append(into.Endpoints, pavise.Endpoint{
			Pattern: e.Pattern, Shield: open, AnyScope: true, Handler: e.Handler, MaxBody: maxForm, Judges: judged(e),
			Limits: []limit.Limit{{Name: "oauth-" + limitName(e.Pattern), Rate: rate, Per: limit.PerAddress}},
		})
	}
	p.APIs = append(p.APIs, clients, pages)
	return nil
}

// judged are the credentials that the server is handed: those of clients. A browser has
// none but its cookies.
func judged(e authserver.Endpoint) []string {
	if e.Pages {
		return nil
	}
	return []string{"Authorization", "Dpop"}
}

// maxForm is the longest body that the server takes, in bytes.
const maxForm = 64 << 10

// decline says in the event of a request that the server refused it, and why.
func decline(r *http.Request, fault *protocol.Fault) {
	detail := fault.Detail
	if detail == "" {
		detail = fault.Description
	}
	pavise.Decline(r, fault.Code, detail)
}

// recordGrant records what was granted, issued, refreshed, revoked, or signed in to.
func (a *App) recordGrant(e authserver.Event) {
	a.record(&audit.Event{
		Class: audit.Grant, Decision: audit.Noted, Action: e.Action, Target: e.Target, Client: e.Client, Subject: e.Subject,
		Issuer: a.oauthIssuer(e.Subject), Detail: e.Detail, Remote: netip.AddrPortFrom(e.Remote, 0),
	})
}

func (a *App) oauthIssuer(subject string) string {
	if subject == "" {
		return ""
	}
	return a.lasting.Issuer
}

// authEvery is how often the authorization server looks for what is due.
const authEvery = time.Minute

// keepAuthServer rotates keys and removes what has ended, until the installation is closed.
func (a *App) keepAuthServer() {
	ticker := time.NewTicker(authEvery)
	defer ticker.Stop()
	for {
		select {
		case <-a.life.Done():
			return
		case <-ticker.C:
			if err := a.keepNow(a.life); err != nil && a.life.Err() == nil {
				a.warn(fmt.Errorf("authorization server: %w", err))
			}
		}
	}
}

func (a *App) keepNow(ctx context.Context) error {
	g := a.current()
	if g.oauth == nil {
		return nil
	}
	if err := a.oauth.Keep(ctx); err != nil {
		return err
	}
	return g.oauth.Collect(ctx)
}

// limitName names the limit of an endpoint: lower-case letters, digits and hyphens.
func limitName(pattern string) string {
	words := strings.FieldsFunc(strings.ToLower(pattern), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}

// People are the accounts of the authorization server in force; nil if there is none.
func (a *App) People() *people.Service {
	if g := a.current(); g.oauth != nil {
		return g.oauth.People
	}
	return nil
}

// peopleOf opens the accounts of a state that this process holds, without a server.
func peopleOf(ctx context.Context, f *config.File, s *State, now clock) (admin.Users, error) {
	if f.OAuth.Issuer == "" {
		return nil, nil
	}
	a := &App{State: s, now: now, rand: rand.Reader, life: ctx, once: s.Once, lookup: s.View, revoked: s.View, sink: s.Log, warn: func(error) {}}
	if err := a.openAuthBase(f); err != nil {
		return nil, err
	}
	tries, err := newTries(f, now)
	if err != nil {
		return nil, err
	}
	a.tries = tries
	g := generation{files: &files{dir: f.Dir}}
	if err := a.addAuthServer(f, &g, &pavise.Policy{}); err != nil {
		return nil, err
	}
	return g.oauth.People, nil
}
