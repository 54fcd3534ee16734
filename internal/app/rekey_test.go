package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/seal"
)

// kept opens the state and tells whether the client is there that newState made.
func kept(t *testing.T, f *config.File) error {
	t.Helper()
	s, err := OpenState(t.Context(), f, StateOptions{Now: time.Now})
	if err != nil {
		return err
	}
	_, err = s.Registry.Client(t.Context(), "shop")
	return errors.Join(err, s.Close())
}

func newState(t *testing.T) *config.File {
	t.Helper()
	f := configure(t, "")
	s, err := OpenState(t.Context(), f, StateOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Registry.CreateClient(t.Context(), client.Client{ID: "shop"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheMasterKeyCanBeChanged(t *testing.T) {
	f := newState(t)
	before, err := seal.ReadMaster(f.State.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rekey(t.Context(), f, StateOptions{Now: time.Now}, "", "ann"); err != nil {
		t.Fatal(err)
	}
	after, err := seal.ReadMaster(f.State.MasterKey)
	if err != nil || after.ID() == before.ID() {
		t.Fatalf("the key file is as it was, or cannot be read: %v", err)
	}
	aside := f.State.MasterKey + ".old-" + before.ID()
	if old, err := seal.ReadMaster(aside); err != nil || old.ID() != before.ID() {
		t.Errorf("the old key is lost: %v", err)
	}
	if err := kept(t, f); err != nil {
		t.Error(err)
	}
	found, err := audit.Search(t.Context(), f.Log.Folder, audit.Query{Class: audit.Admin})
	if err != nil || len(found) != 1 || found[0].Event.Actor != "ann" || found[0].Event.Action != "keys.rewrap" {
		t.Errorf("events %+v, %v", found, err)
	}
	// The old key opens nothing any more.
	rename(t, aside, f.State.MasterKey)
	if err := kept(t, f); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("with the old key: %v", err)
	}
}

// Whatever moment a kill comes at, the next start finds the key that opens the store,
// and what was begun can be done again.
func TestAChangeOfTheMasterKeyMayBeBrokenOff(t *testing.T) {
	for name, broken := range map[string]func(t *testing.T, f *config.File){
		"when the new key was made": func(t *testing.T, f *config.File) {
			if _, err := seal.CreateMaster(f.State.MasterKey + nextKey); err != nil {
				t.Fatal(err)
			}
		},
		"when the store was under it": func(t *testing.T, f *config.File) {
			if _, err := Rekey(t.Context(), f, StateOptions{Now: time.Now}, "", "ann"); err != nil {
				t.Fatal(err)
			}
			old, err := filepath.Glob(f.State.MasterKey + lastKey + "*")
			if err != nil || len(old) != 1 {
				t.Fatal(old, err)
			}
			rename(t, f.State.MasterKey, f.State.MasterKey+nextKey)
			rename(t, old[0], f.State.MasterKey)
		},
		"when the old key was put aside": func(t *testing.T, f *config.File) {
			if _, err := Rekey(t.Context(), f, StateOptions{Now: time.Now}, "", "ann"); err != nil {
				t.Fatal(err)
			}
			rename(t, f.State.MasterKey, f.State.MasterKey+nextKey)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newState(t)
			broken(t, f)
			if err := kept(t, f); err != nil {
				t.Errorf("the next start: %v", err)
			}
			if _, err := Rekey(t.Context(), f, StateOptions{Now: time.Now}, "", "ann"); err != nil {
				t.Errorf("another try: %v", err)
			}
			if err := kept(t, f); err != nil {
				t.Errorf("after it: %v", err)
			}
			if _, err := os.Stat(f.State.MasterKey + nextKey); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a half-made key is left: %v", err)
			}
		})
	}
}

// Every key that ever was stays: a backup may have been made under any of them.
func TestNoMasterKeyIsLostByAnotherChange(t *testing.T) {
	f := newState(t)
	ids := map[string]bool{}
	for range 3 {
		now, err := seal.ReadMaster(f.State.MasterKey)
		if err != nil {
			t.Fatal(err)
		}
		ids[now.ID()] = true
		if _, err := Rekey(t.Context(), f, StateOptions{Now: time.Now}, "", "ann"); err != nil {
			t.Fatal(err)
		}
	}
	for id := range ids {
		if old, err := seal.ReadMaster(f.State.MasterKey + lastKey + id); err != nil || old.ID() != id {
			t.Errorf("key %s: %v", id, err)
		}
	}
	if len(ids) != 3 {
		t.Errorf("%d keys", len(ids))
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestAMasterKeyOfOnesOwn(t *testing.T) {
	f := newState(t)
	own := filepath.Join(t.TempDir(), "own.key")
	master, err := seal.CreateMaster(own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rekey(t.Context(), f, StateOptions{Now: time.Now}, own, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := kept(t, f); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("before the key is where the file says: %v", err)
	}
	rename(t, own, f.State.MasterKey)
	if err := kept(t, f); err != nil {
		t.Errorf("with key %s in its place: %v", master.ID(), err)
	}
}
