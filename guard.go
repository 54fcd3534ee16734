package pavise

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// Guard enforces a policy. It is safe for concurrent use and holds nothing that
// needs to be closed.
type Guard struct {
	hosts    map[string]*host
	carriers []string        // every header that carries a credential anywhere in the policy
	literals map[string]bool // of all hosts' patterns, if one of them has a secret in its path; else nil

	sink       audit.Sink
	limiter    limit.Limiter
	once       OnceStore
	tries      Tries
	blocks     Blocks
	holds      Holds
	quotas     limit.Quotas
	load       *limit.Load
	honeypots  Honeypots
	traps      map[string]bool // their paths
	perAddress *limit.Limit
	proxies    proxies
	presented  presentedFunc
	traces     Traces
	now        func() time.Time
	rand       io.Reader

	exchanges sync.Pool
}

// host is a name with the endpoints that it serves.
type host struct {
	Host
	table   *route.Table[*endpoint]
	lenient Lenient // what any API of the host allows

	patterns []pattern
	literals map[string]bool // of the patterns, if one has a secret in its path; else nil
}

// endpoint is an Endpoint, compiled.
type endpoint struct {
	Endpoint
	api      *API
	name     string // of the event: the pattern
	pattern  pattern
	body     int64 // bytes that shield and layers may read
	guarded  bool  // the shield carries a credential: answers are private
	origins  []string
	headers  []string // allowed in a cross-origin request
	limitKey []string // of each limit, its part of the key that never changes
	quotaKey []string // of each quota

	carries   []string // headers, in canonical form, in which the shield looks for a credential
	certified bool     // or it looks at the client's certificate
}

// Wrap returns a handler that lets only those requests reach next that the
// policy accepts. Endpoints with a Handler of their own go there instead.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := g.begin(w, r)
		defer x.end()
		switch err := x.decide(); {
		case err == nil:
			x.accept(next)
		case !errors.Is(err, errAnswered):
			x.refuse(err)
		}
	})
}

// decide takes a request along the whole path. The order is part of the security
// (docs/decisions/0001-order-of-steps.md): nothing expensive happens before a
// cheap limit, and nothing is used up by a request that a later step refuses.
func (x *exchange) decide() error {
	for _, step := range [...]struct {
		name string
		run  func(*exchange) error
		part audit.Part
		ends bool // its part
	}{
		{"door", (*exchange).door, audit.Entry, false},
		{"limit", (*exchange).cheapLimit, audit.Entry, false},
		{"route", (*exchange).route, audit.Entry, false},
		{"load", (*exchange).load, audit.Entry, false},
		{"cors", (*exchange).cors, audit.Entry, true},
		{"shield", (*exchange).shield, audit.Identity, true},
		{"access", (*exchange).access, audit.Rights, false},
		{"admit", (*exchange).admit, audit.Rights, true},
		{"sanitise", (*exchange).sanitise, audit.Input, false},
		{"validate", (*exchange).validate, audit.Input, true},
		{"policy", (*exchange).policy, audit.Conditions, true},
		{"consume", (*exchange).consume, audit.Last, false},
		{"harm", (*exchange).harm, audit.Last, false},
		{"candidate", (*exchange).candidates, audit.Last, false},
		{"flow", (*exchange).flow, audit.Last, true},
	} {
		x.event.Step = step.name
		if err := step.run(x); err != nil {
			x.lap(step.part)
			return err
		}
		if step.ends && x.does(step.part) {
			x.lap(step.part)
		}
	}
	return nil
}

// accept hands the request to its handler, stripped of every credential.
func (x *exchange) accept(next http.Handler) {
	x.event.Step, x.event.Decision = "proxy", audit.Accepted
	x.stripClaims()
	x.handTrace()
	x.scanBody()
	x.askWhole()
	x.handed = true
	switch {
	case x.turn.Earlier != nil:
		next = x.again()
	case x.endpoint.Handler != nil:
		next = x.endpoint.Handler
	}
	x.serve(next)
	if x.endpoint.Outgoing != nil || x.turn.End != nil {
		x.writer().WriteHeader(http.StatusOK) // of a handler that said nothing
		x.settle(true)
		x.judge()
	}
}

// stripClaims removes credentials, and what only we may say of the caller: a handler
// that reads Pavise-Identity or Client-Cert must not take a stranger's word for ours.
// The Client-Cert of a trusted terminator (RFC 9440) stays.
func (x *exchange) stripClaims() {
	h := x.request.Header
	for _, name := range x.guard.carriers {
		if !slices.Contains(x.endpoint.Judges, name) {
			delete(h, name)
		}
	}
	if !x.claims {
		return
	}
	for name := range h {
		if isClaim(name) && (!x.vouched || isLike(name, "pavise-")) {
			delete(h, name)
		}
	}
}

