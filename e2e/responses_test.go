package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const responsesYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
apis:
  people:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    openapi: people.openapi.yaml
    shield: api_key
    scopes: [people:read]
    responses:
      detect: {card: mask, email: mask, iban: mask, key: block, jwt: block, private_key: block, trace: block}
      max_body: 64KiB
    endpoints:
      GET /people/{id}: {}
      GET /strip: {responses: {contract: strip}}
      GET /report: {responses: {contract: report, detect: {card: report}}}
      GET /off: {responses: {contract: "off", max_body: 64KiB}}
      GET /tried:
        responses: {detect: [card, trace], max_body: 1KiB}
        insecure_report_only: [{what: responses, until: "2099-12-31", reason: first we look what it would refuse}]
      GET /stream: {responses: {detect: [card], insecure_stream: [{media: text/event-stream, reason: it holds the numbers of orders alone}]}}
      GET /old: {}
      GET /gone: {}
      GET /raw: {insecure_undescribed: an old page that nobody has described, responses: {detect: [card, email, trace, key], max_body: 64KiB}}
scopes: {people:read: See people, people:pii: See all about people}
`

const peopleContract = `
openapi: 3.1.0
info: {title: People, version: "1"}
paths:
  /people/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {$ref: "#/components/responses/Person"}, "204": {description: nobody}, "404": {description: none, content: {application/problem+json: {schema: {type: object, properties: {title: {type: string}}}}}}}
  /strip: {get: {responses: {"200": {$ref: "#/components/responses/Person"}}}}
  /report: {get: {responses: {"200": {$ref: "#/components/responses/Person"}}}}
  /off: {get: {responses: {"200": {$ref: "#/components/responses/Person"}}}}
  /tried: {get: {responses: {"200": {$ref: "#/components/responses/Person"}}}}
  /stream: {get: {responses: {"200": {description: events, content: {text/event-stream: {schema: {type: string}}}}}}}
  /old: {get: {deprecated: true, x-deprecated-at: "2026-01-01", x-sunset: "2098-12-31", responses: {"200": {$ref: "#/components/responses/Person"}}}}
  /gone: {get: {x-sunset: "2020-12-31", responses: {"200": {$ref: "#/components/responses/Person"}}}}
components:
  responses:
    Person:
      description: one
      content:
        application/json:
          schema:
            type: object
            required: [name]
            properties:
              name: {type: string}
              note: {}
              password: {type: string, writeOnly: true}
              birth: {type: string, x-pavise-sensitive: mask, x-pavise-scopes: [people:pii]}
              salary: {type: number, x-pavise-sensitive: remove, x-pavise-scopes: [people:pii]}
