package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/mtls"
)

// build makes a generation out of a configuration. What an earlier one fetched is
// taken over.
func (a *App) build(f *config.File, previous *generation) (_ *generation, err error) {
	g := &generation{file: f, files: &files{dir: f.Dir}, beside: newBeside(), last: make(chan struct{}), now: a.now}
	if previous != nil {
		g.before, g.earlier = previous.places, previous.ruleSets
	}
	defer func() {
		if g.earlier = nil; err != nil {
			g.close()
		}
	}()
	if g.signed, err = fetch.New(fetch.Settings{Allow: f.Upstream.Allow, Signed: true, Timeout: signedTimeout}); err != nil {
		return nil, fmt.Errorf("fetch.allow: %w", err)
	}
	if g.certs, err = openCertificates(f, a.now, a.ownServer); err != nil {
		return nil, err
	}
	if err = a.openAuthBase(f); err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	if g.issuers, err = a.openIssuers(f, g, previous); err != nil {
		return nil, err
	}
	g.trusts = g.issuers
	policy, err := a.policy(f, g)
	if err != nil {
		return nil, err
	}
	if err := addMetadata(f, &policy); err != nil {
		return nil, err
	}
	if err := a.addEnrolment(f, &policy); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if f.OAuth.Issuer != "" {
		if err := a.addAuthServer(f, g, &policy); err != nil {
			return nil, fmt.Errorf("oauth: %w", err)
		}
	}
	if g.guard, err = pavise.New(policy); err != nil {
		return nil, err
	}
	g.endpoints = endpointsOf(policy)
	g.handler = g.guard.Wrap(http.NotFoundHandler()) // every endpoint has an upstream of its own
	return g, nil
}

func openCertificates(f *config.File, now clock, own func(string) (*tls.Certificate, error)) (*tlsconf.Certificates, error) {
	sources := map[string]tlsconf.Source{}
	for name, host := range f.Hosts {
		c := host.Certificate
		sources[name] = tlsconf.Source{
			Kind: c.Source, Cert: whole(f, c.Cert), Key: whole(f, c.Key), Roots: whole(f, c.Roots), Email: c.Email, Directory: c.Directory,
		}
	}
	return tlsconf.Open(sources, tlsconf.Options{Folder: f.State.Folder, Now: now, Own: own})
}

// whole is a file's path from the root; nothing for a setting that is not there.
func whole(f *config.File, name string) string {
	if name == "" {
		return ""
	}
	return f.Abs(name)
}

func (a *App) openIssuers(f *config.File, g, previous *generation) (*issuer.Set, error) {
	fetcher, err := fetch.New(fetch.Settings{Allow: f.Upstream.Allow})
	if err != nil {
		return nil, fmt.Errorf("fetch.allow: %w", err)
	}
	asker, err := fetch.New(fetch.Settings{Allow: f.Upstream.Allow, KeepAlive: true, Concurrent: askedAtOnce})
	if err != nil {
		return nil, fmt.Errorf("fetch.allow: %w", err)
	}
	env := issuer.Env{Now: a.now, Fetch: fetcher, Files: g.files, Warn: func(name, text string) {
		a.note("issuer_warning", name, text)
	}}
	if previous != nil {
		env.Previous = previous.issuers
	}
	var settings []issuer.Settings
	for _, name := range slices.Sorted(maps.Keys(f.Issuers)) {
		s, err := issuerOf(f, name, fetcher, asker)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", name, err)
		}
		settings = append(settings, s)
	}
	if f.OAuth.Issuer != "" {
		settings = append(settings, a.ownIssuer(f, g))
	}
	return issuer.New(env, settings...)
}

// askedAtOnce is how many questions about tokens may be under way to all issuers.
const askedAtOnce = 64

func issuerOf(f *config.File, name string, fetcher, asker *fetch.Client) (issuer.Settings, error) {
	i := f.Issuers[name]
	s := issuer.Settings{
		Name: name, URL: i.URL, JWKS: i.JWKS, Audience: i.Audience, MayGrant: shield.Scopes(i.MayGrant), ScopesFrom: i.ScopesFrom,
		Claims: i.Claims, Types: i.Types, Algorithms: i.Algorithms, Leeway: i.Leeway.Duration, MaxAge: i.MaxAge.Duration,
		KeysMaxAge: i.KeysMaxAge.Duration, CoolDown: i.CoolDown.Duration,
	}
	if i.CA != "" {
		pool, err := tlsconf.ReadPool(f.Abs(i.CA))
		if err != nil {
			return s, err
		}
		s.Fetch, asker = fetcher.WithRoots(pool), asker.WithRoots(pool)
	}
	if asked := i.Introspect; asked != nil {
		s.Asked = &issuer.Asked{
			Address: asked.URL, ClientID: asked.ClientID, SecretFile: asked.Secret, Form: asked.Auth == "client_secret_post",
			HTTP: asker.HTTP(issuer.MaxAnswer),
		}
	}
	return s, nil
}

