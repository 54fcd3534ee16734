package client_test

import (
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// Whoever stole a key and renewed with it loses all that came of it, and nobody else does.
func TestRevocationFollowsRenewals(t *testing.T) {
	r, v := live(t, memory.New(), func(err error) { t.Error(err) })
	defer func() { _ = v.Close() }()
	for id, before := range map[string]string{
		"serial:0a": "", "serial:0b": "serial:0a", "serial:0c": "serial:0b", "serial:1b": "serial:0a", "serial:ff": "", "serial:fe": "serial:ff",
	} {
		_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "mtls", Client: "shop", Expires: time.Now().Add(time.Hour), Replaces: before}, shield.Issued{ID: id})
		must(t, err)
	}
	_, err := r.RevokeWithRenewals(t.Context(), "serial:0b", "lost")
	must(t, err)
	inForce := func() (n int) {
		all, err := r.Credentials(t.Context(), "shop", "mtls")
		must(t, err)
		for _, c := range all {
			if c.Revoked.IsZero() {
				n++
			}
		}
		return n
	}
	if got := inForce(); got != 4 {
		t.Errorf("%d are in force", got)
	}
	_, err = r.RevokeWithRenewals(t.Context(), "serial:0a", "lost") // some of its renewals are revoked already
	must(t, err)
	if got := inForce(); got != 2 {
		t.Errorf("%d are in force", got)
	}
	if _, err := r.RevokeWithRenewals(t.Context(), "serial:0a", "lost"); err == nil {
		t.Error("nothing was left, and nobody was told")
	}
}
