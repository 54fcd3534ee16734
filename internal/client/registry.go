package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// Errors that callers decide by.
var (
	ErrExists  = errors.New("it exists already")
	ErrMissing = errors.New("there is none")
)

// Registry is what administration changes: clients, credentials, revocations.
// Every change is one commit that compares versions. It is safe for concurrent use.
type Registry struct {
	rows *ledger
	now  func() time.Time
}

// Options are what [OpenRegistry] needs.
type Options struct {
	Store  Store
	Master seal.Master
	Mark   string // file outside the store that remembers its state; empty: none (tests, library)
	Now    func() time.Time
}

// OpenRegistry opens the store's keys, making them if the store is new, and
// checks that the store is what it was: no row changed by others, none put back.
func OpenRegistry(ctx context.Context, o Options) (*Registry, error) {
	rows, err := openLedger(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Registry{rows: rows, now: o.Now}, nil
}

// CreateClient adds a client.
func (r *Registry) CreateClient(ctx context.Context, c Client) (Change, error) {
	if err := c.Validate(); err != nil {
		return Change{}, err
	}
	c.Created = r.now().UTC()
	row, err := r.rows.read(ctx, tableClient, c.ID, nil)
	if err != nil {
		return Change{}, err
	}
	if row.Body != nil {
		return Change{}, fmt.Errorf("client %s: %w", c.ID, ErrExists)
	}
	err = r.rows.write(ctx, entry{tableClient, c.ID, row.Version, c})
	return Change{"client.create", c.ID, fmt.Sprintf("scopes %v, tenant %q, contact %q", c.Scopes, c.Tenant, c.Contact)}, err
}

// UpdateClient changes a client; the change is made again if somebody else was
// quicker.
func (r *Registry) UpdateClient(ctx context.Context, id, action string, change func(*Client) error) (Change, error) {
	var text string
	err := r.retry(func() error {
		var c Client
		row, err := r.rows.must(ctx, tableClient, id, &c)
		if err != nil {
			return err
		}
		before := c
		if err := change(&c); err != nil {
			return err
		}
		if err := c.Validate(); err != nil {
			return err
		}
		text = differences(before, c)
		return r.rows.write(ctx, entry{tableClient, id, row.Version, c})
	})
	return Change{"client." + action, id, text}, err
}

func differences(before, after Client) string {
	switch {
	case before.Disabled != after.Disabled:
		return fmt.Sprintf("disabled %t → %t", before.Disabled, after.Disabled)
	case !slices.Equal(before.Scopes, after.Scopes):
		return fmt.Sprintf("scopes %v → %v", before.Scopes, after.Scopes)
	}
	return "changed"
}

// Client returns one client.
func (r *Registry) Client(ctx context.Context, id string) (Client, error) {
	var c Client
	_, err := r.rows.must(ctx, tableClient, id, &c)
	return c, err
}

// Clients returns all clients by id.
func (r *Registry) Clients(ctx context.Context) ([]Client, error) {
	return all[Client](ctx, r.rows, tableClient, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
}

// Credentials returns the credentials of a client (empty: of all) and of a kind
// (empty: of any), oldest first, with the moment of their last use.
func (r *Registry) Credentials(ctx context.Context, clientID, kind string) ([]Credential, error) {
	rows, err := all[stored](ctx, r.rows, tableCredential, func(a, b stored) int { return a.Created.Compare(b.Created) })
	if err != nil {
		return nil, err
	}
	used, err := all[usage](ctx, r.rows, tableUsage, func(a, b usage) int { return 0 })
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, u := range used {
		last[credentialRow(u.Kind, u.ID)] = u.At
	}
	var found []Credential
	for _, s := range rows {
		if (clientID == "" || s.Client == clientID) && (kind == "" || s.Kind == kind) {
			s.LastUsed = last[credentialRow(s.Kind, s.ID)]
			found = append(found, s.Credential)
		}
	}
	return found, nil
}

// AddCredential keeps a credential that a kind has issued. In c the client must be
// named; kind, id and times are filled in.
func (r *Registry) AddCredential(ctx context.Context, c Credential, issued shield.Issued) (Credential, Change, error) {
	entry, change, err := r.newCredential(ctx, &c, issued)
	if err != nil {
		return c, change, err
	}
	return c, change, r.rows.write(ctx, entry)
}

func (r *Registry) newCredential(ctx context.Context, c *Credential, issued shield.Issued) (entry, Change, error) {
	var owner Client
	if _, err := r.rows.must(ctx, tableClient, c.Client, &owner); err != nil {
		return entry{}, Change{}, err
	}
	c.ID, c.Created = issued.ID, r.now().UTC()
	if err := c.validate(&owner); err != nil {
		return entry{}, Change{}, fmt.Errorf("credential of %s: %w", c.Client, err)
	}
	name := credentialRow(c.Kind, c.ID)
	row, err := r.rows.read(ctx, tableCredential, name, nil)
	if err != nil {
		return entry{}, Change{}, err
	}
	if row.Body != nil {
		return entry{}, Change{}, fmt.Errorf("%s credential %s: %w", c.Kind, c.ID, ErrExists)
	}
	s := stored{Credential: *c}
	switch issued.Keep {
	case shield.KeepHash:
		digest := r.rows.keys.Hash(issued.Material)
		s.Hash = &digest
	case shield.KeepSealed:
		s.Sealed = r.rows.keys.Seal(tableCredential, name, row.Version+1, issued.Material)
	}
	change := Change{"credential.create", c.ID, fmt.Sprintf("%s for client %s, scopes %v", c.Kind, c.Client, c.Scopes)}
	return entry{tableCredential, name, row.Version, s}, change, nil
}

// Rotate adds a successor of a credential and ends the old one after overlap, in
// one commit.
func (r *Registry) Rotate(ctx context.Context, kind, id string, issued shield.Issued, overlap time.Duration) (Credential, Change, error) {
	if overlap < 0 || overlap > 90*24*time.Hour {
		return Credential{}, Change{}, fmt.Errorf("overlap %s: want 0 to 90 days", overlap)
	}
	var fresh Credential
	err := r.retry(func() error {
		old, row, err := r.credential(ctx, kind, id)
		if err != nil {
			return err
		}
		if !old.Revoked.IsZero() {
			return fmt.Errorf("%s credential %s is revoked; create a new one", kind, id)
		}
		fresh = old.Credential
		fresh.Replaces, fresh.LastUsed, fresh.NotBefore, fresh.Expires = id, time.Time{}, time.Time{}, time.Time{}
		if !old.Expires.IsZero() {
			fresh.Expires = r.now().UTC().Add(old.Expires.Sub(old.Created))
		}
		added, _, err := r.newCredential(ctx, &fresh, issued)
		if err != nil {
			return err
		}
		end := r.now().UTC().Add(overlap)
		if old.Expires.IsZero() || end.Before(old.Expires) {
			old.Expires = end
		}
		if err := r.reseal(&old, row); err != nil {
			return err
		}
		return r.rows.write(ctx, added, entry{tableCredential, credentialRow(kind, id), row.Version, old})
	})
	return fresh, Change{"credential.rotate", id, fmt.Sprintf("replaced by %s, ends after %s", fresh.ID, overlap)}, err
}

func (r *Registry) credential(ctx context.Context, kind, id string) (stored, Row, error) {
	var s stored
	row, err := r.rows.must(ctx, tableCredential, credentialRow(kind, id), &s)
	return s, row, err
}

// reseal moves the sealed secret to the row's next version, to which it is bound.
func (r *Registry) reseal(s *stored, row Row) error {
	if s.Sealed == nil {
		return nil
	}
	plain, err := r.rows.keys.Unseal(tableCredential, row.ID, row.Version, s.Sealed)
	if err != nil {
		return fmt.Errorf("credential %s: %w", s.ID, err)
	}
	s.Sealed = r.rows.keys.Seal(tableCredential, row.ID, row.Version+1, plain)
	return nil
}

// Revoke ends every credential with this id, whatever its kind, at once.
func (r *Registry) Revoke(ctx context.Context, id, reason string) (Change, error) {
	var kinds []string
	err := r.retry(func() error {
		kinds = nil
		rows, err := all[stored](ctx, r.rows, tableCredential, func(a, b stored) int { return 0 })
		if err != nil {
			return err
		}
		var entries []entry
		for _, s := range rows {
			if s.ID != id || !s.Revoked.IsZero() {
				continue
			}
			s, row, err := r.credential(ctx, s.Kind, id)
			if err != nil {
				return err
			}
			s.Revoked, s.Reason = r.now().UTC(), reason
			if err := r.reseal(&s, row); err != nil {
				return err
			}
			kinds = append(kinds, s.Kind)
			entries = append(entries, entry{tableCredential, row.ID, row.Version, s})
		}
		if len(entries) == 0 {
			return fmt.Errorf("credential %q that is in force: %w", id, ErrMissing)
		}
		return r.rows.write(ctx, entries...)
	})
	return Change{"credential.revoke", id, fmt.Sprintf("%v, reason %q", kinds, reason)}, err
}

// RevokeTokens ends tokens of an issuer: one by its id, or all of a subject that
// were issued until now.
func (r *Registry) RevokeTokens(ctx context.Context, v Revocation) (Change, error) {
	if v.Issuer == "" || (v.TokenID == "") == (v.Subject == "") {
		return Change{}, fmt.Errorf("name the issuer, and either a token id or a subject")
	}
	v.Since = r.now().UTC()
	name := revocationRow(v)
	err := r.retry(func() error {
		row, err := r.rows.read(ctx, tableRevocation, name, nil)
		if err != nil {
			return err
		}
		return r.rows.write(ctx, entry{tableRevocation, name, row.Version, v})
	})
	return Change{"token.revoke", name, fmt.Sprintf("reason %q", v.Reason)}, err
}

// maxTries is how often a change is made again after somebody else was quicker.
const maxTries = 16

func (r *Registry) retry(change func() error) error {
	var err error
	for range maxTries {
		if err = change(); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}

func credentialRow(kind, id string) string { return kind + "/" + id }

func revocationRow(v Revocation) string {
	if v.TokenID != "" {
		return v.Issuer + "#jti#" + v.TokenID
	}
	return v.Issuer + "#sub#" + v.Subject
}

// usage is when a credential was last used.
type usage struct {
	Kind string    `json:"kind"`
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
}

// all returns every value of a table.
func all[T any](ctx context.Context, l *ledger, table string, order func(a, b T) int) ([]T, error) {
	rows, _, err := l.store.Since(ctx, 0)
	if err != nil {
		return nil, err
	}
	var values []T
	for _, row := range rows {
		if row.Table != table {
			continue
		}
		body, err := l.check(row)
		if err != nil {
			return nil, err
		}
		if body == nil {
			continue
		}
		var value T
		if err := json.Unmarshal(body, &value); err != nil {
			return nil, fmt.Errorf("%s/%s: %w: %w", row.Table, row.ID, ErrCorrupt, err)
		}
		values = append(values, value)
	}
	slices.SortStableFunc(values, order)
	return values, nil
}
