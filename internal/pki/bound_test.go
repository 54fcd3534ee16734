package pki_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
)

// bounded counts what is in force, and lets a client have a few.
func bounded(t *testing.T, most int) *world {
	t.Helper()
	w := newWorld(t)
	v, err := w.registry.View(t.Context(), client.ViewOptions{Poll: time.Hour})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	o := w.options()
	o.Refresh, o.InForce, o.MaxPerClient = v.Refresh, v.CertificatesInForce, most
	w.pki, err = pki.Open(t.Context(), o)
	must(t, err)
	w.init(pki.Init{})
	return w
}

// Whoever has one certificate cannot fill the registry by renewing it without end.
func TestCertificateHasFewSuccessorsInForce(t *testing.T) {
	w := bounded(t, 0)
	old := w.issue(pki.Request{Client: "web", Life: 48 * time.Hour})
	var renewed atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, _, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr()); err == nil {
				renewed.Add(1)
			} else if !strings.Contains(err.Error(), "renewed 8 times") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// One that has just been issued counts twice for a moment: at once it may be fewer, one behind the
	// other it is as many as there may be, and never more.
	got := renewed.Load()
	for ; got < 8; got++ {
		_, _, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr())
		must(t, err)
	}
	if _, _, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr()); got > 8 || err == nil {
		t.Errorf("renewed %d times, and once more: %v", got, err)
	}
	other := w.issue(pki.Request{Client: "web"})
	next, _, err := w.pki.Renew(t.Context(), other.Credential.ID, w.csr())
	must(t, err)
	for range 20 { // as a program does that renews what it has
		w.forward(16 * time.Hour)
		next, _, err = w.pki.Renew(t.Context(), next.Credential.ID, w.csr())
		must(t, err)
	}
}

// Successors that were revoked leave room for others.
func TestRevokedSuccessorsDoNotCount(t *testing.T) {
	w := bounded(t, 0)
	old := w.issue(pki.Request{Client: "web"})
	for range 20 {
		next, _, err := w.pki.Renew(t.Context(), old.Credential.ID, w.csr())
		must(t, err)
		_, err = w.registry.Revoke(t.Context(), next.Credential.ID, "")
		must(t, err)
	}
}

// However often and whatever it renews, a client has so many and no more.
func TestClientHasBoundedCertificatesInForce(t *testing.T) {
	w := bounded(t, 5)
	for range 5 {
		w.issue(pki.Request{Client: "web"})
	}
	_, _, err := w.pki.Issue(t.Context(), pki.Request{Client: "web"}, w.csr())
	if err == nil || !strings.Contains(err.Error(), "5 certificates in force") {
		t.Errorf("a sixth: %v", err)
	}
	if also := w.pki.Check(t.Context(), pki.Request{Client: "web"}, w.csr()); also == nil || also.Error() != err.Error() {
		t.Errorf("before a token is spent: %v", also)
	}
	w.issue(pki.Request{Client: "pay"})
	w.forward(25 * time.Hour)
	w.issue(pki.Request{Client: "web"})
}