// isClaim looks for Pavise-…, Client-Cert and Client-Cert-Chain, also as readers of
// CGI's variables see them: X_User is X-User.
func isClaim(name string) bool {
	const cert, chain = "client-cert", "client-cert-chain"
	return isLike(name, "pavise-") || len(name) == len(cert) && isLike(name, cert) || len(name) == len(chain) && isLike(name, chain)
}

// isLike compares the beginning of a name with a word in lower case.
func isLike(name, lower string) bool {
	if len(name) < len(lower) {
		return false
	}
	for i := range len(lower) {
		if c := name[i]; c != lower[i] && c|0x20 != lower[i] && (c != '_' || lower[i] != '-') {
			return false
		}
	}
	return true
}

// TLSConfig returns base with Pavise's TLS policy (versions 1.2 and 1.3, AEAD
// suites only) and with client certificates asked for as the policy's hosts say.
// They are asked for, never judged, in the handshake: the guard judges them for
// each request, so that a bad one gets an answer with a code and an event.
func (g *Guard) TLSConfig(base *tls.Config) *tls.Config {
	config := base.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.CipherSuites = aeadSuites()
	ask := config.Clone()
	ask.ClientAuth = tls.RequestClientCert
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if g.AsksFor(hello.ServerName) {
			return ask, nil
		}
		return nil, nil
	}
	return config
}

// AsksFor reports whether a connection for the server name (empty: none was
// given) is asked for a client certificate.
func (g *Guard) AsksFor(serverName string) bool {
	if serverName != "" {
		h := g.hosts[serverName]
		return h != nil && h.ClientCertificates
	}
	for name, h := range g.hosts {
		if h.ClientCertificates && isAddress(name) {
			return true
		}
	}
	return false
}

func aeadSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// New compiles a policy. It refuses one that is incomplete or contradicts
// itself; whatever it returns works.
func New(p Policy) (*Guard, error) {
	if p.Sink == nil {
		return nil, fmt.Errorf("the policy has no Sink: an event that nobody keeps is no record")
	}
	g := &Guard{
		hosts: map[string]*host{}, sink: p.Sink, limiter: p.Limiter, once: p.Once, tries: p.Tries, blocks: p.Blocks, holds: p.Holds, quotas: p.Quotas, load: p.Load,
		perAddress: p.PerAddress, proxies: p.TrustedProxies, presented: p.Presented, traces: p.Traces,
		now: p.Now, rand: p.Rand,
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.rand == nil {
		g.rand = rand.Reader
	}
	if !(p.Traces.Sample >= 0 && p.Traces.Sample <= 1) {
		return nil, fmt.Errorf("the policy's share of traces is %v: want 0 to 1", p.Traces.Sample)
	}
	if g.perAddress != nil && g.limiter == nil {
		return nil, fmt.Errorf("the policy has a rate per address but no Limiter")
	}
	for _, h := range p.Hosts {
		if err := g.addHost(h); err != nil {
			return nil, err
		}
	}
	g.carriers = slices.Clone(alwaysCarriers())
	for i := range p.APIs {
		if err := g.addAPI(p.APIs[i]); err != nil {
			return nil, fmt.Errorf("API %q: %w", p.APIs[i].Name, err)
		}
	}
	if err := g.setTraps(p.Honeypots); err != nil {
		return nil, err
	}
	g.learnLiterals()
	g.exchanges.New = func() any { return new(exchange) }
	return g, nil
}

// learnLiterals gathers the words of paths that are no secrets, for hosts that take
// secrets in paths.
func (g *Guard) learnLiterals() {
	all, secret := map[string]bool{}, false
	for _, h := range g.hosts {
		own, ownSecret := map[string]bool{}, false
		for _, p := range h.patterns {
			ownSecret = ownSecret || p.isSecret()
			for _, s := range p {
				own[s.literal], all[s.literal] = true, true
			}
		}
		if ownSecret {
			h.literals, secret = own, true
		}
	}
	if secret {
		g.literals = all
	}
}

// alwaysCarriers are the headers of credentials that are removed before the
// upstream whether or not a shield of the policy reads them.
func alwaysCarriers() []string {
	return []string{"Authorization", "Proxy-Authorization", "Dpop"}
}

func (g *Guard) addHost(h Host) error {
	if !isHostName(h.Name) {
		return fmt.Errorf("host %q: want a lower-case name or address without a port", h.Name)
	}
	if g.hosts[h.Name] != nil {
		return fmt.Errorf("host %q stands twice", h.Name)
	}
	g.hosts[h.Name] = &host{Host: h, table: route.New[*endpoint]()}
	return nil
}

// isHostName reports whether some Host header has this name, in the one spelling
// that is looked up. An IPv6 address stands without its brackets (RFC 5952).
func isHostName(name string) bool {
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is6() {
		return addr.Zone() == "" && addr.String() == name
	}
	same, ok := shield.HostName(name)
	return ok && same == name
}

func (g *Guard) addAPI(api API) error {
	if len(api.Hosts) == 0 {
		return fmt.Errorf("it names no host")
	}
	if err := api.Recorded.check(); err != nil {
		return err
	}
	for i := range api.Endpoints {
		e, err := g.compile(&api, api.Endpoints[i])
		if err != nil {
			return fmt.Errorf("endpoint %q: %w", api.Endpoints[i].Pattern, err)
		}
		for _, name := range api.Hosts {
			if err := g.addEndpoint(name, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Guard) addEndpoint(hostName string, e *endpoint) error {
	h := g.hosts[hostName]
	if h == nil {
		return fmt.Errorf("host %q is not one of the policy's hosts", hostName)
	}
	if shield.NeedsOf(e.Shield).ClientCert && !h.ClientCertificates && g.presented == nil {
		return fmt.Errorf("endpoint %q judges client certificates, but host %q never asks for one; set client_certificates: ask", e.Pattern, hostName)
	}
	h.lenient = h.lenient.or(e.api.Lenient)
	h.patterns = append(h.patterns, e.pattern)
	return h.table.Add(e.Pattern, e)
}

func (l Lenient) or(other Lenient) Lenient {
	return Lenient{
		InsecureEncodedSlash:      l.InsecureEncodedSlash || other.InsecureEncodedSlash,
		InsecureSemicolon:         l.InsecureSemicolon || other.InsecureSemicolon,
		InsecureUnderscoreHeaders: l.InsecureUnderscoreHeaders || other.InsecureUnderscoreHeaders,
		InsecureTrailers:          l.InsecureTrailers || other.InsecureTrailers,
		InsecureMethodParameter:   l.InsecureMethodParameter || other.InsecureMethodParameter,
	}
}

// defaultMaxBody is the longest body where an endpoint names no bound, in bytes.
const defaultMaxBody = 10 << 20

func (g *Guard) compile(api *API, e Endpoint) (*endpoint, error) {
	switch {
	case e.Shield == nil:
		return nil, fmt.Errorf("it has no shield; a public endpoint has the shield public, with a reason")
	case e.AnyScope == (len(e.Scopes) > 0):
		return nil, fmt.Errorf("it must state either its scopes or that any will do")
	case len(e.Limits) > 0 && g.limiter == nil:
		return nil, fmt.Errorf("it has limits but the policy has no Limiter")
	case len(e.Quotas) > 0 && g.quotas == nil:
		return nil, fmt.Errorf("it has quotas but the policy has no Quotas")
	case e.Priority == limit.Anonymous:
		return nil, fmt.Errorf("its priority is no endpoint's own: want low, normal or high")
	}
	if e.MaxBody == 0 {
		e.MaxBody = defaultMaxBody
	}
	needs := shield.NeedsOf(e.Shield)
	compiled := &endpoint{
		Endpoint: e, api: api, name: e.Pattern, pattern: patternOf(e.Pattern, api.Recorded.Hide), guarded: len(needs.Carries) > 0 || needs.ClientCert,
		body: needs.Body, origins: api.Origins, headers: needs.Carries, certified: needs.ClientCert,
	}
	compiled.body = max(compiled.body, min(bodyOf(e), e.MaxBody))
	for _, l := range e.Limits {
		compiled.limitKey = append(compiled.limitKey, api.Name+"\x00"+l.Name+"\x00"+string(l.Per)+"\x00")
	}
	for _, q := range e.Quotas {
		if err := q.Check(max(q.Cost, 1)); err != nil {
			return nil, fmt.Errorf("quota %q: %w", q.Name, err)
		}
		compiled.quotaKey = append(compiled.quotaKey, q.KeyPrefix(api.Name))
	}
	for _, name := range needs.Carries {
		canonical := http.CanonicalHeaderKey(name)
		compiled.carries = append(compiled.carries, canonical)
		if !slices.Contains(g.carriers, canonical) {
			g.carriers = append(g.carriers, canonical)
		}
	}
	return compiled, nil
}

// bodyOf is how many bytes of a body the layers of an endpoint read.
func bodyOf(e Endpoint) (most int64) {
	layers := []any{e.Sanitise, e.Validate, e.Policy, e.Harm, e.Flow}
	for _, c := range e.Candidates {
		layers = append(layers, c)
	}
	for _, layer := range layers {
		if reader, ok := layer.(BodyReader); ok {
			most = max(most, reader.Body())
		}
	}
	return most
}
