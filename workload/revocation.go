package workload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/revocation"
)

// Revocation asks the authority whether the other end's certificates were revoked: by the
// lists and the OCSP responder that they name, which the gateway has at `pki.status`, or by an
// answer that came with the handshake. A peer about which nobody can say anything is refused.
//
//	check, err := workload.Revocation{Allow: []string{"pki.internal"}}.Check()
//	…
//	cert, err := workload.Open(ctx, workload.Options{Check: check, …})
type Revocation struct {
	Ask     []string      // "ocsp", "crl": whom, in this order. Empty: both
	Refresh time.Duration // what was said longer ago is asked again; 0: an hour
	Allow   []string      // hosts and networks that may be asked although they are not public: "pki.internal", "10.1.0.0/16"

	// InsecureSoftFail says why a peer is accepted about which nobody can say anything; at
	// least ten characters. Warn then learns of each.
	InsecureSoftFail string
	Warn             func(error) // nil: nobody

	Now func() time.Time // nil: time.Now
}

// minReason is the shortest reason for something insecure, in bytes.
const minReason = 10

// Check returns what [Options.Check] takes. It may be shared by several certificates, and then
// asks once for all.
func (r Revocation) Check() (func(tls.ConnectionState) error, error) {
	if r.InsecureSoftFail != "" && len(r.InsecureSoftFail) < minReason {
		return nil, errors.New("workload: Revocation.InsecureSoftFail says in a sentence why it may be")
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	way, err := fetch.New(fetch.Settings{Allow: r.Allow, Signed: true})
	if err != nil {
		return nil, fmt.Errorf("workload: Revocation.Allow: %w", err)
	}
	checker, err := revocation.New(revocation.Settings{Ask: r.Ask, Refresh: r.Refresh, Fetch: way, Now: r.Now})
	if err != nil {
		return nil, fmt.Errorf("workload: Revocation: %w", err)
	}
	return func(s tls.ConnectionState) error { return r.judge(checker, s) }, nil
}

// judge accepts a peer if one of the chains to the authority stands.
func (r Revocation) judge(checker *revocation.Checker, s tls.ConnectionState) error {
	faults := []error{errors.New("no chain was verified")}
	for _, chain := range s.VerifiedChains {
		err := r.stands(checker, chain, s.OCSPResponse)
		if err == nil {
			return nil
		}
		faults = append(faults, err)
	}
	return faults[len(faults)-1]
}

// stands returns why a chain does not stand: one of its certificates was revoked, or nobody
// says anything.
func (r Revocation) stands(checker *revocation.Checker, chain []*x509.Certificate, staple []byte) error {
	for i, cert := range chain[:len(chain)-1] {
		at, err := checker.RevokedAt(context.Background(), revocation.NewLink(cert, chain[i+1]), staple) // it bounds itself
		staple = nil                                                                                     // it speaks for the first alone
		switch {
		case !at.IsZero():
			return fmt.Errorf("%s was revoked at %s", cert.Subject, at.UTC().Format(time.RFC3339))
		case err == nil:
		case r.InsecureSoftFail == "":
			return fmt.Errorf("nobody says whether %s was revoked: %w", cert.Subject, err)
		case r.Warn != nil:
			r.Warn(fmt.Errorf("workload: accepted, although nobody says whether %s was revoked: %w", cert.Subject, err))
		}
	}
	return nil
}
