package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const contractYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    openapi: orders.openapi.yaml
    shield: api_key
    scopes: [orders:write]
    endpoints:
      GET /v1/orders/{id}: {}
      POST /v1/orders: {}
scopes: {orders:write: Place orders}
`

const contract = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
servers: [{url: https://api.example.com/v1}]
paths:
  /orders/{id}:
    get:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer, minimum: 1}}
        - {name: limit, in: query, schema: {type: integer, maximum: 100}}
      responses: {"200": {description: one}}
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [item]
              properties:
                id: {type: integer, readOnly: true}
                item: {type: string, maxLength: 20}
                free: {}
          multipart/form-data:
            schema: {type: object, required: [item], properties: {item: {type: string}, photo: {type: string, format: binary}}}
          application/xml:
            schema: {type: object, xml: {name: order}, required: [item], properties: {item: {type: string, maxLength: 20}}}
      responses: {"201": {description: made}}
`

// What an attacker puts into a body, a query or a path does not reach the upstream; the answer
// and the event say where and why, and hold no value.
func TestOnlyWhatTheContractAllowsReachesTheUpstream(t *testing.T) {
	attacktest.Rows(t, 102, 103, 104, 105, 106, 108, 109)
	g := harness.Start(t, harness.Config{YAML: contractYAML, Files: map[string]string{"orders.openapi.yaml": contract}})
	key := g.Issue("api_key", "shop")
	send := func(method, target, body string, headers ...string) harness.Answer {
		r := g.Request(method, target, body)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header[http.CanonicalHeaderKey(headers[i])] = strings.Split(headers[i+1], "\n")
		}
		r.Header.Set("X-API-Key", key.Secret)
		return g.Do(r)
	}
	g.Accepted(send("GET", "/v1/orders/7?limit=100", ""))
	g.Accepted(send("POST", "/v1/orders", `{"item":"tea","free":[1,{"a":null}]}`))
	const form, xml = "multipart/form-data; boundary=b", "application/xml"
	part := func(name, text string) string {
		return "--b\r\nContent-Disposition: form-data; name=" + name + "\r\n\r\n" + text + "\r\n"
	}
	g.Accepted(send("POST", "/v1/orders", part(`"item"`, "tea")+part(`"photo"; filename="a.png"`, "\x00\xff")+"--b--\r\n", "Content-Type", form))
	g.Accepted(send("POST", "/v1/orders", `<?xml version="1.0"?><order><item>tea</item></order>`, "Content-Type", xml))
	reached := len(g.Upstream.Requests())

	g.Plant("canary-value")
	for name, c := range map[string]struct {
		answer harness.Answer
		status int
		code   shield.Code
		says   string
	}{
		"a number that is none":        {send("GET", "/v1/orders/seven", ""), 400, shield.InvalidInput, `"in":"path","pointer":"/id","rule":"type"`},
		"beyond a bound":               {send("GET", "/v1/orders/7?limit=1000000000", ""), 400, shield.InvalidInput, `"rule":"maximum"`},
		"undeclared in the query":      {send("GET", "/v1/orders/7?debug=canary-value", ""), 400, shield.InvalidInput, `"pointer":"/debug","rule":"undeclared"`},
		"undeclared in the body":       {send("POST", "/v1/orders", `{"item":"tea","admin":"canary-value"}`), 400, shield.InvalidInput, `"pointer":"/admin","rule":"undeclared"`},
		"the server's to say":          {send("POST", "/v1/orders", `{"item":"tea","id":7}`), 400, shield.InvalidInput, `"pointer":"/id"`},
		"a name twice":                 {send("POST", "/v1/orders", `{"item":"tea","item":"canary-value"}`), 400, shield.InvalidInput, `"rule":"form"`},
		"NaN":                          {send("POST", "/v1/orders", `{"item":"tea","free":NaN}`), 400, shield.InvalidInput, `"rule":"form"`},
		"half a surrogate":             {send("POST", "/v1/orders", `{"item":"\ud800"}`), 400, shield.InvalidInput, `"rule":"form"`},
		"a byte order mark":            {send("POST", "/v1/orders", "\xef\xbb\xbf{\"item\":\"tea\"}"), 400, shield.InvalidInput, `"rule":"form"`},
		"UTF-16":                       {send("POST", "/v1/orders", "{\x00\"\x00"), 400, shield.InvalidInput, `"rule":"form"`},
		"a trailing comma":             {send("POST", "/v1/orders", `{"item":"tea",}`), 400, shield.InvalidInput, `"rule":"form"`},
		"a comment":                    {send("POST", "/v1/orders", `{"item":"tea"/*x*/}`), 400, shield.InvalidInput, `"rule":"form"`},
		"1e400":                        {send("POST", "/v1/orders", `{"item":"tea","free":1e400}`), 400, shield.InvalidInput, `"rule":"form"`},
		"2^53 and one":                 {send("POST", "/v1/orders", `{"item":"tea","free":9007199254740993}`), 400, shield.InvalidInput, `"rule":"form"`},
		"ten thousand deep":            {send("POST", "/v1/orders", `{"item":"tea","free":`+strings.Repeat("[", 10_000)), 400, shield.InvalidInput, `"rule":"form"`},
		"no media type":                {send("POST", "/v1/orders", `{"item":"tea"}`, "Content-Type", ""), 415, shield.UnsupportedMedia, ""},
		"another charset":              {send("POST", "/v1/orders", `{"item":"tea"}`, "Content-Type", "application/json; charset=utf-7"), 415, shield.UnsupportedMedia, ""},
		"another type":                 {send("POST", "/v1/orders", `item=tea`, "Content-Type", "application/x-www-form-urlencoded"), 415, shield.UnsupportedMedia, ""},
		"compressed":                   {send("POST", "/v1/orders", gzipped(`{"item":"tea"}`), "Content-Encoding", "gzip"), 415, shield.UnsupportedMedia, ""},
		"an unknown coding":            {send("POST", "/v1/orders", `{"item":"tea"}`, "Content-Encoding", "x-none"), 415, shield.UnsupportedMedia, ""},
		"a body where there is none":   {send("GET", "/v1/orders/7", `{"item":"tea"}`), 400, shield.InvalidInput, `"in":"body"`},
		"no body where there is one":   {send("POST", "/v1/orders", ""), 400, shield.InvalidInput, `"rule":"required"`},
		"ten thousand parts":           {send("POST", "/v1/orders", strings.Repeat(part(`"item"`, "tea"), 10_000)+"--b--\r\n", "Content-Type", form), 400, shield.InvalidInput, `"rule":"form"`},
		"no boundary":                  {send("POST", "/v1/orders", part(`"item"`, "tea")+"--b--\r\n", "Content-Type", "multipart/form-data"), 400, shield.InvalidInput, `"rule":"form"`},
		"a boundary in need of quotes": {send("POST", "/v1/orders", part(`"item"`, "tea")+"--b--\r\n", "Content-Type", `multipart/form-data; boundary="b "`), 400, shield.InvalidInput, `"rule":"form"`},
		"a file that leads elsewhere":  {send("POST", "/v1/orders", part(`"item"`, "tea")+part(`"photo"; filename="../canary-value"`, "x")+"--b--\r\n", "Content-Type", form), 400, shield.InvalidInput, `"rule":"form"`},
		"a part twice":                 {send("POST", "/v1/orders", part(`"item"`, "tea")+part(`"item"`, "x")+"--b--\r\n", "Content-Type", form), 400, shield.InvalidInput, `"rule":"form"`},
		"XXE":                          {send("POST", "/v1/orders", `<!DOCTYPE order [<!ENTITY x SYSTEM "file:///etc/passwd">]><order><item>&x;</item></order>`, "Content-Type", xml), 400, shield.InvalidInput, `"rule":"form"`},
		"billion laughs":               {send("POST", "/v1/orders", `<!DOCTYPE order [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><order><item>&b;</item></order>`, "Content-Type", xml), 400, shield.InvalidInput, `"rule":"form"`},
		"another verb":                 {send("PUT", "/v1/orders/7", ""), 405, shield.MethodNotAllowed, ""},
		"another path":                 {send("GET", "/v1/order/7", ""), 404, shield.UnknownEndpoint, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g.T = t
			g.Refused(c.answer, c.status, c.code)
			if !strings.Contains(string(c.answer.Body), c.says) {
				t.Errorf("%s does not say %s", c.answer.Body, c.says)
			}
			if !json.Valid(c.answer.Body) {
				t.Errorf("the answer is no JSON: %s", c.answer.Body)
			}
		})
	}
	g.T = t
	if n := len(g.Upstream.Requests()); n != reached {
		t.Errorf("%d requests reached the upstream", n-reached)
	}
}

