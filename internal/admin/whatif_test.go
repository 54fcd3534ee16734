package admin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
	"pavise.dev/pavise/shield/public"
)

const orders = `
hosts: {api.example.com: {certificate: local}}
scopes: {orders:read: Read, orders:write: Write}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    shield: api_key
    endpoints:
      GET /health: {shield: {public: load-balancer probe}}
      GET /v1/orders/{id}: {scopes: orders:read}
      POST /v1/orders: {scopes: orders:write}
      POST /v1/pay: {scopes: any, shield: {all: [api_key, hmac]}}
      GET /v1/behalf: {scopes: any, shield: {all: [api_key, {hmac: {}, actor: true}]}}
      GET /v1/either: {scopes: any, shield: {any: [hmac, api_key]}}
`

func TestForeseesWhatTheGuardWouldSay(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	must(t, os.WriteFile(name, []byte(orders), 0o600))
	file, err := config.Load(name, []shield.Kind{apikey.Kind(), hmac.Kind(), public.Kind()})
	must(t, err)
	w.service.Explain = func(q admin.WhatIf) (admin.Answer, error) {
		return admin.Foresee(ctx, file, w.service.Registry, time.Now(), q)
	}
	a := w.client()
	for _, id := range []string{"shop", "keyless", "off"} {
		_, err := a.CreateClient(ctx, admin.NewClient{ID: id, Scopes: []string{"orders:read"}})
		must(t, err)
	}
	for _, id := range []string{"shop", "off"} {
		_, err = a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: id, Environment: "live"})
		must(t, err)
	}
	_, err = a.CreateClient(ctx, admin.NewClient{ID: "two", Scopes: []string{"orders:read", "orders:write"}})
	must(t, err)
	for _, scope := range []string{"orders:read", "orders:write"} {
		_, err = a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "two", Environment: "test", Scopes: []string{scope}})
		must(t, err)
	}
	_, err = a.DisableClient(ctx, "off")
	must(t, err)
	for name, c := range map[string]struct {
		q    admin.WhatIf
		code string // empty: accepted
	}{
		"its scope":              {admin.WhatIf{Client: "shop", Method: "GET", Path: "/v1/orders/7"}, ""},
		"HEAD follows GET":       {admin.WhatIf{Client: "shop", Method: "HEAD", Path: "/v1/orders/7"}, ""},
		"another scope":          {admin.WhatIf{Client: "shop", Method: "POST", Path: "/v1/orders"}, "insufficient_scope"},
		"no credential":          {admin.WhatIf{Client: "keyless", Method: "GET", Path: "/v1/orders/7"}, "missing_credential"},
		"another's credential":   {admin.WhatIf{Client: "shop", Credential: "x", Method: "GET", Path: "/v1/orders/7"}, "missing_credential"},
		"disabled":               {admin.WhatIf{Client: "off", Method: "GET", Path: "/v1/orders/7"}, "disabled_client"},
		"one proof of two":       {admin.WhatIf{Client: "shop", Method: "POST", Path: "/v1/pay"}, "missing_credential"},
		"either of two":          {admin.WhatIf{Client: "shop", Method: "GET", Path: "/v1/either"}, ""},
		"the second of its keys": {admin.WhatIf{Client: "two", Method: "POST", Path: "/v1/orders"}, ""},
		"public":                 {admin.WhatIf{Client: "keyless", Method: "GET", Path: "/health"}, ""},
		"unlisted":               {admin.WhatIf{Client: "shop", Method: "GET", Path: "/v2/orders"}, "unknown_endpoint"},
		"another method":         {admin.WhatIf{Client: "shop", Method: "DELETE", Path: "/v1/orders"}, "method_not_allowed"},
		"a host of nobody's":     {admin.WhatIf{Client: "shop", Host: "evil.example", Method: "GET", Path: "/health"}, "unknown_host"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := a.WhatIf(ctx, c.q)
			must(t, err)
			if answer.Code != c.code || answer.Allowed != (c.code == "") || answer.Why == "" {
				t.Errorf("%+v, want code %q", answer, c.code)
			}
			if !answer.Allowed && answer.Remedy == "" {
				t.Error("no remedy")
			}
		})
	}
	if _, err := a.WhatIf(ctx, admin.WhatIf{Client: "shp", Method: "GET", Path: "/health"}); err == nil {
		t.Error("a client that is none was taken")
	}
	for _, path := range []string{"", "health", "http://api.example.com/health"} {
		if _, err := a.WhatIf(ctx, admin.WhatIf{Client: "shop", Method: "GET", Path: path}); err == nil {
			t.Errorf("path %q was taken", path)
		}
	}
}

// What another client proves is never taken as granted.
func TestForeseesNothingOfAnActor(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	must(t, os.WriteFile(name, []byte(orders), 0o600))
	file, err := config.Load(name, []shield.Kind{apikey.Kind(), hmac.Kind(), public.Kind()})
	must(t, err)
	a := w.client()
	_, err = a.CreateClient(ctx, admin.NewClient{ID: "shop"})
	must(t, err)
	_, err = a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live"})
	must(t, err)
	answer, err := admin.Foresee(ctx, file, w.service.Registry, time.Now(), admin.WhatIf{Client: "shop", Method: "GET", Path: "/v1/behalf"})
	must(t, err)
	if unknown := strings.Join(answer.Unknown, "; "); !strings.Contains(unknown, "whoever acts for the client proves himself by hmac") {
		t.Errorf("not judged: %s", unknown)
	}
}
