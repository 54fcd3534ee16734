package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// tokenKey names the token, or all tokens of the subject, of an issuer.
type tokenKey struct {
	issuer, name string
	subject      bool
}

func (v *Revocation) key() tokenKey {
	if v.TokenID != "" {
		return tokenKey{v.Issuer, v.TokenID, false}
	}
	return tokenKey{v.Issuer, v.Subject, true}
}

// row is unambiguous and short, whatever the names hold.
func (k tokenKey) row() string {
	what := "token"
	if k.subject {
		what = "subject"
	}
	return fmt.Sprintf("%s/%x", what, sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(k.issuer), k.issuer, k.name)))
}

// RevokeTokens ends tokens of an issuer: one by its id, or all of a subject that
// were issued until now.
func (r *Registry) RevokeTokens(ctx context.Context, v Revocation) (Change, error) {
	v.Since = r.now().UTC()
	if err := v.Validate(); err != nil {
		return Change{}, err
	}
	name := v.key().row()
	err := r.retry(func() error {
		var known Revocation
		row, err := r.rows.read(ctx, tableRevocation, name, &known)
		if err != nil {
			return err
		}
		next := v
		if row.Body != nil {
			next.Since = later(known.Since, v.Since)
			if known.Until.IsZero() || !v.Until.IsZero() && known.Until.After(v.Until) {
				next.Until = known.Until // what was promised longer is kept longer
			}
		}
		return r.rows.write(ctx, entry{tableRevocation, name, row.Version, next})
	})
	what := "token " + quote(v.TokenID)
	if v.Subject != "" {
		what = "all tokens of " + quote(v.Subject)
	}
	return Change{Action: "token.revoke", Target: what, Text: what + " of issuer " + quote(v.Issuer) + because(v.Reason)}, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Revocations returns the revocations of tokens that are kept.
func (r *Registry) Revocations(ctx context.Context) ([]Revocation, error) {
	return all[Revocation](ctx, r.rows, tableRevocation, nil)
}
