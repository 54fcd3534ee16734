package pavise

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/shield"
)

// cors applies the API's rule for scripts of other origins (Fetch standard).
// OPTIONS is answered by this rule alone; an upgrade from a foreign origin is
// refused (RFC 6455 §10.2), because browsers do not, and so is a page of another
// site that would have a browser change something with its owner's certificate.
func (x *exchange) cors() error {
	h := x.request.Header
	origin := h.Get("Origin")
	switch {
	case origin != "" && (x.sameOrigin(origin) || slices.Contains(x.endpoint.origins, origin)):
		return nil
	case origin != "" && h.Get("Upgrade") != "":
		return shield.Refuse(shield.ForeignOrigin, "upgrade from origin %q", clip(origin, 128))
	case (origin != "" || isElsewhere(h.Get("Sec-Fetch-Site"))) && x.isByCertificateAlone() && changes(x.request.Method):
		return shield.Refuse(shield.ForeignOrigin, "a page of origin %q made a browser send %s with its owner's certificate", clip(origin, 128), x.request.Method)
	}
	return nil
}

// isElsewhere reports whether a browser says that the page is of another origin (Fetch
// Metadata §2.4).
func isElsewhere(site string) bool { return site != "" && site != "same-origin" && site != "none" }

// isByCertificateAlone reports whether nothing but the certificate of the connection can prove
// who calls. That is the one credential which a browser adds by itself, whoever wrote the page:
// headers with credentials pages of other origins cannot send without a preflight.
func (x *exchange) isByCertificateAlone() bool {
	r := x.request
	if !x.endpoint.certified || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	return !slices.ContainsFunc(x.endpoint.carries, func(name string) bool { return len(r.Header[name]) > 0 })
}

// changes reports whether a method is not safe (RFC 9110 §9.2.1).
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

func (x *exchange) sameOrigin(origin string) bool {
	scheme := "http://"
	if x.request.TLS != nil {
		scheme = "https://"
	}
	return strings.EqualFold(origin, scheme+x.request.Host)
}

// isPreflight reports whether the request is a browser's question whether it
// may send another one.
func (x *exchange) isPreflight() bool { return x.request.Method == http.MethodOptions }

// preflight answers OPTIONS: a listed origin may send the announced method to
// this path. It never reaches shields or upstreams.
func (x *exchange) preflight() error {
	h := x.request.Header
	origin, method := h.Get("Origin"), h.Get("Access-Control-Request-Method")
	e := x.preflightEndpoint(method)
	if e == nil || origin == "" || !slices.Contains(e.origins, origin) {
		return shield.Refuse(shield.ForeignOrigin, "OPTIONS from origin %q for method %q", clip(origin, 128), clip(method, 32))
	}
	x.endpoint = e
	x.event.API, x.event.Endpoint = e.api.Name, e.name
	x.event.Decision, x.event.Note = audit.Accepted, "preflight"
	answer := x.writer().Header()
	answer["Access-Control-Allow-Methods"] = []string{method}
	answer["Access-Control-Allow-Headers"] = []string{strings.Join(append([]string{"Authorization", "Content-Type"}, e.headers...), ", ")}
	answer["Access-Control-Max-Age"] = []string{"600"}
	x.writer().WriteHeader(http.StatusNoContent)
	return errAnswered
}

// errAnswered ends the path of a request that a step has answered itself.
var errAnswered = errors.New("answered")

// preflightEndpoint finds the endpoint that the announced method would reach.
func (x *exchange) preflightEndpoint(method string) *endpoint {
	probe := x.request.Clone(x.request.Context())
	probe.Method = method
	e, err := x.host.table.Match(probe)
	if err != nil {
		return nil
	}
	return e
}

// dressOrigin lets a listed origin read the answer.
func (x *exchange) dressOrigin(h http.Header) {
	if x.endpoint == nil || len(x.endpoint.origins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	origin := x.request.Header.Get("Origin")
	if origin == "" || !slices.Contains(x.endpoint.origins, origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, RateLimit, RateLimit-Policy, Retry-After")
}

// dropOrigins removes what the service says about origins, where a credential opened
// the answer or the policy lists origins.
func (x *exchange) dropOrigins(h http.Header) {
	if !x.handed || !x.endpoint.guarded && len(x.endpoint.origins) == 0 {
		return
	}
	const prefix = "Access-Control-"
	for name := range h {
		if len(name) > len(prefix) && name[0]|0x20 == 'a' && strings.EqualFold(name[:len(prefix)], prefix) {
			delete(h, name)
		}
	}
}
