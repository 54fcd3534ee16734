package app

import (
	"strings"
	"testing"
)

func TestCheckFindsWhatTheStartWouldRefuse(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"nothing":                       {"", "", ""},
		"a condition that is no Cedar":  {"{scopes: [orders:read]}", `{scopes: [orders:read], when: "context.host =="}`, "GET /v1/orders"},
		"a condition that names nobody": {"{scopes: [orders:read]}", `{scopes: [orders:read], when: "whatever.x == 1"}`, "GET /v1/orders"},
		"our own server's tokens": {
			"\napis:\n  orders:\n    host: 127.0.0.1\n    upstream: http://127.0.0.1:9\n    shield: api_key",
			"\noauth: {issuer: https://127.0.0.1}\napis:\n  orders:\n    host: 127.0.0.1\n    upstream: http://127.0.0.1:9\n    shield: {any: [jwt, introspect]}", "",
		},
		"shields that look alike": {"shield: api_key", "shield: {any: [api_key, {api_key: {environment: live}}]}", "GET /v1/orders"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(minimal, c.old) {
				t.Fatalf("the configuration does not hold %q", c.old)
			}
			dir := t.TempDir()
			err := Check(write(t, dir, strings.Replace(minimal, c.old, c.new, 1)))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want an error that names %s", err, c.want)
			}
			// Whatever the start refuses, the check refuses, and the other way round.
			a, opened := Open(t.Context(), write(t, dir, strings.Replace(minimal, c.old, c.new, 1)), Options{Library: true})
			if opened == nil {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}
			if (opened == nil) != (err == nil) {
				t.Errorf("the check says %v, the start %v", err, opened)
			}
		})
	}
}
