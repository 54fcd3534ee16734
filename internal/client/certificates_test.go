package client_test

import (
	"context"
	"errors"
	"fmt"
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
func TestCertificatesAreForgottenAfterTheirEnd(t *testing.T) {
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
		end := time.Now().Add(24 * time.Hour)
		time.Sleep(2 * 24 * time.Hour) // of the bubble's time
		synctest.Wait()
		if got := known(); len(got) != 3 {
			t.Errorf("the snapshot forgets by itself, whatever its clock says: %v", got)
		}
		for before, want := range map[time.Time]int{end.Add(-time.Hour): 0, end.Add(time.Hour): 1} {
			if got, err := v.ForgetCertificates(t.Context(), before); err != nil || got != want {
				t.Errorf("before %s: %d, %v", before, got, err)
			}
		}
		if got := known(); !slices.Equal(got, []string{"serial:0b", "uri:spiffe://example.org/pay"}) {
			t.Errorf("after its end: %v", got)
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

// removing counts the commits that remove something.
type removing struct {
	client.Store
	removals int
}

func (c *removing) Remove(ctx context.Context, rows ...client.Row) (int64, error) {
	c.removals++
	return c.Store.Remove(ctx, rows...)
}

// A thousand that have ended are no thousand commits, and revocations are not kept waiting.
func TestManyCertificatesAreForgottenInBatches(t *testing.T) {
	s := &removing{Store: memory.New()}
	r, v := live(t, s, func(err error) { t.Error(err) })
	defer func() { _ = v.Close() }()
	for i := range 1000 {
		addCertificate(t, r, fmt.Sprintf("serial:%04x", i), time.Hour)
	}
	must(t, v.Refresh(t.Context()))
	if got, err := v.ForgetCertificates(t.Context(), time.Now().Add(2*time.Hour)); err != nil || got != 1000 || s.removals != 10 {
		t.Errorf("%d forgotten in %d commits, %v", got, s.removals, err)
	}
}

func TestRenewalsAreWhatCameOfACertificate(t *testing.T) {
	cert := func(id, replaces, line string) client.Credential {
		return client.Credential{Kind: client.CertificateKind, ID: client.CertificatePrefix + id, Replaces: replaces, Settings: map[string]string{client.SettingCA: "pin", client.SettingLine: line}}
	}
	first := cert("01", "", "")
	second, third := cert("02", first.ID, first.ID), cert("03", client.CertificatePrefix+"02", first.ID)
	third.Revoked = time.Unix(1, 0)
	known := []client.Credential{first, second, third, cert("04", "", ""), {Kind: "api_key", ID: "k1", Replaces: first.ID}}
	if got := client.Renewals(known, first.ID); !slices.Equal(got, []string{second.ID}) {
		t.Errorf("%v", got)
	}
	if got := client.Renewals(known, second.ID); len(got) != 0 {
		t.Errorf("of the second, whose successor is revoked: %v", got)
	}
}
