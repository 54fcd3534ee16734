package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/sqlite"
	"pavise.dev/pavise/internal/store/storetest"
)

func open(t *testing.T, name string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSQLiteKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) client.Store { return open(t, filepath.Join(t.TempDir(), "data", "store.db")) })
}

func TestSQLiteGivesBackWhatAnotherProcessWrote(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a folder?#", "store.db")
	s := open(t, name)
	if _, err := s.Commit(t.Context(), client.Row{Table: "t", ID: "a", Version: 1, Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 600", info.Mode(), err)
	}
	s = open(t, name)
	defer func() { _ = s.Close() }()
	if got, ok, err := s.Get(t.Context(), "t", "a"); !ok || err != nil || string(got.Body) != "x" {
		t.Errorf("%+v, %t, %v", got, ok, err)
	}
}

func TestSQLiteRefusesADamagedFileAndLeavesItAsItIs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "store.db")
	garbage := []byte("SQLite format 3\x00 and then nothing that makes sense, over and over again, for long enough to be a page")
	if err := os.WriteFile(name, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), name); !errors.Is(err, client.ErrCorrupt) {
		t.Errorf("error %v, want that the store is damaged", err)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(garbage) {
		t.Errorf("the damaged file was changed: %v", err)
	}
}
