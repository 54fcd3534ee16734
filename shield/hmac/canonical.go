package hmac

import (
	mac "crypto/hmac"
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// parts is everything that a signature covers. Both halves of the scheme make
// it with partsOf and its bytes with append: what one signs the other checks.
type parts struct {
	claim
	method    string
	authority string   // as sent, in lower case
	path      string   // escaped, as sent
	query     string   // with its question mark; empty: there is none
	values    []string // of claim.headers
	digest    string   // value of Content-Digest
}

// partsOf reads a request, at the client or at the server. The claim says which
// headers are covered; each must stand on the request exactly once. An error is
// a *shield.Refusal.
func partsOf(r *http.Request, c claim, d digest) (parts, error) {
	p := parts{
		claim: c, method: r.Method, authority: authorityOf(r), path: r.URL.EscapedPath(),
		digest: d.field, values: make([]string, 0, len(c.headers)),
	}
	if p.method == "" {
		p.method = http.MethodGet // net/http's client sends it so
	}
	if p.path == "" {
		p.path = "/"
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		p.query = "?" + r.URL.RawQuery
	}
	if len(r.Trailer) > 0 {
		return p, shield.Refuse(shield.BadSignature, "the request announces trailers, which no signature covers")
	}
	for _, name := range c.headers {
		values := r.Header[http.CanonicalHeaderKey(name)]
		switch {
		case len(values) == 0:
			return p, shield.Refuse(shield.BadSignature, "the covered header %s is missing", name)
		case len(values) > 1:
			return p, shield.Refuse(shield.BadHeader, "the covered header %s stands %d times", name, len(values))
		}
		p.values = append(p.values, strings.Trim(values[0], " \t"))
	}
	if refusal := p.check(); refusal != nil {
		return p, refusal
	}
	return p, nil
}

// authorityOf returns the host with its port as it is sent, in lower case. No
// forwarded header has a say.
func authorityOf(r *http.Request) string {
	if r.Host != "" {
		return strings.ToLower(r.Host)
	}
	return strings.ToLower(r.URL.Host)
}

// check refuses what could be mistaken for the end of a line. HTTP lets no such
// bytes through; a request that was made by hand might hold them.
func (p *parts) check() *shield.Refusal {
	for _, field := range [...]string{p.method, p.authority, p.path, p.query, p.digest} {
		if hasControl(field) {
			return shield.Refuse(shield.BadSignature, "a control character stands in the method, host, path, query or digest")
		}
	}
	for i, value := range p.values {
		if hasControl(value) {
			return shield.Refuse(shield.BadSignature, "a control character stands in the covered header %s", p.headers[i])
		}
	}
	return nil
}

// hasControl reports control characters other than the tab, which may stand in
// the value of a header.
func hasControl(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// append adds the bytes that are signed to b: lines that each end with a line
// feed. The number of lines follows from the list of headers, and no field holds
// a line feed, so two different requests never have the same bytes.
func (p *parts) append(b []byte) []byte {
	for _, line := range [...]string{
		version, p.id, p.algorithm.name, p.timestamp, p.nonce, p.method, p.authority, p.path, p.query, p.list,
	} {
		b = append(append(b, line...), '\n')
	}
	for i, name := range p.headers {
		b = append(append(b, name...), ':')
		b = append(append(b, p.values[i]...), '\n')
	}
	return append(append(b, p.digest...), '\n')
}

// sum returns the signature under a secret.
func (p *parts) sum(secret []byte) []byte {
	return p.algorithm.sum(secret, p.append(nil))
}

func (a algorithm) sum(secret, message []byte) []byte {
	h := mac.New(a.new, secret)
	h.Write(message) // a hash's Write never errs
	return h.Sum(nil)
}
