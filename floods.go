package pavise

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// load takes a place among the requests under way, or sheds the request: of low priority first,
// then what carries no credential, so that no work is done for its shield.
func (x *exchange) load() error {
	load := x.guard.load
	if load == nil {
		return nil
	}
	priority := x.priority()
	if !load.Enter(priority) {
		return busy("the gateway has too many requests under way for one of %s priority", priority)
	}
	x.placed = true
	return nil
}

func (x *exchange) priority() limit.Priority {
	if e := x.endpoint; e.Priority != limit.Normal || x.carriesCredential() {
		return e.Priority
	}
	return limit.Anonymous
}

// carriesCredential reports whether there is anything that the endpoint's shield, or its handler,
// might accept.
func (x *exchange) carriesCredential() bool {
	e, r := x.endpoint, x.request
	if len(e.Judges) > 0 {
		return true
	}
	for _, name := range e.carries {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return e.certified && r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

// admit counts the request for client, user, address or endpoint.
func (x *exchange) admit() error {
	if err := x.takePlaces(); err != nil {
		return err
	}
	e := x.endpoint
	if len(e.Limits) == 0 && len(e.Quotas) == 0 {
		return nil
	}
	applied := make([]limit.Applied, 0, len(e.Limits)+len(e.Quotas))
	for i, l := range e.Limits {
		state, err := x.guard.limiter.Take(e.limitKey[i]+x.subject(l.Per), l.Rate, max(l.Cost, 1))
		if err != nil {
			return fmt.Errorf("count %s: %w", l.Name, err)
		}
		applied = append(applied, limit.Applied{Limit: l, State: state})
		if !state.Allowed {
			return rateLimited(x.writer().Header(), applied...)
		}
	}
	applied, err := x.takeQuotas(applied)
	if err != nil {
		return err
	}
	x.rates = applied
	return nil
}

// takePlaces takes one of the client's places among concurrent requests, of the API and of the
// endpoint.
func (x *exchange) takePlaces() error {
	for _, places := range x.endpoint.Concurrency {
		release, ok := places.Acquire(x.subject(limit.PerClient))
		if !ok {
			return busy("the client, or all together, have too many requests under way")
		}
		x.release = append(x.release, release)
	}
	return nil
}

// takeQuotas uses what is left of days and months: of all quotas or of none.
func (x *exchange) takeQuotas(applied []limit.Applied) ([]limit.Applied, error) {
	e, quotas := x.endpoint, x.guard.quotas
	for i, q := range e.Quotas {
		state, err := quotas.Take(x.quotaKey(i), q, max(q.Cost, 1))
		if err != nil {
			x.returnQuotas(i)
			return nil, fmt.Errorf("count %s: %w", q.Name, err)
		}
		applied = append(applied, q.Apply(state, x.started))
		if !state.Allowed {
			x.returnQuotas(i)
			return nil, quotaUsedUp(x.writer().Header(), q, applied...)
		}
	}
	return applied, nil
}

// returnQuotas gives back what the first n quotas of the endpoint were taken for.
func (x *exchange) returnQuotas(n int) {
	for i, q := range x.endpoint.Quotas[:n] {
		x.guard.quotas.Return(x.quotaKey(i), q, max(q.Cost, 1))
	}
}

// quotaKey names a quota of the endpoint and whom it counts for. Quotas are kept, so that
// strangers must not fill the store: where there is nobody, all of them count as one.
func (x *exchange) quotaKey(i int) string {
	per := x.endpoint.Quotas[i].Per
	if per != limit.PerEndpoint && x.identity.Client == "" && (per == limit.PerClient || x.identity.User == "") {
		return x.endpoint.quotaKey[i] + limit.Nobody
	}
	return x.endpoint.quotaKey[i] + x.subject(per)
}

// subject names whom a limit counts for. Where there is no user the client
// counts, and where there is no client the address.
func (x *exchange) subject(per limit.Subject) string {
	switch {
	case per == limit.PerEndpoint:
		return x.endpoint.name
	case per == limit.PerUser && x.identity.User != "":
		return "user\x00" + x.identity.Issuer + "\x00" + x.identity.User
	case (per == limit.PerUser || per == limit.PerClient) && x.identity.Client != "":
		return "client\x00" + x.identity.Client
	}
	return "address\x00" + limit.AddressKey(x.event.Remote.Addr())
}

func rateLimited(h http.Header, applied ...limit.Applied) error {
	limit.SetHeaders(h, applied)
	last := applied[len(applied)-1]
	refusal := shield.Refuse(shield.RateLimited, "%s: more than %d in %s", last.Limit.Name, last.Limit.Rate.Count, last.Limit.Rate.Per)
	refusal.Header = http.Header{"Retry-After": {limit.RetryAfter(last.State.Retry)}}
	return refusal
}

func quotaUsedUp(h http.Header, q limit.Quota, applied ...limit.Applied) error {
	limit.SetHeaders(h, applied)
	refusal := shield.Refuse(shield.QuotaExceeded, "%s: the %d of this %s are used up", q.Name, q.Count, q.Period)
	refusal.Header = http.Header{"Retry-After": {limit.RetryAfter(applied[len(applied)-1].State.Retry)}}
	return refusal
}

// busy refuses for a moment.
func busy(format string, args ...any) error {
	refusal := shield.Refuse(shield.Busy, format, args...)
	refusal.Header = http.Header{"Retry-After": {"1"}}
	return refusal
}

// lookIntoHoneypots notes a request for one. Its answer stays what it was.
func (x *exchange) lookIntoHoneypots() {
	g := x.guard
	if !g.traps[x.path] {
		return
	}
	x.trapped = true
	if addr := x.event.Remote.Addr(); g.honeypots.Caught != nil && !g.proxies.trusts(addr) && !x.isForAnotherSite() {
		g.honeypots.Caught(x.path, addr)
	}
}

// isForAnotherSite reports whether a browser says that the page of another site made it send the
// request: whoever looks at a stranger's page must not lose his network by it. Who lies with
// these headers escapes no more than the block.
func (x *exchange) isForAnotherSite() bool {
	h := x.request.Header
	site := h.Get("Sec-Fetch-Site")
	return site != "" && site != "none" || h.Get("Origin") != "" || h.Get("Referer") != ""
}

// setTraps refuses honeypots that some endpoint serves, or that nobody can ask for.
func (g *Guard) setTraps(h Honeypots) error {
	g.honeypots, g.traps = h, map[string]bool{}
	for _, path := range h.Paths {
		if err := checkPath(path); err != nil {
			return fmt.Errorf("honeypot %q: %w", path, err)
		}
		for name, host := range g.hosts {
			if served := host.serves(path); served != "" {
				return fmt.Errorf("honeypot %q: %s serves it on %s", path, served, name)
			}
		}
		g.traps[path] = true
	}
	return nil
}

// serves returns the pattern of an endpoint that takes the path, with any method; "" for none.
func (h *host) serves(path string) string {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return ""
	}
	e, err := h.table.Match(&http.Request{Method: http.MethodGet, URL: u, Host: h.Name, RequestURI: path})
	if method, ok := errors.AsType[*route.MethodError](err); ok {
		return method.Allow
	}
	if err != nil {
		return ""
	}
	return e.name
}
