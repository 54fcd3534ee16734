package edge

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// Plain is the handler of a listener without TLS. It serves the challenges by
// which a certificate is got, and what is signed and had without TLS (revocation
// lists, OCSP), to those whom no operator keeps out, and refuses everything else: a redirect would teach clients to go on
// sending their credentials in the clear first.
type Plain struct {
	Challenges http.Handler // answers ACME HTTP-01 (RFC 8555 §8.3); nil: there are none
	Open       http.Handler // answers what is signed by itself; nil: nothing is
	IsOpen     func(*http.Request) bool
	// Blocked reports whether an operator keeps whoever is at an address out, and until when;
	// nil: nobody is.
	Blocked func(netip.Addr) (until time.Time, blocked bool)

	Credentials []string    // header names that carry credentials, besides Authorization, Proxy-Authorization and Cookie
	Fault       func(Fault) // told of every refusal

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // of request IDs; nil: crypto/rand
}

const challengePath = "/.well-known/acme-challenge/"

// ServeHTTP implements http.Handler.
func (p *Plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	exposed := p.exposed(r.Header)
	remote := addrPortOf(r.RemoteAddr)
	if p.Blocked != nil {
		if until, blocked := p.Blocked(remote.Addr()); blocked {
			p.refuse(w, r, Fault{
				Remote: remote, Code: BlockedNetwork, Exposed: exposed,
				Detail: "an operator keeps the network out until " + until.UTC().Format(time.RFC3339),
			})
			return
		}
	}
	if exposed == "" && p.Challenges != nil && isChallenge(r) {
		p.Challenges.ServeHTTP(w, r)
		return
	}
	if exposed == "" && p.Open != nil && p.IsOpen(r) {
		p.Open.ServeHTTP(w, r)
		return
	}
	f := Fault{Remote: remote, Code: TLSRequired, Detail: "a request without TLS", Exposed: exposed}
	if exposed != "" {
		f.Detail = "a request without TLS carried a credential in " + exposed
	}
	p.refuse(w, r, f)
}

// refuse tells of a fault, and answers with it.
func (p *Plain) refuse(w http.ResponseWriter, r *http.Request, f Fault) {
	f.ID, f.Time, f.Step, f.Status = newID(p.random()), p.now(), StepPlain, http.StatusForbidden
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }); ok {
		f.Local = addrPortOf(local.String())
	}
	if p.Fault != nil {
		p.Fault(f)
	}
	w.Header().Set("Connection", "close")
	problem.Write(w, &shield.Refusal{Code: shield.Code(f.Code), Status: f.Status}, f.ID)
}

// isChallenge says that a request asks for one token: RFC 8555 §8.3 allows those
// of base64url only.
func isChallenge(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.RequestURI, challengePath)
	if !ok || token == "" || len(token) > 256 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return strings.IndexFunc(token, func(c rune) bool {
		return c > 'z' || c != '-' && !class[c].is(hostname) || c == '.'
	}) < 0
}

// exposed returns the name of the first header that carries a credential. Only
// its presence counts: what is in it may be wrong, and is leaked all the same.
func (p *Plain) exposed(h http.Header) string {
	for _, name := range [...]string{"Authorization", "Proxy-Authorization", "Cookie"} {
		if len(h[name]) > 0 {
			return name
		}
	}
	for _, name := range p.Credentials {
		if name = http.CanonicalHeaderKey(name); len(h[name]) > 0 {
			return name
		}
	}
	return ""
}

func (p *Plain) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

func (p *Plain) random() io.Reader {
	if p.Rand == nil {
		return rand.Reader
	}
	return p.Rand
}

func addrPortOf(s string) netip.AddrPort {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{} // a transport without IP addresses
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
