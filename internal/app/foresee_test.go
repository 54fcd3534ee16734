package app

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
)

const foreseenAPI = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /v1/orders:
    post:
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, required: [count], additionalProperties: false, properties: {count: {type: integer, minimum: 1}, note: {type: string}, tenant: {type: string}}}}}
      responses: {"201": {description: placed}}
  /v1/orders/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: the order}}
  /v1/morning:
    get: {responses: {"200": {description: now}}}
`

const foreseenFile = `
hosts: {api.test: {certificate: local}}
limits: {wrong_tries: 100000, address: 100000/second}
scopes: {orders:read: See orders, orders:write: Place orders}
apis:
  orders:
    host: api.test
    upstream: http://127.0.0.1:9
    openapi: api.yaml
    shield: {any: [hmac, api_key]}
    injection: {level: default}
    endpoints:
      POST /v1/orders:      {scopes: [orders:write], when: 'context.body.tenant == principal.tenant', limit: 100/minute per client}
      GET /v1/orders/{id}:  {scopes: [orders:read]}
      GET /v1/morning:      {scopes: any, when: 'context.time < datetime("2026-12-01T12:00:00Z")'}
`

// shops is an installation with clients and their API keys.
type shops struct {
	*App

	now  time.Time
	keys map[string]string
}

func openShops(t *testing.T, text string) *shops {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(foreseenAPI), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &shops{now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), keys: map[string]string{}}
	var err error
	w.App, err = Open(t.Context(), write(t, dir, text), Options{Library: true, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	w.add(t, client.Client{ID: "shop", Tenant: "acme", Scopes: shield.Scopes{"orders:read", "orders:write"}}, client.Credential{})
	w.add(t, client.Client{ID: "reader", Tenant: "acme", Scopes: shield.Scopes{"orders:read"}}, client.Credential{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	w.add(t, client.Client{ID: "late", Tenant: "acme", Scopes: shield.Scopes{"orders:read"}}, client.Credential{NotBefore: w.now.Add(24 * time.Hour)})
	return w
}

func (w *shops) add(t *testing.T, c client.Client, with client.Credential) {
	t.Helper()
	issued, err := apikey.Kind().Issue(shield.Env{Rand: rand.Reader}, shield.IssueRequest{Client: c.ID, Environment: "live"})
	if err != nil {
		t.Fatal(err)
	}
	with.Kind, with.Environment = "api_key", "live"
	if _, _, err := w.State.Registry.CreateWith(t.Context(), c, with, issued); err != nil {
		t.Fatal(err)
	}
	w.keys[c.ID] = issued.Secret
	if err := w.State.View.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// send has the guard answer a client's request, and returns status and code.
func (w *shops) send(t *testing.T, id, method, path, body, from string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, "https://api.test"+path, strings.NewReader(body))
	r.TLS.ServerName = "api.test"
	r.RemoteAddr = from + ":4711"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key := w.keys[id]; key != "" {
		r.Header.Set("X-API-Key", key)
	}
	answer := httptest.NewRecorder()
	w.current().guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })).ServeHTTP(answer, r)
	var p struct{ Code string }
	if answer.Code >= 400 {
		_ = json.Unmarshal(answer.Body.Bytes(), &p) // the code is compared
	}
	return answer.Code, p.Code
}

// question is the same request as it would be asked about.
func question(id, method, path, body, from string) admin.WhatIf {
	q := admin.WhatIf{Client: id, Method: method, Path: path, Body: []byte(body), HasBody: true, From: from, Header: http.Header{}}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	return q
}

func TestForeseesWhatTheGuardAnswers(t *testing.T) {
	w := openShops(t, foreseenFile)
	for name, test := range map[string]struct{ id, method, path, body, from, code string }{
		"good":                   {"shop", "POST", "/v1/orders", `{"count":1,"tenant":"acme"}`, "198.51.100.1", ""},
		"against the contract":   {"shop", "POST", "/v1/orders", `{"count":0,"tenant":"acme"}`, "198.51.100.1", "invalid_input"},
		"an unknown field":       {"shop", "POST", "/v1/orders", `{"count":1,"price":0,"tenant":"acme"}`, "198.51.100.1", "invalid_input"},
		"no body":                {"shop", "POST", "/v1/orders", "", "198.51.100.1", "invalid_input"},
		"another tenant":         {"shop", "POST", "/v1/orders", `{"count":1,"tenant":"evil"}`, "198.51.100.1", "denied"},
		"an injection":           {"shop", "POST", "/v1/orders", `{"count":1,"tenant":"acme","note":"' OR 1=1 --"}`, "198.51.100.1", "injection"},
		"a scope missing":        {"reader", "POST", "/v1/orders", `{"count":1,"tenant":"acme"}`, "192.0.2.7", "insufficient_scope"},
		"from its network":       {"reader", "GET", "/v1/orders/7", "", "192.0.2.7", ""},
		"from another network":   {"reader", "GET", "/v1/orders/7", "", "198.51.100.1", "forbidden_network"},
		"a path of another type": {"shop", "GET", "/v1/orders/seven", "", "198.51.100.1", "invalid_input"},
		"a parameter too many":   {"shop", "GET", "/v1/orders/7?debug=1", "", "198.51.100.1", "invalid_input"},
		"no such path":           {"shop", "GET", "/v2/orders", "", "198.51.100.1", "unknown_endpoint"},
		"another method":         {"shop", "DELETE", "/v1/orders/7", "", "198.51.100.1", "method_not_allowed"},
		"a path in another form": {"shop", "GET", "/v1//orders/7", "", "198.51.100.1", "invalid_path"},
		"in the morning":         {"shop", "GET", "/v1/morning", "", "198.51.100.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			foreseen, err := w.Foresee(t.Context(), question(test.id, test.method, test.path, test.body, test.from))
			if err != nil {
				t.Fatal(err)
			}
			status, code := w.send(t, test.id, test.method, test.path, test.body, test.from)
			if code != test.code {
				t.Fatalf("the guard answers %d %s, want %s", status, code, test.code)
			}
			if foreseen.Code != code || foreseen.Allowed != (code == "") || !foreseen.Allowed && (foreseen.Status != status || foreseen.Remedy == "") {
				t.Errorf("foreseen %+v, answered %d %s", foreseen, status, code)
			}
		})
	}
}

func TestForeseesAnotherTime(t *testing.T) {
	w := openShops(t, foreseenFile)
	ask := func(id, path string, at time.Time) string {
		t.Helper()
		q := question(id, "GET", path, "", "198.51.100.1")
		q.At = at
		a, err := w.Foresee(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if !at.IsZero() && !a.At.Equal(at) {
			t.Errorf("the answer is of %s", a.At)
		}
		return a.Code
	}
	afternoon := time.Date(2026, 12, 1, 13, 0, 0, 0, time.UTC)
	if now, then := ask("shop", "/v1/morning", time.Time{}), ask("shop", "/v1/morning", afternoon); now != "" || then != "denied" {
		t.Errorf("now %q, in the afternoon %q", now, then)
	}
	if now, then := ask("late", "/v1/orders/7", time.Time{}), ask("late", "/v1/orders/7", afternoon); now == "" || then != "" {
		t.Errorf("before its key begins %q, after %q", now, then)
	}
}

func TestForeseeingNamesWhatIsNotKnown(t *testing.T) {
	w := openShops(t, foreseenFile)
	q := admin.WhatIf{Client: "reader", Method: "GET", Path: "/v1/orders/7"}
	a, err := w.Foresee(t.Context(), q)
	if err != nil || !a.Allowed || !strings.Contains(strings.Join(a.Unknown, "; "), "the caller's address is in the networks of") {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = w.Foresee(t.Context(), admin.WhatIf{Client: "shop", Method: "POST", Path: "/v1/orders"})
	unknown := strings.Join(a.Unknown, "; ")
	if err != nil || !a.Allowed || !strings.Contains(unknown, "validate: the body") || !strings.Contains(unknown, "policy: the body") {
		t.Errorf("%+v, %v", a, err)
	}
	for _, wrong := range []admin.WhatIf{{Client: "nobody", Method: "GET", Path: "/"}, {Client: "shop", Method: "GET", Path: "v1"}, {Client: "shop", Method: "GET", Path: "/v1/morning", From: "here"}} {
		if _, err := w.Foresee(t.Context(), wrong); err == nil {
			t.Errorf("%+v was foreseen", wrong)
		}
	}
}

// However often somebody asks, nothing is counted, nothing recorded, nobody slowed down.
func TestForeseeingLeavesNothing(t *testing.T) {
	w := openShops(t, strings.Replace(foreseenFile, "100/minute", "2/minute", 1))
	q := question("shop", "POST", "/v1/orders", `{"count":1,"tenant":"acme"}`, "198.51.100.1")
	before := w.count(t)
	for range 20 {
		if a, err := w.Foresee(t.Context(), q); err != nil || !a.Allowed {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if n := w.count(t); n != before {
		t.Errorf("%d events of requests that were not made", n-before)
	}
	for i, want := range []int{200, 200, 429} {
		if status, _ := w.send(t, "shop", "POST", "/v1/orders", `{"count":1,"tenant":"acme"}`, "198.51.100.1"); status != want {
			t.Errorf("request %d: %d, want %d", i+1, status, want)
		}
	}
	a, err := w.Foresee(t.Context(), q)
	told := ""
	for _, s := range a.Path {
		if s.Step == "admit" {
			told = s.Why
		}
	}
	if err != nil || !strings.Contains(told, "used up, the next passes in") {
		t.Errorf("told %q, %v", told, err)
	}
}

// count is how many events the log holds.
func (w *shops) count(t *testing.T) uint64 {
	t.Helper()
	if err := w.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	return uint64(len(w.events(t)))
}
