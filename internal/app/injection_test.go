package app

import (
	"os"
	"path/filepath"
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
		"injection: {insecure_except: [{field: trailer /a, reason: nothing harmful goes there}]}":                          "has not the form",
		"injection: {insecure_except: [{field: body /**/a, reason: nothing harmful goes there}]}":                          "at the end",
		"injection: {insecure_except: [{field: body /a}]}":                                                                 "reason",
		"injection: {detectors: [xxe], insecure_except: [{field: body, detectors: [sql], reason: nothing harmful there}]}": "not asked at all",
		"injection: {insecure_off: short}":                                                                                 "needs a reason",
	} {
		name := filepath.Join(t.TempDir(), "pavise.yaml")
		if err := os.WriteFile(name, []byte(strings.Replace(injectionFile, "BLOCK", block, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Load(name)
		if err == nil {
			err = Check(f)
		}
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
