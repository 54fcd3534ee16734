package app

import (
	"strings"
	"testing"
)

func TestACandidatePastItsDayStopsTheStart(t *testing.T) {
	for day, want := range map[string]string{"2000-01-31": "was to be tried until 2000-01-31", "2999-01-31": ""} {
		err := Check(write(t, t.TempDir(), strings.Replace(trialFile, "DAY", day, 1)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", day, err)
		}
	}
}

const trialFile = `
listen: {https: 127.0.0.1:0}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:3000
    shield: api_key
    candidate: {scopes: [orders:write], when: principal.tenant == "north", until: "DAY"}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See orders, orders:write: Place orders}
`
