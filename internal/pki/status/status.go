// Package status says which certificates of the own authority are revoked, to those who
// are not this gateway: by revocation lists (RFC 5280 §5) and by OCSP (RFC 6960, in the
// lightweight profile of RFC 5019).
//
// The gateway itself asks neither: its snapshot knows at once. Both are for programs that
// verify the authority's certificates by themselves, such as nginx and HAProxy.
//
//	lists.go      a list for each authority, signed ahead: when something is revoked, and
//	              every six hours
//	ocsp.go       an answer for each certificate that is asked about, signed once and kept
//	responder.go  who signs answers for an authority whose own key cannot
//
// Everything is signed, so that it is had without TLS. Nobody who asks makes the authority
// sign more than once for each certificate that it has issued.
package status

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/shield"
)

// Authority knows who signs; a [pki.Authority] is one.
type Authority interface {
	Signers() ([]pki.Signer, error)
	Generation() uint64
}

// Records knows the certificates; a [client.View] is one.
type Records interface {
	Each(kind string) iter.Seq[*shield.Record]
	Credential(kind, id string) (*shield.Record, error)
	Withdrawals() uint64 // rises when something was revoked, is on hold, or no longer is
}

// Options are what a [Server] needs. All of them are required.
type Options struct {
	Authority Authority
	Records   Records
	Kept      rows.Records // where the numbers of lists are kept
	Now       func() time.Time
	Rand      io.Reader
}

// Server answers questions about certificates. It is safe for concurrent use.
type Server struct {
	options Options
	numbers rows.Table[number]

	signing sync.Mutex // one round of lists at a time
	lists   sync.Map   // ID of the authority → *list
	seen    [2]uint64  // what the lists of the last round know of; guarded by signing
	told    [2]uint64  // what the answers know of; guarded by signing
	looked  time.Time  // when the answers were last gone through; guarded by signing
	answers answers

	responders responders
}

// New returns a server. Call [Server.Keep] now and then; until the first time there are no
// lists.
func New(o Options) *Server {
	s := &Server{options: o, numbers: rows.NewTable[number](o.Kept, "crl")}
	s.answers.kept = map[question]*signed{}
	return s
}

// Handles reports whether a request is for the server: others are somebody else's.
func (s *Server) Handles(r *http.Request) bool {
	path := r.URL.EscapedPath()
	return strings.HasPrefix(path, "/crl/") || path == pki.PathOCSP || strings.HasPrefix(path, pki.PathOCSP+"/")
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if strings.HasPrefix(r.URL.EscapedPath(), "/crl/") {
		s.serveList(w, r)
		return
	}
	s.serveOCSP(w, r)
}

// Keep signs the lists that are due, and the answers that are asked for and grow old.
func (s *Server) Keep(ctx context.Context) error {
	signers, err := s.options.Authority.Signers()
	if err != nil {
		return err
	}
	s.signing.Lock()
	defer s.signing.Unlock()
	now := [2]uint64{s.options.Authority.Generation(), s.options.Records.Withdrawals()}
	return errors.Join(s.keepLists(ctx, signers, now), s.keepAnswers(signers, now))
}

// List returns the revocation list of an authority, DER, for the command line; an error if
// there is none.
func (s *Server) List(ctx context.Context, id string) ([]byte, error) {
	if err := s.Keep(ctx); err != nil {
		return nil, err
	}
	l, ok := s.list(id)
	if !ok {
		return nil, fmt.Errorf("there is no revocation list of authority %.64q: it has ended, or there is none such", id)
	}
	return l.der, nil
}

// isOf reports whether a record is a certificate that the authority has signed.
func isOf(signer *pki.Signer, r *shield.Record) bool {
	return strings.HasPrefix(r.ID, client.CertificatePrefix) && r.Settings[pki.SettingCA] == signer.Pin
}

// earliest is a moment, but not after an authority's end.
func earliest(a time.Time, c *x509.Certificate) time.Time {
	if c.NotAfter.Before(a) {
		return c.NotAfter
	}
	return a
}
