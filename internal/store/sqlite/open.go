package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // also registers the driver "sqlite"

	"pavise.dev/pavise/internal/client"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the file, or makes it, with mode 0600, in a folder with mode 0700. A
// damaged file, another program's, or one of a newer program is an error and is
// left as it is.
func Open(ctx context.Context, name string) (*Store, error) {
	s := &Store{name: name}
	used, err := prepare(name)
	if err != nil {
		return nil, err
	}
	if used {
		if err := s.inspect(ctx); err != nil {
			return nil, err
		}
	}
	if s.write, err = connect(name, "_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)", 1); err != nil {
		return nil, s.explain("open", err)
	}
	if s.read, err = connect(name, "_pragma=query_only(1)", readers); err != nil {
		return nil, errors.Join(s.explain("open", err), s.write.Close())
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(s.explain("open", err), s.Close())
	}
	return s, nil
}

// prepare makes the file before SQLite makes it with another mode, and reports
// whether there was something in it.
func prepare(name string) (used bool, err error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, create(name)
	case err != nil:
		return false, fmt.Errorf("store: %w", err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("store %s is no regular file", name)
	case info.Mode().Perm()&0o077 != 0:
		return false, fmt.Errorf("store %s is open to others (mode %o); run: chmod 600 %s", name, info.Mode().Perm(), name)
	}
	return info.Size() > 0, nil
}

func create(name string) error {
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w; name another folder, or make it for the user that Pavise runs as", err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the store: %w; see that the user that Pavise runs as may write into %s", err, folder)
	}
	return file.Close()
}

const applicationID = 0x50415653 // "PAVS", as in the first migration

// inspect refuses a file that is not to be used, through a connection that cannot
// write.
func (s *Store) inspect(ctx context.Context) (err error) {
	db, err := s.connectToLook(ctx)
	if err != nil {
		return s.explain("inspect", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return s.explain("inspect", err)
	}
	if result != "ok" {
		return s.explain("inspect", fmt.Errorf("%w: %.200s", errDamaged, result))
	}
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return s.explain("inspect", err)
	}
	tables, version, err := schema(ctx, db)
	switch {
	case err != nil:
		return s.explain("inspect", err)
	case tables == 0:
		return nil // a first start that was killed before its first commit
	case id != applicationID && version != 0:
		return fmt.Errorf("store %s is a database of another program (id %d); name another file", s.name, id)
	}
	target, err := newest()
	if err == nil && version > target {
		err = fmt.Errorf("store %s has schema %d, this program knows up to %d; it was used by a newer one: run that, or restore a backup from before", s.name, version, target)
	}
	return err
}

// connectToLook connects without leave to write. Only where a process was killed in
// the middle of a transaction SQLite has to take back what was not committed first,
// which it may not do then; it does that, and nothing else, on a connection that may.
func (s *Store) connectToLook(ctx context.Context) (*sql.DB, error) {
	db, err := connect(s.name, "mode=ro", 1)
	if err != nil {
		return nil, err
	}
	var version int64
	err = db.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version)
	if fault, ok := errors.AsType[*sqlite.Error](err); ok && isUnfinished(fault.Code()) {
		if err := db.Close(); err != nil {
			return nil, err
		}
		return connect(s.name, "_pragma=query_only(1)", 1)
	}
	return db, nil // any other error comes back with the next statement
}

// isUnfinished names SQLITE_READONLY_ROLLBACK and SQLITE_READONLY_RECOVERY.
func isUnfinished(code int) bool { return code == 776 || code == 264 }

// schema returns how many tables there are, and the version of the last
// migration, 0 if none was finished.
func schema(ctx context.Context, db *sql.DB) (tables, version int64, err error) {
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").Scan(&tables); err != nil {
		return 0, 0, err
	}
	var ours int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", goose.DefaultTablename).Scan(&ours); err != nil {
		return 0, 0, err
	}
	if ours == 0 {
		if tables > 0 {
			version = -1 // others' tables
		}
		return tables, version, nil
	}
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+goose.DefaultTablename+" WHERE is_applied").Scan(&version)
	return tables, version, err
}

func provider(db *sql.DB) (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// newest returns the version of the last migration that this program has.
func newest() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("read the migrations: %w", err)
	}
	return goose.NumericComponent(names[len(names)-1]) // Glob sorts
}

func (s *Store) migrate(ctx context.Context) error {
	p, err := provider(s.write)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

var errDamaged = errors.New("the file is damaged")

// explain says what an error means for whoever runs the program.
func (s *Store) explain(doing string, err error) error {
	if err == nil || errors.Is(err, client.ErrConflict) {
		return err
	}
	wrapped := fmt.Errorf("%s: store %s: %w", doing, s.name, err)
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%w: %w; nothing was changed: restore it from a backup", client.ErrCorrupt, wrapped)
	}
	fault, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return wrapped
	}
	switch fault.Code() & 0xff { // the primary result code
	case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		return fmt.Errorf("%w: %w; restore it from a backup", client.ErrCorrupt, wrapped)
	case 13: // SQLITE_FULL
		return fmt.Errorf("%w: %w; the disk is full and nothing was written: make room", client.ErrUnavailable, wrapped)
	case 10: // SQLITE_IOERR
		return fmt.Errorf("%w: %w; the disk refuses: look for a full disk, a quota, a limit on file sizes, or a fault in the system's log", client.ErrUnavailable, wrapped)
	case 8, 14, 3: // SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM
		return fmt.Errorf("%w: %w; see that the user that Pavise runs as may write the file and its folder", client.ErrUnavailable, wrapped)
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return fmt.Errorf("%w: %w; another process holds it: stop that one", client.ErrUnavailable, wrapped)
	}
	return wrapped
}
