package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"pavise.dev/pavise/internal/client"
)

// A process that is killed while it makes the store, before the write-ahead log is
// on, leaves a rollback journal. What was committed is there again, and the rest not.
func TestAKillInTheMiddleOfATransactionIsTakenBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data", "store.db")
	s := open(t, name)
	if _, err := s.Commit(t.Context(), client.Row{Table: "t", ID: "committed", Version: 1, Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, name, "PRAGMA journal_mode = DELETE")
	left := killedInTheMiddle(t, name)
	s = open(t, left)
	defer func() { _ = s.Close() }()
	rows, _, err := s.Since(t.Context(), 0)
	if err != nil || len(rows) != 1 || rows[0].ID != "committed" || string(rows[0].Body) != "x" {
		t.Errorf("%+v, %v", rows, err)
	}
}

// killedInTheMiddle returns a copy of the store as a kill in the middle of a large
// transaction leaves it.
func killedInTheMiddle(t *testing.T, name string) string {
	t.Helper()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA cache_size = 1"); err != nil { // pages go to the disk before the commit
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("UPDATE row SET body = randomblob(1000000)"); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(t.TempDir(), "store.db")
	for _, suffix := range []string{"", "-journal"} {
		text, err := os.ReadFile(name + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(left+suffix, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return left
}
