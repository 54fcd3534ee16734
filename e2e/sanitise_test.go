package e2e

import (
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const sanitiseYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    openapi: orders.openapi.yaml
    shield: api_key
    scopes: [orders:write]
    sanitise:
      - {field: body, do: strip_undeclared}
      - {field: query, do: strip_undeclared}
      - {field: body /comment, do: [trim, controls, invisible, nfc, decode, text]}
    endpoints:
      GET /v1/orders:
        sanitise: [{field: query q, do: [decode, text, trim]}]
      POST /v1/orders:
        sanitise: [{field: body /name, do: [invisible, confusables], refuse: true}]
scopes: {orders:write: Place orders}
`

const sanitiseContract = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /v1/orders:
    get:
      parameters: [{name: q, in: query, schema: {type: string, maxLength: 20}}]
      responses: {"200": {description: found}}
    post:
      requestBody:
        content:
          application/json: {schema: {$ref: "#/components/schemas/Order"}}
          application/x-www-form-urlencoded: {schema: {$ref: "#/components/schemas/Order"}}
      responses: {"201": {description: made}}
components:
  schemas:
    Order: {type: object, properties: {id: {type: integer, readOnly: true}, name: {type: string}, comment: {type: string, maxLength: 20}, price: {type: number}}}
`

// The upstream gets the cleaned input, whole and with a length that is right; the contract has
// judged it, and the event says what was changed.
func TestTheUpstreamGetsCleanedInput(t *testing.T) {
	attacktest.Rows(t, 171)
	g := harness.Start(t, harness.Config{YAML: sanitiseYAML, Files: map[string]string{"orders.openapi.yaml": sanitiseContract}})
	key := g.Issue("api_key", "shop")
	send := func(method, target, media, body string) harness.Answer {
		r := g.Request(method, target, body)
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		r.Header.Set("X-API-Key", key.Secret)
		r.Header.Set("Content-Digest", "sha-256=:b2xk:")
		return g.Do(r)
	}
	const json, form = "application/json", "application/x-www-form-urlencoded"
	g.Plant("canary-value")
	for name, c := range map[string]struct{ method, target, media, body, wantTarget, wantBody, changed string }{
		"nothing to clean":       {"POST", "/v1/orders", json, `{"name": "Ada", "price": 1.50}`, "/v1/orders", `{"name": "Ada", "price": 1.50}`, ""},
		"a comment":              {"POST", "/v1/orders", json, `{ "price":1.50, "comment":"  <b>Hi</b><script>x</script>\u0000\u202e " }`, "/v1/orders", `{ "price":1.50, "comment":"Hi" }`, "trim=1 controls=1 invisible=1 text=1"},
		"encoded twice":          {"POST", "/v1/orders", json, `{"comment":"%253Cscript%253Ex&amp;lt;/script&amp;gt;ok"}`, "/v1/orders", `{"comment":"ok"}`, "decode=1 text=1"},
		"undeclared":             {"POST", "/v1/orders", json, `{"admin":"canary-value","name":"Ada","id":7}`, "/v1/orders", `{"name":"Ada"}`, "strip_undeclared=2"},
		"undeclared, in a query": {"GET", "/v1/orders?debug=canary-value&q=tea", "", "", "/v1/orders?q=tea", "", "strip_undeclared=1"},
		"nothing is left":        {"GET", "/v1/orders?debug=1", "", "", "/v1/orders", "", "strip_undeclared=1"},
		"a query":                {"GET", "/v1/orders?q=%253Cb%253Etea%2B", "", "", "/v1/orders?q=tea%2B", "", "decode=1 text=1"},
		"a form":                 {"POST", "/v1/orders", form, `name=Ada&comment=+%3Cb%3Etea&x=1`, "/v1/orders", `name=Ada&comment=tea`, "strip_undeclared=1 trim=1 text=1"},
	} {
		e := g.Accepted(send(c.method, c.target, c.media, c.body))
		seen := g.Upstream.Last(t)
		if seen.Target != c.wantTarget || string(seen.Body) != c.wantBody || e.Changed != c.changed {
			t.Errorf("%s: the upstream got %s %s, changed %q", name, seen.Target, seen.Body, e.Changed)
		}
		if _, there := seen.Header["Content-Digest"]; there && c.changed != "" && c.body != "" {
			t.Errorf("%s: the upstream got a digest of other bytes", name)
		}
	}
	reached := len(g.Upstream.Requests())
	for name, c := range map[string]struct {
		answer harness.Answer
		code   shield.Code
		says   string
	}{
		"a name that looks like another": {send("POST", "/v1/orders", json, `{"name":"pаypal"}`), shield.InvalidInput, `"pointer":"/name","rule":"confusables"`},
		"a name twice":                   {send("POST", "/v1/orders", json, `{"name":"a","name":"canary-value"}`), shield.InvalidInput, `"rule":"form"`},
		"too long, cleaned":              {send("POST", "/v1/orders", json, `{"comment":" `+strings.Repeat("x", 21)+` "}`), shield.InvalidInput, `"pointer":"/comment","rule":"maxLength"`},
		"encoded deeper than anybody":    {send("GET", "/v1/orders?q=%25"+strings.Repeat("25", 30)+"41", "", ""), shield.InvalidInput, `"pointer":"/q","rule":"decode"`},
	} {
		g.Refused(c.answer, 400, c.code)
		if !strings.Contains(string(c.answer.Body), c.says) {
			t.Errorf("%s: %s", name, c.answer.Body)
		}
	}
	g.Refused(send("POST", "/v1/orders", "application/xml", `<order/>`), 415, shield.UnsupportedMedia)
	if len(g.Upstream.Requests()) != reached {
		t.Error("the upstream saw what was refused")
	}
}
