package client_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// state says what a view knows of a credential.
func state(v *client.View, id string, now time.Time) string {
	record, err := v.Credential("api_key", id)
	if err != nil {
		return err.Error()
	}
	holder, _ := v.Holder("api_key", secretOf(id))
	return fmt.Sprint(record.Client, slices.Sorted(slices.Values(record.Scopes)), record.Expires.Unix(), record.Revoked.Unix(), record.WarnAfter,
		record.Match(secretOf(id)), string(record.Secret()) == string(secretOf(id)), holder == record, record.Identity(now).Revocation())
}

// Whatever is done in whatever order, a snapshot that followed step by step knows
// the same as one that was opened now, and the store is as the mark says.
func TestSnapshotThatFollowsKnowsWhatAFreshOneKnows(t *testing.T) {
	folder := t.TempDir()
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		m, err := seal.NewMaster(make([]byte, 32))
		noError(t, err)
		c, s := newClock(), memory.New()
		options := client.Options{Store: s, Master: m, Now: c.Now}
		if round%8 == 0 { // a mark is two files with fsync for each change
			options.Mark = filepath.Join(folder, fmt.Sprint(round))
		}
		r, err := client.OpenRegistry(t.Context(), options)
		noError(t, err)
		follower, err := r.View(t.Context(), client.ViewOptions{Poll: time.Hour})
		noError(t, err)
		defer func() { _ = follower.Close() }()
		ids := []string{"k0", "k1", "k2", "k3"}
		clients := []string{"c0", "c1"}
		scopes := []string{"a", "b", "c"}
		pick := func(from []string) string { return rapid.SampledFrom(from).Draw(t, "name") }
		some := func() shield.Scopes {
			return rapid.SliceOfDistinct(rapid.SampledFrom(scopes), rapid.ID[string]).Draw(t, "scopes")
		}
		keep := func() shield.Keep {
			return rapid.SampledFrom([]shield.Keep{shield.KeepHash, shield.KeepSealed, shield.KeepNothing}).Draw(t, "keep")
		}
		did := func(err error) { // what may not be done now is refused, and changes nothing
			if errors.Is(err, client.ErrRolledBack) || errors.Is(err, seal.ErrTampered) || errors.Is(err, client.ErrCorrupt) {
				t.Fatalf("our own rows are taken for others': %v", err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				did(second(r.CreateClient(t.Context(), client.Client{ID: pick(clients), Scopes: some()})))
			},
			"add": func(t *rapid.T) {
				id := pick(ids)
				_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: pick(clients), Scopes: some()}, shield.Issued{ID: id, Material: secretOf(id), Keep: keep()})
				did(err)
			},
			"scopes": func(t *rapid.T) {
				did(second(r.UpdateClient(t.Context(), pick(clients), "update", func(c *client.Client) error { c.Scopes = some(); return nil })))
			},
			"disable":       func(t *rapid.T) { did(second(r.DisableClient(t.Context(), pick(clients)))) },
			"enable":        func(t *rapid.T) { did(second(r.EnableClient(t.Context(), pick(clients)))) },
			"revoke":        func(t *rapid.T) { did(second(r.Revoke(t.Context(), pick(ids), ""))) },
			"revoke client": func(t *rapid.T) { did(second(r.RevokeClient(t.Context(), pick(clients), ""))) },
			"rotate": func(t *rapid.T) {
				id := pick(ids)
				_, _, err := r.Rotate(t.Context(), "api_key", pick(ids), shield.Issued{ID: id, Material: secretOf(id), Keep: keep()}, time.Hour)
				did(err)
			},
			"keys":    func(t *rapid.T) { noError(t, second(r.RotateKeys(t.Context()))) },
			"wait":    func(*rapid.T) { c.add(10 * time.Second) },
			"refresh": func(t *rapid.T) { noError(t, follower.Refresh(t.Context())) },
			"": func(t *rapid.T) {
				noError(t, follower.Refresh(t.Context()))
				again, err := client.OpenRegistry(t.Context(), options)
				noError(t, err)
				fresh, err := again.View(t.Context(), client.ViewOptions{Poll: time.Hour})
				noError(t, err)
				defer func() { _ = fresh.Close() }()
				for _, id := range ids {
					if a, b := state(follower, id, c.Now()), state(fresh, id, c.Now()); a != b {
						t.Fatalf("of %s the one that followed knows\n%s\nand the fresh one\n%s", id, a, b)
					}
				}
			},
		})
	})
}

func noError(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
