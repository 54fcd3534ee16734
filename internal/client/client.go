// Package client keeps clients and their credentials: what they are, how they
// are stored and sealed, and the snapshot in memory that the request path reads.
//
// There are two halves. A [Registry] is what administration changes: it makes
// clients, keeps credentials that a kind of shield has issued, rotates and
// revokes them, and describes each change as a [Change]. A [View] is what the
// request path reads: it finds a credential by its id or by its secret and knows
// the revoked tokens, without a lock and without waiting for the store.
//
//	registry, err := client.OpenRegistry(ctx, client.Options{Store: store, Master: master, Mark: mark})
//	view, err := registry.View(ctx, client.ViewOptions{Warn: warn})
//	...
//	change, err := registry.Revoke(ctx, id, reason)
//	err = view.Refresh(ctx) // here at once; other nodes follow within the second
//
// Everything is kept in rows of a [Store]. A row has a version of its own,
// which every change compares and raises, and a revision, which rises with every
// change of the whole store, so that a node asks only for what is new. What the
// rows hold is authenticated, and secrets in them are sealed
// (docs/decisions/0030-state.md). This package knows no kind of shield, makes no
// secrets of credentials, and writes no events.
package client

import (
	"context"
	"errors"
	"fmt"
)

// Row is one versioned record of the store.
type Row struct {
	Table    string // such as "client"; the tables are in model.go
	ID       string
	Version  int64  // 1 for a new row; each change raises it by one
	Revision int64  // of the store when the row last changed; set by the store
	Body     []byte // what the writer made of it; empty for a tombstone
}

// ErrConflict says that a row had another version than the change expected.
var ErrConflict = errors.New("somebody else changed this in the meantime")

// ErrUnavailable says that the store could not be read or written now: a full disk, a
// lost permission, a fault of the disk.
var ErrUnavailable = errors.New("the store cannot be used now")

// ErrCorrupt says that what was read is not what was written.
var ErrCorrupt = errors.New("the store is damaged")

// Store keeps rows. It is safe for concurrent use. Every implementation passes
// the suite in internal/store/storetest.
type Store interface {
	// Revision returns the number of the last change, 0 for an empty store.
	Revision(ctx context.Context) (int64, error)
	// Since returns every row that changed after revision, ordered by revision,
	// and the revision that they lead to.
	Since(ctx context.Context, revision int64) ([]Row, int64, error)
	// Table returns every row of a table, ordered by id.
	Table(ctx context.Context, table string) ([]Row, error)
	// Get returns one row; ok is false if there is none.
	Get(ctx context.Context, table, id string) (row Row, ok bool, err error)
	// Commit writes all rows or none, in one step that survives kill -9. Each
	// row's Version must be one more than the stored one (1 for a new row),
	// otherwise nothing is written and the error is ErrConflict.
	Commit(ctx context.Context, rows ...Row) (revision int64, err error)
	// Remove takes rows away for good, all or none, in one step that survives
	// kill -9, and raises the revision. Each must be stored with the Version that
	// it names, otherwise nothing is removed and the error is ErrConflict. Who
	// follows the changes does not see it.
	Remove(ctx context.Context, rows ...Row) (revision int64, err error)
	// Close releases what the store holds.
	Close() error
}

// maxBody is the longest body of a row, in bytes.
const maxBody = 64 << 10

// CheckRows refuses rows that no store takes.
func CheckRows(rows []Row) error {
	seen := map[[2]string]bool{}
	for _, row := range rows {
		key := [2]string{row.Table, row.ID}
		switch {
		case row.Table == "" || row.ID == "" || len(row.ID) > 512:
			return fmt.Errorf("row %q/%q: table and id must be given, the id with at most 512 bytes", row.Table, row.ID)
		case len(row.Body) > maxBody:
			return fmt.Errorf("row %s/%s: the body has %d bytes, at most %d are kept", row.Table, row.ID, len(row.Body), maxBody)
		case row.Version < 1:
			return fmt.Errorf("row %s/%s: version %d", row.Table, row.ID, row.Version)
		case seen[key]:
			return fmt.Errorf("row %s/%s stands twice in one commit", row.Table, row.ID)
		}
		seen[key] = true
	}
	return nil
}
