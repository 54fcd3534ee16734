package file_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/file"
)

const configuration = `
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:1
    endpoints:
      GET /health: {shield: {public: load balancers ask}}
      GET /v1/orders: {shield: api_key, scopes: [orders:read]}
scopes: {orders:read: See orders}
`

func TestLibraryGuardsAHandlerOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := file.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := guard.Close(); err != nil {
			t.Error(err)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if pavise.IdentityOf(r.Context()) == nil {
			t.Error("the handler sees no identity")
		}
		_, _ = io.WriteString(w, "up")
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: guard.Wrap(mux)}
	defer func() { _ = server.Close() }()
	go func() { _ = server.Serve(tls.NewListener(listener, guard.TLSConfig())) }()

	ca, err := os.ReadFile(filepath.Join(dir, "pavise-data", "local-ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	for target, want := range map[string]int{"/health": 200, "/v1/orders": 401, "/nothing": 404} {
		response, err := client.Get("https://" + listener.Addr().String() + target)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, response.StatusCode, want)
		}
	}
}
