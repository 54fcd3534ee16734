package foreign_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/finding"
)

// overTLS attacks a server over TLS, by the name example.com, which httptest's certificate has.
func overTLS(t *testing.T, trusted bool, h http.HandlerFunc, change func(c *tls.Config)) (*finding.Report, error) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	change(server.TLS)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are what is tried
	server.StartTLS()
	defer server.Close()
	settings := attack.Settings{
		Target: strings.Replace(server.URL, "127.0.0.1", "example.com", 1), PerSecond: 100_000, Roots: x509.NewCertPool(),
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	}
	if trusted {
		settings.Roots.AddCert(server.Certificate())
	}
	p, err := attack.NewProber(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	reach := foreign.Reach(t.Context(), p)
	plan := foreign.OnlyTransport()
	if reach == nil {
		if plan, err = foreign.Plan(foreign.Target{Document: []byte(plainDocument), Name: "plain.yaml", Base: true}); err != nil {
			t.Fatal(err)
		}
	}
	report, err := attack.Run(t.Context(), p, plan, attack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report, reach
}

func TestFaultsOfTLSAreFoundEachByItself(t *testing.T) {
	safe := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		w.WriteHeader(http.StatusNotFound)
	}
	bare := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	for name, c := range map[string]struct {
		h       http.HandlerFunc
		trusted bool
		change  func(c *tls.Config)
		want    string
	}{
		"none":    {safe, true, func(*tls.Config) {}, ""},
		"TLS 1.1": {safe, true, func(c *tls.Config) { c.MinVersion = tls.VersionTLS11 }, "tls-version"},
		"TLS 1.0": {safe, true, func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }, "tls-version"},
		"a suite without secrecy": {safe, true, func(c *tls.Config) {
			c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}, "tls-suite"},
		"no Strict-Transport-Security": {bare, true, func(*tls.Config) {}, "no-hsts"},
		"a certificate nobody knows":   {safe, false, func(*tls.Config) {}, "tls-certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			report, reach := overTLS(t, c.trusted, c.h, c.change)
			if got := strings.Join(rulesOf(report), " "); got != c.want {
				t.Errorf("found %q, want %q: %+v", got, c.want, report.Findings)
			}
			if c.trusted != (reach == nil) || !c.trusted && !errors.Is(reach, foreign.ErrCertificate) {
				t.Errorf("reached: %v", reach)
			}
		})
	}
}
