package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/review"
)

// Take makes one change of a proposal, if what it changes is still as it was.
func Take(ctx context.Context, a *admin.Client, c *review.Change) error {
	switch c.What {
	case review.NarrowClient, review.NarrowCredential:
		owner, err := a.Client(ctx, c.Client)
		if err != nil {
			return err
		}
		has := []string(owner.Client.Scopes)
		if c.What == review.NarrowCredential {
			i := slices.IndexFunc(owner.Credentials, func(one client.Credential) bool { return one.Kind == c.Kind && one.ID == c.ID })
			if i < 0 {
				return errors.New("the credential is not there any more")
			}
			if own := owner.Credentials[i].Scopes; len(own) > 0 {
				has = owner.Client.Scopes.Within(own)
			}
		}
		if !slices.Equal(has, c.From) {
			return fmt.Errorf("it has other scopes than when the proposal was made: %v", has)
		}
		if c.What == review.NarrowClient {
			_, err = a.UpdateClient(ctx, c.Client, admin.ClientUpdate{Scopes: append([]string{}, c.To...)})
			return err
		}
		_, err = a.Narrow(ctx, admin.Narrow{Kind: c.Kind, ID: c.ID, Scopes: c.To})
		return err
	case review.RevokeCredential:
		_, err := a.Revoke(ctx, admin.Revoke{ID: c.ID, Kind: c.Kind, Reason: "not used: pavise review"})
		return err
	case review.RevokeGrant:
		_, err := a.RevokeGrants(ctx, admin.RevokeGrants{IDs: []string{c.ID}, Reason: "not used: pavise review"})
		return err
	}
	_, err := a.DisableClient(ctx, c.Client)
	return err
}