// policy turns the configuration into what the guard enforces.
func (a *App) policy(f *config.File, g *generation) (pavise.Policy, error) {
	rate, err := limit.ParseRate(f.Limits.Address)
	if err != nil {
		return pavise.Policy{}, fmt.Errorf("limits.address: %w", err)
	}
	p := pavise.Policy{
		Sink: a.sink, Limiter: a.limiter, Once: a.once, Tries: a.tries, Blocks: a.blocks(), Holds: a.holds(), Now: a.now, Rand: a.rand,
		Quotas: a.quotas, Load: a.load, Honeypots: a.honeypots(f), Traces: traces(f),
		PerAddress: &limit.Limit{Name: "address", Rate: rate, Per: limit.PerAddress},
	}
	if g.handshakes, err = limit.ParseRate(f.Limits.Handshakes); err != nil {
		return p, fmt.Errorf("limits.handshakes: %w", err)
	}
	if g.trusted, err = trustedProxies(f); err != nil {
		return p, err
	}
	p.TrustedProxies = g.trusted
	if p.Presented, err = terminators(f, a.now); err != nil {
		return p, err
	}
	for _, name := range slices.Sorted(maps.Keys(f.Hosts)) {
		asks := f.Hosts[name].ClientCertificates == "ask" || len(f.Proxies.Terminators) > 0
		p.Hosts = append(p.Hosts, pavise.Host{Name: name, ClientCertificates: asks})
	}
	resolved, err := f.Resolve()
	if err != nil {
		return p, err
	}
	byAPI := map[string][]config.Resolved{}
	for _, e := range resolved {
		byAPI[e.API] = append(byAPI[e.API], e)
	}
	for _, name := range slices.Sorted(maps.Keys(f.APIs)) {
		api, err := a.api(f, g, name, byAPI[name])
		if err != nil {
			return p, fmt.Errorf("apis.%s: %w", name, err)
		}
		p.APIs = append(p.APIs, api)
	}
	return p, nil
}

// terminators lets configured proxies hand on the certificates of their callers.
func terminators(f *config.File, now clock) (presented, error) {
	if len(f.Proxies.Terminators) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, name := range f.Proxies.Terminators {
		text, err := (&files{dir: f.Dir}).Read(name)
		if err != nil || !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("trusted_proxies.terminators: %s holds no certificates that can be read (%v)", name, err)
		}
	}
	return mtls.Terminators(pool, now), nil
}

func (a *App) api(f *config.File, g *generation, name string, endpoints []config.Resolved) (pavise.API, error) {
	settings := f.APIs[name]
	api := pavise.API{Name: name, Hosts: settings.Host, Origins: settings.CORS, Lenient: lenient(settings.Allow), Recorded: recordedOf(settings.Events)}
	behind, err := a.openUpstream(f, g, name)
	if err != nil {
		return api, err
	}
	if described := settings.OpenAPI; described != nil {
		if _, err := g.document(described); err != nil {
			return api, fmt.Errorf("openapi (%s:%d): %w", described.Pos.File, described.Pos.Line, err)
		}
	}
	if err := g.checkSanitise(settings.Sanitise, endpoints); err != nil {
		return api, err
	}
	for _, e := range endpoints {
		endpoint, err := a.endpoint(f, g, e)
		if err != nil {
			return api, fmt.Errorf("endpoints.%s (%s:%d): %w", e.Pattern, e.Pos.File, e.Pos.Line, err)
		}
		if behind != nil {
			endpoint.Handler = answered(calling(f, behind.Within(e.Timeout)))
		}
		api.Endpoints = append(api.Endpoints, endpoint)
	}
	return api, nil
}

func lenient(allowed []config.Allowance) pavise.Lenient {
	var l pavise.Lenient
	for _, a := range allowed {
		switch a.What {
		case "encoded_slash":
			l.InsecureEncodedSlash = true
		case "semicolon":
			l.InsecureSemicolon = true
		case "underscore_headers":
			l.InsecureUnderscoreHeaders = true
		case "trailers":
			l.InsecureTrailers = true
		case "method_parameter":
			l.InsecureMethodParameter = true
		}
	}
	return l
}