`

// said is what the upstream answers next.
type said struct {
	status int
	header map[string]string
	body   string
}

// What an upstream should not have said does not leave: it is masked, taken out, or answered
// with 502, and the event tells where and why, and no value.
func TestWhatShouldNotLeaveDoesNot(t *testing.T) {
	attacktest.Rows(t, 113)
	var next said
	g := harness.Start(t, harness.Config{
		YAML: responsesYAML, Files: map[string]string{"people.openapi.yaml": peopleContract},
		Clients: []client.Client{{ID: "shop", Scopes: shield.Scopes{"people:read"}}, {ID: "hr", Scopes: shield.Scopes{"people:read", "people:pii"}}},
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("asked with %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header()["Content-Type"] = []string{"application/json"}
			w.Header().Set("ETag", `"1"`)
			for name, value := range next.header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(next.status)
			for piece := range strings.SplitAfterSeq(next.body, ",") { // as a stream
				_, _ = io.WriteString(w, piece)
				w.(http.Flusher).Flush()
			}
		}),
	})
	shop, hr := g.Issue("api_key", "shop"), g.Issue("api_key", "hr")
	g.Plant("canary-value")
	g.Plant("4111111111111111")
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	html := map[string]string{"Content-Type": "text/html"}
	for name, c := range map[string]struct {
		as      shield.Credential
		path    string
		said    said
		status  int
		want    string // the body; of 502, the detail of the event
		changed string
		would   string
	}{
		"as declared":           {shop, "/people/7", said{200, nil, `{"name":"Ada", "note":[1.50,"\u003c"]}`}, 200, `{"name":"Ada", "note":[1.50,"\u003c"]}`, "", ""},
		"nothing":               {shop, "/people/7", said{204, nil, ""}, 204, "", "", ""},
		"a problem":             {shop, "/people/7", said{404, map[string]string{"Content-Type": "application/problem+json"}, `{"title":"no"}`}, 404, `{"title":"no"}`, "", ""},
		"a card":                {shop, "/people/7", said{200, nil, `{"name":"4111 1111 1111 1111","note":4111111111111111}`}, 200, `{"name":"************1111","note":"************1111"}`, "card=2", ""},
		"an address, escaped":   {shop, "/people/7", said{200, nil, `{"name":"\u0061da\u0040example.com"}`}, 200, `{"name":"a***@example.com"}`, "email=1", ""},
		"sensitive":             {shop, "/people/7", said{200, nil, `{"name":"Ada", "birth":"1815-12-10", "salary":9e4}`}, 200, `{"name":"Ada", "birth":"***"}`, "masked=1 removed=1", ""},
		"for those who may":     {hr, "/people/7", said{200, nil, `{"name":"Ada", "birth":"1815-12-10", "salary":9e4}`}, 200, `{"name":"Ada", "birth":"1815-12-10", "salary":9e4}`, "", ""},
		"undeclared":            {shop, "/people/7", said{200, nil, `{"name":"Ada","hash":"canary-value"}`}, 502, "body /hash undeclared", "", ""},
		"the client's to say":   {shop, "/people/7", said{200, nil, `{"name":"Ada","password":"canary-value"}`}, 502, "body /password undeclared", "", ""},
		"missing":               {shop, "/people/7", said{200, nil, `{"note":"canary-value"}`}, 502, "body /name required", "", ""},
		"another status":        {shop, "/people/7", said{500, nil, `{"name":"canary-value"}`}, 502, "status /500 undeclared", "", ""},
		"another media type":    {shop, "/people/7", said{200, html, "canary-value"}, 502, "header /Content-Type undeclared", "", ""},
		"a key":                 {shop, "/people/7", said{200, nil, `{"name":"AKIA` + `IOSFODNN7EXAMPLE"}`}, 502, "body /name key", "", ""},
		"a token":               {shop, "/people/7", said{200, nil, `{"name":"Ada","note":["` + jwt + `"]}`}, 502, "body /note/0 jwt", "", ""},
		"a private key":         {shop, "/people/7", said{200, nil, `{"name":"-----BEGIN PRIVATE KEY-----\nMIIE"}`}, 502, "body /name private_key", "", ""},
		"a trace":               {shop, "/people/7", said{200, nil, `{"name":"Error: canary-value\n    at find (\/srv\/orders.js:12:7)"}`}, 502, "body /name trace", "", ""},
		"a card as a name":      {shop, "/people/7", said{200, nil, `{"name":"Ada","note":{"4111111111111111":1}}`}, 502, "body /note/* card", "", ""},
		"compressed":            {shop, "/people/7", said{200, map[string]string{"Content-Encoding": "gzip"}, gzipped(`{"name":"canary-value"}`)}, 502, "header /Content-Encoding form", "", ""},
		"a piece":               {shop, "/people/7", said{206, map[string]string{"Content-Range": "bytes 0-3/9"}, `{"name":"canary-value"}`}, 502, "status /206 undeclared", "", ""},
		"too long":              {shop, "/people/7", said{200, nil, `{"name":"canary-value` + strings.Repeat(",", 64<<10) + `"}`}, 502, "the answer is longer than the 65536 bytes that are judged", "", ""},
		"bytes":                 {shop, "/people/7", said{200, map[string]string{"Content-Type": "application/octet-stream"}, "canary-value"}, 502, "header /Content-Type undeclared", "", ""},
		"stripped":              {shop, "/strip", said{200, nil, `{"name":"Ada", "hash":"canary-value" ,"note":1.0}`}, 200, `{"name":"Ada" ,"note":1.0}`, "stripped=1", ""},
		"not to be stripped":    {shop, "/strip", said{200, nil, `{"name":7,"hash":"canary-value"}`}, 502, "body /hash undeclared; body /name type", "", ""},
		"reported":              {shop, "/report", said{200, nil, `{"name":"Ada","hash":"x","note":"4000056655665556"}`}, 200, `{"name":"Ada","hash":"x","note":"4000056655665556"}`, "", "responses invalid_answer body undeclared /hash; responses invalid_answer body card /note"},
		"sensitive in any case": {shop, "/off", said{200, nil, `{"any":1,"birth":"canary-value"}`}, 200, `{"any":1,"birth":"***"}`, "masked=1", ""},
		"tried":                 {shop, "/tried", said{200, nil, `{"nome":"4000056655665556","birth":"1815"}`}, 200, `{"nome":"4000056655665556","birth":"1815"}`, "", "responses invalid_answer body required /name"},
		"tried, and masked":     {shop, "/tried", said{200, nil, `{"name":"4000056655665556","birth":"1815"}`}, 200, `{"name":"4000056655665556","birth":"1815"}`, "", "responses change body masked; responses change body card"},
		"tried, and too long":   {shop, "/tried", said{200, nil, `{"name":"` + strings.Repeat("a,", 1<<10) + `"}`}, 200, `{"name":"` + strings.Repeat("a,", 1<<10) + `"}`, "", "responses invalid_answer body maxLength"},
		"tried, and bytes":      {shop, "/tried", said{200, map[string]string{"Content-Type": "image/png"}, "\x89PNG"}, 200, "\x89PNG", "", "responses invalid_answer header undeclared /Content-Type"},
		"a stream":              {shop, "/stream", said{200, map[string]string{"Content-Type": "text/event-stream"}, "data: 4000056655665556\n\n"}, 200, "data: 4000056655665556\n\n", "", ""},
		"a page":                {shop, "/raw", said{200, html, "<p>ada@example.com 4111-1111-1111-1111</p>"}, 200, "<p>a***@example.com ************1111</p>", "card=1 email=1", ""},
		"a page of an error":    {shop, "/raw", said{500, html, "<pre>PHP Fatal error in /srv/canary-value.php on line 3</pre>"}, 502, "body / trace", "", ""},
		"a page in UTF-16":      {shop, "/raw", said{200, map[string]string{"Content-Type": "text/html; charset=utf-16"}, "c\x00a\x00"}, 502, "header /Content-Type undeclared", "", ""},
		"a stream, unannounced": {shop, "/raw", said{200, map[string]string{"Content-Type": "text/event-stream"}, "data: canary-value\n\n"}, 502, "header /Content-Type undeclared", "", ""},
		"an old one":            {shop, "/old", said{200, nil, `{"name":"Ada"}`}, 200, `{"name":"Ada"}`, "", ""},
	} {
		next = c.said
		r := g.Request("GET", c.path, "")
		r.Header.Set("X-API-Key", c.as.Secret)
		answer := g.Do(r)
		e := g.Event(answer.ID)
		if c.status == 502 && c.said.status != 502 {
			if answer.Status != 502 || answer.Code != string(shield.BadAnswer) || e.Decision != audit.Failed || e.Detail != c.want || e.Step != "response" {
				t.Errorf("%s: %d %s, event %s %s %q, want %q", name, answer.Status, answer.Code, e.Step, e.Decision, e.Detail, c.want)
			}
			continue
		}
		if answer.Status != c.status || string(answer.Body) != c.want || e.Changed != c.changed || e.Would != c.would {
			t.Errorf("%s: %d %s, changed %q, would %q; %s", name, answer.Status, answer.Body, e.Changed, e.Would, e.Detail)
		}
		if kept := answer.Header.Get("ETag") != ""; kept != (c.changed == "") {
			t.Errorf("%s: the headers are %v", name, answer.Header)
		}
		if old := c.path == "/old"; old != (answer.Header.Get("Deprecation") == "@1767225600" && answer.Header.Get("Sunset") == "Wed, 31 Dec 2098 23:59:59 GMT") {
			t.Errorf("%s: the headers are %v", name, answer.Header)
		}
	}
	reached := len(g.Upstream.Requests())
	r := g.Request("GET", "/gone", "")
	r.Header.Set("X-API-Key", shop.Secret)
	gone := g.Do(r)
	g.Refused(gone, 410, shield.Sunset)
	if gone.Header.Get("Sunset") == "" || len(g.Upstream.Requests()) != reached {
		t.Errorf("what is gone reached the upstream, or does not say since when: %v", gone.Header)
	}
	r = g.Request("HEAD", "/people/7", "")
	r.Header.Set("X-API-Key", shop.Secret)
	next = said{200, nil, ""}
	if a := g.Do(r); a.Status != 200 || a.Header.Get("ETag") != "" {
		t.Errorf("HEAD: %d %v", a.Status, a.Header)
	}
	next = said{418, nil, ""}
	if a := g.Do(r.Clone(t.Context())); a.Status != 502 {
		t.Errorf("HEAD of what is not declared: %d", a.Status)
	}
}

// An upstream that never ends does not keep its caller waiting, nor the gateway's memory.
func TestAnEndlessAnswerIsCutOffWhereItIsTooLong(t *testing.T) {
	attacktest.Rows(t, 113)
	ended := make(chan struct{})
	g := harness.Start(t, harness.Config{
		YAML: responsesYAML, Files: map[string]string{"people.openapi.yaml": peopleContract},
		Clients: []client.Client{{ID: "shop", Scopes: shield.Scopes{"people:read"}}},
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}),
	})
	r := g.Request("GET", "/people/7", "")
	r.Header.Set("X-API-Key", g.Issue("api_key", "shop").Secret)
	if a := g.Do(r); a.Status != 502 || a.Code != string(shield.BadAnswer) {
		t.Errorf("%d %s", a.Status, a.Code)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the upstream goes on")
	}
}
