// Package interop talks to the running gateway with programs that nobody here wrote,
// or that were written from the documents alone.
package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/shield"
)

const yaml = `
limits: {wrong_tries: 100000, header_timeout: 2s}
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    endpoints:
      GET /v1/catalog: {shield: api_key, scopes: [orders:read]}
      GET /v1/reports: {shield: {mtls: {trust: "{{ca}}"}}, scopes: [orders:read]}
      GET /v1/payments/{id}: {shield: hmac, scopes: [orders:read]}
      POST /v1/payments: {shield: hmac, scopes: [orders:read]}
      GET /{$}: {shield: hmac, scopes: [orders:read]}
scopes: {orders:read: See orders}
`

func start(t *testing.T) (g *harness.Gateway, ca string) {
	t.Helper()
	g = harness.Start(t, harness.Config{YAML: yaml})
	return g, filepath.Join(g.Dir, "pavise-data", "local-ca", "ca.pem")
}

func TestNodeClientWrittenFromTheSpecificationAlone(t *testing.T) {
	attacktest.Rows(t, 86)
	g, ca := start(t)
	key := g.Issue("hmac", "shop")
	env := []string{"PAVISE_HMAC_ID=" + key.ID, "PAVISE_HMAC_SECRET=" + key.Secret, "CA=" + ca}
	for _, args := range [][]string{
		{"GET", "/v1/payments/7"},
		{"GET", "/v1/payments/7?b=2&a=1&c=%C3%A9+x"},
		{"GET", "/v1/payments/caf%C3%A9%20s"},
		{"GET", ""},
		{"GET", "?a=/b"},
		{"POST", "/v1/payments?dry=1", `{"amount":100,"note":"für Ann"}`},
	} {
		args[1] = "https://" + g.Address + args[1]
		out := succeed(t, env, "node", append([]string{"client.mjs"}, args...)...)
		if out != "200\n401\n" {
			t.Errorf("%v: %q, want 200 and, for the replay, 401", args, out)
		}
	}
	if n := len(g.Events(audit.Query{Code: string(shield.ReplayedRequest)})); n != 6 {
		t.Errorf("%d events of replays, want 6", n)
	}
}

