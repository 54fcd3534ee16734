// Package sqlite is the store for one node: a single file in the data folder.
//
// Every commit is one transaction with synchronous=FULL in a write-ahead log:
// what was acknowledged survives kill -9 and the loss of power. One connection
// writes, a few others read beside it and never wait for it. A file that is
// damaged, that is another program's, or that a newer program has made is an
// error at [Open], before anything is written to it.
//
// That one process at a time uses the file is the business of whoever opens it
// (internal/store/lock); SQLite itself would let several in, and the snapshot of
// each would follow the others by the revision.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"pavise.dev/pavise/internal/client"
)

// Store is a client.Store in a SQLite file. It is safe for concurrent use.
type Store struct {
	name  string
	write *sql.DB // one connection: commits wait for each other here, not in SQLite
	read  *sql.DB
}

const readers = 4 // connections

// connect opens a pool on the file.
func connect(name, mode string, connections int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: name}).EscapedPath()+"?"+mode+"&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Revision implements client.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	revision, err := revisionOf(ctx, s.read)
	return revision, s.explain("read the revision", err)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func revisionOf(ctx context.Context, q querier) (revision int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM revision").Scan(&revision)
	return revision, err
}

// Since implements client.Store.
func (s *Store) Since(ctx context.Context, revision int64) ([]client.Row, int64, error) {
	rows, latest, err := s.since(ctx, revision)
	return rows, latest, s.explain("read changes", err)
}

func (s *Store) since(ctx context.Context, revision int64) (rows []client.Row, latest int64, err error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = tx.Rollback() }() // it only read
	if latest, err = revisionOf(ctx, tx); err != nil {
		return nil, 0, err
	}
	rows, err = query(ctx, tx, "SELECT tbl, id, version, revision, body FROM row WHERE revision > ? ORDER BY revision, tbl, id", revision)
	return rows, latest, err
}

// Table implements client.Store.
func (s *Store) Table(ctx context.Context, table string) ([]client.Row, error) {
	rows, err := query(ctx, s.read, "SELECT tbl, id, version, revision, body FROM row WHERE tbl = ? ORDER BY id", table)
	return rows, s.explain("read "+table, err)
}

type lister interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func query(ctx context.Context, q lister, statement string, args ...any) (rows []client.Row, err error) {
	found, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var row client.Row
		if err := found.Scan(&row.Table, &row.ID, &row.Version, &row.Revision, &row.Body); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, found.Err()
}

// Get implements client.Store.
func (s *Store) Get(ctx context.Context, table, id string) (client.Row, bool, error) {
	row := client.Row{Table: table, ID: id}
	err := s.read.QueryRowContext(ctx, "SELECT version, revision, body FROM row WHERE tbl = ? AND id = ?", table, id).
		Scan(&row.Version, &row.Revision, &row.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return client.Row{}, false, nil
	}
	if err != nil {
		return client.Row{}, false, s.explain(fmt.Sprintf("read %s/%s", table, id), err)
	}
	return row, true, nil
}

// Commit implements client.Store.
func (s *Store) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	if err := client.CheckRows(rows); err != nil {
		return 0, err
	}
	revision, err := s.change(ctx, rows, put)
	return revision, s.explain("write", err)
}

// Remove implements client.Store.
func (s *Store) Remove(ctx context.Context, rows ...client.Row) (int64, error) {
	revision, err := s.change(ctx, rows, remove)
	return revision, s.explain("remove", err)
}

type step = func(ctx context.Context, tx *sql.Tx, row client.Row, revision int64) error

// change does the step for every row or for none.
func (s *Store) change(ctx context.Context, rows []client.Row, do step) (revision int64, err error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error is the one to report
		}
	}()
	if err := tx.QueryRowContext(ctx, "UPDATE revision SET value = value + 1 RETURNING value").Scan(&revision); err != nil {
		return 0, err
	}
	for _, row := range rows {
		if err := do(ctx, tx, row, revision); err != nil {
			return 0, err
		}
	}
	return revision, tx.Commit()
}

// put writes one row if its stored version is the one before.
func put(ctx context.Context, tx *sql.Tx, row client.Row, revision int64) error {
	statement := "UPDATE row SET version = ?3, revision = ?4, body = ?5 WHERE tbl = ?1 AND id = ?2 AND version = ?3 - 1"
	if row.Version == 1 {
		statement = "INSERT INTO row (tbl, id, version, revision, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
	}
	result, err := tx.ExecContext(ctx, statement, row.Table, row.ID, row.Version, revision, row.Body)
	return one(result, err)
}

// remove takes one row away if it is stored with its version.
func remove(ctx context.Context, tx *sql.Tx, row client.Row, _ int64) error {
	result, err := tx.ExecContext(ctx, "DELETE FROM row WHERE tbl = ? AND id = ? AND version = ?", row.Table, row.ID, row.Version)
	return one(result, err)
}

// one holds that a statement changed one row.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(client.ErrConflict, err)
	}
	return nil
}

// Close implements client.Store.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }
