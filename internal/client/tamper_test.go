package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// writable is a store whose rows somebody else can write as he likes, as who has
// the database can.
type writable struct {
	client.Store
	mu     sync.Mutex
	forged map[[2]string]*client.Row // nil: the row is gone
	raised int64                     // added to the revision

	before, after error // of the next commit: before, nothing is written; after, it is
}

func newWritable() *writable {
	return &writable{Store: memory.New(), forged: map[[2]string]*client.Row{}}
}

func (w *writable) put(row client.Row)      { w.forged[[2]string{row.Table, row.ID}] = &row }
func (w *writable) remove(table, id string) { w.forged[[2]string{table, id}] = nil }

func (w *writable) Revision(ctx context.Context) (int64, error) {
	revision, err := w.Store.Revision(ctx)
	return revision + w.raised, err
}

func (w *writable) Since(ctx context.Context, revision int64) ([]client.Row, int64, error) {
	rows, latest, err := w.Store.Since(ctx, 0)
	w.mu.Lock()
	defer w.mu.Unlock()
	var seen []client.Row
	for _, row := range rows {
		forged, ok := w.forged[[2]string{row.Table, row.ID}]
		if ok && forged == nil {
			continue
		}
		if ok {
			row = *forged
		}
		if row.Revision > revision {
			row.Body = slices.Clone(row.Body)
			seen = append(seen, row)
		}
	}
	return seen, latest + w.raised, err
}

func (w *writable) Table(ctx context.Context, table string) ([]client.Row, error) {
	rows, _, err := w.Since(ctx, 0)
	return slices.DeleteFunc(rows, func(row client.Row) bool { return row.Table != table }), err
}

func (w *writable) Get(ctx context.Context, table, id string) (client.Row, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if forged, ok := w.forged[[2]string{table, id}]; ok {
		if forged == nil {
			return client.Row{}, false, nil
		}
		return *forged, true, nil
	}
	return w.Store.Get(ctx, table, id)
}

func (w *writable) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	if err := w.before; err != nil {
		w.before = nil
		return 0, err
	}
	revision, err := w.Store.Commit(ctx, rows...)
	if err == nil && w.after != nil {
		err, w.after = w.after, nil
	}
	return revision, err
}

func (w *writable) row(t *testing.T, table, id string) client.Row {
	t.Helper()
	row, ok, err := w.Get(t.Context(), table, id)
	if !ok || err != nil {
		t.Fatalf("row %s/%s: %t, %v", table, id, ok, err)
	}
	row.Body = slices.Clone(row.Body)
	return row
}

func reopen(t *testing.T, s client.Store, mark string) error {
	t.Helper()
	_, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7), Mark: mark, Now: newClock().Now})
	return err
}

// A row whose body, tag and version are all old, and right, is what a rollback of
// the database leaves. While the program runs it remembers versions.
func TestOlderRowIsNoticedWhileRunning(t *testing.T) {
	attacktest.Rows(t, 164)
	w := newWritable()
	r := registry(t, w, newClock(), "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepSealed)
	v := view(t, r)
	oldClient, oldKey := w.row(t, "client", "shop"), w.row(t, "credential", "api_key/k1")
	must(t, second(r.DisableClient(t.Context(), "shop")))
	must(t, second(r.Revoke(t.Context(), "k1", "stolen")))
	refresh(t, v)
	w.raised = 10
	oldClient.Revision, oldKey.Revision = 8, 9
	w.put(oldClient)
	w.put(oldKey)
	if err := v.Refresh(t.Context()); !errors.Is(err, client.ErrRolledBack) {
		t.Errorf("the snapshot took in rows that were put back: %v", err)
	}
	record, err := v.Credential("api_key", "k1")
	if err != nil || record.Revoked.IsZero() || !record.Client.Disabled {
		t.Errorf("the snapshot changed: revoked %v, disabled %t, %v", record.Revoked, record.Client.Disabled, err)
	}
	if _, err := r.EnableClient(t.Context(), "shop"); !errors.Is(err, client.ErrRolledBack) {
		t.Errorf("administration went on from a client that was put back: %v", err)
	}
	if _, err := r.Credentials(t.Context(), "", ""); !errors.Is(err, client.ErrRolledBack) {
		t.Errorf("a list shows what was put back: %v", err)
	}
	w.remove("client", "shop")
	if _, err := r.CreateClient(t.Context(), client.Client{ID: "shop"}); !errors.Is(err, client.ErrRolledBack) {
		t.Errorf("a client that was removed from the store can be made again: %v", err)
	}
}

// At the next start the versions are forgotten, but the mark knows.
func TestOlderOrMissingRowIsNoticedAtTheNextStart(t *testing.T) {
	attacktest.Rows(t, 164, 167)
	tests := map[string]func(w *writable, oldClient, oldKey, oldSecret client.Row){
		"a client put back":     func(w *writable, row, _, _ client.Row) { w.put(row) },
		"a credential put back": func(w *writable, _, row, _ client.Row) { w.put(row) },
		"a secret put back":     func(w *writable, _, _, row client.Row) { w.put(row) },
		"a credential removed":  func(w *writable, _, row, _ client.Row) { w.remove(row.Table, row.ID) },
		"a revocation removed": func(w *writable, _, _, _ client.Row) {
			rows, _, _ := w.Since(context.Background(), 0)
			for _, row := range rows {
				if row.Table == "revocation" {
					w.remove(row.Table, row.ID)
				}
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w, mark := newWritable(), filepath.Join(t.TempDir(), "mark")
			r := registry(t, w, newClock(), mark)
			addShop(t, r)
			addKey(t, r, "k1", shield.KeepHash)
			addKey(t, r, "h1", shield.KeepSealed)
			oldClient, oldKey, oldSecret := w.row(t, "client", "shop"), w.row(t, "credential", "api_key/k1"), w.row(t, "credential", "api_key/h1")
			must(t, second(r.DisableClient(t.Context(), "shop")))
			must(t, second(r.Revoke(t.Context(), "k1", "")))
			must(t, second(r.Revoke(t.Context(), "h1", "")))
			must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "j"})))
			must(t, reopen(t, w, mark))
			change(w, oldClient, oldKey, oldSecret)
			if err := reopen(t, w, mark); !errors.Is(err, client.ErrRolledBack) {
				t.Errorf("it was not noticed: %v", err)
			}
		})
	}
}

func TestMarkThatIsMissingOrDamagedNeedsLeave(t *testing.T) {
	tests := map[string]func(mark string) error{
		"missing": os.Remove,
		"empty":   func(mark string) error { return os.WriteFile(mark, nil, 0o600) },
		"rubbish": func(mark string) error { return os.WriteFile(mark, []byte("{}"), 0o600) },
		"another's": func(mark string) error {
			return os.WriteFile(mark, []byte(`{"note":"","confirmed":"`+strings.Repeat("00", 32)+`"}`), 0o600)
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s, mark := memory.New(), filepath.Join(t.TempDir(), "mark")
			r := registry(t, s, newClock(), mark)
			addShop(t, r)
			must(t, spoil(mark))
			if err := reopen(t, s, mark); err == nil || !strings.Contains(err.Error(), mark) || !strings.Contains(err.Error(), "restored a backup") {
				t.Errorf("error %v, want the file and what to do", err)
			}
			_, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7), Mark: mark, Now: newClock().Now, AcceptRestored: true})
			must(t, err)
			must(t, reopen(t, s, mark))
		})
	}
}

