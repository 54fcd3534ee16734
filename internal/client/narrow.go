package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pavise.dev/pavise/shield"
)

// NarrowCredential leaves a credential in force some of the scopes that it has, and takes the
// others away. It never gives: a scope that the credential has not is an error. None at all is
// one too, as a credential without scopes of its own has those of its client.
func (r *Registry) NarrowCredential(ctx context.Context, kind, id string, scopes shield.Scopes) (Change, error) {
	change := Change{Action: "credential.narrow", Target: id}
	if len(scopes) == 0 {
		return change, errors.New("a credential without scopes of its own has those of its client: revoke it instead, or narrow the client")
	}
	err := r.retry(func() error {
		s, row, err := r.credential(ctx, kind, id)
		if err != nil {
			return err
		}
		if !s.Revoked.IsZero() {
			return fmt.Errorf("%s credential %s is revoked", kind, id)
		}
		var owner Client
		if _, err := r.must(ctx, s.Client, &owner); err != nil {
			return err
		}
		has := owner.Scopes
		if len(s.Scopes) > 0 {
			has = owner.Scopes.Within(s.Scopes)
		}
		if more := has.Missing(scopes); len(more) > 0 {
			return fmt.Errorf("%s credential %s does not have %v; it has %v", kind, id, more, has)
		}
		change.Text = fmt.Sprintf("scopes of %s for client %s %v → %v", kind, s.Client, has, scopes)
		s.Scopes = slices.Clone(scopes)
		if err := s.Validate(&owner); err != nil {
			return err
		}
		if err := r.reseal(&s.Sealed, row); err != nil {
			return err
		}
		return r.rows.write(ctx, entry{tableCredential, row.ID, row.Version, s})
	})
	return change, err
}
