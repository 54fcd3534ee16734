package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// Credentials returns the credentials of a client (empty: of all) and of a kind
// (empty: of any), oldest first, with the moment of their last use.
func (r *Registry) Credentials(ctx context.Context, clientID, kind string) ([]Credential, error) {
	rows, err := all[stored](ctx, r.rows, tableCredential, nil)
	if err != nil {
		return nil, err
	}
	used, err := all[usage](ctx, r.rows, tableUsage, nil)
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
	slices.SortStableFunc(found, func(a, b Credential) int { return a.Created.Compare(b.Created) })
	return found, nil
}

// AddCredential keeps a credential that a kind has issued. In c the client and the
// kind must be named; id and time of creation are filled in. A secret that is
// kept as a hash is taken once: a key that was revoked cannot be imported again.
func (r *Registry) AddCredential(ctx context.Context, c Credential, issued shield.Issued) (Credential, Change, error) {
	var change Change
	err := r.retry(func() error {
		entries, err := r.newCredential(ctx, &c, issued)
		if err != nil {
			return err
		}
		return r.rows.write(ctx, entries...)
	})
	if err == nil {
		change = Change{Action: "credential.create", Target: c.ID, Text: fmt.Sprintf("%s for client %s, scopes %v%s", c.Kind, c.Client, c.Scopes, ending(c))}
	}
	return c, change, err
}

func ending(c Credential) string {
	if end := c.End(); !end.IsZero() {
		return ", ends " + end.UTC().Format(time.RFC3339)
	}
	return ""
}

// newCredential returns the rows of a new credential.
func (r *Registry) newCredential(ctx context.Context, c *Credential, issued shield.Issued) ([]entry, error) {
	var owner Client
	if _, err := r.must(ctx, c.Client, &owner); err != nil {
		return nil, err
	}
	return r.credentialOf(ctx, &owner, c, issued)
}

// credentialOf returns the rows of a new credential of a client that is known.
func (r *Registry) credentialOf(ctx context.Context, owner *Client, c *Credential, issued shield.Issued) ([]entry, error) {
	c.ID, c.Created = issued.ID, r.now().UTC()
	c.Revoked, c.Reason, c.ReplacedBy, c.LastUsed = time.Time{}, "", "", time.Time{}
	if err := c.Validate(owner); err != nil {
		return nil, fmt.Errorf("credential for %s: %w", c.Client, err)
	}
	if IsTester(owner.ID) {
		if err := r.mayTest(ctx, owner.ID); err != nil {
			return nil, err
		}
	}
	name := credentialRow(c.Kind, c.ID)
	row, err := r.rows.read(ctx, tableCredential, name, nil)
	if err != nil {
		return nil, err
	}
	if row.Body != nil && !r.mayFollow(ctx, c) {
		return nil, fmt.Errorf("%s credential %s: %w", c.Kind, c.ID, ErrExists)
	}
	s := stored{Credential: *c}
	var entries []entry
	keys := r.rows.keys.Load()
	switch issued.Keep {
	case shield.KeepHash:
		digest := keys.Hash(issued.Material)
		s.Hash = &digest
		taken, err := r.takeHash(ctx, c, issued.Material)
		if err != nil {
			return nil, err
		}
		entries = append(entries, taken)
	case shield.KeepSealed:
		s.Sealed = keys.Seal(tableCredential, name, row.Version+1, issued.Material)
	}
	return append(entries, entry{tableCredential, name, row.Version, s}), nil
}

// mayFollow reports whether a credential may have the id of one that has ended: only a
// registration of `pavise attack`, whose id is the client's name, in each of its runs.
func (r *Registry) mayFollow(ctx context.Context, c *Credential) bool {
	if !IsTester(c.Client) || c.ID != c.Client {
		return false
	}
	old, _, err := r.credential(ctx, c.Kind, c.ID)
	return err == nil && old.Client == c.Client && (!old.Revoked.IsZero() || !r.now().Before(old.End()))
}

// takeHash returns the row that keeps a secret from being taken a second time.
func (r *Registry) takeHash(ctx context.Context, c *Credential, material []byte) (taken entry, err error) {
	r.rows.keys.Load().Hashes(material, func(d seal.Digest) bool {
		name := fmt.Sprintf("%s/%x", c.Kind, d.Sum)
		var holder string
		var row Row
		if row, err = r.rows.read(ctx, tableHash, name, &holder); err != nil {
			return true
		}
		if row.Body != nil {
			err = fmt.Errorf("this secret belongs to %s credential %s, also if that is revoked: %w", c.Kind, holder, ErrExists)
			return true
		}
		if taken.id == "" { // newest key first
			taken = entry{tableHash, name, row.Version, c.ID}
		}
		return false
	})
	return taken, err
}

