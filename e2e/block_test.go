package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// An operator keeps a network out: by its address behind a trusted proxy, not the proxy's; at
// once, also on a connection that is open; and without any work for its credentials.
func TestOperatorKeepsANetworkOut(t *testing.T) {
	attacktest.Rows(t, 17, 122)
	yaml := strings.Replace(openYAML, "hosts:", "trusted_proxies: {addresses: [127.0.0.0/8]}\nhosts:", 1)
	g := harness.Start(t, harness.Config{YAML: yaml})
	key := g.Issue("api_key", "shop")
	from := func(address string) harness.Answer {
		r := g.Request("GET", "/files/a", "")
		r.Header.Set("X-API-Key", key.Secret)
		r.Header.Set("X-Forwarded-For", address)
		return g.Do(r)
	}
	g.Accepted(from("203.0.113.7"))
	registry := g.App.State.Registry
	if _, err := registry.Block(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), time.Hour, "floods"); err != nil {
		t.Fatal(err)
	}
	// Only the registry is told, as another process would: the gateway finds out by itself.
	for begin := time.Now(); from("203.0.113.7").Status != 403; time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("it is not kept out")
		}
	}
	e := g.Refused(from("203.0.113.7"), 403, shield.BlockedNetwork)
	if e.Step != "limit" || e.CredentialID != "" {
		t.Errorf("work was done for it: %+v", e)
	}
	g.Accepted(from("203.0.114.7"))
	g.Accepted(from("198.51.100.1"))
	if _, err := registry.Unblock(t.Context(), netip.MustParsePrefix("203.0.113.0/24")); err != nil {
		t.Fatal(err)
	}
	if err := g.App.State.View.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Accepted(from("203.0.113.7"))
	if len(g.Events(audit.Query{Code: string(shield.BlockedNetwork)})) == 0 {
		t.Error("no event")
	}
}