// A million names are refused long before they fill the memory.
func TestAMillionNamesAreBounded(t *testing.T) {
	attacktest.Rows(t, 102)
	g := harness.Start(t, harness.Config{YAML: contractYAML, Files: map[string]string{"orders.openapi.yaml": contract}})
	key := g.Issue("api_key", "shop")
	var body strings.Builder
	body.WriteString(`{"item":"tea","free":{`)
	for i := range 1_000_000 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(`"`)
		for n := i; ; n /= 26 {
			body.WriteByte('a' + byte(n%26))
			if n < 26 {
				break
			}
		}
		body.WriteString(`":1`)
	}
	body.WriteString(`}}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := g.Request("POST", "/v1/orders", body.String())
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", key.Secret)
	g.Refused(g.Do(r), 400, shield.InvalidInput)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 200<<20 {
		t.Errorf("%d MiB were allocated for a body of %d", grown>>20, body.Len()>>20)
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

const bodySchemaYAML = `
hosts: {127.0.0.1: {certificate: local}}
apis:
  hooks:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: [hooks:write]
    endpoints:
      POST /v1/hooks: {body_schema: hook.schema.json}
      POST /v1/others: {}
scopes: {hooks:write: Send hooks}
`

func TestAPlainSchemaHoldsTheBodiesOfOneEndpoint(t *testing.T) {
	attacktest.Rows(t, 108)
	const hook = `{"type": "object", "required": ["kind"], "properties": {"kind": {"enum": ["made", "gone"]}}}`
	g := harness.Start(t, harness.Config{YAML: bodySchemaYAML, Files: map[string]string{"hook.schema.json": hook}})
	key := g.Issue("api_key", "shop")
	send := func(target, body string) harness.Answer {
		r := g.Request("POST", target, body)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", key.Secret)
		return g.Do(r)
	}
	g.Accepted(send("/v1/hooks", `{"kind":"made"}`))
	g.Accepted(send("/v1/others", `{"kind":"lost"}`))
	g.Refused(send("/v1/hooks", `{"kind":"lost"}`), 400, shield.InvalidInput)
	g.Refused(send("/v1/hooks", `{"kind":"made","admin":true}`), 400, shield.InvalidInput)
	g.Refused(send("/v1/hooks", ``), 400, shield.InvalidInput)
}
