// Package e2e tests the running gateway over real sockets: every row of
// docs/attacks.md that is due, each with the answer, its one event, and a search for
// the planted secrets.
package e2e

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const keysYAML = `
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      POST /v1/orders: {scopes: [orders:write]}
      GET /v1/reports: {scopes: [reports:read]}
scopes: {orders:read: See orders, orders:write: Place orders, reports:read: Read reports}
`

func TestAPIKeyAttacksOverASocket(t *testing.T) {
	attacktest.Rows(t, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16)
	g := harness.Start(t, harness.Config{YAML: keysYAML})
	key := g.Issue("api_key", "shop")
	g.Accepted(g.Send(key, "GET", "/v1/orders/7", ""))
	for _, attack := range g.Kind("api_key").Attacks {
		t.Run(attack.Name, func(t *testing.T) {
			r := g.Request("GET", "/v1/orders/7", "")
			if err := g.Signer(key).Sign(r); err != nil {
				t.Fatal(err)
			}
			if err := attack.Change(r); err != nil {
				t.Fatal(err)
			}
			if len(r.Header.Get("X-Api-Key")) > 64<<10 {
				g.Refused(g.Do(r), 431, "headers_too_large") // the edge, before anything is parsed
				return
			}
			status := attack.Status
			if status == 0 {
				status = attack.Code.Status()
			}
			g.Refused(g.Do(r), status, attack.Code)
		})
	}
	if n := len(g.Upstream.Requests()); n != 1 {
		t.Errorf("%d requests reached the upstream, want only the good one", n)
	}
}

func TestAPIKeyLifecycle(t *testing.T) {
	attacktest.Rows(t, 9, 10, 11, 12, 19, 20)
	g := harness.Start(t, harness.Config{YAML: keysYAML})
	g.Refused(g.Send(g.Issue("api_key", "shop", "orders:read"), "GET", "/v1/reports", ""), 403, shield.InsufficientScope)
	g.Refused(g.Send(g.Issue("api_key", "shop", "orders:read"), "POST", "/v1/orders", "{}"), 403, shield.InsufficientScope)

	kept := g.Issue("api_key", "shop")
	g.Accepted(g.Send(kept, "GET", "/v1/orders/7", ""))
	if g.Upstream.Saw(kept.Secret) {
		t.Error("the upstream saw the key")
	}
	g.Revoke(kept.ID)
	g.Refused(g.Send(kept, "GET", "/v1/orders/7", ""), 401, shield.RevokedCredential)

	short := g.IssueWith(client.Credential{Kind: "api_key", Client: "shop", Expires: g.Clock.Now().Add(time.Hour)})
	g.Accepted(g.Send(short, "GET", "/v1/orders/7", ""))
	g.Advance(time.Hour + time.Second)
	g.Refused(g.Send(short, "GET", "/v1/orders/7", ""), 401, shield.ExpiredCredential)

	preflight := g.Request("OPTIONS", "/v1/orders/7", "")
	preflight.Header.Set("Origin", "https://evil.example")
	preflight.Header.Set("Access-Control-Request-Method", "GET")
	answer := g.Do(preflight)
	g.Refused(answer, 403, shield.ForeignOrigin)
	if answer.Header.Get("Access-Control-Allow-Origin") != "" || strings.Contains(string(answer.Body), "served") {
		t.Error("a preflight without a key got more than a refusal")
	}
}
