package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver/keys"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

type world struct {
	records *client.Records
	rows    *memory.Store
	now     time.Time
	changes []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	master, err := seal.NewMaster(bytes.Repeat([]byte{9}, 32))
	must(t, err)
	w := &world{rows: memory.New(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: w.rows, Master: master})
	must(t, err)
	w.records = registry.Records()
	return w
}

func (w *world) open(t *testing.T, algorithm string) *keys.Ring {
	t.Helper()
	ring, err := keys.Open(t.Context(), keys.Options{
		Records: w.records, Algorithm: algorithm, Now: func() time.Time { return w.now },
		Rotate: 30 * 24 * time.Hour, Publish: 24 * time.Hour, Retain: time.Hour,
		Changed: func(action, kid, text string) { w.changes = append(w.changes, action) },
	})
	must(t, err)
	return ring
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func states(ring *keys.Ring) string {
	var b strings.Builder
	for _, k := range ring.All() {
		fmt.Fprintf(&b, "%s %s;", k.State, k.Algorithm)
	}
	return b.String()
}

func TestFirstStartMakesKeysThatStay(t *testing.T) {
	for algorithm, want := range map[string]any{
		"ES256": &ecdsa.PrivateKey{}, "EdDSA": ed25519.PrivateKey{}, "PS256": &rsa.PrivateKey{}, "RS256": &rsa.PrivateKey{},
	} {
		w := newWorld(t)
		kid, alg, key := w.open(t, algorithm).Current()
		if alg != algorithm || fmt.Sprintf("%T", key) != fmt.Sprintf("%T", want) {
			t.Errorf("%s: alg %s, key %T", algorithm, alg, key)
		}
		again := w.open(t, algorithm)
		if same, _, _ := again.Current(); same != kid {
			t.Errorf("%s: after a restart %s signs instead of %s", algorithm, same, kid)
		}
		if got := states(again); got != "next "+algorithm+";current "+algorithm+";" {
			t.Errorf("%s: %s", algorithm, got)
		}
	}
}

func TestKeyIsPublishedBeforeItSignsAndVerifiesAfter(t *testing.T) {
	w := newWorld(t)
	ring := w.open(t, "ES256")
	first, _, _ := ring.Current()
	next := ring.All()[0].ID
	w.now = w.now.Add(30*24*time.Hour - time.Second)
	must(t, ring.Keep(t.Context()))
	if kid, _, _ := ring.Current(); kid != first {
		t.Fatal("the key was rotated before it was due")
	}
	w.now = w.now.Add(time.Second)
	must(t, ring.Keep(t.Context()))
	if kid, _, _ := ring.Current(); kid != next {
		t.Fatalf("%s signs, published before was %s", kid, next)
	}
	if got := states(ring); got != "next ES256;current ES256;previous ES256;" {
		t.Fatal(got)
	}
	w.now = w.now.Add(time.Hour - time.Second)
	must(t, ring.Keep(t.Context()))
	if got := states(ring); got != "next ES256;current ES256;previous ES256;" {
		t.Errorf("a key left before its last signature ended: %s", got)
	}
	w.now = w.now.Add(time.Second)
	must(t, ring.Keep(t.Context()))
	if got := states(ring); got != "next ES256;current ES256;" {
		t.Errorf("after its last signature ended: %s", got)
	}
}

func TestAnotherAlgorithmTakesOverWhenItWasPublished(t *testing.T) {
	w := newWorld(t)
	w.open(t, "ES256")
	ring := w.open(t, "EdDSA")
	must(t, ring.Keep(t.Context()))
	if got := states(ring); got != "next EdDSA;current ES256;" {
		t.Fatal(got)
	}
	w.now = w.now.Add(24 * time.Hour)
	must(t, ring.Keep(t.Context()))
	if got := states(ring); got != "next EdDSA;current EdDSA;previous ES256;" {
		t.Error(got)
	}
}

func TestRotationOnDemand(t *testing.T) {
	w := newWorld(t)
	ring := w.open(t, "ES256")
	next := ring.All()[0].ID
	must(t, ring.Rotate(t.Context(), false))
	if kid, _, _ := ring.Current(); kid != next {
		t.Errorf("%s signs, want %s", kid, next)
	}
	if got := states(ring); got != "next ES256;current ES256;previous ES256;" {
		t.Error(got)
	}
	must(t, ring.Rotate(t.Context(), true))
	if got := states(ring); got != "next ES256;current ES256;" {
		t.Errorf("after a compromise: %s", got)
	}
	want := []string{"signing_key.create", "signing_key.rotate", "signing_key.rotate", "signing_key.remove", "signing_key.remove"}
	if !slices.Equal(w.changes, want) {
		t.Errorf("told: %v", w.changes)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	w := newWorld(t)
	good := keys.Options{Records: w.records, Algorithm: "ES256", Now: time.Now, Rotate: 3, Publish: 2, Retain: 1}
	for name, change := range map[string]func(*keys.Options){
		"no records":     func(o *keys.Options) { o.Records = nil },
		"no clock":       func(o *keys.Options) { o.Now = nil },
		"HMAC":           func(o *keys.Options) { o.Algorithm = "HS256" },
		"none":           func(o *keys.Options) { o.Algorithm = "none" },
		"not published":  func(o *keys.Options) { o.Publish = 0 },
		"rotated before": func(o *keys.Options) { o.Rotate = 2 },
		"not retained":   func(o *keys.Options) { o.Retain = 0 },
	} {
		o := good
		change(&o)
		if _, err := keys.Open(t.Context(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := keys.Open(t.Context(), good); err != nil {
		t.Errorf("good settings: %v", err)
	}
}

func TestPrivateKeysAreSealed(t *testing.T) {
	w := newWorld(t)
	w.open(t, "EdDSA")
	rows, err := w.rows.Table(t.Context(), "oauth.signing_key")
	must(t, err)
	for _, row := range rows {
		if bytes.Contains(row.Body, []byte("private")) {
			t.Errorf("row %s shows what it holds", row.ID)
		}
	}
}
