// Package sqlite is the store for one node: a single file in the data folder.
//
// Every commit is one transaction with synchronous=FULL: what was acknowledged
// survives kill -9 and the loss of power.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"pavise.dev/pavise/internal/client"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a client.Store in a SQLite file. It is safe for concurrent use.
type Store struct{ db *sql.DB }

// Open opens or makes the file, with mode 0600. A damaged file, or one of a newer
// program, is an error and left as it is.
func Open(ctx context.Context, name string) (*Store, error) {
	fresh := false
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		fresh = true
	}
	if err := prepare(name, fresh); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: name}).EscapedPath()+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", name, err)
	}
	db.SetMaxOpenConns(4)
	s := &Store{db: db}
	if err := s.ready(ctx, fresh); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store %s: %w", name, err), db.Close())
	}
	return s, nil
}

// prepare makes the file with the right mode before SQLite makes it with another.
func prepare(name string, fresh bool) error {
	if !fresh {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	return file.Close()
}

func (s *Store) ready(ctx context.Context, fresh bool) error {
	if !fresh {
		if err := s.check(ctx); err != nil {
			return err
		}
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.db, sub)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return damaged(err)
	}
	if current > target {
		return fmt.Errorf("its schema has version %d, this program knows %d; use a newer program", current, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return damaged(err)
	}
	return nil
}

// check refuses a damaged file before anything is written to it.
func (s *Store) check(ctx context.Context) error {
	var result string
	if err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return damaged(err)
	}
	if result != "ok" {
		return damaged(errors.New(result))
	}
	return nil
}

func damaged(err error) error {
	return fmt.Errorf("%w: %w; restore the data folder from a backup", client.ErrCorrupt, err)
}

// Revision implements client.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	var revision int64
	err := s.db.QueryRowContext(ctx, "SELECT value FROM revision").Scan(&revision)
	if err != nil {
		return 0, fmt.Errorf("read the revision: %w", err)
	}
	return revision, nil
}

// Since implements client.Store.
func (s *Store) Since(ctx context.Context, revision int64) (rows []client.Row, latest int64, err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, fmt.Errorf("read changes: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	if err := tx.QueryRowContext(ctx, "SELECT value FROM revision").Scan(&latest); err != nil {
		return nil, 0, fmt.Errorf("read the revision: %w", err)
	}
	found, err := tx.QueryContext(ctx, "SELECT tbl, id, version, revision, body FROM row WHERE revision > ? ORDER BY revision, tbl, id", revision)
	if err != nil {
		return nil, 0, fmt.Errorf("read changes: %w", err)
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var row client.Row
		if err := found.Scan(&row.Table, &row.ID, &row.Version, &row.Revision, &row.Body); err != nil {
			return nil, 0, fmt.Errorf("read changes: %w", err)
		}
		rows = append(rows, row)
	}
	return rows, latest, found.Err()
}

// Get implements client.Store.
func (s *Store) Get(ctx context.Context, table, id string) (client.Row, bool, error) {
	row := client.Row{Table: table, ID: id}
	err := s.db.QueryRowContext(ctx, "SELECT version, revision, body FROM row WHERE tbl = ? AND id = ?", table, id).
		Scan(&row.Version, &row.Revision, &row.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return client.Row{}, false, nil
	}
	if err != nil {
		return client.Row{}, false, fmt.Errorf("read %s/%s: %w", table, id, err)
	}
	return row, true, nil
}

// Commit implements client.Store.
func (s *Store) Commit(ctx context.Context, rows ...client.Row) (revision int64, err error) {
	if err := client.CheckRows(rows); err != nil {
		return 0, err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error is the one to report
		}
	}()
	if err := tx.QueryRowContext(ctx, "UPDATE revision SET value = value + 1 RETURNING value").Scan(&revision); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	for _, row := range rows {
		if err := put(ctx, tx, row, revision); err != nil {
			return 0, err
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	return revision, nil
}

// put writes one row if its stored version is the one before.
func put(ctx context.Context, tx *sql.Tx, row client.Row, revision int64) error {
	statement := "UPDATE row SET version = ?3, revision = ?4, body = ?5 WHERE tbl = ?1 AND id = ?2 AND version = ?3 - 1"
	if row.Version == 1 {
		statement = "INSERT INTO row (tbl, id, version, revision, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
	}
	result, err := tx.ExecContext(ctx, statement, row.Table, row.ID, row.Version, revision, row.Body)
	if err != nil {
		return fmt.Errorf("write %s/%s: %w", row.Table, row.ID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(client.ErrConflict, err)
	}
	return nil
}

// Close implements client.Store.
func (s *Store) Close() error { return s.db.Close() }
