package config_test

import (
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"nothing":           {"", "", nil},
		"a comment":         {"hosts:\n", "# hosts\nhosts:\n", nil},
		"a default written": {"    shield: mtls", "    max_body: 10MiB\n    shield: mtls", nil},
		"one value":         {"    shield: mtls", "    max_body: 1MiB\n    shield: mtls", []string{"apis.partners.max_body: 10MiB → 1MiB"}},
		"an address":        {"http://127.0.0.1:9000", "http://127.0.0.1:9002", []string{"apis.orders.upstream.url: [http://127.0.0.1:9000] → [http://127.0.0.1:9002]"}},
		"a new endpoint":    {"      POST /v1", "      DELETE /v1/orders/{id}: {scopes: orders:write, limit: 1/second per user}\n      POST /v1", []string{"+ apis.orders.endpoints.DELETE /v1/orders/{id}: {scopes: [orders:write], limit: [1/second per user]}"}},
		"an endpoint less":  {"      POST /v1/orders: {scopes: [orders:write]}\n", "", []string{"- apis.orders.endpoints.POST /v1/orders: {scopes: [orders:write]}"}},
		"another kind":      {"shield: api_key", "shield: {jwt: corp}", []string{"apis.orders.shield: {api_key: {header: X-API-Key}} → {jwt: {issuer: [corp], cache: 4096}}"}},
		"the kind's own":    {"shield: api_key", "shield: {api_key: {header: X-Key}}", []string{"apis.orders.shield.api_key.header: X-API-Key → X-Key"}},
		"a combination":     {"shield: api_key", "shield: {any: [hmac, {public: for everybody}]}", []string{"apis.orders.shield: {api_key: {header: X-API-Key}} → {any: [{hmac: {window: 1m, max_body: 1048576}}, {public: {reason: for everybody}}]}"}},
		"a secret":          {"shield: api_key", "shield: {api_key: {pepper: hunter2}}", []string{"+ apis.orders.shield.api_key.pepper: *** (new)"}},
		"a secret inside":   {"shield: api_key", "shield: {any: [hmac, {api_key: {pepper: hunter2}}]}", []string{"apis.orders.shield: {api_key: {header: X-API-Key}} → {any: [{hmac: {window: 1m, max_body: 1048576}}, {api_key: {header: X-API-Key, pepper: ***}}]}"}},
		"a switch":          {"    shield: mtls", "    identity: {token: false}\n    shield: mtls", []string{"apis.partners.identity.token: true → false"}},
		"a certificate":     {"hosts:\n  api.example.com: {certificate: local}", "listen: {http: \":80\"}\nhosts:\n  api.example.com: {certificate: acme}", []string{"+ listen.http: :80 (with the next start)", "hosts.api.example.com.certificate: local → acme"}},
		"what waits":        {"scopes:\n", "limits: {address: 5/minute, connections: 777}\nlog: {keep: 1d}\nscopes:\n", []string{"limits.address: 6000/minute → 5/minute", "limits.connections: 10000 → 777 (with the next start)", "log.keep: 90d → 24h (with the next start)"}},
		"a weakness":        {`"https://127.0.0.1:9001"`, `"https://127.0.0.1:9001", insecure_skip_verify: {reason: it has no name}`, []string{"+ apis.partners.upstream.insecure_skip_verify: {reason: it has no name}"}},
		"a scope":           {"See orders\n", "See all orders\n", []string{"scopes.orders:read: See orders → See all orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, change := range config.Diff(mustParse(t, base), mustParse(t, strings.Replace(base, c.old, c.new, 1))) {
				got = append(got, change.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("differences\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	many := &strings.Builder{}
	for i := range 1000 {
		many.WriteString("  s" + strings.Repeat("x", i%20) + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + ": " + strings.Repeat("long ", 100) + "\n")
	}
	changes := config.Diff(mustParse(t, base), mustParse(t, base+many.String()))
	if len(changes) != 200 || !strings.Contains(changes[199].New, "more changes") {
		t.Errorf("%d changes, the last %v", len(changes), changes[len(changes)-1])
	}
	for _, c := range changes {
		if len(c.New) > 1000 {
			t.Fatalf("a change of %d bytes", len(c.New))
		}
	}
}

func TestTheStarterLoads(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "localhost", "api.example.com"} {
		text := string(config.Starter("http://127.0.0.1:3000", host))
		f := mustParse(t, text)
		all, err := f.Resolve()
		if err != nil || len(all) != 3 || all[0].Hosts[0] != host {
			t.Errorf("%s: %d endpoints, %v", host, len(all), err)
		}
		if f.APIs["my-api"].Upstream.URL[0] != "http://127.0.0.1:3000" {
			t.Errorf("the upstream is %v", f.APIs["my-api"].Upstream.URL)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if len(line) > 130 {
				t.Errorf("%d characters in %q", len(line), line)
			}
		}
	}
}
