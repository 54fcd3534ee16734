// Package oauth tries the authorization server from outside, through the gateway: what
// RFC 9700 and its relatives demand, and requests that no client would send.
package oauth

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const worldYAML = `
listen: {https: "%[1]s", http: 127.0.0.1:0}
limits: {wrong_tries: 100000, address: 100000/minute}
hosts: {127.0.0.1: {certificate: local}}
oauth: {issuer: "https://%[1]s", limit: 100000/minute, registration: true, browsers: [https://spa.example]}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      PUT /v1/orders/{id}: {scopes: [orders:write]}
  stock:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/stock/{id}: {scopes: any}
  archive:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/archive/{id}: {scopes: [orders:read]}
  vault:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {jwt: {acr: "urn:pavise:acr:two-factors", max_age: 10m}}
    endpoints:
      GET /v1/vault/{id}: {scopes: [orders:read]}
scopes: {orders:read: See your orders, orders:write: Place orders, stock:read: See the stock}
`

// world is an authorization server with clients of every sort, and ann.
type world struct {
	*harness.Issuer
	t *testing.T
}

const (
	ann      = "ann"
	password = "planted-lynx-harbour-27"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOf(t, worldYAML)
}

func worldOf(t *testing.T, yaml string) *world {
	t.Helper()
	address := harness.Free(t)
	var clients []client.Client
	for _, id := range []string{"machine", "orders", "web", "other", "native", "tv", "signer"} {
		clients = append(clients, client.Client{ID: id, Scopes: shield.Scopes{"orders:read", "orders:write"}})
	}
	w := &world{t: t, Issuer: harness.StartIssuer(t, address, harness.Config{YAML: fmt.Sprintf(yaml, address), Clients: clients})}
	w.Register("machine", nil)
	w.Register("orders", map[string]string{"serves": "orders", "grants": "token_exchange"})
	w.Register("web", map[string]string{"redirects": person.Back, "name": "Web Shop"})
	w.Register("other", map[string]string{"redirects": person.Back})
	w.Register("native", map[string]string{"auth": "none", "redirects": "http://127.0.0.1/cb", "native": "true"})
	w.Register("tv", map[string]string{"auth": "none", "grants": "device_code refresh_token"})
	w.AddPerson(ann, "Ann", password)
	return w
}

// code is a code for a client to whom ann allows all that it asks for.
func (w *world) code(client, scope string) string {
	w.t.Helper()
	code, err := person.New(w.Client().Transport).Code(w.URL+"/authorize?"+person.Asking(client, scope).Encode(), ann, password)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

// seen is what came back.
type seen struct {
	harness.Answer
	error string // of a JSON answer, or in the address to which the browser is sent
	to    *url.URL
}

// did sends a request that must leave exactly one event, and may neither be answered with
// a fault of the server nor lead away from it, but to the registered address.
func (w *world) did(r *http.Request, err error) seen {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	got := seen{Answer: w.Do(r)}
	if got.Status >= 500 {
		w.t.Errorf("%s %s: %d %s", r.Method, r.URL, got.Status, got.Body)
	}
	w.Event(got.ID)
	got.error = errorOf(got.Answer)
	if location := got.Header.Get("Location"); location != "" {
		if got.to, err = url.Parse(location); err != nil {
			w.t.Fatalf("Location %q: %v", location, err)
		}
		away := got.to.Host != "" && "https://"+got.to.Host != w.URL
		if away && got.to.Host != person.Host && got.to.Hostname() != "127.0.0.1" {
			w.t.Errorf("%s %s leads to %s", r.Method, r.URL, location)
		}
		if e := got.to.Query().Get("error"); e != "" {
			got.error = e
		}
	}
	return got
}

func (w *world) get(path string, query url.Values) seen {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.URL+path+"?"+query.Encode(), nil)
	return w.did(r, err)
}

func (w *world) post(path, as string, form url.Values) seen {
	w.t.Helper()
	return w.did(w.Form(path, as, form))
}

// refuses holds what a refusal says.
func (w *world) refuses(what string, got seen, status int, code string) {
	w.t.Helper()
	if got.Status != status || got.error != code {
		w.t.Errorf("%s: %d %q (%s), want %d %q", what, got.Status, got.error, got.Body, status, code)
	}
}

// tokens asks for tokens and returns them.
func (w *world) tokens(as string, form url.Values) map[string]any {
	w.t.Helper()
	all, status := w.Post("/token", as, form)
	if status != http.StatusOK {
		w.t.Fatalf("%d %v", status, all)
	}
	return all
}

func (w *world) fetch(path string) (map[string]any, int) {
	w.t.Helper()
	answer, err := w.Client().Get(w.URL + path)
	if err != nil {
		w.t.Fatal(err)
	}
	return harness.Decoded(w.t, answer), answer.StatusCode
}