// maxOverlap bounds how long two generations of a credential are in force.
const maxOverlap = 90 * 24 * time.Hour

// Rotate adds a successor of a credential and ends the old one after overlap, in
// one commit. The successor lives as long as the old one was to live.
func (r *Registry) Rotate(ctx context.Context, kind, id string, issued shield.Issued, overlap time.Duration) (Credential, Change, error) {
	if overlap < 0 || overlap > maxOverlap {
		return Credential{}, Change{}, fmt.Errorf("overlap %s: want 0 to %s", overlap, maxOverlap)
	}
	var fresh Credential
	err := r.retry(func() error {
		old, row, err := r.rotatable(ctx, kind, id)
		if err != nil {
			return err
		}
		now := r.now().UTC()
		fresh = old.Credential
		fresh.Replaces, fresh.NotBefore, fresh.Expires = id, time.Time{}, time.Time{}
		if !old.Expires.IsZero() {
			fresh.Expires = now.Add(old.Expires.Sub(old.Created))
		}
		entries, err := r.newCredential(ctx, &fresh, issued)
		if err != nil {
			return err
		}
		old.ReplacedBy = fresh.ID
		if end := now.Add(overlap); old.Expires.IsZero() || end.Before(old.Expires) {
			old.Expires = end
		}
		if err := r.reseal(&old.Sealed, row); err != nil {
			return err
		}
		return r.rows.write(ctx, append(entries, entry{tableCredential, row.ID, row.Version, old})...)
	})
	return fresh, Change{Action: "credential.rotate", Target: id, Text: fmt.Sprintf("replaced by %s, ends after %s", fresh.ID, overlap)}, err
}

// rotatable returns a credential that is in force.
func (r *Registry) rotatable(ctx context.Context, kind, id string) (stored, Row, error) {
	s, row, err := r.credential(ctx, kind, id)
	end := s.End()
	switch {
	case err != nil:
		return s, row, err
	case !s.Revoked.IsZero():
		return s, row, fmt.Errorf("%s credential %s is revoked; create a new one", kind, id)
	case s.ReplacedBy != "":
		return s, row, fmt.Errorf("%s credential %s is replaced by %s already; rotate that one", kind, id, s.ReplacedBy)
	case !end.IsZero() && !r.now().Before(end):
		return s, row, fmt.Errorf("%s credential %s has ended at %s; create a new one", kind, id, end.UTC().Format(time.RFC3339))
	}
	return s, row, nil
}

func (r *Registry) credential(ctx context.Context, kind, id string) (stored, Row, error) {
	var s stored
	row, err := r.rows.must(ctx, tableCredential, credentialRow(kind, id), &s)
	if errors.Is(err, ErrMissing) {
		return s, row, fmt.Errorf("%s credential %s: %w%s", kind, quote(id), ErrMissing, r.nearestCredential(ctx, id))
	}
	return s, row, err
}

// nearestCredential proposes ids for a wrong one.
func (r *Registry) nearestCredential(ctx context.Context, id string) string {
	known, err := r.Credentials(ctx, "", "")
	if err != nil {
		return "" // the error that is being told is the one that matters
	}
	names := make([]string, 0, len(known))
	for _, c := range known {
		names = append(names, c.ID)
	}
	return nearest(id, names)
}

// reseal moves a sealed secret to its row's next version, to which it is bound,
// and to the newest key.
func (r *Registry) reseal(sealed *[]byte, row Row) error {
	if *sealed == nil {
		return nil
	}
	keys := r.rows.keys.Load()
	plain, err := keys.Unseal(row.Table, row.ID, row.Version, *sealed)
	if err != nil {
		return fmt.Errorf("secret of %s/%s: %w", row.Table, row.ID, err)
	}
	*sealed = keys.Seal(row.Table, row.ID, row.Version+1, plain)
	return nil
}

// Revoke ends every credential with this id, whatever its kind, at once and for
// good.
func (r *Registry) Revoke(ctx context.Context, id, reason string) (Change, error) {
	return r.revoke(ctx, reason, Change{Action: "credential.revoke", Target: id},
		func() ([]stored, error) { return r.withID(ctx, id) })
}

