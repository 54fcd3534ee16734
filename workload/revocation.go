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

// Revocation says how the authority is asked whether the other end's certificates were
// revoked: by the lists and the OCSP responder that they name, which the gateway has at
// `pki.status`, or by an answer that came with the handshake. A peer about which nobody can say
// anything is refused.
type Revocation struct {
	Ask     []string      // "ocsp", "crl": whom, in this order. Empty: both
	Refresh time.Duration // what was said longer ago is asked again; 0: an hour
	Allow   []string      // hosts and networks that may be asked although they are not public: "pki.internal", "10.1.0.0/16"

	// InsecureSoftFail says why a peer is accepted about which nobody can say anything; at
	// least ten characters. Options.Warn then learns of each.
	InsecureSoftFail string
}

// minReason is the shortest reason for something insecure, in bytes.
const minReason = 10

// askAbout readies the questions.
func (c *Certificate) askAbout(r *Revocation) error {
	if r == nil {
		return nil
	}
	if r.InsecureSoftFail != "" && len(r.InsecureSoftFail) < minReason {
		return errors.New("workload: Revocation.InsecureSoftFail says in a sentence why it may be")
	}
	way, err := fetch.New(fetch.Settings{Allow: r.Allow, Signed: true, Timeout: fetchTime})
	if err != nil {
		return fmt.Errorf("workload: Revocation.Allow: %w", err)
	}
	c.revoked, err = revocation.New(revocation.Settings{Ask: r.Ask, Refresh: r.Refresh, Fetch: way, Now: c.options.Now, Go: c.beside})
	if err != nil {
		return fmt.Errorf("workload: Revocation: %w", err)
	}
	return nil
}

// fetchTime is for a list, which may be long; a handshake waits less.
const fetchTime = 30 * time.Second

// beside runs f beside handshakes, until the certificate is closed.
func (c *Certificate) beside(f func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.owned.Go(func() { f(c.life) })
	}
}

// isRevoked returns why a peer is refused: one of the certificates of every chain was revoked,
// or nobody says anything.
func (c *Certificate) isRevoked(s tls.ConnectionState) error {
	if c.revoked == nil {
		return nil
	}
	err := errors.New("no chain was verified")
	for _, chain := range s.VerifiedChains {
		if err = c.stands(chain, s.OCSPResponse); err == nil {
			return nil
		}
	}
	return err
}

// stands returns why a chain does not stand.
func (c *Certificate) stands(chain []*x509.Certificate, staple []byte) error {
	for i, cert := range chain[:len(chain)-1] {
		at, err := c.revoked.RevokedAt(c.life, revocation.NewLink(cert, chain[i+1]), staple) // it bounds itself
		staple = nil                                                                         // it speaks for the first alone
		switch {
		case !at.IsZero():
			return fmt.Errorf("%s was revoked at %s", cert.Subject, at.UTC().Format(time.RFC3339))
		case err == nil:
		case c.options.Revocation.InsecureSoftFail == "":
			return fmt.Errorf("nobody says whether %s was revoked: %w", cert.Subject, err)
		default:
			c.options.Warn(fmt.Errorf("workload: accepted, although nobody says whether %s was revoked: %w", cert.Subject, err))
		}
	}
	return nil
}
