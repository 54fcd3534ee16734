package client_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

func addCertificate(t *testing.T, r *client.Registry, id string, life time.Duration) {
	t.Helper()
	_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "mtls", Client: "shop", Expires: time.Now().Add(life)}, shield.Issued{ID: id})
	must(t, err)
}

// Certificates live for a day, so that they may not stay for ever; what is not one does.
func TestCertificatesAreForgottenAWeekAfterTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r, v := live(t, s, func(err error) { t.Error(err) })
		defer func() { _ = v.Close() }()
		addCertificate(t, r, "serial:0a", 24*time.Hour)
		addCertificate(t, r, "serial:0b", 90*24*time.Hour)
		addCertificate(t, r, "uri:spiffe://example.org/pay", 24*time.Hour)
		must(t, v.Refresh(t.Context()))
		v.Used("mtls", "serial:0a", time.Now())
		known := func() (ids []string) {
			for record := range v.Each("mtls") {
				ids = append(ids, record.ID)
			}
			slices.Sort(ids)
			return ids
		}
		time.Sleep(24*time.Hour + client.KeepCertificates - time.Hour) // of the bubble's time
		if got := known(); len(got) != 3 {
			t.Errorf("before the week was over: %v", got)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := known(); !slices.Equal(got, []string{"serial:0b", "uri:spiffe://example.org/pay"}) {
			t.Errorf("after the week: %v", got)
		}
		if _, err := v.Credential("mtls", "serial:0a"); !errors.Is(err, shield.ErrUnknown) {
			t.Errorf("looked up: %v", err)
		}
		if _, err := r.Revoke(t.Context(), "serial:0a", ""); !errors.Is(err, client.ErrMissing) {
			t.Errorf("revoked: %v", err)
		}
		again, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7)})
		must(t, err)
		kept, err := again.Credentials(t.Context(), "shop", "mtls")
		if err != nil || len(kept) != 2 {
			t.Errorf("the store has %d, %v", len(kept), err)
		}
		addCertificate(t, r, "serial:0a", time.Hour) // the number is free: nothing of ours gives it out again
	})
}
