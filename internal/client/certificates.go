package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"pavise.dev/pavise/shield"
)

// A certificate of the installation's own authority is a credential of the kind of mutual
// TLS whose id names its serial number. Many of them live for a day, so that they do not
// stay for ever as others do: some time after its end the row is removed for good. What
// has ended is refused by its own dates, also if somebody put the row back.
const (
	CertificateKind   = "mtls"
	CertificatePrefix = "serial:" // of ids; the serial number follows, in hexadecimal

	certificateRow = CertificateKind + "/" + CertificatePrefix
)

// Settings of a certificate that the registry reads.
const (
	SettingCA   = "ca"   // pin of the issuing authority
	SettingLine = "line" // id of the first certificate, of which this one came by renewal; empty: it is the first
)

// KeepCertificates is how long a certificate is remembered after its end.
const KeepCertificates = 7 * 24 * time.Hour

// forgetAtOnce is how many certificates one commit forgets.
const forgetAtOnce = 100

// Each returns the records of a kind that are known now, in no order. What changes
// meanwhile may be among them or not.
func (v *View) Each(kind string) iter.Seq[*shield.Record] {
	return func(yield func(*shield.Record) bool) {
		more := true
		v.credentials.each(func(k credentialKey, s *slot) {
			if more && k.kind == kind {
				more = yield(s.record.Load())
			}
		})
	}
}

// ForgetCertificates removes for good the records of certificates that ended before a
// moment, and returns how many. Whoever calls must be sure of the clock: what is gone does
// not come back. It goes in batches, so that nobody's change waits for long, and what it
// could not do is done the next time.
func (v *View) ForgetCertificates(ctx context.Context, before time.Time) (int, error) {
	over := v.endedCertificates(before)
	forgotten := 0
	for batch := range slices.Chunk(over, forgetAtOnce) {
		err := v.removeCredentials(ctx, batch)
		if errors.Is(err, ErrConflict) { // one of them was just used
			continue
		}
		if err != nil {
			return forgotten, fmt.Errorf("forget certificates that have ended: %w", err)
		}
		v.drop(batch)
		forgotten += len(batch)
	}
	return forgotten, nil
}

// CertificatesInForce counts the certificates of a client that are in force at a moment, and
// those among them that replaced another one.
func (v *View) CertificatesInForce(clientID, replaced string, at time.Time) (all, successors int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.clients[clientID]
	if o == nil {
		return 0, 0
	}
	for _, s := range o.slots {
		r := s.record.Load()
		if r.Settings[SettingCA] == "" || !r.Revoked.IsZero() || !at.Before(r.Expires) {
			continue
		}
		all++
		if replaced != "" && s.replaces == replaced {
			successors++
		}
	}
	return all, successors
}

func (v *View) endedCertificates(before time.Time) (over []credentialKey) {
	for r := range v.Each(CertificateKind) {
		if isRemovable(tableCredential, credentialRow(r.Kind, r.ID)) && !r.Expires.IsZero() && r.Expires.Before(before) {
			over = append(over, credentialKey{r.Kind, r.ID})
		}
	}
	return over
}

