package schema_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const orders = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
servers: [{url: https://api.example.com/v1}]
paths:
  /orders/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer, minimum: 1}}
    get:
      parameters:
        - {name: view, in: query, schema: {enum: [short, long]}}
        - {name: limit, in: query, schema: {type: integer, maximum: 100}}
        - {name: tag, in: query, schema: {type: array, items: {type: string, maxLength: 5}, maxItems: 3}}
        - {name: X-Trace, in: header, schema: {type: string, format: uuid}}
        - {name: theme, in: cookie, schema: {enum: [dark, light]}}
      responses: {"200": {description: one}}
    delete:
      deprecated: true
      responses: {"204": {description: gone}}
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/Order"}}
          application/x-www-form-urlencoded: {schema: {$ref: "#/components/schemas/Note"}}
          image/png: {schema: {type: string, format: binary}}
      responses: {"201": {description: made}}
components:
  schemas:
    Order:
      type: object
      required: [id, item, count]
      properties:
        id: {type: integer, readOnly: true}
        item: {type: string, pattern: "^[A-Z]-[0-9]{1,4}$"}
        count: {type: integer, minimum: 1, maximum: 99, format: int32}
        note: {type: [string, "null"], maxLength: 20}
        when: {type: string, format: date-time}
        to: {$ref: "#/components/schemas/Address"}
        pay: {oneOf: [{$ref: "#/components/schemas/Card"}, {$ref: "#/components/schemas/Cash"}]}
        more: {type: object}
    Address: {allOf: [{$ref: "#/components/schemas/Place"}, {type: object, properties: {floor: {type: integer}}}]}
    Place: {type: object, required: [city], properties: {city: {type: string}}}
    Card: {type: object, required: [card], properties: {card: {type: string}}}
    Cash: {type: object, required: [cash], properties: {cash: {type: number}}}
    Note: {type: object, required: [text], properties: {text: {type: string}, stars: {type: integer, maximum: 5}, tag: {type: array, items: {type: string}}}}
