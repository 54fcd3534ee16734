package client_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// works holds a view to the two credentials of these tests.
func works(t *testing.T, when string, v *client.View, ids ...string) {
	t.Helper()
	refresh(t, v)
	for _, id := range ids {
		record, err := v.Credential("api_key", id)
		if err != nil {
			t.Errorf("%s: %s: %v", when, id, err)
			continue
		}
		material := []byte("secret-of-" + id)
		switch {
		case strings.HasPrefix(id, "k"):
			if holder, err := v.Holder("api_key", material); !record.Match(material) || holder != record {
				t.Errorf("%s: key %s does not match any more: %v", when, id, err)
			}
		case string(record.Secret()) != string(material):
			t.Errorf("%s: secret of %s is %d bytes", when, id, len(record.Secret()))
		}
	}
}

func TestRotationOfDataKeysKeepsEveryCredential(t *testing.T) {
	s, c, mark := memory.New(), newClock(), filepath.Join(t.TempDir(), "mark")
	r := registry(t, s, c, mark)
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	addKey(t, r, "h1", shield.KeepSealed)
	chain, err := r.Secret(t.Context(), "event-chain", 32)
	must(t, err)
	must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "j"})))
	here := view(t, r)
	there := view(t, registry(t, s, c, "")) // another node
	for round := range 3 {
		change, err := r.RotateKeys(t.Context())
		must(t, err)
		if !strings.Contains(change.Text, "seal-") || change.Action != "keys.rotate" {
			t.Errorf("change %+v", change)
		}
		works(t, "here", here, "k1", "h1")
		works(t, "on another node", there, "k1", "h1")
		id := string(rune('a' + round))
		addKey(t, r, "k"+id, shield.KeepHash)
		addKey(t, r, "h"+id, shield.KeepSealed)
		works(t, "made after", here, "k"+id, "h"+id)
		works(t, "made after, on another node", there, "k"+id, "h"+id)
	}
	r = registry(t, s, c, mark)
	works(t, "after a restart", view(t, r), "k1", "h1", "ka", "hb", "kc")
	if again, err := r.Secret(t.Context(), "event-chain", 32); err != nil || string(again) != string(chain) {
		t.Errorf("the installation's own secret changed: %v", err)
	}
	if gone, err := here.Token("i", "", "j", c.Now()); !gone || err != nil {
		t.Errorf("a revocation was lost: %v", err)
	}
	// A secret stays taken, whatever the pepper is today.
	_, _, err = r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: "again", Material: []byte("secret-of-k1"), Keep: shield.KeepHash})
	if !errors.Is(err, client.ErrExists) {
		t.Errorf("a secret under an older pepper was taken twice: %v", err)
	}
}

func TestAnotherMasterKeyTakesOver(t *testing.T) {
	s, c, mark := memory.New(), newClock(), filepath.Join(t.TempDir(), "mark")
	r := registry(t, s, c, mark)
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	addKey(t, r, "h1", shield.KeepSealed)
	v := view(t, r)
	must(t, second(r.Rewrap(t.Context(), master(t, 9))))
	works(t, "while running", v, "k1", "h1")
	must(t, second(r.RotateKeys(t.Context()))) // the new master wraps the next keys
	works(t, "after a rotation", v, "k1", "h1")
	if err := reopen(t, s, mark); !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), master(t, 9).ID()) {
		t.Errorf("under the old master key: %v, want which one fits", err)
	}
	opened, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 9), Mark: mark, Now: c.Now})
	must(t, err)
	works(t, "after a restart", view(t, opened), "k1", "h1")
}

// A key that was revoked, and is imported again, would be in force again.
func TestSecretIsTakenOnce(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	must(t, second(r.Revoke(t.Context(), "k1", "leaked")))
	_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: "k2", Material: []byte("secret-of-k1"), Keep: shield.KeepHash})
	if !errors.Is(err, client.ErrExists) || !strings.Contains(err.Error(), "k1") || strings.Contains(err.Error(), "secret-of") {
		t.Errorf("error %v, want which credential has it", err)
	}
	v := view(t, r)
	if record, err := v.Holder("api_key", []byte("secret-of-k1")); err != nil || record.ID != "k1" || record.Revoked.IsZero() {
		t.Errorf("holder %v, %v", record, err)
	}
	if _, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "other", Client: "shop"}, shield.Issued{ID: "k2", Material: []byte("secret-of-k1"), Keep: shield.KeepHash}); err != nil {
		t.Errorf("the same bytes for another kind: %v", err)
	}
}

func TestRotateRefusesWhatIsOver(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	addShop(t, r)
	for _, id := range []string{"revoked", "replaced", "ended"} {
		addKey(t, r, id, shield.KeepHash)
	}
	rotate := func(id, next string, overlap time.Duration) error {
		_, _, err := r.Rotate(t.Context(), "api_key", id, shield.Issued{ID: next, Material: []byte(next), Keep: shield.KeepHash}, overlap)
		return err
	}
	must(t, second(r.Revoke(t.Context(), "revoked", "")))
	must(t, rotate("replaced", "r2", time.Hour))
	must(t, rotate("ended", "e2", 0))
	for _, test := range []struct {
		id, want string
		overlap  time.Duration
	}{
		{"revoked", "is revoked", 0},
		{"replaced", "replaced by r2", 0},
		{"ended", "replaced by e2", 0},
		{"replacedd", `did you mean "replaced"`, 0},
		{"r2", "overlap", -1},
		{"r2", "overlap", 91 * 24 * time.Hour},
	} {
		if err := rotate(test.id, "x", test.overlap); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.id, err, test.want)
		}
	}
}
