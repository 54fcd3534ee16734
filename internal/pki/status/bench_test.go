package status_test

import (
	"fmt"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/shield"
)

// Every second the authority looks whether lists are to be signed: with fifty thousand
// revoked certificates too, and while others are issued all the time.
func BenchmarkLookWhileCertificatesAreIssued(b *testing.B) {
	w := newWorldIn(b, pki.Init{})
	c := w.issue("web")
	ca := pki.Pin(c.Chain[1])
	add := func(id string) {
		_, _, err := w.registry.AddCredential(b.Context(), client.Credential{
			Kind: client.CertificateKind, Client: "web", Expires: w.Now().Add(time.Hour), Settings: map[string]string{pki.SettingCA: ca, pki.SettingProfile: "service"},
		}, shield.Issued{ID: client.CertificatePrefix + id})
		must(b, err)
	}
	for i := range 50_000 {
		add(fmt.Sprintf("%08x", i+1))
	}
	_, err := w.registry.RevokeIssuedBy(b.Context(), ca, "test")
	must(b, err)
	w.keep()
	next := 0
	for b.Loop() {
		b.StopTimer()
		next++
		add(fmt.Sprintf("ff%06x", next))
		must(b, w.view.Refresh(b.Context()))
		b.StartTimer()
		must(b, w.status.Keep(b.Context()))
	}
}
