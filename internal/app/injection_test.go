package app

import (
	"strings"
	"testing"
)

// What the configuration says of injections is opened with it, and what cannot hold is an error.
func TestInjectionIsWired(t *testing.T) {
	for block, want := range map[string]string{
		"injection: on": "",
		"injection: {level: low, detectors: [sql]}": "",
		"injection: off":                 "write on",
		"injection: {detectors: [sqli]}": "sqli",
		"injection: {insecure_except: [{field: body /a/*/b, reason: nothing harmful goes there}]}":                         "",
		"injection: {insecure_except: [{field: trailer /a, reason: nothing harmful goes there}]}":                          "write body /comment",
		"injection: {insecure_except: [{field: body /**/a, reason: nothing harmful goes there}]}":                          "at the end",
		"injection: {insecure_except: [{field: body /a}]}":                                                                 "reason",
		"injection: {detectors: [xxe], insecure_except: [{field: body, detectors: [sql], reason: nothing harmful there}]}": "not asked at all",
		"injection: {insecure_off: short}":                                                                                 "ten characters",
	} {
		err := Check(write(t, t.TempDir(), strings.Replace(injectionFile, "BLOCK", block, 1)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", block, err, want)
		}
	}
}

const injectionFile = `
listen: {https: 127.0.0.1:0}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:3000
    shield: api_key
    BLOCK
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See orders}
`