// RevokeKind ends the credential of a kind with an id, and none of another kind that has the same id.
func (r *Registry) RevokeKind(ctx context.Context, kind, id, reason string) (Change, error) {
	return r.revoke(ctx, reason, Change{Action: "credential.revoke", Target: id}, func() ([]stored, error) {
		s, _, err := r.credential(ctx, kind, id)
		switch {
		case errors.Is(err, ErrMissing):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return []stored{s}, nil
	})
}

// withID returns the credentials with an id. Those that were seen are read one by
// one, so that a revocation does not wait until the whole store was read.
func (r *Registry) withID(ctx context.Context, id string) ([]stored, error) {
	isNamed := func(row string) bool {
		_, name, _ := strings.Cut(row, "/") // a kind has no slash
		return name == id
	}
	names := r.rows.names(tableCredential, isNamed)
	if len(names) == 0 {
		return all[stored](ctx, r.rows, tableCredential, isNamed)
	}
	var found []stored
	var faults []error
	for _, name := range names {
		var s stored
		row, err := r.rows.read(ctx, tableCredential, name, &s)
		if err == nil && row.Body != nil {
			found = append(found, s)
		}
		faults = append(faults, err)
	}
	return found, errors.Join(faults...)
}

// RevokeClient ends every credential of a client. The client stays; disable it
// too if it is not to get new ones.
func (r *Registry) RevokeClient(ctx context.Context, clientID, reason string) (Change, error) {
	if _, err := r.Client(ctx, clientID); err != nil {
		return Change{}, err
	}
	return r.revoke(ctx, reason, Change{Action: "client.revoke", Target: clientID}, func() ([]stored, error) {
		known, err := all[stored](ctx, r.rows, tableCredential, nil)
		return slices.DeleteFunc(known, func(s stored) bool { return s.Client != clientID }), err
	})
}

// revoke ends the credentials that find returns, in one commit: also when there are rows
// of others' making beside them, which it reports.
func (r *Registry) revoke(ctx context.Context, reason string, change Change, find func() ([]stored, error)) (Change, error) {
	if err := checkTexts(map[string]string{"reason": reason}); err != nil {
		return change, err
	}
	var foreign error
	err := r.retry(func() error {
		var known []stored
		known, foreign = find()
		var entries []entry
		var ended, names []string
		before := time.Time{}
		for _, s := range known {
			if !s.Revoked.IsZero() {
				before = s.Revoked
				continue
			}
			e, err := r.revoked(ctx, s.Kind, s.ID, reason)
			if err != nil {
				return err
			}
			entries, ended, names = append(entries, e), append(ended, credentialRow(s.Kind, s.ID)), append(names, s.Kind+" "+s.ID)
		}
		if len(entries) == 0 {
			if foreign != nil {
				return foreign
			}
			return r.nothingToRevoke(ctx, change, before)
		}
		change.Text = listed(ended) + because(reason)
		err := r.rows.write(ctx, entries...)
		if err == nil {
			change.Ended = names
		}
		return err
	})
	if err == nil && foreign != nil {
		err = fmt.Errorf("%s is revoked, but: %w", change.Target, foreign)
	}
	return change, err
}

// listed names a few and counts the rest.
func listed(names []string) string {
	const shown = 10
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

func (r *Registry) revoked(ctx context.Context, kind, id, reason string) (entry, error) {
	s, row, err := r.credential(ctx, kind, id)
	if err != nil {
		return entry{}, err
	}
	if !s.Revoked.IsZero() {
		return entry{}, ErrConflict // somebody else was quicker: look again
	}
	s.Revoked, s.Reason = r.now().UTC(), reason
	if err := r.reseal(&s.Sealed, row); err != nil {
		return entry{}, err
	}
	return entry{tableCredential, row.ID, row.Version, s}, nil
}

func (r *Registry) nothingToRevoke(ctx context.Context, change Change, before time.Time) error {
	switch {
	case !before.IsZero():
		return fmt.Errorf("%s was revoked at %s already: in force %w", quote(change.Target), before.UTC().Format(time.RFC3339), ErrMissing)
	case change.Action == "client.revoke":
		return fmt.Errorf("credentials of client %s: %w", change.Target, ErrMissing)
	}
	return fmt.Errorf("credential %s: %w%s", quote(change.Target), ErrMissing, r.nearestCredential(ctx, change.Target))
}

func credentialRow(kind, id string) string { return kind + "/" + id }

// because says why, where a reason was given.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return fmt.Sprintf(", reason %q", reason)
}
