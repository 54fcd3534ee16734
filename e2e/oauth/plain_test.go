package oauth

import (
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attacktest"
)

// Nothing of the server is served, and nobody is sent on, where others can read along.
func TestAuthorizationOverHTTPIsRefused(t *testing.T) {
	attacktest.Rows(t, 70)
	w := newWorld(t)
	host := strings.TrimPrefix(w.URL, "https://")
	asking := person.Asking("web", "orders:read").Encode()
	for _, head := range []string{
		"GET /authorize?" + asking + " HTTP/1.1\r\nHost: " + host + "\r\n",
		"GET /device HTTP/1.1\r\nHost: " + w.Plain + "\r\n",
		"POST /token HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n",
		"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: " + host + "\r\n",
	} {
		answer := w.RawPlain(head + "Connection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 403 ") || !strings.Contains(answer, "tls_required") || strings.Contains(answer, "Location:") || strings.Contains(answer, "<form") {
			t.Errorf("%.60q: %s", head, answer)
		}
	}
	if n := len(w.Events(audit.Query{Code: "tls_required"})); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	answer := w.Raw("GET /authorize?" + asking + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "<form") {
		t.Errorf("the same over TLS: %s", answer)
	}
}

// An issuer, and an address to send people to, without TLS are refused before anything
// listens.
func TestIssuerWithoutTLSIsRefused(t *testing.T) {
	attacktest.Rows(t, 70)
	w := newWorld(t)
	w.Configure(strings.Replace(strings.ReplaceAll(worldYAML, "%[1]s", "127.0.0.1:8443"), `issuer: "https://`, `issuer: "http://`, 1))
	if _, err := app.Load(w.Dir + "/pavise.yaml"); err == nil || !strings.Contains(err.Error(), "oauth.issuer") {
		t.Errorf("an issuer over http: %v", err)
	}
	query := person.Asking("web", "orders:read")
	query.Set("redirect_uri", "http://web.example/cb")
	if got := w.get("/authorize", url.Values(query)); got.Status != 400 || got.to != nil {
		t.Errorf("a code over http: %d to %v", got.Status, got.to)
	}
}
