package client_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

func TestRecordsAreSealedAndComparedByVersion(t *testing.T) {
	store := memory.New()
	records := registry(t, store, newClock(), "").Records()
	name := records.Name([]byte("the code that a client holds"))
	grant := client.Record{Table: "grant", ID: name, Body: []byte(planted + " of a grant")}
	must(t, records.Write(t.Context(), grant))
	if err := records.Write(t.Context(), grant); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a second record of the same name: %v", err)
	}
	got, err := records.Get(t.Context(), "grant", name)
	if err != nil || got.Version != 1 || !bytes.Equal(got.Body, grant.Body) || got.Table != "grant" {
		t.Fatalf("%+v, %v", got, err)
	}
	got.Body = []byte("changed")
	must(t, records.Write(t.Context(), got))
	if err := records.Write(t.Context(), got); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a change of what has changed: %v", err)
	}
	rows, _, err := store.Since(t.Context(), 0)
	must(t, err)
	for _, row := range rows {
		if bytes.Contains(row.Body, []byte(planted)) || bytes.Contains(row.Body, []byte("changed")) {
			t.Errorf("row %s/%s shows what it holds", row.Table, row.ID)
		}
	}
	if _, err := records.Get(t.Context(), "grant", "none"); !errors.Is(err, client.ErrMissing) {
		t.Errorf("a record that nobody wrote: %v", err)
	}
}

func TestOneOfFiftyChangesOfARecordWins(t *testing.T) {
	records := registry(t, memory.New(), newClock(), filepath.Join(t.TempDir(), "mark")).Records()
	must(t, records.Write(t.Context(), client.Record{Table: "grant", ID: "g", Body: []byte("new")}))
	read, err := records.Get(t.Context(), "grant", "g")
	must(t, err)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch err := records.Write(t.Context(), read); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, client.ErrConflict):
				t.Errorf("write: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty won", won.Load())
	}
}

func TestRecordsComeAndGoUnderTheMark(t *testing.T) {
	store, mark := newWritable(), filepath.Join(t.TempDir(), "mark")
	records := registry(t, store, newClock(), mark).Records()
	for _, id := range []string{"a", "b", "c"} {
		must(t, records.Write(t.Context(), client.Record{Table: "grant", ID: id, Body: []byte(id)}))
	}
	before := store.row(t, "oauth.grant", "b")
	gone, err := records.Get(t.Context(), "grant", "b")
	must(t, err)
	must(t, records.Remove(t.Context(), gone))
	if err := records.Remove(t.Context(), gone); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a second removal: %v", err)
	}
	left, err := records.Table(t.Context(), "grant")
	if err != nil || len(left) != 2 || left[0].ID != "a" || left[1].ID != "c" {
		t.Errorf("left: %+v, %v", left, err)
	}
	must(t, reopen(t, store, mark))
	must(t, second(store.Store.Commit(t.Context(), before)))
	if err := reopen(t, store, mark); !errors.Is(err, client.ErrRolledBack) {
		t.Errorf("a record that was put back after its end: %v", err)
	}
}

func TestForeignRecordsAreNoticed(t *testing.T) {
	store := newWritable()
	records := registry(t, store, newClock(), "").Records()
	must(t, records.Write(t.Context(), client.Record{Table: "grant", ID: "a", Body: []byte("a")}, client.Record{Table: "grant", ID: "b", Body: []byte("b")}))
	moved := store.row(t, "oauth.grant", "a")
	moved.ID = "b"
	store.put(moved)
	if _, err := records.Get(t.Context(), "grant", "b"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("a record under another's name: %v", err)
	}
	found, err := records.Table(t.Context(), "grant")
	if !errors.Is(err, seal.ErrTampered) || len(found) != 1 || found[0].ID != "a" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestRotationOfDataKeysKeepsRecordsAndTheirNames(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	records := r.Records()
	name := records.Name([]byte("code"))
	must(t, records.Write(t.Context(), client.Record{Table: "grant", ID: name, Body: []byte("body")}))
	must(t, second(r.RotateKeys(t.Context())))
	if records.Name([]byte("code")) == name {
		t.Error("the rotation made no new key")
	}
	names := records.Names([]byte("code"))
	if len(names) != 2 || names[1] != name {
		t.Fatalf("names %v, the old one was %s", names, name)
	}
	got, err := records.Get(t.Context(), "grant", names[1])
	if err != nil || string(got.Body) != "body" || got.Version != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}
