package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"time"
)

// Signer is one of the authority's own certificates that says what it has revoked.
type Signer struct {
	ID          string
	Role        Role
	Certificate *x509.Certificate
	Pin         string        // as credentials name it
	Key         crypto.Signer // nil: it is kept elsewhere, and List is what it said when it was here
	List        []byte        // DER
	Revoked     []Revoked     // of a root: authorities below it
	Distrusted  time.Time     // it was revoked itself, and with it all that it has signed; zero: it is trusted
}

// Revoked is an authority's certificate that is trusted no more.
type Revoked struct {
	Certificate *x509.Certificate
	At          time.Time
}

// Signers returns those that are asked about their certificates: all that have not ended.
// Those that were retired or revoked are among them, because certificates of theirs are
// still shown to somebody. Without an authority there are none.
func (a *Authority) Signers() ([]Signer, error) {
	h, err := a.hierarchy()
	if errors.Is(err, ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now := a.options.Now()
	var all []Signer
	for _, m := range h.members {
		if !m.isAsked(now) {
			continue
		}
		all = append(all, Signer{
			ID: m.kept.ID, Role: m.kept.Role, Certificate: m.cert, Pin: Pin(m.cert), Key: m.key, List: m.kept.List,
			Revoked: revokedBelow(m, h.members), Distrusted: m.kept.Revoked,
		})
	}
	return all, nil
}

// isAsked reports whether a member can say what it has revoked.
func (m *member) isAsked(now time.Time) bool {
	return now.Before(m.cert.NotAfter) && (m.key != nil || len(m.kept.List) > 0)
}
