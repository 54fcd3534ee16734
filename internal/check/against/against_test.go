package against_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check/against"
	"pavise.dev/pavise/internal/config"
)

// folder holds what the policies name.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// files are those that need not be made.
func files() map[string]string {
	return map[string]string{
		"keys.json": `{"keys": []}`, "desk.secret": "q7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1E\n",
		"order.json": `{"type": "object", "properties": {"item": {"type": "string", "maxLength": 20}}, "required": ["item"]}`,
		"orders.json": `{"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"}, "paths": {"/v1/orders": {"post": {"requestBody": {"content": {"application/json": {"schema":
			{"type": "object", "properties": {"item": {"type": "string", "maxLength": 20}}}}}}, "responses": {"201": {"description": "placed"}}}}}}`,
		"any.json": `{"type": "object", "properties": {"item": {"type": "string", "maxLength": 50}}, "required": ["item"]}`,
	}
}

func load(t testing.TB, dir, text string) *config.File {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := app.Load(name)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func compare(t testing.TB, older, newer *config.File) *against.Result {
	t.Helper()
	r, err := app.Against(older, newer, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNothingIsOpenedByWhatIsTheSame(t *testing.T) {
	dir := folder(t)
	f := load(t, dir, plain().text())
	other := t.TempDir()
	for _, name := range append(slices.Sorted(maps.Keys(files())), "one.pem", "two.pem") {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := compare(t, f, load(t, other, plain().text()))
	if len(r.Opened)+len(r.Closed) > 0 || r.Tried < 50 {
		t.Errorf("%+v", r)
	}
}

// written is a configuration of one host with the endpoints of an API named orders, and what else it says.
func written(endpoints, more string) string {
	return `hosts:
  api.example.com: {certificate: local, client_certificates: ask}
issuers:
  corp: {url: https://login.example.com, jwks: keys.json, audience: orders, may_grant: ["a:*"]}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    endpoints:
` + endpoints + more + `scopes: {a:read: Read, a:write: Write}
`
}

// opened compares two configurations, and the reverse, and returns what the new one opens.
func opened(t *testing.T, older, newer string) []against.Door {
	t.Helper()
	dir := folder(t)
	one, other := load(t, dir, older), load(t, dir, newer)
	there, back := compare(t, one, other), compare(t, other, one)
	if len(there.Opened) != len(back.Closed) || len(there.Closed) != len(back.Opened) {
		t.Errorf("there %d opened and %d closed, back %d and %d", len(there.Opened), len(there.Closed), len(back.Opened), len(back.Closed))
	}
	return there.Opened
}

// An endpoint that goes leaves its requests to a wider pattern, behind which they need another credential: no request
// that either of the two takes as its own shows that.
func TestAnEndpointThatGoesLeavesItsRequestsToAnother(t *testing.T) {
	exact := "      GET /v1/orders/secret: {shield: {jwt: {issuer: corp}}, scopes: [a:write]}\n"
	wide := "      GET /v1/orders/{id}: {shield: api_key, scopes: [a:read]}\n"
	doors := opened(t, written(exact+wide, ""), written(wide, ""))
	if len(doors) == 0 || doors[0].Path != "/v1/orders/secret" || doors[0].Pattern != "GET /v1/orders/{id}" || !strings.Contains(doors[0].With, "API key") {
		t.Errorf("opened: %+v", doors)
	}
	if doors := opened(t, written(wide, ""), written(exact+wide, "")); slices.ContainsFunc(doors, func(d against.Door) bool { return !strings.Contains(d.With, "JWT") }) {
		t.Errorf("the reverse opens more than it does: %+v", doors)
	}
}

// What a signature may cover is bounded by its shield: that shows in long bodies that are signed, and in nothing else.
func TestWhatWidensBehindOneWayInIsFound(t *testing.T) {
	signed := func(size string) string {
		return "      POST /v1/orders: {shield: {any: [{jwt: {issuer: corp}}, {hmac: {max_body: " + size + "}}]}, scopes: [a:write], max_body: 256KiB}\n"
	}
	doors := opened(t, written(signed("16KiB"), ""), written(signed("64KiB"), ""))
	if len(doors) != 1 || !strings.Contains(doors[0].With, "signature") || !strings.Contains(doors[0].With, "64KiB") {
		t.Errorf("opened: %+v", doors)
	}
	if doors := opened(t, written(signed("64KiB"), ""), written(signed("16KiB"), "")); len(doors) != 0 {
		t.Errorf("the reverse opens %+v", doors)
	}
}

// However much changes, the last change counts like the first.
func TestNoChangeIsTooFarBack(t *testing.T) {
	apis := func(timeout, last string) string {
		var b strings.Builder
		for i := range 120 {
			fmt.Fprintf(&b, "  api-%03[1]d:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n    timeout: %[2]s\n    endpoints:\n      GET /v1/api-%03[1]d: {shield: api_key, scopes: [a:read], timeout: %[2]s}\n", i, timeout)
		}
		return b.String() + "  zebra:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n    endpoints:\n      GET /v1/zebra: {shield: api_key, scopes: " + last + "}\n"
	}
	health := "      GET /health: {shield: {public: a load balancer asks here}, scopes: any}\n"
	dir := folder(t)
	older, newer := load(t, dir, written(health, apis("20s", "[a:read]"))), load(t, dir, written(health, apis("21s", "any")))
	if changes := config.Changes(older, newer); len(changes) <= 200 {
		t.Fatalf("%d changes are too few", len(changes))
	}
	r := compare(t, older, newer)
	if len(r.Opened) == 0 || r.Opened[0].Pattern != "GET /v1/zebra" {
		t.Errorf("opened %+v", r.Opened)
	}
}

// What a pattern leaves open at its end is more than one segment: each form of it is a door.
func TestAnOpenEndIsTriedAtEveryForm(t *testing.T) {
	at := func(patterns ...string) string {
		text := ""
		for _, pattern := range patterns {
			text += "      GET " + pattern + ": {shield: api_key, scopes: [a:read]}\n"
		}
		return written(text, "")
	}
	for name, c := range map[string]struct{ older, newer, want string }{
		"one segment becomes many":       {at("/files/{name}"), at("/files/{name...}"), "/files/7/7"},
		"none is let in too":             {at("/files/{name}", "/files/{name}/{rest...}"), at("/files/{name...}"), "/files/"},
		"a slash at the end":             {at("/files/{name}"), at("/files/{name}", "/files/{name}/{$}"), "/files/7/"},
		"deeper than all that there was": {at("/files/{a}", "/files/{a}/{b}", "/files/{a}/{b}/{c}"), at("/files/{name...}"), "/files/7/7/7/7"},
		"at the root":                    {at("/{name}"), at("/{name...}"), "/7/7"},
	} {
		t.Run(name, func(t *testing.T) {
			doors := opened(t, c.older, c.newer)
			if !slices.ContainsFunc(doors, func(d against.Door) bool { return d.Path == c.want }) {
				t.Errorf("nothing is opened at %s: %+v", c.want, doors)
			}
		})
	}
}

// A door that is proved says nothing of what else differs: each setting is told for itself.
func TestADoorHidesNoOtherDifference(t *testing.T) {
	const path = "apis.orders.endpoints.GET /v1/orders."
	at := func(settings string) string {
		return "      GET /v1/files/{a}: {shield: api_key, scopes: [a:read]}\n      GET /v1/orders: {shield: " + settings + "}\n"
	}
	key := "api_key, scopes: [a:read]"
	for name, c := range map[string]struct {
		older, newer string
		unproved     []string
	}{
		"outside of APIs": {
			written(at(key), "limits: {wrong_tries: 5}\n"), written(at("api_key, scopes: any"), "limits: {wrong_tries: 5000}\n"), nil,
		},
		"a limit of addresses alone": {
			written(at(key), "limits: {address: 100/minute}\n"), written(at(key), "limits: {address: 200/minute}\n"), nil,
		},
		"another setting of the endpoint": {
			written(at(key+", max_body: 1KiB"), ""), written(at("api_key, scopes: any, max_body: 2KiB"), ""), []string{path + "max_body"},
		},
		"a setting of the shield, and behind it": {
			written(at("{api_key: {environment: live}}, scopes: [a:read]"), ""), written(at("{api_key: {environment: any}}, scopes: any"), ""), []string{path + "scopes"},
		},
		"a rate, and one that is high": {
			written(at(key+", limit: 9/minute per client, quota: 90000/month per client"), ""),
			written(at(key+", limit: 20/minute per client, quota: 95000/month per client"), ""),
			nil,
		},
		"what only the edge bounds": {
			written(at(key), "limits: {header_bytes: 8KiB}\n"), written(at("api_key, scopes: any"), "limits: {header_bytes: 64KiB}\n"), []string{"limits.header_bytes"},
		},
		"a quota": {
			written(at(key+", quota: 9/month per client"), ""), written(at(key+", quota: 20/month per client"), ""), nil,
		},
		"an issuer that the door does not use": {
			written(at(key), ""), strings.Replace(written(at("api_key, scopes: any"), ""), "audience: orders", "audience: others", 1), []string{"issuers.corp.audience"},
		},
		"an issuer that the door uses": {
			written(at("{jwt: {issuer: corp}}, scopes: [a:read]"), ""),
			strings.Replace(written(at("{jwt: {issuer: corp}}, scopes: [a:read]"), ""), "audience: orders", "audience: [orders, others]", 1), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			r := compare(t, load(t, dir, c.older), load(t, dir, c.newer))
			var told []string
			for _, f := range against.Report("new", r, time.Now()).Findings {
				if f.Rule == "difference-unproved" {
					told = append(told, f.Where.Path)
					if strings.Contains(f.What, f.Where.Path) {
						t.Errorf("the place is told twice: %s  %s", f.Where.Path, f.What)
					}
				}
			}
			if !slices.Equal(told, c.unproved) {
				t.Errorf("told are %q, not %q; doors: %+v %+v", told, c.unproved, r.Opened, r.Closed)
			}
		})
	}
}
