package client_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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

// Certificates between may be forgotten before those that came of them: these end all the same.
func TestRevocationFollowsRenewalsThroughWhatIsForgotten(t *testing.T) {
	for revoked, want := range map[string][]string{
		"serial:0a": {"serial:0a", "serial:0b", "serial:0d", "serial:0e", "serial:1b"},
		"serial:0b": {"serial:0b", "serial:0d", "serial:0e"}, // it is not known that 0d came of it, and may be
		"serial:1b": {"serial:1b", "serial:0d", "serial:0e"},
		"serial:0d": {"serial:0d", "serial:0e"},
		"serial:ff": {"serial:fe"}, // forgotten itself
	} {
		t.Run(revoked, func(t *testing.T) {
			r, v := live(t, memory.New(), func(err error) { t.Error(err) })
			defer func() { _ = v.Close() }()
			for _, c := range []struct {
				id, before, line string
				life             time.Duration
			}{
				{"serial:0a", "", "", 90},
				{"serial:0b", "serial:0a", "serial:0a", 90},
				{"serial:1b", "serial:0a", "serial:0a", 90},
				{"serial:0c", "serial:0b", "serial:0a", 1},
				{"serial:0d", "serial:0c", "serial:0a", 90},
				{"serial:0e", "serial:0d", "serial:0a", 90},
				{"serial:ff", "", "", 1},
				{"serial:fe", "serial:ff", "serial:ff", 90},
			} {
				one := client.Credential{Kind: "mtls", Client: "shop", Expires: time.Now().Add(c.life * time.Hour), Replaces: c.before, Settings: map[string]string{}}
				if c.line != "" {
					one.Settings[client.SettingLine] = c.line
				}
				_, _, err := r.AddCredential(t.Context(), one, shield.Issued{ID: c.id})
				must(t, err)
			}
			must(t, v.Refresh(t.Context()))
			if n, err := v.ForgetCertificates(t.Context(), time.Now().Add(2*time.Hour)); err != nil || n != 2 {
				t.Fatalf("%d forgotten, %v", n, err)
			}
			_, err := r.RevokeWithRenewals(t.Context(), revoked, "lost")
			must(t, err)
			all, err := r.Credentials(t.Context(), "shop", "mtls")
			must(t, err)
			var ended []string
			for _, c := range all {
				if !c.Revoked.IsZero() {
					ended = append(ended, c.ID)
				}
			}
			slices.Sort(ended)
			slices.Sort(want)
			if !slices.Equal(ended, want) {
				t.Errorf("ended are %v, want %v", ended, want)
			}
		})
	}
}

// Who tells others of revocations looks when there is something to tell, not at each change.
func TestWithdrawalsRiseWithRevocationsAlone(t *testing.T) {
	r, v := live(t, memory.New(), func(err error) { t.Error(err) })
	defer func() { _ = v.Close() }()
	rises := func(what string, want bool, change func() error) {
		t.Helper()
		before := v.Withdrawals()
		must(t, change())
		must(t, v.Refresh(t.Context()))
		if got := v.Withdrawals() > before; got != want {
			t.Errorf("%s: it rises %v", what, got)
		}
	}
	issue := func(id string) func() error {
		return func() error {
			_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "mtls", Client: "shop", Expires: time.Now().Add(time.Hour)}, shield.Issued{ID: id})
			return err
		}
	}
	rises("a certificate", false, issue("serial:0a"))
	rises("another one", false, issue("serial:0b"))
	rises("a revocation", true, func() error { _, err := r.Revoke(t.Context(), "serial:0a", ""); return err })
	rises("a client that is disabled", true, func() error { _, err := r.DisableClient(t.Context(), "shop"); return err })
	rises("a certificate of a disabled client", true, issue("serial:0c"))
	rises("a client that is enabled", true, func() error { _, err := r.EnableClient(t.Context(), "shop"); return err })
	rises("another client", false, func() error { _, err := r.CreateClient(t.Context(), client.Client{ID: "other"}); return err })
	rises("what is forgotten", true, func() error { _, err := v.ForgetCertificates(t.Context(), time.Now().Add(2*time.Hour)); return err })
}

// However many an authority has signed, no commit is too long for the store.
func TestAuthorityIsRevokedInBatches(t *testing.T) {
	const many = 5100
	r, v := live(t, memory.New(), func(err error) { t.Error(err) })
	defer func() { _ = v.Close() }()
	for i := range many {
		ca := "ours"
		if i%51 == 0 {
			ca = "another"
		}
		_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "mtls", Client: "shop", Expires: time.Now().Add(time.Hour), Settings: map[string]string{"ca": ca}}, shield.Issued{ID: fmt.Sprintf("serial:%04x", i)})
		must(t, err)
	}
	change, err := r.RevokeIssuedBy(t.Context(), "ours", "stolen")
	must(t, err)
	if !strings.Contains(change.Text, "5000 certificates") {
		t.Error(change.Text)
	}
	all, err := r.Credentials(t.Context(), "shop", "mtls")
	must(t, err)
	for _, c := range all {
		if c.Revoked.IsZero() != (c.Settings["ca"] == "another") {
			t.Fatalf("%s of %s: revoked at %s", c.ID, c.Settings["ca"], c.Revoked)
		}
	}
	if _, err := r.RevokeIssuedBy(t.Context(), "ours", "stolen"); !errors.Is(err, client.ErrMissing) {
		t.Errorf("again: %v", err)
	}
}