`

func open(t testing.TB, text string, o schema.Options) *schema.Document {
	t.Helper()
	d, err := schema.Open("api.yaml", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func operation(t testing.TB, d *schema.Document, pattern string) *schema.Operation {
	t.Helper()
	o, err := d.Operation(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// answer is what an operation says of a request: "" or the faults.
func answer(o *schema.Operation, method, target, body string, headers ...string) string {
	r := httptest.NewRequest(method, "https://api.example.com"+target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	r.Body = shield.NewBody(r.Body, 1<<20)
	err := o.Check(r, nil)
	refusal, ok := err.(*shield.Refusal)
	switch {
	case err == nil:
		return ""
	case !ok:
		return "error: " + err.Error()
	case refusal.Code != shield.InvalidInput:
		return string(refusal.Code)
	}
	var all []string
	for _, f := range refusal.Fields {
		all = append(all, fmt.Sprintf("%s %s %s", f.In, f.Pointer, f.Rule))
	}
	return strings.Join(all, ", ")
}

func TestParametersAreHeldToTheDocument(t *testing.T) {
	attacktest.Rows(t, 108, 109)
	o := operation(t, open(t, orders, schema.Options{}), "GET /v1/orders/{order}")
	for target, want := range map[string]string{
		"/v1/orders/7": "",
		"/v1/orders/7?view=short&limit=100&tag=a&tag=b": "",
		"/v1/orders/0":                         "path /id minimum",
		"/v1/orders/seven":                     "path /id type",
		"/v1/orders/7.5":                       "path /id type",
		"/v1/orders/1e400000000":               "path /id type",
		"/v1/orders/7?view=Long":               "query /view enum",
		"/v1/orders/7?limit=101":               "query /limit maximum",
		"/v1/orders/7?limit=1&limit=2":         "query /limit form",
		"/v1/orders/7?tag=a&tag=b&tag=c&tag=d": "query /tag maxItems",
		"/v1/orders/7?tag=abcdef":              "query /tag/0 maxLength",
		"/v1/orders/7?admin=true":              "query /admin undeclared",
		"/v1/orders/7?view=short&&limit=1":     "invalid_query",
		"/v1/orders/7?view=%C3":                "query /view form",
	} {
		if got := answer(o, "GET", target, ""); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	for headers, want := range map[string]string{
		"X-Trace: 0d0e4a3c-3c1c-4c1e-8f5e-1d2c3b4a5968": "",
		"X-Trace: no": "header /X-Trace format",
		"X-Trace: 0d0e4a3c-3c1c-4c1e-8f5e-1d2c3b4a5968\nX-Trace: no": "header /X-Trace form",
		"Cookie: theme=dark":              "",
		"Cookie: theme=red":               "cookie /theme enum",
		"Cookie: theme=dark; theme=light": "cookie /theme form",
		"X-Other: anything":               "",
	} {
		var all []string
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			all = append(all, name, value)
		}
		if got := answer(o, "GET", "/v1/orders/7", "", all...); got != want {
			t.Errorf("%q: %q, want %q", headers, got, want)
		}
	}
	if got := answer(o, "GET", "/v1/orders/7", "{}", "Content-Type", "application/json"); got != "body  undeclared" {
		t.Errorf("a body where none is declared: %q", got)
	}
	open := operation(t, open(t, orders, schema.Options{Undeclared: true}), "GET /v1/orders/{order}")
	if got := answer(open, "GET", "/v1/orders/7?admin=true", ""); got != "" {
		t.Errorf("undeclared where that may be: %q", got)
	}
}

func TestBodiesAreHeldToTheDocument(t *testing.T) {
	attacktest.Rows(t, 102, 103, 108)
	o := operation(t, open(t, orders, schema.Options{}), "POST /v1/orders")
	const media = "application/json"
	for body, want := range map[string]string{
		`{"item":"A-1","count":1}`: "",
		`{"item":"A-1","count":99,"note":null,"when":"2026-11-30T12:00:00Z","to":{"city":"Oslo","floor":2},"pay":{"cash":1.5},"more":{"x":1}}`: "",
		`{"item":"A-1"}`:                                                    "body /count required",
		`{"item":"a-1","count":1}`:                                          "body /item pattern",
		`{"item":"A-1","count":0}`:                                          "body /count minimum",
		`{"item":"A-1","count":"1"}`:                                        "body /count type",
		`{"item":"A-1","count":1.5}`:                                        "body /count type",
		`{"item":"A-1","count":1,"admin":true}`:                             "body /admin undeclared",
		`{"item":"A-1","count":1,"id":7}`:                                   "body /id undeclared",
		`{"item":"A-1","count":1,"to":{"city":"Oslo","x":1}}`:               "body /to/x undeclared",
		`{"item":"A-1","count":1,"to":{}}`:                                  "body /to/city required",
		`{"item":"A-1","count":1,"pay":{"card":"x","cash":1}}`:              "body /pay oneOf",
		`{"item":"A-1","count":1,"pay":{"card":"x","pin":1}}`:               "body /pay/pin undeclared",
		`{"item":"A-1","count":1,"when":"tomorrow"}`:                        "body /when format",
		`{"item":"A-1","count":1,"note":"` + strings.Repeat("ä", 21) + `"}`: "body /note maxLength",
		`{"item":"A-1","count":1,"note":"` + strings.Repeat("ä", 20) + `"}`: "",
		`{"item":"A-1","count":1,"count":2}`:                                "body  form",
		`{"item":"A-1","count":1} `:                                         "",
		`{"item":"A-1","count":1} {}`:                                       "body  form",
		`{"item":"A-1","count":9007199254740993}`:                           "body  form",
		`{"item":"A-1","count":1e2}`:                                        "body /count maximum",
		`[]`:                                                                "body  type",
		`null`:                                                              "body  type",
		"":                                                                  "body  required",
	} {
		if got := answer(o, "POST", "/v1/orders", body, "Content-Type", media); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	good := `{"item":"A-1","count":1}`
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"with a charset":      {[]string{"Content-Type", "application/json; charset=UTF-8"}, ""},
		"another charset":     {[]string{"Content-Type", "application/json; charset=utf-7"}, "unsupported_media"},
		"no type":             {nil, "unsupported_media"},
		"two types":           {[]string{"Content-Type", media, "Content-Type", media}, "unsupported_media"},
		"not declared":        {[]string{"Content-Type", "text/plain"}, "unsupported_media"},
		"XML":                 {[]string{"Content-Type", "application/xml"}, "unsupported_media"},
		"compressed":          {[]string{"Content-Type", media, "Content-Encoding", "gzip"}, "unsupported_media"},
		"a type that is none": {[]string{"Content-Type", "json"}, "unsupported_media"},
		"bytes":               {[]string{"Content-Type", "image/png"}, ""},
	} {
		if got := answer(o, "POST", "/v1/orders", good, c.headers...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for body, want := range map[string]string{
		"text=good":             "",
		"text=good&stars=5":     "",
		"text=good&stars=6":     "body /stars maximum",
		"text=good&stars=x":     "body /stars type",
		"stars=1":               "body /text required",
		"text=good&tag=a&tag=b": "",
		"text=good&text=bad":    "body  form",
		"text=good&admin=1":     "body /admin undeclared",
		"text=%zz":              "body  form",
		"text=good;stars=1":     "body  form",
	} {
		if got := answer(o, "POST", "/v1/orders", body, "Content-Type", "application/x-www-form-urlencoded"); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestNoValueIsTold(t *testing.T) {
	o := operation(t, open(t, orders, schema.Options{}), "POST /v1/orders")
	r := httptest.NewRequest("POST", "https://api.example.com/v1/orders", strings.NewReader(`{"item":"s3cret-value","count":"s3cret-value","when":"s3cret-value"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Body = shield.NewBody(r.Body, 1<<20)
	err := o.Check(r, nil)
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(fmt.Sprint(err.(*shield.Refusal).Fields), "s3cret") {
		t.Errorf("%v", err)
	}
}