// A commit may break off after it was written, or before. The mark knows both.
func TestCommitThatBreaksOffIsNoRollback(t *testing.T) {
	for name, spoil := range map[string]func(w *writable, err error){
		"before it was written": func(w *writable, err error) { w.before = err },
		"after it was written":  func(w *writable, err error) { w.after = err },
	} {
		for _, restart := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				w, mark := newWritable(), filepath.Join(t.TempDir(), "mark")
				r := registry(t, w, newClock(), mark)
				addShop(t, r)
				away := errors.New("the power went away")
				spoil(w, away)
				if _, err := r.DisableClient(t.Context(), "shop"); !errors.Is(err, away) {
					t.Fatalf("error %v", err)
				}
				if restart {
					r = registry(t, w, newClock(), mark)
				}
				must(t, second(r.EnableClient(t.Context(), "shop")))
				must(t, reopen(t, w, mark))
			})
		}
	}
}

// Nothing is changed that the mark would not know of.
func TestMarkThatCannotBeKeptStopsChanges(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "keys")
	must(t, os.Mkdir(folder, 0o700))
	s := memory.New()
	r := registry(t, s, newClock(), filepath.Join(folder, "mark"))
	must(t, os.RemoveAll(folder))
	if _, err := r.CreateClient(t.Context(), client.Client{ID: "shop"}); err == nil || !strings.Contains(err.Error(), "folder writable") {
		t.Errorf("error %v, want what to do", err)
	}
	if _, ok, _ := s.Get(t.Context(), "client", "shop"); ok {
		t.Error("it was written")
	}
}

// Whoever writes rubbish into the store cannot keep revocations from being seen.
func TestRubbishDoesNotKeepRevocationsOut(t *testing.T) {
	s := memory.New()
	c := newClock()
	r := registry(t, s, c, "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	addKey(t, r, "k2", shield.KeepHash)
	v := view(t, r)
	for _, table := range []string{"client", "credential", "revocation"} {
		must(t, second(s.Commit(t.Context(), client.Row{Table: table, ID: "other/k1", Version: 1, Body: []byte("rubbish")})))
	}
	must(t, second(r.Revoke(t.Context(), "k1", "stolen")))
	if change, err := r.RevokeClient(t.Context(), "shop", "closed"); !errors.Is(err, seal.ErrTampered) || !strings.Contains(change.Text, "k2") {
		t.Errorf("revocation of all beside rubbish: %+v, %v", change, err)
	}
	must(t, second(r.DisableClient(t.Context(), "shop")))
	if err := v.Refresh(t.Context()); !errors.Is(err, seal.ErrTampered) {
		t.Fatalf("error %v", err)
	}
	for _, id := range []string{"k1", "k2"} {
		if record, err := v.Credential("api_key", id); err != nil || !record.Client.Disabled || record.Revoked.IsZero() {
			t.Errorf("revocation of %s and lock of its client are not seen: %v, %v", id, record, err)
		}
	}
	c.add(61 * time.Second)
	if _, err := v.Credential("api_key", "k1"); !errors.Is(err, shield.ErrStale) {
		t.Errorf("a snapshot beside rubbish counts as confirmed: %v", err)
	}
}

func TestStoreWithoutItsFirstKeysIsRefused(t *testing.T) {
	w := newWritable()
	r := registry(t, w, newClock(), "")
	addShop(t, r)
	for _, id := range []string{"seal-1", "pepper-1"} {
		w.remove("key", id)
		if err := reopen(t, w, ""); !errors.Is(err, seal.ErrTampered) && !errors.Is(err, client.ErrCorrupt) {
			t.Errorf("without %s: %v", id, err)
		}
	}
}

// No text in the mark's file opens a store that another text belongs to.
func FuzzMark(f *testing.F) {
	s, mark := newWritable(), filepath.Join(f.TempDir(), "mark")
	m, err := seal.NewMaster(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	options := client.Options{Store: s, Master: m, Mark: mark}
	r, err := client.OpenRegistry(f.Context(), options)
	if err != nil {
		f.Fatal(err)
	}
	before, err := os.ReadFile(mark)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := r.CreateClient(f.Context(), client.Client{ID: "shop"}); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(before), "{}", "", `{"note":"","confirmed":"00","announced":"00"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(mark, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.OpenRegistry(t.Context(), options); err == nil {
			t.Errorf("%q was accepted", text)
		}
	})
}
