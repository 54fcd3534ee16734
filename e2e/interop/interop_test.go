// Package interop talks to the running gateway with programs that nobody here wrote,
// or that were written from the documents alone.
package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
scopes: {orders:read: See orders}
`

// run runs a program and returns what it printed, with its exit status folded in: a
// program that is refused may exit either way.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is not installed; run tools/install.sh", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s took too long: %v", name, err)
	}
	return string(out)
}

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
		{"POST", "/v1/payments?dry=1", `{"amount":100,"note":"für Ann"}`},
	} {
		args[1] = "https://" + g.Address + args[1]
		out := strings.Fields(run(t, env, "node", append([]string{"client.mjs"}, args...)...))
		if len(out) != 2 || out[0] != "200" || out[1] != "401" {
			t.Errorf("%v: %v, want 200 and, for the replay, 401", args, out)
		}
	}
	if n := len(g.Events(audit.Query{Code: string(shield.ReplayedRequest)})); n != 4 {
		t.Errorf("%d events of replays, want 4", n)
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
			if got := run(t, nil, "curl", args...); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if out := run(t, nil, "curl", "-sS", "--http2-prior-knowledge", "http://"+g.Plain+"/v1/catalog"); strings.Contains(out, "served") {
		t.Errorf("HTTP/2 without TLS was served: %s", out)
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
	dial := func(args ...string) string {
		all := append([]string{"-c", `exec openssl s_client "$@" </dev/null`, "sh", "-connect", g.Address, "-CAfile", ca}, args...)
		return run(t, nil, "sh", all...)
	}
	for name, args := range map[string][]string{
		"TLS 1.0": {"-tls1", "-cipher", "DEFAULT@SECLEVEL=0"}, "TLS 1.1": {"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"},
		"CBC":              {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA"},
		"RSA key exchange": {"-tls1_2", "-cipher", "AES128-GCM-SHA256"},
	} {
		if out := dial(args...); !strings.Contains(out, "Cipher is (NONE)") {
			t.Errorf("%s: a cipher was agreed on:\n%s", name, out)
		}
	}
	for name, args := range map[string][]string{"TLS 1.2": {"-tls1_2"}, "TLS 1.3": {"-tls1_3"}} {
		if out := dial(append(args, "-alpn", "h2")...); !strings.Contains(out, "Verify return code: 0") || !strings.Contains(out, "ALPN protocol: h2") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}

func TestTestsslFindsNoOldProtocolOrCipher(t *testing.T) {
	attacktest.Rows(t, 123)
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	g, ca := start(t)
	report := filepath.Join(t.TempDir(), "report.csv")
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

func TestSlowClientsDoNotKeepOthersOut(t *testing.T) {
	attacktest.Rows(t, 118)
	g, ca := start(t)
	key := g.Issue("api_key", "shop")
	done := make(chan string, 1)
	go func() {
		done <- run(t, nil, "slowhttptest", "-H", "-c", "100", "-r", "100", "-i", "1", "-l", "8", "-u", "https://"+g.Address+"/v1/catalog")
	}()
	for {
		select {
		case out := <-done:
			if strings.Contains(out, "NO\x1b") || !strings.Contains(out, "No open connections left") {
				t.Errorf("slowhttptest says:\n%s", out)
			}
			if n := len(g.Events(audit.Query{Code: "timeout"})); n == 0 {
				t.Error("no slow connection left an event")
			}
			return
		default:
			if got := run(t, nil, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", "--cacert", ca, "-H", "X-API-Key: "+key.Secret, "https://"+g.Address+"/v1/catalog"); got != "200" {
				t.Errorf("an honest caller got %q beside slow ones", got)
			}
		}
	}
}