func TestCurlWithKeysAndCertificates(t *testing.T) {
	g, ca := start(t)
	key := g.Issue("api_key", "shop")
	cert, certKey := certificate(t, g)
	base := []string{"-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--cacert", ca}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"a key over HTTP/1.1", []string{"--http1.1", "-H", "X-API-Key: " + key.Secret, "/v1/catalog"}, "200 1.1"},
		{"a key over HTTP/2", []string{"--http2", "-H", "X-API-Key: " + key.Secret, "/v1/catalog"}, "200 2"},
		{"no key", []string{"/v1/catalog"}, "401 2"},
		{"a certificate", []string{"--cert", cert, "--key", certKey, "/v1/reports"}, "200 2"},
		{"a certificate over TLS 1.2", []string{"--tls-max", "1.2", "--cert", cert, "--key", certKey, "/v1/reports"}, "200 2"},
		{"no certificate", []string{"/v1/reports"}, "401 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{}, base...)
			args = append(args, test.args[:len(test.args)-1]...)
			args = append(args, "https://"+g.Address+test.args[len(test.args)-1])
			if got := succeed(t, nil, "curl", args...); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestCurlGetsNothingWithoutTLS(t *testing.T) {
	attacktest.Rows(t, 117)
	g, ca := start(t)
	key := g.Issue("api_key", "shop")
	curl := func(args ...string) (string, int) {
		all := append([]string{"-sS", "-m", "10", "-w", "%{http_code} %{http_version}", "--cacert", ca, "-H", "X-API-Key: " + key.Secret}, args...)
		return run(t, nil, "curl", all...)
	}
	if out, status := curl("--http2", "https://"+g.Address+"/v1/catalog"); status != 0 || out != "served200 2" {
		t.Errorf("HTTP/2 over TLS: status %d, %q", status, out)
	}
	if out, status := curl("--http1.1", "http://"+g.Plain+"/v1/catalog"); status != 0 || !strings.Contains(out, "tls_required") || !strings.HasSuffix(out, "403 1.1") {
		t.Errorf("HTTP/1.1 without TLS: status %d, %q", status, out)
	}
	if out, status := curl("--http2-prior-knowledge", "http://"+g.Plain+"/v1/catalog"); status == 0 || strings.Contains(out, "served") {
		t.Errorf("HTTP/2 without TLS: status %d, %q", status, out)
	}
	codes := map[string]int{}
	for _, e := range g.Events(audit.Query{Class: audit.Connection}) {
		codes[e.Code]++
	}
	if len(codes) != 2 || codes["tls_required"] != 1 || codes["bad_request_line"] != 1 {
		t.Errorf("the refusals left events with the codes %v", codes)
	}
	if n := len(g.Upstream.Requests()); n != 1 {
		t.Errorf("%d requests reached the upstream, want that over TLS", n)
	}
}

func certificate(t *testing.T, g *harness.Gateway) (cert, key string) {
	t.Helper()
	made, err := g.CA.Client("shop", "spiffe://example/shop")
	if err != nil {
		t.Fatal(err)
	}
	chain, keyPEM, err := tlsconf.EncodePEM(made)
	if err != nil {
		t.Fatal(err)
	}
	g.WriteFile("client.pem", string(chain))
	g.WriteFile("client-key.pem", string(keyPEM))
	g.IssueWith(client.Credential{Kind: "mtls", Client: "shop", Settings: map[string]string{"name": "uri:spiffe://example/shop"}})
	return filepath.Join(g.Dir, "client.pem"), filepath.Join(g.Dir, "client-key.pem")
}

func TestOpenSSLGetsOnlyModernProtocols(t *testing.T) {
	attacktest.Rows(t, 123)
	g, ca := start(t)
	dial := func(args ...string) (string, int) {
		all := append([]string{"-c", `exec openssl s_client "$@" </dev/null`, "sh", "-connect", g.Address, "-CAfile", ca}, args...)
		return run(t, nil, "sh", all...)
	}
	for _, test := range []struct {
		name string
		args []string
		code string // of the event; empty: the handshake succeeds
	}{
		{"TLS 1.0", []string{"-tls1", "-cipher", "DEFAULT@SECLEVEL=0"}, "tls_version"},
		{"TLS 1.1", []string{"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}, "tls_version"},
		{"TLS 1.2", []string{"-tls1_2", "-cipher", "DEFAULT@SECLEVEL=0"}, ""},
		{"TLS 1.3", []string{"-tls1_3"}, ""},
		{"CBC", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA"}, "tls_handshake"},
		{"RSA key exchange", []string{"-tls1_2", "-cipher", "AES128-GCM-SHA256"}, "tls_handshake"},
		{"AEAD with ephemeral keys", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.T = t
			before := g.Clock.Now()
			out, status := dial(append(test.args, "-alpn", "h2")...)
			if test.code == "" {
				if status != 0 || !strings.Contains(out, "Verify return code: 0") || !strings.Contains(out, "ALPN protocol: h2") {
					t.Errorf("status %d:\n%s", status, out)
				}
				return
			}
			if status == 0 || !strings.Contains(out, "Cipher is (NONE)") {
				t.Errorf("status %d:\n%s", status, out)
			}
			events := g.Events(audit.Query{Class: audit.Connection, Since: before})
			if len(events) != 1 || events[0].Code != test.code {
				t.Errorf("events %+v, want one with the code %s", events, test.code)
			}
		})
	}
}

func TestOpenSSLIsNotRenegotiatedWith(t *testing.T) {
	attacktest.Rows(t, 123)
	g, ca := start(t)
	key := g.Issue("api_key", "shop")
	request := "GET /v1/catalog HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + key.Secret + "\r\nConnection: close\r\n\r\n"
	talk := func(text string) string {
		p := beside(t, nil, "openssl", "s_client", "-connect", g.Address, "-CAfile", ca, "-tls1_2")
		p.until("    Verify return code: 0")
		p.write(text)
		return p.rest()
	}
	if out := talk(request); !strings.Contains(out, "HTTP/1.1 200") {
		t.Errorf("without renegotiation:\n%s", out)
	}
	out := talk("R\n" + request)
	if !strings.Contains(out, "RENEGOTIATING") || !strings.Contains(out, "no renegotiation") && !strings.Contains(out, "unexpected message") {
		t.Errorf("with renegotiation:\n%s", out)
	}
	if strings.Contains(out, "HTTP/1.1 200") || len(g.Upstream.Requests()) != 1 {
		t.Errorf("a request after it was served:\n%s", out)
	}
	g.Accepted(g.Send(key, "GET", "/v1/catalog", "")) // others are served
}

func TestTestsslFindsNoOldProtocolOrCipher(t *testing.T) {
	attacktest.Rows(t, 123)
	g, ca := start(t)
	report := filepath.Join(t.TempDir(), "report.csv")
	// Its exit status counts findings; what it found is read below.
	run(t, nil, "testssl", "--quiet", "--color", "0", "--warnings", "off", "--add-ca", ca, "-p", "-s", "--csvfile", report, g.Address)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"SSLv2", "SSLv3", "TLS1", "TLS1_1", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW", "cipherlist_3DES_IDEA"} {
		if line := lineOf(string(text), `"`+id+`"`); !strings.Contains(line, "not offered") {
			t.Errorf("%s: %q", id, line)
		}
	}
	for _, id := range []string{"TLS1_2", "TLS1_3"} {
		if line := lineOf(string(text), `"`+id+`"`); !strings.Contains(line, "offered") || strings.Contains(line, "not offered") {
			t.Errorf("%s: %q", id, line)
		}
	}
}

func lineOf(text, start string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, start) {
			return line
		}
	}
	return ""
}