func (a *App) endpoint(f *config.File, g *generation, from config.Resolved) (pavise.Endpoint, error) {
	s, err := a.openShield(g, from.API, *from.Shield)
	if err != nil {
		return pavise.Endpoint{}, err
	}
	e := pavise.Endpoint{
		Pattern: from.Pattern, Shield: s, Scopes: from.Scopes, AnyScope: from.Any, Limits: from.Limits, MaxBody: from.MaxBody,
	}
	if e.Sanitise, err = g.sanitiser(from); err != nil {
		return e, err
	}
	if err := g.flooded(&e, from); err != nil {
		return e, err
	}
	if e.Validate, err = g.described(from, shield.NeedsOf(s).Carries); err != nil {
		return e, err
	}
	e.Header = sunset(e.Validate)
	e.Validate = tried(&from, config.TrialContract, e.Validate)
	if e.Outgoing, err = a.outgoing(f, g, from); err != nil {
		return e, err
	}
	var recorded *pavise.Trial
	if e.Harm, recorded, err = g.injection(from, e.Validate, shield.NeedsOf(s).Carries); err != nil {
		return e, err
	}
	if e.Validate, err = g.graphql(from, e.Validate); err != nil { // last: injection asks the contract itself
		return e, err
	}
	if e.Policy, err = a.conditions(f, g, from); err != nil {
		return e, err
	}
	e.Policy = a.recorded(&from, e.Policy)
	if e.Flow, err = a.flow(from); err != nil {
		return e, err
	}
	if e.Candidates, err = a.candidates(f, g, from, shield.NeedsOf(s).Carries); recorded != nil {
		e.Candidates = append(e.Candidates, recorded)
	}
	return e, err
}

// openShield opens one shield or a combination.
func (a *App) openShield(g *generation, api string, s config.Shield) (shield.Shield, error) {
	switch {
	case len(s.Any) > 0:
		var parts []shield.Shield
		for _, part := range s.Any {
			opened, err := a.openShield(g, api, part)
			if err != nil {
				return nil, err
			}
			parts = append(parts, opened)
		}
		return shield.Any(parts...)
	case len(s.All) > 0:
		var parts []shield.Part
		for _, part := range s.All {
			opened, err := a.openShield(g, api, part.Shield)
			if err != nil {
				return nil, err
			}
			parts = append(parts, shield.Part{Shield: opened, Actor: part.Actor})
		}
		return shield.All(parts...)
	}
	env := a.env(g)
	env.API = shield.API{Name: api, Resource: g.file.APIs[api].Resource, Ports: g.file.Ports()}
	opened, err := s.Config.Open(env)
	if err != nil {
		return nil, fmt.Errorf("shield %s: %w", s.Kind, err)
	}
	for _, header := range shield.NeedsOf(opened).Carries {
		if !slices.Contains(g.carriers, header) {
			g.carriers = append(g.carriers, header)
		}
	}
	return opened, nil
}

// env is what the shields of a generation may use.
func (a *App) env(g *generation) shield.Env {
	if a.others != nil {
		return a.simulatedEnv(g)
	}
	return shield.Env{
		Now: a.now, Rand: a.rand, Credentials: a.lookup, Revoked: a.revoked, Fetch: g.signed, Issuers: g.trusts, Files: g.files,
		Authority: a.authority(g), Go: g.beside.Go, Key: a.shieldKey,
	}
}

// signedTimeout is for what may be large, such as a revocation list; who waits for it waits
// less.
const signedTimeout = 30 * time.Second

// TLSConfig is the TLS policy of the listener; certificates and questions for
// client certificates follow the generation in force.
func (a *App) TLSConfig() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.current().certs.GetCertificate(hello)
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
	config := a.current().guard.TLSConfig(base)
	ask := config.Clone()
	ask.GetConfigForClient = nil
	ask.ClientAuth = tls.RequestClientCert
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if a.current().guard.AsksFor(strings.ToLower(hello.ServerName)) {
			return ask, nil
		}
		return nil, nil
	}
	return config
}

// shieldKey returns a key of the installation's own for a shield's purpose.
func (a *App) shieldKey(purpose string) ([]byte, error) {
	return a.State.Registry.Secret(a.life, "shield-"+purpose, 32)
}