// removeCredentials removes credentials, and the moments of their last use, in one commit.
// That another node has done so is no error; one that changed meanwhile lets all of them
// wait for the next time.
func (v *View) removeCredentials(ctx context.Context, keys []credentialKey) error {
	var rows []Row
	for _, key := range keys {
		for _, table := range []string{tableCredential, tableUsage} {
			row, ok, err := v.ledger.store.Get(ctx, table, credentialRow(key.kind, key.id))
			if err != nil {
				return err
			}
			if ok {
				rows = append(rows, row)
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return v.ledger.remove(ctx, rows)
}

// drop takes credentials out of the snapshot.
func (v *View) drop(keys []credentialKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.credentials.edit()
	gone := map[*slot]bool{}
	for _, k := range keys {
		if s, ok := e.get(k); ok {
			gone[s] = true
			e.remove(k)
		}
	}
	e.publish()
	v.withdrawals.Add(1)
	for _, o := range v.clients {
		o.without(gone)
	}
}

// without lets go of places that nothing leads to any more.
func (o *owner) without(gone map[*slot]bool) {
	kept := o.slots[:0]
	for _, s := range o.slots {
		if !gone[s] {
			kept = append(kept, s)
		}
	}
	clear(o.slots[len(kept):])
	o.slots = kept
}

// Credential returns one credential.
func (r *Registry) Credential(ctx context.Context, kind, id string) (Credential, error) {
	s, _, err := r.credential(ctx, kind, id)
	return s.Credential, err
}

// revokeAtOnce bounds how many certificates one commit revokes: 20,000 take two seconds, and
// a commit has ten.
const revokeAtOnce = 5000

// RevokeIssuedBy ends every certificate that an issuing authority has signed, named by the
// pin of its key. It goes in batches; whoever breaks off calls it again.
func (r *Registry) RevokeIssuedBy(ctx context.Context, ca, reason string) (Change, error) {
	for total := 0; ; {
		batch := 0
		change, err := r.revoke(ctx, reason, Change{Action: "authority.revoke", Target: ca}, func() ([]stored, error) {
			known, err := all[stored](ctx, r.rows, tableCredential, func(row string) bool { return isRemovable(tableCredential, row) })
			known = slices.DeleteFunc(known, func(s stored) bool { return s.Settings[SettingCA] != ca || !s.Revoked.IsZero() })
			batch = min(len(known), revokeAtOnce)
			return known[:batch], err
		})
		total += batch
		switch {
		case errors.Is(err, ErrMissing) && total > 0:
			change.Text = fmt.Sprintf("%d certificates%s", total, because(reason))
			return change, nil
		case err != nil || total == batch && batch < revokeAtOnce:
			return change, err
		}
	}
}

// RevokeWithRenewals ends a certificate and all that came of it by renewal: whoever had its
// key may have renewed it, once or often.
func (r *Registry) RevokeWithRenewals(ctx context.Context, id, reason string) (Change, error) {
	change := Change{Action: "credential.revoke", Target: id}
	change, err := r.revoke(ctx, reason, change, func() ([]stored, error) {
		known, err := all[stored](ctx, r.rows, tableCredential, func(row string) bool { return isRemovable(tableCredential, row) })
		return descendants(known, id), err
	})
	return change, err
}

// Renewals are the ids of the certificates in force that came of one by renewal.
func Renewals(known []Credential, id string) (names []string) {
	rows := make([]stored, 0, len(known))
	for _, c := range known {
		if isRemovable(tableCredential, credentialRow(c.Kind, c.ID)) {
			rows = append(rows, stored{Credential: c})
		}
	}
	for _, s := range descendants(rows, id) {
		if s.ID != id && s.Revoked.IsZero() {
			names = append(names, s.ID)
		}
	}
	return names
}

// descendants are a credential and all that came of it by renewal: those that replaced it,
// and those that replaced them. What stands between may be forgotten: of what came of the
// same first certificate, later, by a way that is not known any more, it is assumed that it
// came of this one.
func descendants(known []stored, id string) (family []stored) {
	byID := make(map[string]*stored, len(known))
	for i := range known {
		byID[known[i].ID] = &known[i]
	}
	from := byID[id]
	for _, s := range known {
		if s.ID == id || comesOf(byID, s, id, from) {
			family = append(family, s)
		}
	}
	return family
}

// comesOf reports whether a certificate came of another by renewal; from is nil if that one
// is forgotten itself.
func comesOf(byID map[string]*stored, s stored, id string, from *stored) bool {
	line := s.Settings[SettingLine]
	if line == id && id != "" {
		return true
	}
	for at, steps := &s, 0; at.Replaces != "" && steps <= len(byID); steps++ {
		if at.Replaces == id {
			return true
		}
		next := byID[at.Replaces]
		if next == nil { // forgotten
			return from != nil && line != "" && line == from.Settings[SettingLine] && s.Created.After(from.Created) && at.Replaces != line
		}
		at = next
	}
	return false
}