func TestOperationsAreFoundByTheirForm(t *testing.T) {
	d := open(t, orders, schema.Options{})
	if o := operation(t, d, "DELETE /v1/orders/{id}"); !o.Deprecated || o.Path != "/v1/orders/{id}" {
		t.Errorf("%+v", o)
	}
	if n := len(d.Operations()); n != 3 {
		t.Errorf("%d operations", n)
	}
	for _, pattern := range []string{"GET /orders/{id}", "PUT /v1/orders/{id}", "GET /v1/orders/{id}/x", "GET /v1/orders/7", "GET /v1/{orders}/{id}"} {
		if _, err := d.Operation(pattern); err == nil {
			t.Errorf("%s is found", pattern)
		}
	}
}

func document(version, paths string) string {
	return "openapi: " + version + "\ninfo: {title: T, version: \"1\"}\npaths:\n" + paths
}

// The words of OpenAPI 3.0 that JSON Schema does not know.
func TestOldWords(t *testing.T) {
	d := open(t, document("3.0.3", `
  /a:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                a: {type: string, nullable: true, enum: [x]}
                b: {type: number, minimum: 1, exclusiveMinimum: true}
                c: {type: number, maximum: 5, exclusiveMaximum: false}
      responses: {"200": {description: ok}}
`), schema.Options{})
	o := operation(t, d, "POST /a")
	for body, want := range map[string]string{
		`{"a":null,"b":1.1,"c":5}`: "", `{"a":"x"}`: "", `{"a":"y"}`: "body /a enum", `{"b":1}`: "body /b exclusiveMinimum", `{"c":5.1}`: "body /c maximum", `{"b":null}`: "body /b type",
	} {
		if got := answer(o, "POST", "/a", body, "Content-Type", "application/json"); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// The table of OpenAPI 3.1 §4.8.12.2, with numbers.
func TestStyles(t *testing.T) {
	const array, object = "{type: array, items: {type: integer}, const: [3, 4, 5]}", "{type: object, properties: {r: {type: integer}, g: {type: integer}}, required: [r, g], const: {r: 100, g: 200}}"
	for _, c := range []struct{ in, style, explode, schema, good string }{
		{"path", "simple", "false", "{type: integer, const: 5}", "5"},
		{"path", "simple", "false", array, "3,4,5"},
		{"path", "simple", "true", array, "3,4,5"},
		{"path", "simple", "false", object, "r,100,g,200"},
		{"path", "simple", "true", object, "r=100,g=200"},
		{"path", "label", "false", "{type: integer, const: 5}", ".5"},
		{"path", "label", "false", array, ".3,4,5"},
		{"path", "label", "true", array, ".3.4.5"},
		{"path", "label", "false", object, ".r,100,g,200"},
		{"path", "label", "true", object, ".r=100.g=200"},
		{"path", "matrix", "false", "{type: integer, const: 5}", ";p=5"},
		{"path", "matrix", "false", array, ";p=3,4,5"},
		{"path", "matrix", "true", array, ";p=3;p=4;p=5"},
		{"path", "matrix", "false", object, ";p=r,100,g,200"},
		{"path", "matrix", "true", object, ";r=100;g=200"},
		{"query", "form", "true", "{type: integer, const: 5}", "p=5"},
		{"query", "form", "false", array, "p=3,4,5"},
		{"query", "form", "true", array, "p=3&p=4&p=5"},
		{"query", "form", "false", object, "p=r,100,g,200"},
		{"query", "form", "true", object, "r=100&g=200"},
		{"query", "spaceDelimited", "false", array, "p=3%204%205"},
		{"query", "pipeDelimited", "false", array, "p=3|4|5"},
		{"query", "pipeDelimited", "false", array, "p=3%7C4%7c5"},
		{"query", "deepObject", "true", object, "p[r]=100&p[g]=200"},
		{"query", "deepObject", "true", object, "p%5Br%5D=100&p%5Bg%5D=200"},
		{"header", "simple", "false", array, "3,4,5"},
		{"header", "simple", "false", object, "r,100,g,200"},
		{"header", "simple", "true", object, "r=100,g=200"},
	} {
		name := strings.Join([]string{c.in, c.style, c.explode, c.good}, " ")
		path := "/a"
		if c.in == "path" {
			path = "/a/{p}"
		}
		d, err := schema.Open("api.yaml", []byte(document("3.1.0", fmt.Sprintf(`
  %s:
    get:
      parameters: [{name: p, in: %s, required: true, style: %s, explode: %s, schema: %s}]
      responses: {"200": {description: ok}}
`, path, c.in, c.style, c.explode, c.schema))), schema.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o := operation(t, d, "GET "+path)
		ask := func(value string) string {
			switch c.in {
			case "path":
				return answer(o, "GET", "/a/"+value, "")
			case "query":
				return answer(o, "GET", "/a?"+value, "")
			}
			return answer(o, "GET", "/a", "", http.CanonicalHeaderKey("p"), value)
		}
		if got := ask(c.good); got != "" {
			t.Errorf("%s: %q", name, got)
		}
		if got := ask(strings.NewReplacer("5", "6", "100", "101").Replace(c.good)); got == "" {
			t.Errorf("%s: another value is accepted", name)
		}
	}
}

func TestDocumentsThatCannotBeUsed(t *testing.T) {
	get := func(schema string) string {
		return document("3.1.0", "\n  /a:\n    get:\n      parameters: [{name: p, in: query, schema: "+schema+"}]\n      responses: {\"200\": {description: ok}}\n")
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                   {"", "empty"},
		"no document":               {"a: b", "OpenAPI"},
		"another version":           {"swagger: '2.0'", "3.0 and 3.1"},
		"a name twice":              {"openapi: 3.1.0\nopenapi: 3.1.0", "twice"},
		"an alias":                  {"openapi: 3.1.0\na: &a {}\nb: *a", "aliases"},
		"a reference to a file":     {get(`{$ref: "other.yaml#/A"}`), "other.yaml"},
		"a reference to an address": {get(`{$ref: "http://169.254.169.254/A"}`), "169.254"},
		"a reference to nothing":    {get(`{$ref: "#/components/schemas/A"}`), "components"},
		"a bound that is a text":    {get(`{type: array, items: {type: string, maxLength: "9"}}`), "schema cannot be used: got string, want"},
		"look-ahead":                {get(`{type: string, pattern: "^(?=a)"}`), "is not valid regex"},
		"no path of a parameter": {document("3.1.0", `
  /a/{id}:
    get: {responses: {"200": {description: ok}}}
`), "id"},
		"half a segment": {document("3.1.0", `
  /a/x{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
`), "whole segment"},
	} {
		d, err := schema.Open("api.yaml", []byte(c.text), schema.Options{})
		if err == nil {
			if unusable := d.Unusable(); len(unusable) > 0 {
				err = errors.Unwrap(unusable[0])
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "api.yaml:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	d := open(f, orders, schema.Options{})
	get, post := operation(f, d, "GET /v1/orders/{id}"), operation(f, d, "POST /v1/orders")
	f.Add("limit=1&tag=a", `{"item":"A-1","count":1}`, "application/json")
	f.Add("p[a]=1", "text=a&tag=b", "application/x-www-form-urlencoded")
	f.Fuzz(func(t *testing.T, query, body, media string) {
		r := httptest.NewRequest("GET", "https://api.example.com/v1/orders/7", nil)
		r.URL.RawQuery = query
		r.Body = shield.NewBody(r.Body, 1<<20)
		_ = get.Check(r, nil)
		r = httptest.NewRequest("POST", "https://api.example.com/v1/orders", strings.NewReader(body))
		r.Header["Content-Type"] = []string{media}
		r.Body = shield.NewBody(r.Body, 1<<20)
		_ = post.Check(r, nil)
	})
}

// A small POST with parameters in its path, query and headers.
func BenchmarkCheck(b *testing.B) {
	text := strings.Replace(orders, "  /orders:\n    post:\n", `  /shops/{shop}/orders:
    parameters:
      - {name: shop, in: path, required: true, schema: {type: integer, minimum: 1}}
      - {name: notify, in: query, schema: {type: boolean}}
      - {name: tag, in: query, schema: {type: array, items: {type: string, maxLength: 9}, maxItems: 3}}
      - {name: X-Trace, in: header, schema: {type: string, format: uuid}}
    post:
`, 1)
	benchmarkCheck(b, operation(b, open(b, text, schema.Options{}), "POST /v1/shops/{shop}/orders"), "/v1/shops/7/orders?notify=true&tag=gift&tag=new")
}

func benchmarkCheck(b *testing.B, o *schema.Operation, target string) {
	b.Helper()
	text := `{"item":"A-100","count":2,"note":"leave it at the door","to":{"city":"Oslo","floor":2},"pay":{"cash":12.5}}`
	r := httptest.NewRequest("POST", "https://api.example.com"+target, nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Trace", "0d0e4a3c-3c1c-4c1e-8f5e-1d2c3b4a5968")
	r.ContentLength = int64(len(text))
	reader := strings.NewReader("")
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(text)
		r.Body = shield.NewBody(struct {
			*strings.Reader
			closer
		}{reader, closer{}}, 1<<20)
		if err := o.Check(r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

type closer struct{}

func (closer) Close() error { return nil }
