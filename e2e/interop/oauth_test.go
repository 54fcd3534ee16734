package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const oauthYAML = `
listen: {https: %[1]s}
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
oauth: {issuer: "https://%[1]s", dpop_nonce: true}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {jwt: {dpop_nonce: true}}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      GET /v1/either/{id}: {shield: {any: [jwt: {}, introspect: {}]}, scopes: [orders:read]}
scopes: {orders:read: See your orders}
`

// oauthServer is an issuer with clients of every sort, and ann.
type oauthServer struct{ *harness.Issuer }

const password = "planted-otter-marble-38"

func startOAuth(t *testing.T) *oauthServer {
	t.Helper()
	address := harness.Free(t)
	return startOAuthAt(t, address, fmt.Sprintf(oauthYAML, address), nil)
}

func startOAuthAt(t *testing.T, address, yaml string, files map[string]string) *oauthServer {
	t.Helper()
	var clients []client.Client
	for _, id := range []string{"machine", "machine-opaque", "orders", "web", "tv", "portal", "bare"} {
		clients = append(clients, client.Client{ID: id, Scopes: shield.Scopes{"orders:read"}})
	}
	s := &oauthServer{harness.StartIssuer(t, address, harness.Config{YAML: yaml, Clients: clients, Files: files})}
	s.Register("machine", map[string]string{})
	s.Register("orders", map[string]string{"auth": "client_secret_post", "serves": "orders", "grants": "token_exchange"})
	s.Register("web", map[string]string{"redirects": "https://web.example/cb", "name": "Web Shop"})
	s.Register("tv", map[string]string{"auth": "none", "grants": "device_code refresh_token"})
	s.AddPerson("ann", "Ann", password)
	return s
}

func (s *oauthServer) ca() string {
	return filepath.Join(s.Dir, "pavise-data", "local-ca", "ca.pem")
}

// openid-client and oauth4webapi below it are what programs in JavaScript use.
func TestOpenIDClientUsesTheAuthorizationServer(t *testing.T) {
	attacktest.Rows(t, 54, 60)
	s := startOAuth(t)
	env := []string{
		"NODE_EXTRA_CA_CERTS=" + s.ca(), "ISSUER=" + s.URL, "API=" + s.URL + "/v1/orders/7", "PASSWORD=" + password,
		"MACHINE_SECRET=" + s.Secrets["machine"], "WEB_SECRET=" + s.Secrets["web"], "ORDERS_SECRET=" + s.Secrets["orders"],
	}
	want := "client credentials\nintrospection\nrevocation\nresource metadata\nDPoP\nauthorization code, PAR, PKCE, ID token\nuserinfo\nrefresh\nreuse revokes\ndevice\n"
	if out := succeed(t, env, "node", "oauth.mjs"); out != want {
		t.Errorf("openid-client: %s", out)
	}
}

// x/oauth2 and coreos/go-oidc are what programs in Go use.
func TestGoClientsUseTheAuthorizationServer(t *testing.T) {
	s := startOAuth(t)
	pem, err := os.ReadFile(s.ca())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, trusting)
	provider, err := oidc.NewProvider(ctx, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	config := clientcredentials.Config{ClientID: "machine", ClientSecret: s.Secrets["machine"], TokenURL: provider.Endpoint().TokenURL, Scopes: []string{"orders:read"}}
	answer, err := config.Client(ctx).Get(s.URL + "/v1/orders/7")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	_ = answer.Body.Close()
	wrong := config
	wrong.ClientSecret += "x"
	if _, err := wrong.Token(ctx); err == nil {
		t.Error("a wrong secret got a token")
	}
}
