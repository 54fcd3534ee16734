package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"time"
)

// Signer is one of the authority's own certificates whose key is here, so that it can say
// what it has revoked.
type Signer struct {
	ID          string
	Role        Role
	Certificate *x509.Certificate
	Key         crypto.Signer
	Pin         string    // as credentials name it
	Revoked     []Revoked // of a root: authorities below it
}

// Revoked is an authority's certificate that is trusted no more.
type Revoked struct {
	Certificate *x509.Certificate
	At          time.Time
}

// Signers returns those that are asked about their certificates: all that have not ended,
// retired ones too. Without an authority there are none.
func (a *Authority) Signers() ([]Signer, error) {
	h, err := a.hierarchy()
	if errors.Is(err, ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Signer
	for _, role := range []Role{Root, Issuing} {
		for _, m := range h.trusted(role, a.options.Now()) {
			if m.key == nil {
				continue
			}
			all = append(all, Signer{
				ID: m.kept.ID, Role: role, Certificate: m.cert, Key: m.key, Pin: Pin(m.cert), Revoked: h.revokedBelow(m),
			})
		}
	}
	return all, nil
}

func (h *hierarchy) revokedBelow(root *member) (found []Revoked) {
	for _, m := range h.members {
		if m.kept.Role == Issuing && !m.kept.Revoked.IsZero() && string(m.cert.RawIssuer) == string(root.cert.RawSubject) {
			found = append(found, Revoked{m.cert, m.kept.Revoked})
		}
	}
	return found
}
