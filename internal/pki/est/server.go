// Package est hands certificates out to programs elsewhere and renews them: Enrollment over
// Secure Transport (RFC 7030, as clarified by RFC 8951).
//
//	cacerts          the roots and whatever stands between them and certificates (§4.1.3)
//	simpleenroll     a certificate for whoever has an enrolment token ([Tokens]): for the
//	                 client, with the names and for the time that the operator wrote into it
//	simplereenroll   the next one for whoever has one in force, with the same names
//	csrattrs         nothing is asked for
//
// Both answer with the certificate alone (§4.2.3). What a signing request says of subject and
// names is not taken over: names may be those that the certificate will have, or none, and
// others are refused; so those of a renewal are the old ones, as §4.2.2 wants it.
//
// The private key stays where it was made. [Client] is the other half, and a
// [renewed.Source].
package est

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/rows"
)

// Path is where the protocol lives (RFC 7030 §3.2.2).
const Path = "/.well-known/est"

// MaxBody is the longest request that is read, in bytes: a signing request in base64.
const MaxBody = 2 * pki.MaxSigningRequest

// Authority issues; a [pki.Authority] is one.
type Authority interface {
	Roots() ([]*x509.Certificate, error)
	Between() ([]*x509.Certificate, error)
	Check(ctx context.Context, n pki.Request, csr *pki.SigningRequest) error
	Issue(ctx context.Context, n pki.Request, csr *pki.SigningRequest) (*pki.Issued, client.Change, error)
	Renew(ctx context.Context, id string, csr *pki.SigningRequest) (*pki.Issued, client.Change, error)
}

// Tries counts wrong tokens by network; a limit.Lockout is one.
type Tries interface {
	Blocked(credentialID string, addr netip.Addr) time.Duration
	Wrong(credentialID string, addr netip.Addr)
}

// Options are what a [Server] needs; all are required.
type Options struct {
	Authority Authority
	Tokens    *Tokens
	Tries     Tries
	Refresh   func(context.Context) error                         // makes what was issued bite at once
	Renewing  func(*http.Request) string                          // id of the credential by which the caller is known; empty: none
	Done      func(r *http.Request, c client.Change, by string)   // tells of what was issued, and by which token or certificate
	Decline   func(r *http.Request, status int, code, why string) // says in the request's event why it was refused
}

// Server is the protocol's server. It is safe for concurrent use.
type Server struct{ Options }

// Endpoint is one address of the server.
type Endpoint struct {
	Pattern string // as http.ServeMux reads it
	Handler http.HandlerFunc
	Mutual  bool // callers must have proved a certificate in force
}

// Endpoints returns every address of the server.
func (s *Server) Endpoints() []Endpoint {
	return []Endpoint{
		{"GET " + Path + "/cacerts", s.cacerts, false},
		{"GET " + Path + "/csrattrs", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, false},
		{"POST " + Path + "/simpleenroll", s.enroll, false},
		{"POST " + Path + "/simplereenroll", s.reenroll, true},
	}
}

func (s *Server) cacerts(w http.ResponseWriter, r *http.Request) {
	roots, err := s.Authority.Roots()
	between, also := s.Authority.Between()
	if err = errors.Join(err, also); err != nil {
		s.refuse(w, r, &refusal{http.StatusServiceUnavailable, "no_authority", err.Error()})
		return
	}
	s.send(w, r, append(roots, between...))
}

// send answers with certificates.
func (s *Server) send(w http.ResponseWriter, r *http.Request, certificates []*x509.Certificate) {
	der, err := encodeCerts(certificates)
	if err != nil {
		s.refuse(w, r, undecided(err))
		return
	}
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
	w.Header().Set("Content-Transfer-Encoding", "base64")
	_, _ = w.Write(encode64(der)) // the caller may be gone
}

// refusal is why nothing is issued.
type refusal struct {
	status    int
	code, why string
}

func undecided(err error) *refusal {
	return &refusal{http.StatusServiceUnavailable, "temporarily_unavailable", err.Error()}
}

