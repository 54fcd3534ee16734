package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// apply puts changed rows into the snapshot: data keys first, then clients, which
// credentials need. It returns what was wrong with rows that it left out.
func (v *View) apply(ctx context.Context, rows []Row) error {
	a := &applying{
		view: v, ctx: ctx,
		credentials: v.credentials.edit(), holders: v.holders.edit(), tokens: v.tokens.edit(),
	}
	faults := []error{v.ledger.learn(rows)}
	for _, step := range []struct {
		table string
		apply func(Row) error
	}{{tableClient, a.client}, {tableCredential, a.credential}, {tableRevocation, a.revocation}, {tableBlock, a.block}, {tableHold, a.hold}} {
		for _, row := range rows {
			if row.Table != step.table {
				continue
			}
			a.changed = true
			if err := step.apply(row); err != nil {
				faults = append(faults, err)
			}
		}
	}
	a.publish()
	return errors.Join(faults...)
}

// applying is one round of changes.
type applying struct {
	view        *View
	ctx         context.Context // of the refresh
	credentials *edit[credentialKey, *slot]
	holders     *edit[holderKey, *slot]
	tokens      *edit[tokenKey, revoked]
	blocks      map[netip.Prefix]term // as they are after this round; nil: unchanged
	holds       *holds                // as blocks
	changed     bool
	withdrawals bool // something was withdrawn, or is no longer
}

func (a *applying) publish() {
	a.credentials.publish()
	a.holders.publish()
	a.tokens.publish()
	if a.blocks != nil {
		a.view.blocked.Store(newBlocks(a.blocks))
	}
	if a.holds != nil {
		a.view.held.Store(a.holds)
	}
	if !a.changed {
		return
	}
	a.view.anyTokens.Store(!a.view.tokens.empty())
	a.view.generation.Add(1)
	if a.withdrawals {
		a.view.withdrawals.Add(1)
	}
}

// decode checks a row and decodes its body; false if the row was deleted.
func (a *applying) decode(row Row, into any) (bool, error) {
	body, err := a.view.ledger.check(a.ctx, row)
	if err != nil || body == nil {
		return false, err
	}
	return true, decode(row, body, into)
}

func (a *applying) client(row Row) error {
	var c Client
	there, err := a.decode(row, &c)
	if err != nil {
		return err
	}
	o := a.owner(row.ID)
	before := o.client == nil || o.client.Disabled
	o.client = nil
	if there {
		o.client = &shield.Client{
			ID: c.ID, Tenant: c.Tenant, Contact: c.Contact, Scopes: c.Scopes, Attributes: c.Attributes, Disabled: c.Disabled,
		}
	}
	if now := o.client == nil || o.client.Disabled; now != before && len(o.slots) > 0 {
		a.withdrawals = true
	}
	for _, s := range o.slots {
		record := *s.record.Load()
		s.record.Store(owned(&record, o.client, s.scopes))
	}
	return nil
}

// owned fills in what a record has of its client.
func owned(r *shield.Record, c *shield.Client, own shield.Scopes) *shield.Record {
	r.Client, r.Attributes, r.Scopes = c, nil, shield.Scopes{}
	if c == nil {
		return r
	}
	r.Attributes = c.Attributes
	if len(own) == 0 {
		own = c.Scopes
	}
	r.Scopes = own.Intersect(c.Scopes)
	return r
}

func (a *applying) owner(id string) *owner {
	o := a.view.clients[id]
	if o == nil {
		o = &owner{}
		a.view.clients[id] = o
	}
	return o
}

func (a *applying) credential(row Row) error {
	var c stored
	there, err := a.decode(row, &c)
	if err != nil || !there {
		return err // credentials are revoked, never deleted
	}
	key := credentialKey{c.Kind, c.ID}
	if credentialRow(c.Kind, c.ID) != row.ID {
		return fmt.Errorf("%s/%s: it names itself %s/%s: %w", row.Table, row.ID, c.Kind, c.ID, ErrCorrupt)
	}
	s, known := a.credentials.get(key)
	if !known {
		s = &slot{}
	}
	o := a.owner(c.Client)
	record, err := a.view.record(row, &c, s)
	if err != nil {
		return err
	}
	s.scopes, s.replaces = c.Scopes, c.Replaces
	owned(record, o.client, c.Scopes)
	if isWithdrawn(record) != (known && isWithdrawn(s.record.Load())) {
		a.withdrawals = true
	}
	s.record.Store(record)
	if known {
		return nil
	}
	o.slots = append(o.slots, s)
	a.credentials.put(key, s)
	if c.Hash != nil {
		a.holders.put(holderKey{c.Kind, *c.Hash}, s)
	}
	return nil
}

// isWithdrawn reports whether a record is one that lists of revocations name.
func isWithdrawn(r *shield.Record) bool {
	return !r.Revoked.IsZero() || r.Client == nil || r.Client.Disabled
}

// record builds what shields see of a credential, but for its client.
func (v *View) record(row Row, c *stored, s *slot) (*shield.Record, error) {
	keys := v.ledger.keys.Load()
	r := shield.Record{
		Kind: c.Kind, ID: c.ID, Networks: c.Networks, Created: c.Created, NotBefore: c.NotBefore,
		Expires: c.End(), Revoked: c.Revoked, WarnAfter: c.WarnAfter, Settings: settings(c),
	}
	var match func([]byte) bool
	if c.Hash != nil {
		match = matcher(keys, *c.Hash)
	}
	var secret []byte
	if c.Sealed != nil {
		var err error
		if secret, err = keys.Unseal(row.Table, row.ID, row.Version, c.Sealed); err != nil {
			return nil, fmt.Errorf("secret of credential %s: %w", row.ID, err)
		}
	}
	return r.Keep(match, secret, func() bool { return v.withdrawn(s) }), nil
}

func matcher(keys *seal.Keys, digest seal.Digest) func([]byte) bool {
	return func(material []byte) bool { return keys.Match(digest, material) }
}

// settings adds the environment, where kinds look for it.
func settings(c *stored) map[string]string {
	if c.Environment == "" {
		return c.Settings
	}
	all := map[string]string{}
	maps.Copy(all, c.Settings)
	all["environment"] = c.Environment
	return all
}

// withdrawn reports whether the credential is no longer good in the newest
// snapshot; in one that is too old it counts as withdrawn.
func (v *View) withdrawn(s *slot) bool {
	if v.stale() {
		return true
	}
	r := s.record.Load()
	return !r.Revoked.IsZero() || r.Client == nil || r.Client.Disabled ||
		!r.Expires.IsZero() && !v.now().Before(r.Expires)
}

func (a *applying) revocation(row Row) error {
	var r Revocation
	there, err := a.decode(row, &r)
	if err != nil {
		return err
	}
	if there {
		if r.key().row() != row.ID {
			return fmt.Errorf("%s/%s: it names another token: %w", row.Table, row.ID, ErrCorrupt)
		}
		a.tokens.put(r.key(), revoked{r.Since, r.Until})
		return nil
	}
	// The row says only that what it named is forgotten: find the name.
	var gone []tokenKey
	a.view.tokens.each(func(k tokenKey, _ revoked) {
		if k.row() == row.ID {
			gone = append(gone, k)
		}
	})
	for _, k := range gone {
		a.tokens.remove(k)
	}
	return nil
}
