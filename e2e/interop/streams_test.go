package interop

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const streamsYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: {{where}}
    shield: api_key
    endpoints:
      GET /live: {scopes: [orders:read]}
      POST /orders.Orders/Get: {scopes: [orders:read]}
      POST /orders.Orders/List: {scopes: [orders:read]}
      POST /orders.Orders/Fail: {scopes: [orders:read]}
      POST /orders.Orders/Admin: {scopes: [admin]}
scopes: {orders:read: See orders, admin: Everything}
`

func streams(t *testing.T, where string, upstream http.Handler) (g *harness.Gateway, ca string) {
	t.Helper()
	g = harness.Start(t, harness.Config{YAML: strings.ReplaceAll(streamsYAML, "{{where}}", where), Upstream: upstream})
	return g, filepath.Join(g.Dir, "pavise-data", "local-ca", "ca.pem")
}

func TestWebSocketBetweenPeersThatNobodyHereWrote(t *testing.T) {
	attacktest.Rows(t, 125)
	server, port := ready(t, nil, "node", "ws.mjs", "server")
	g, ca := streams(t, "http://127.0.0.1:"+port, nil)
	address := "wss://" + g.Address + "/live"
	open := func(key shield.Credential) *peer {
		t.Helper()
		p := beside(t, nil, "node", "ws.mjs", "client", address, ca, key.Secret)
		p.until("open")
		return p
	}
	key := g.Issue("api_key", "shop", "orders:read")

	socket := open(key)
	for _, text := range []string{"one", strings.Repeat("long ", 1000)} {
		if got := socket.tell(text); got != text {
			t.Errorf("%.20q came back as %.20q", text, got)
		}
	}
	if got := socket.tell("close 4001"); got != "closed 4001 as told" {
		t.Errorf("the server's close came as %q", got)
	}
	server.until("server closed 4001")
	socket = open(key)
	if got := socket.tell("leave 4002"); got != "closed 4002 " {
		t.Errorf("the client's close was answered by %q", got)
	}
	server.until("server closed 4002")

	for name, secret := range map[string]string{"no key": "", "a wrong key": key.Secret[:len(key.Secret)-1] + "!"} {
		if got := beside(t, nil, "node", "ws.mjs", "client", address, ca, secret).rest(); got != "refused 401" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if n := len(g.Events(audit.Query{Code: string(shield.MissingCredential)})); n != 1 {
		t.Errorf("%d events of an upgrade without a key", n)
	}

	// The stream ends when its credential does; another client's goes on.
	other := open(g.Issue("api_key", "shop", "orders:read"))
	socket = open(key)
	g.Revoke(key.ID)
	if got := socket.until("closed "); !strings.HasPrefix(got, "1006") {
		t.Errorf("after the revocation the stream closed with %q", got)
	}
	server.until("server closed 1006")
	if got := other.tell("still here"); got != "still here" {
		t.Errorf("the other client's stream says %q", got)
	}
	if got := beside(t, nil, "node", "ws.mjs", "client", address, ca, key.Secret).rest(); got != "refused 401" {
		t.Errorf("a revoked key: %q", got)
	}
}

func TestGRPCBetweenPeersThatNobodyHereWrote(t *testing.T) {
	_, port := ready(t, nil, "node", "grpc.mjs", "server")
	g, ca := streams(t, `{url: "http://127.0.0.1:`+port+`", protocol: h2c}`, nil)
	key := g.Issue("api_key", "shop", "orders:read")
	for _, test := range []struct {
		name, method, key, want string
	}{
		{"one message", "Get", key.Secret, "got seven\ntrailer 3\nstatus 0 OK\n"},
		{"a stream", "List", key.Secret, "order 1\norder 2\norder 3\ntrailer 3\nstatus 0 OK\n"},
		{"the server's own status", "Fail", key.Secret, "status 5 no such order\n"},
		{"no key", "Get", "", "status 16 "},
		{"no key, a stream", "List", "", "status 16 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := succeed(t, nil, "node", "grpc.mjs", "client", g.Address, ca, test.method, test.key); !strings.HasPrefix(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if n := len(g.Events(audit.Query{Code: string(shield.MissingCredential)})); n != 2 {
		t.Errorf("%d events of calls without a key, want 2", n)
	}
	if n := len(g.Events(audit.Query{Decision: audit.Accepted})); n != 3 {
		t.Errorf("%d events of accepted calls, want 3", n)
	}
}

func TestCurlFollowsServerSentEvents(t *testing.T) {
	released := make(chan struct{})
	g, ca := streams(t, `"{{upstream}}"`, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-released:
			_, _ = io.WriteString(w, "data: second\n\n")
		case <-r.Context().Done():
		}
	}))
	key := g.Issue("api_key", "shop", "orders:read")
	stream := beside(t, nil, "curl", "-sSN", "--cacert", ca, "-H", "X-API-Key: "+key.Secret, "https://"+g.Address+"/live")
	stream.until("data: first") // while the answer goes on
	close(released)
	stream.until("data: second")
	if left := stream.rest(); left != "" {
		t.Errorf("after its end the stream still said %q", left)
	}
	if out := succeed(t, nil, "curl", "-sSN", "--cacert", ca, "https://"+g.Address+"/live"); !strings.Contains(out, string(shield.MissingCredential)) {
		t.Errorf("without a key: %q", out)
	}
}
