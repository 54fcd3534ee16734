package pki

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
)

// echo upgrades a connection and sends back what comes.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

// stream is an upgraded connection.
type stream struct {
	t    *testing.T
	conn *tls.Conn
	br   *bufio.Reader
}

func upgrade(t *testing.T, g *harness.Gateway, c *tls.Certificate) *stream {
	t.Helper()
	config := g.Mutual(c)
	config.ServerName = "127.0.0.1"
	conn, err := tls.Dial("tcp", g.Address, config)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "GET /v1/orders HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", g.Address)
	must(t, err)
	s := &stream{t, conn, bufio.NewReader(conn)}
	answer, err := http.ReadResponse(s.br, nil)
	must(t, err)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("not upgraded: %d", answer.StatusCode)
	}
	return s
}

// tell says a line, and returns what comes back.
func (s *stream) tell(line string) (string, error) {
	if _, err := io.WriteString(s.conn, line+"\n"); err != nil {
		return "", err
	}
	return s.br.ReadString('\n')
}

// An upgraded connection ends when its certificate is revoked; another one goes on.
func TestRevocationEndsUpgradedConnections(t *testing.T) {
	attacktest.Rows(t, 80)
	g := harness.Start(t, harness.Config{
		YAML: yaml, Authority: &pki.Init{}, Upstream: http.HandlerFunc(echo), Clients: []client.Client{{ID: "web", Scopes: []string{"orders:read"}}},
	})
	lost, other := g.Certificate(pki.Request{Client: "web"}), g.Certificate(pki.Request{Client: "web"})
	a, b := upgrade(t, g, lost), upgrade(t, g, other)
	for _, s := range []*stream{a, b} {
		if line, err := s.tell("hello"); err != nil || line != "hello\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	g.Revoke(pki.CredentialID(lost.Leaf))
	if line, err := a.br.ReadString('\n'); err == nil {
		t.Errorf("after the revocation: %q", line)
	}
	if line, err := b.tell("still here"); err != nil || line != "still here\n" {
		t.Errorf("another one: %q, %v", line, err)
	}
}

const hostsYAML = `
limits: {wrong_tries: 100000}
hosts:
  open.internal:   {certificate: own}
  mutual.internal: {certificate: own, client_certificates: ask}
  other.internal:  {certificate: own, client_certificates: ask}
apis:
  orders:
    host: [mutual.internal, other.internal]
    upstream: "{{upstream}}"
    shield: mtls
    scopes: any
    endpoints: {GET /v1/orders: {}}
  open:
    host: open.internal
    upstream: "{{upstream}}"
    shield: {public: the test wants a host that asks for no certificate}
    scopes: any
    endpoints: {GET /v1/orders: {}}
scopes: {}
`

// A connection was made by the rules of one name: a request for another one is sent back to
// make its own, whatever certificate there is (RFC 9110 §7.4, RFC 9113 §9.1.1).
func TestConnectionsAreNotUsedForOtherNames(t *testing.T) {
	attacktest.Rows(t, 82, 170)
	g := harness.Start(t, harness.Config{YAML: hostsYAML, Authority: &pki.Init{}, Clients: []client.Client{{ID: "web"}}})
	c := g.Certificate(pki.Request{Client: "web"})
	for _, name := range []string{"open.internal", "mutual.internal"} {
		for _, http2 := range []bool{true, false} {
			config := g.Mutual(c)
			config.ServerName = name
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2}
			caller := &http.Client{Transport: transport, Timeout: 20 * time.Second}
			for _, host := range []string{"open.internal", "mutual.internal", "other.internal"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.Address+"/v1/orders", nil)
				must(t, err)
				r.Host = host
				answer, err := caller.Do(r)
				must(t, err)
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				want := 421
				if host == name {
					want = 200
				}
				if answer.StatusCode != want {
					t.Errorf("%s on a connection for %s (HTTP/2: %v): %d, want %d", host, name, http2, answer.StatusCode, want)
				}
			}
			transport.CloseIdleConnections()
		}
	}
}
