package client_test

import (
	"context"
	"errors"
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

// clock is a settable time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func master(t *testing.T, fill byte) seal.Master {
	t.Helper()
	m, err := seal.NewMaster(slices.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func registry(t *testing.T, s client.Store, c *clock, mark string) *client.Registry {
	t.Helper()
	r, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7), Mark: mark, Now: c.Now})
	if err != nil {
		t.Fatalf("open the registry: %v", err)
	}
	return r
}

func view(t *testing.T, r *client.Registry) *client.View {
	t.Helper()
	v, err := r.View(t.Context(), client.ViewOptions{Poll: time.Hour})
	if err != nil {
		t.Fatalf("open the view: %v", err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func addShop(t *testing.T, r *client.Registry) {
	t.Helper()
	if _, err := r.CreateClient(t.Context(), client.Client{ID: "shop", Scopes: shield.Scopes{"orders:read", "orders:write"}, Tenant: "acme"}); err != nil {
		t.Fatal(err)
	}
}

func addKey(t *testing.T, r *client.Registry, id string, keep shield.Keep) {
	t.Helper()
	_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop", Scopes: shield.Scopes{"orders:read"}},
		shield.Issued{ID: id, Material: []byte("secret-of-" + id), Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
}

func refresh(t *testing.T, v *client.View) {
	t.Helper()
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialIsFoundByIDAndByItsSecret(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	addKey(t, r, "h1", shield.KeepSealed)
	v := view(t, r)
	record, err := v.Credential("api_key", "k1")
	if err != nil {
		t.Fatal(err)
	}
	if record.Client.ID != "shop" || record.Client.Tenant != "acme" || !slices.Equal(record.Scopes, shield.Scopes{"orders:read"}) {
		t.Errorf("client %+v, scopes %v", record.Client, record.Scopes)
	}
	if !record.Match([]byte("secret-of-k1")) || record.Match([]byte("secret-of-k2")) || record.Match(nil) {
		t.Error("Match does not tell the right secret from wrong ones")
	}
	if found, err := v.Holder("api_key", []byte("secret-of-k1")); err != nil || found != record {
		t.Errorf("by its secret: %v, %v", found, err)
	}
	if _, err := v.Holder("api_key", []byte("other")); !errors.Is(err, shield.ErrUnknown) {
		t.Errorf("by a wrong secret: %v", err)
	}
	if _, err := v.Credential("jwt", "k1"); !errors.Is(err, shield.ErrUnknown) {
		t.Errorf("of another kind: %v", err)
	}
	sealed, err := v.Credential("api_key", "h1")
	if err != nil || string(sealed.Secret()) != "secret-of-h1" || sealed.Match([]byte("secret-of-h1")) {
		t.Errorf("sealed secret %v, %v", sealed, err)
	}
}

func TestRevocationIsSeenAfterTheNextRefresh(t *testing.T) {
	attacktest.Rows(t, 9)
	s := memory.New()
	r := registry(t, s, newClock(), "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepSealed)
	v, other := view(t, r), view(t, r)
	before, err := v.Credential("api_key", "k1")
	if err != nil {
		t.Fatal(err)
	}
	id := before.Identity(newClock().Now())
	if id.Revocation() {
		t.Fatal("a good credential counts as withdrawn")
	}
	if _, err := r.Revoke(t.Context(), "k1", "lost"); err != nil {
		t.Fatal(err)
	}
	for _, node := range []*client.View{v, other} {
		refresh(t, node)
		record, err := node.Credential("api_key", "k1")
		if err != nil || record.Revoked.IsZero() {
			t.Errorf("after the refresh: %v, %v", record, err)
		}
		if string(record.Secret()) != "secret-of-k1" {
			t.Error("a revoked secret cannot be recognised any more, so that its holder would learn nothing")
		}
	}
	if !id.Revocation() {
		t.Error("an identity proved before does not learn of the revocation")
	}
	if _, err := r.Revoke(t.Context(), "k1", "again"); !errors.Is(err, client.ErrMissing) {
		t.Errorf("second revocation: %v", err)
	}
}

func TestSnapshotThatCannotBeConfirmedIsStale(t *testing.T) {
	c := newClock()
	s := &failing{Store: memory.New()}
	r := registry(t, s, c, "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	v := view(t, r)
	s.fail = errors.New("away")
	if err := v.Refresh(t.Context()); err == nil {
		t.Fatal("a refresh without a store succeeded")
	}
	c.add(60 * time.Second)
	if _, err := v.Credential("api_key", "k1"); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	c.add(time.Nanosecond)
	for name, err := range map[string]error{
		"Credential": second(v.Credential("api_key", "k1")), "Holder": second(v.Holder("api_key", []byte("x"))), "Token": second(v.Token("i", "s", "j", c.Now())),
	} {
		if !errors.Is(err, shield.ErrStale) {
			t.Errorf("%s after the bound: %v", name, err)
		}
	}
	s.fail = nil
	refresh(t, v)
	if _, err := v.Credential("api_key", "k1"); err != nil {
		t.Errorf("after the store came back: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

type failing struct {
	client.Store
	fail error
}

func (f *failing) Revision(ctx context.Context) (int64, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	return f.Store.Revision(ctx)
}

func TestScopesAreCutToTheClients(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	addShop(t, r)
	_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop", Scopes: shield.Scopes{"admin"}}, shield.Issued{ID: "k1"})
	if err == nil || !strings.Contains(err.Error(), "admin") {
		t.Errorf("a scope that the client lacks: %v", err)
	}
	addKey(t, r, "k1", shield.KeepHash)
	v := view(t, r)
	if _, err := r.UpdateClient(t.Context(), "shop", "update", func(c *client.Client) error { c.Scopes = shield.Scopes{"orders:write"}; return nil }); err != nil {
		t.Fatal(err)
	}
	refresh(t, v)
	if record, err := v.Credential("api_key", "k1"); err != nil || len(record.Scopes) != 0 {
		t.Errorf("scopes %v, %v after the client lost them", record.Scopes, err)
	}
}

func TestDisabledClientTakesItsCredentialsAlong(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	v := view(t, r)
	if _, err := r.UpdateClient(t.Context(), "shop", "disable", func(c *client.Client) error { c.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	refresh(t, v)
	if record, err := v.Credential("api_key", "k1"); err != nil || !record.Client.Disabled {
		t.Errorf("%v, %v", record, err)
	}
}

func TestRotationOverlaps(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepSealed)
	fresh, _, err := r.Rotate(t.Context(), "api_key", "k1", shield.Issued{ID: "k2", Material: []byte("new"), Keep: shield.KeepSealed}, 72*time.Hour)
	if err != nil || fresh.ID != "k2" || fresh.Replaces != "k1" || !slices.Equal(fresh.Scopes, shield.Scopes{"orders:read"}) {
		t.Fatalf("%+v, %v", fresh, err)
	}
	v := view(t, r)
	old, err := v.Credential("api_key", "k1")
	if err != nil || !old.Expires.Equal(c.Now().Add(72*time.Hour)) || string(old.Secret()) != "secret-of-k1" {
		t.Errorf("old: expires %v, %v", old.Expires, err)
	}
	if fresh, err := v.Credential("api_key", "k2"); err != nil || !fresh.Expires.IsZero() || string(fresh.Secret()) != "new" {
		t.Errorf("new: %v, %v", fresh, err)
	}
}

func TestTokensOfAnIssuerAreRevoked(t *testing.T) {
	attacktest.Rows(t, 43)
	c := newClock()
	r := registry(t, memory.New(), c, "")
	v := view(t, r)
	before := v.Generation()
	for _, revocation := range []client.Revocation{{Issuer: "https://i", TokenID: "j1"}, {Issuer: "https://i", Subject: "ann"}} {
		if _, err := r.RevokeTokens(t.Context(), revocation); err != nil {
			t.Fatal(err)
		}
	}
	refresh(t, v)
	tests := []struct {
		name, issuer, subject, id string
		issued                    time.Time
		want                      bool
	}{
		{"the token", "https://i", "bob", "j1", c.Now().Add(time.Hour), true},
		{"another token", "https://i", "bob", "j2", c.Now(), false},
		{"of another issuer", "https://k", "bob", "j1", c.Now(), false},
		{"of the subject, from before", "https://i", "ann", "j3", c.Now(), true},
		{"of the subject, from later", "https://i", "ann", "j3", c.Now().Add(time.Second), false},
	}
	for _, test := range tests {
		if got, err := v.Token(test.issuer, test.subject, test.id, test.issued); got != test.want || err != nil {
			t.Errorf("%s: %t, %v; want %t", test.name, got, err, test.want)
		}
	}
	if v.Generation() == before {
		t.Error("the generation did not rise")
	}
}

func TestRowsOfOthersMakingAreRefused(t *testing.T) {
	attacktest.Rows(t, 164)
	read := func(s client.Store, id string) client.Row {
		row, ok, err := s.Get(t.Context(), "credential", "api_key/"+id)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		return row
	}
	tests := map[string]func(s client.Store) client.Row{
		"a row copied under another id": func(s client.Store) client.Row {
			row := read(s, "k1")
			row.ID, row.Version = "api_key/k2", read(s, "k2").Version+1
			return row
		},
		"an older version put back": func(s client.Store) client.Row {
			row := read(s, "k1")
			row.Version++
			return row
		},
		"a body that was edited": func(s client.Store) client.Row {
			row := read(s, "k1")
			row.Body = slices.Concat(row.Body[:40], []byte("x"), row.Body[41:])
			row.Version++
			return row
		},
		"a body without a MAC": func(s client.Store) client.Row {
			return client.Row{Table: "credential", ID: "api_key/k3", Version: 1, Body: []byte(`{"kind":"api_key","id":"k3","client":"shop"}`)}
		},
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			r := registry(t, s, newClock(), "")
			addShop(t, r)
			addKey(t, r, "k1", shield.KeepSealed)
			addKey(t, r, "k2", shield.KeepSealed)
			v := view(t, r)
			if _, err := s.Commit(t.Context(), forge(s)); err != nil {
				t.Fatal(err)
			}
			if err := v.Refresh(t.Context()); !errors.Is(err, seal.ErrTampered) {
				t.Errorf("the snapshot took it in: %v", err)
			}
			if _, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7), Now: newClock().Now}); !errors.Is(err, seal.ErrTampered) {
				t.Errorf("a start took it in: %v", err)
			}
		})
	}
}

func TestStoreThatWasPutBackIsNoticed(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "store.mark")
	backup, live := memory.New(), memory.New()
	c := newClock()
	// The same first rows go into both stores: the backup is taken here.
	copied := func(from, to client.Store) {
		rows, _, err := from.Since(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if _, err := to.Commit(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := registry(t, live, c, mark)
	addShop(t, r)
	copied(live, backup)
	registry(t, backup, c, mark) // the store is in its latest state: accepted
	addKey(t, r, "k1", shield.KeepHash)
	if _, err := client.OpenRegistry(t.Context(), client.Options{Store: backup, Master: master(t, 7), Mark: mark, Now: c.Now}); !errors.Is(err, client.ErrRolledBack) {
		t.Errorf("an older store was accepted: %v", err)
	}
	registry(t, live, c, mark)
}

func TestWrongMasterKeyIsToldApartAndChangesNothing(t *testing.T) {
	s := memory.New()
	r := registry(t, s, newClock(), "")
	addShop(t, r)
	before, _ := s.Revision(t.Context())
	_, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 8), Now: newClock().Now})
	if !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "use the key file") {
		t.Errorf("error %v", err)
	}
	if after, _ := s.Revision(t.Context()); after != before {
		t.Error("something was written")
	}
}

func TestClientsAreValidated(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	for _, id := range []string{"", "Shop", "-shop", "a/b", "a#b", strings.Repeat("a", 64), "a b"} {
		if _, err := r.CreateClient(t.Context(), client.Client{ID: id}); err == nil {
			t.Errorf("client id %q was taken", id)
		}
	}
	if _, err := r.CreateClient(t.Context(), client.Client{ID: "a", Scopes: shield.Scopes{"a b"}}); err == nil {
		t.Error("a scope with a blank was taken")
	}
	addShop(t, r)
	if _, err := r.CreateClient(t.Context(), client.Client{ID: "shop"}); !errors.Is(err, client.ErrExists) {
		t.Errorf("a client twice: %v", err)
	}
	if _, _, err := r.AddCredential(t.Context(), client.Credential{Client: "nobody"}, shield.Issued{ID: "k"}); !errors.Is(err, client.ErrMissing) {
		t.Errorf("a credential of nobody: %v", err)
	}
}

func TestLastUseIsKept(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	v, err := r.View(t.Context(), client.ViewOptions{Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	v.Used("api_key", "k1", c.Now())
	v.Used("api_key", "made-up", c.Now())
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := r.Credentials(t.Context(), "shop", "api_key")
	if err != nil || len(list) != 1 || !list[0].LastUsed.Equal(c.Now()) {
		t.Errorf("%+v, %v", list, err)
	}
}
