package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"pavise.dev/pavise/internal/seal"
)

// Parts of the installation that keep records. Each begins the names of its tables.
const (
	OAuth     = "oauth." // the authorization server
	Authority = "pki."   // the certificate authority
)

// isRemovable reports whether a row is one of those that come and go: they may be removed
// for good, and to find one gone is no sign of somebody else's hand.
func isRemovable(table, id string) bool {
	return strings.HasPrefix(table, OAuth) || strings.HasPrefix(table, Authority) ||
		table == tableCredential && strings.HasPrefix(id, certificateRow)
}

// Record is a sealed row of another part of the installation, such as a grant of
// the authorization server.
type Record struct {
	Table, ID string // the table without the prefix that all of them have
	Version   int64  // that was read; 0: there is none yet
	Body      []byte // in the clear; at most 40 KiB
}

// Records keep what other parts of the installation must remember, in the store of
// the registry and under its rules: each body is sealed and bound to its table, id and
// version, each change compares versions, and a store that was put back is noticed.
// They are safe for concurrent use.
//
// The View knows nothing of them: they are no part of the request path.
type Records struct {
	registry *Registry
	part     string
}

// Records returns the rows of the authorization server.
func (r *Registry) Records() *Records { return &Records{r, OAuth} }

// AuthorityRecords returns the rows of the certificate authority.
func (r *Registry) AuthorityRecords() *Records { return &Records{r, Authority} }

// Get returns a record, or [ErrMissing].
func (k *Records) Get(ctx context.Context, table, id string) (Record, error) {
	var kept sealedSecret
	row, err := k.registry.rows.read(ctx, k.part+table, id, &kept)
	if err != nil {
		return Record{}, err
	}
	if row.Body == nil {
		return Record{}, fmt.Errorf("%s: %w", table, ErrMissing)
	}
	return k.open(row, kept)
}

// Table returns every record of a table, by id. Records that are not ours are left
// out and are its error.
func (k *Records) Table(ctx context.Context, table string) ([]Record, error) {
	ledger := k.registry.rows
	rows, err := ledger.store.Table(ctx, k.part+table)
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	var records []Record
	var faults []error
	for _, row := range rows {
		record, err := k.checked(ctx, row)
		switch {
		case errors.Is(err, ErrMissing):
		case err == nil:
			records = append(records, record)
		case len(faults) < maxFaults:
			faults = append(faults, err)
		}
	}
	return records, errors.Join(faults...)
}

func (k *Records) checked(ctx context.Context, row Row) (Record, error) {
	body, err := k.registry.rows.check(ctx, row)
	if err != nil {
		return Record{}, err
	}
	if body == nil {
		return Record{}, ErrMissing
	}
	var kept sealedSecret
	if err := decode(row, body, &kept); err != nil {
		return Record{}, err
	}
	return k.open(row, kept)
}

func (k *Records) open(row Row, kept sealedSecret) (Record, error) {
	plain, err := k.registry.rows.keys.Load().Unseal(row.Table, row.ID, row.Version, kept.Sealed)
	if err != nil {
		return Record{}, fmt.Errorf("record %s/%s: %w", row.Table, row.ID, err)
	}
	return Record{strings.TrimPrefix(row.Table, k.part), row.ID, row.Version, plain}, nil
}

// Write makes each record the next version of its row, all in one commit that
// survives kill -9. [ErrConflict] says that one of them has changed since it was read,
// or is there already, and that nothing was written.
func (k *Records) Write(ctx context.Context, records ...Record) error {
	keys := k.registry.rows.keys.Load()
	entries := make([]entry, 0, len(records))
	for _, record := range records {
		table := k.part + record.Table
		sealed := keys.Seal(table, record.ID, record.Version+1, record.Body)
		entries = append(entries, entry{table, record.ID, record.Version, sealedSecret{sealed}})
	}
	return k.registry.rows.write(ctx, entries...)
}

// Remove takes records away for good, all or none; [ErrConflict] as in Write. What must
// be remembered after its end is not removed before it may be forgotten.
func (k *Records) Remove(ctx context.Context, records ...Record) error {
	rows := make([]Row, 0, len(records))
	for _, record := range records {
		rows = append(rows, Row{Table: k.part + record.Table, ID: record.ID, Version: record.Version})
	}
	return k.registry.rows.remove(ctx, rows)
}

// Name returns the id under which something is found by a secret that its holder
// presents: a keyed hash, which says nothing to whoever reads the store.
func (k *Records) Name(secret []byte) string {
	d := k.registry.rows.keys.Load().Hash(secret)
	return hex.EncodeToString(d.Sum[:])
}

// Names returns every id that a secret may have been given, newest data key first.
func (k *Records) Names(secret []byte) []string {
	var names []string
	k.registry.rows.keys.Load().Hashes(secret, func(d seal.Digest) bool {
		names = append(names, hex.EncodeToString(d.Sum[:]))
		return false
	})
	return names
}
