package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// floodChanges are edits of base about quotas, places, priorities and honeypots.
func floodChanges() []change {
	return []change{
		{"a quota of nobody", "shield: api_key", "quota: 100/month\n    shield: api_key", "10:12", "whom it counts for", "per client"},
		{"a quota by the hour", "shield: api_key", "quota: 100/hour per client\n    shield: api_key", "10:12", "no period of a quota", "limit counts"},
		{"a quota of addresses", "shield: api_key", "quota: 100/day per address\n    shield: api_key", "10:12", "more addresses than could be kept", "a rate"},
		{"the second quota of a list", "shield: api_key", "quota: [100/day per client, 5/day per client cost 6]\n    shield: api_key", "10:33", "can never pass", "at most 5"},
		{"a quota of clients where nobody is known", "{scopes: orders:read}", "{shield: {public: for everybody}, quota: 5/day per client}", "12:69", "nobody is known", "per endpoint"},
		{"more places of one than of all", "{scopes: orders:read}", "{scopes: orders:read, concurrency: 5, concurrency_total: 4}", "12:63", "more than the 4 of all", ""},
		{"more places of one than of all of an API", "shield: api_key", "concurrency: 5\n    concurrency_total: 4\n    shield: api_key", "10:18", "more than the 4 of all", ""},
		{"a priority that is none", "{scopes: orders:read}", "{scopes: orders:read, priority: urgent}", "12:60", `"urgent" is not accepted`, ""},
		{"no requests at all", "hosts:\n", "limits: {requests: 0}\nhosts:\n", "1:20", "too small", ""},
		{"a bad rate of handshakes", "hosts:\n", "limits: {handshakes: many}\nhosts:\n", "1:22", "not a number of requests", ""},
		{"a honeypot that is served", "hosts:\n", "honeypots: {paths: [/.env, /v1/orders/secret]}\nhosts:\n", "1:28", "GET /v1/orders/{id} of the API orders serves", "remove it"},
		{"a honeypot that another method serves", "hosts:\n", "honeypots: {paths: /v1/orders}\nhosts:\n", "1:20", "POST /v1/orders of the API orders serves", "remove it"},
		{"a honeypot that is no path", "hosts:\n", "honeypots: {paths: [.env]}\nhosts:\n", "1:21", "has not the form", "/backup.sql"},
		{"a honeypot with a query", "hosts:\n", "honeypots: {paths: [\"/a?b\"]}\nhosts:\n", "1:21", "has not the form", "without a query"},
		{"a block without a honeypot", "hosts:\n", "honeypots: {block: 1h}\nhosts:\n", "1:20", "there is no honeypot", "common"},
		{"a block without end", "hosts:\n", "honeypots: {common: true, block: 365d}\nhosts:\n", "1:34", "too large", "90d"},
	}
}

func TestQuotasPlacesAndPrioritiesAreInherited(t *testing.T) {
	f := mustParse(t, strings.Replace(base, "    shield: api_key\n    endpoints:\n", `    shield: api_key
    quota: [100/day per client, 1000/month per endpoint]
    concurrency: 7
    priority: low
    endpoints:
      GET /open: {shield: {public: for everybody}, priority: high}
      GET /dear: {scopes: any, quota: 10/day per client cost 4, concurrency: 2, concurrency_total: 20}
`, 1))
	all, err := f.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range all {
		names := []string{}
		for _, q := range e.Quotas {
			names = append(names, q.Name+"="+q.String())
		}
		got[e.Pattern] = fmt.Sprintf("%s %v %d %v", e.Priority, names, e.Concurrency, e.Own)
	}
	for pattern, want := range map[string]string{
		"GET /open":        "high [orders-endpoint-month=1000/month per endpoint] 7 {0 0}",
		"GET /dear":        "low [orders-client-day=100/day per client orders-endpoint-month=1000/month per endpoint orders-get-dear-client-day=10/day per client cost 4] 7 {2 20}",
		"POST /v1/orders":  "low [orders-client-day=100/day per client orders-endpoint-month=1000/month per endpoint] 7 {0 0}",
		"GET /v1/partners": "normal [] 0 {0 0}",
	} {
		if got[pattern] != want {
			t.Errorf("%s: %s\nwant %s", pattern, got[pattern], want)
		}
	}
}

func TestCommonHoneypotsLeaveOutWhatIsServed(t *testing.T) {
	if traps := mustParse(t, base).Traps(); len(traps) != 0 {
		t.Errorf("without being asked for: %v", traps)
	}
	f := mustParse(t, "honeypots: {common: true, paths: [/mine.php, /.env]}\n"+
		strings.Replace(base, "    endpoints:\n      GET /v1/orders", "    endpoints:\n      GET /wp-login.php: {scopes: any}\n      GET /.git/{path...}: {scopes: any}\n      GET /v1/orders", 1))
	traps := f.Traps()
	for path, want := range map[string]bool{"/mine.php": true, "/.env": true, "/wp-config.php": true, "/wp-login.php": false, "/.git/config": false} {
		if slices.Contains(traps, path) != want {
			t.Errorf("%s is among the honeypots: %v", path, !want)
		}
	}
	if slices.Sort(traps); len(slices.Compact(slices.Clone(traps))) != len(traps) {
		t.Errorf("twice: %v", traps)
	}
}