// refuse answers in plain text (RFC 7030 §4.2.3). What only the operator may know stands in
// the event.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *refusal) {
	s.Decline(r, f.status, f.code, f.why)
	text := f.why
	switch f.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="est"`)
		text = "the enrolment token is not accepted"
	case http.StatusServiceUnavailable:
		text = "try again later"
	}
	http.Error(w, f.code+": "+text, f.status)
}

// enroll issues a certificate to whoever has a token.
func (s *Server) enroll(w http.ResponseWriter, r *http.Request) {
	issued, f := s.enrolled(r)
	if f != nil {
		s.refuse(w, r, f)
		return
	}
	s.send(w, r, issued.Chain[:1])
}

func (s *Server) enrolled(r *http.Request) (*pki.Issued, *refusal) {
	ctx := r.Context()
	row, f := s.admitted(r)
	if f != nil {
		return nil, f
	}
	csr, f := signingRequest(r)
	if f != nil {
		return nil, f
	}
	n := row.Value.request()
	if err := s.Authority.Check(ctx, n, csr); err != nil {
		return nil, refusalOf(err) // the token is as good as before
	}
	if err := s.Tokens.use(ctx, row); err != nil {
		return nil, refusalOf(err)
	}
	issued, change, err := s.Authority.Issue(ctx, n, csr)
	if err == nil {
		s.Done(r, change, row.Value.ID)
		err = s.Refresh(ctx)
	}
	if err != nil {
		return nil, refusalOf(err)
	}
	return issued, nil
}

// admitted finds the token of a request. Wrong ones are slowed down by network.
func (s *Server) admitted(r *http.Request) (rows.Row[Token], *refusal) {
	from := addressOf(r)
	if wait := s.Tries.Blocked("", from); wait > 0 {
		return rows.Row[Token]{}, &refusal{http.StatusTooManyRequests, "locked_out", "too many wrong tokens from this network; wait " + wait.Round(time.Second).String()}
	}
	row, err := s.Tokens.find(r.Context(), secretOf(r))
	if errors.Is(err, ErrUnknown) {
		s.Tries.Wrong("", from)
	}
	if err != nil {
		return row, refusalOf(err)
	}
	return row, nil
}

// secretOf is what a request presents: the password of Basic (RFC 7030 §3.2.3), or a bearer
// token.
func secretOf(r *http.Request) string {
	if values := r.Header.Values("Authorization"); len(values) != 1 {
		return ""
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	const bearer = "Bearer "
	if text := r.Header.Get("Authorization"); len(text) > len(bearer) && text[:len(bearer)] == bearer {
		return text[len(bearer):]
	}
	return ""
}

func addressOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}

// reenroll issues the next certificate to whoever has proved one.
func (s *Server) reenroll(w http.ResponseWriter, r *http.Request) {
	csr, f := signingRequest(r)
	if f != nil {
		s.refuse(w, r, f)
		return
	}
	old := s.Renewing(r)
	issued, change, err := s.Authority.Renew(r.Context(), old, csr)
	if err == nil {
		s.Done(r, change, old)
		err = s.Refresh(r.Context())
	}
	if err != nil {
		s.refuse(w, r, refusalOf(err))
		return
	}
	s.send(w, r, issued.Chain[:1])
}

// signingRequest reads the body (RFC 7030 §4.2.1).
func signingRequest(r *http.Request) (*pki.SigningRequest, *refusal) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/pkcs10" {
		return nil, &refusal{http.StatusUnsupportedMediaType, "unsupported_media", "send a signing request as application/pkcs10"}
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil || len(text) > MaxBody {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "too_large", "the signing request is too long, or could not be read"}
	}
	der, err := decode64(text)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "malformed", err.Error()}
	}
	csr, err := pki.ParseSigningRequest(der)
	if err != nil {
		return nil, refusalOf(err)
	}
	return csr, nil
}

// refusalOf finds out what an error means for the caller.
func refusalOf(err error) *refusal {
	if wrong, ok := errors.AsType[*pki.Fault](err); ok {
		return &refusal{http.StatusBadRequest, "bad_certificate_request", wrong.Error()}
	}
	switch {
	case errors.Is(err, ErrUnknown):
		return &refusal{http.StatusUnauthorized, "invalid_credential", err.Error()}
	case errors.Is(err, client.ErrMissing):
		return &refusal{http.StatusForbidden, "unknown_client", "the client or certificate is not known any more"}
	}
	return undecided(err)
}
