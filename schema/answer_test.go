package schema_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const shop = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
paths:
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      responses:
        "200":
          description: one
          headers:
            X-Left: {required: true, schema: {type: integer, minimum: 0}}
            X-Tags: {schema: {type: array, items: {enum: [a, b]}}}
            Content-Type: {schema: {type: string}}
          content:
            application/json: {schema: {$ref: "#/components/schemas/Order"}}
            text/plain: {schema: {type: string, maxLength: 5}}
            text/csv: {}
            image/png: {schema: {type: string, format: binary}}
        4XX: {$ref: "#/components/responses/Problem"}
        default: {description: nothing}
    delete:
      responses: {"204": {description: gone}, "200": {description: gone, content: {application/xml: {schema: {type: object, xml: {name: order}, properties: {id: {type: integer}}}}}}}
    put: {requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}, responses: {"200": {description: ok}}}
components:
  responses:
    Problem: {description: a problem, content: {application/problem+json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}
  schemas:
    Order:
      type: object
      required: [id, item, secret]
      properties:
        id: {type: integer, readOnly: true}
        item: {type: string}
        secret: {type: string, writeOnly: true}
        to: {allOf: [{$ref: "#/components/schemas/Place"}, {type: object, properties: {floor: {type: integer}}}]}
        pay: {oneOf: [{type: object, required: [card], properties: {card: {type: string}}}, {type: object, required: [cash], properties: {cash: {type: number}}}]}
        more: {type: object}
    Place: {type: object, required: [city], properties: {city: {type: string}}}
`

func answers(t testing.TB, text, pattern string, o schema.Options) *schema.Answers {
	t.Helper()
	a, err := open(t, text, o).Answers(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func head(fields ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// faultsOf are the faults of an answer: "" for none.
func faultsOf(t testing.TB, err error) string {
	t.Helper()
	refusal, ok := err.(*shield.Refusal)
	switch {
	case err == nil:
		return ""
	case !ok:
		return "error: " + err.Error()
	case refusal.Code != shield.BadAnswer:
		t.Errorf("the code is %s", refusal.Code)
	}
	var all []string
	for _, f := range refusal.Fields {
		all = append(all, f.In+" "+f.Pointer+" "+f.Rule)
	}
	return strings.Join(all, ", ")
}

func TestAnswersAreHeldToTheDocument(t *testing.T) {
	attacktest.Rows(t, 113)
	a := answers(t, shop, "GET /orders/{id}", schema.Options{})
	r := httptest.NewRequest("GET", "/orders/7", nil)
	json := func(more ...string) http.Header {
		return head(append([]string{"Content-Type", "application/json", "X-Left", "3"}, more...)...)
	}
	const good = `{"id":7,"item":"tea"}`
	for name, c := range map[string]struct {
		status int
		h      http.Header
		body   string
		want   string
	}{
		"as declared":                   {200, json(), good, ""},
		"with all":                      {200, json("X-Tags", "a,b", "X-Other", "x"), `{"id":7,"item":"tea","to":{"city":"Oslo","floor":2},"pay":{"cash":1.5},"more":{"x":1}}`, ""},
		"a text":                        {200, head("Content-Type", "text/plain; charset=utf-8", "X-Left", "3"), "short", ""},
		"bytes":                         {200, head("Content-Type", "image/png", "X-Left", "3"), "\x89PNG", ""},
		"a problem":                     {404, head("Content-Type", "application/problem+json"), `{"title":"no"}`, ""},
		"nothing, where nothing is":     {500, nil, "", ""},
		"undeclared":                    {200, json(), `{"id":7,"item":"tea","cost":"canary"}`, "body /cost undeclared"},
		"undeclared, below":             {200, json(), `{"id":7,"item":"tea","to":{"city":"Oslo","zip":"canary"}}`, "body /to/zip undeclared"},
		"the client's to say":           {200, json(), `{"id":7,"item":"tea","secret":"canary"}`, "body /secret undeclared"},
		"what the server has to say":    {200, json(), `{"item":"tea"}`, "body /id required"},
		"of another type":               {200, json(), `{"id":"7","item":"tea"}`, "body /id type"},
		"no JSON":                       {200, json(), `<html>`, "body  form"},
		"a name twice":                  {200, json(), `{"id":7,"item":"tea","item":"x"}`, "body  form"},
		"nothing, where something is":   {200, json(), "", "body  required"},
		"something, where nothing is":   {500, head("Content-Type", "text/html"), "<html>", "body  undeclared"},
		"another media type":            {200, head("Content-Type", "text/html", "X-Left", "3"), "<html>", "header /Content-Type undeclared"},
		"no media type":                 {200, head("X-Left", "3"), good, "header /Content-Type form"},
		"another charset":               {200, head("Content-Type", "application/json; charset=utf-16", "X-Left", "3"), good, "header /Content-Type form"},
		"a coding":                      {200, json("Content-Encoding", "gzip"), good, "header /Content-Encoding undeclared"},
		"a header that is missing":      {200, head("Content-Type", "application/json"), good, "header /X-Left required"},
		"a header out of bounds":        {200, head("Content-Type", "application/json", "X-Left", "-1"), good, "header /X-Left minimum"},
		"a header in another form":      {200, json("X-Tags", "a,c"), good, "header /X-Tags/1 enum"},
		"a text that is too long":       {200, head("Content-Type", "text/plain", "X-Left", "3"), "longer", "body  maxLength"},
		"a problem that is none":        {404, head("Content-Type", "application/problem+json"), `{"trace":"canary"}`, "body /title required, body /trace undeclared"},
		"not modified, without a cause": {304, nil, "", ""}, // of default
	} {
		t.Run(name, func(t *testing.T) {
			err := a.Judge(r, c.status, c.h, []byte(c.body))
			if got := faultsOf(t, err); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("a value is told: %v", err)
			}
		})
	}
}

func TestStatusesAndBodilessAnswers(t *testing.T) {
	a := answers(t, shop, "DELETE /orders/{id}", schema.Options{})
	r := httptest.NewRequest("DELETE", "/orders/7", nil)
	conditional := httptest.NewRequest("DELETE", "/orders/7", nil)
	conditional.Header.Set("If-None-Match", `"1"`)
	xml := head("Content-Type", "application/xml")
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		h      http.Header
		body   string
		want   string
	}{
		"no content":               {r, 204, nil, "", ""},
		"XML":                      {r, 200, xml, "<order><id>7</id></order>", ""},
		"XML that is none":         {r, 200, xml, "<order><id>7</order>", "body  form"},
		"XML with something else":  {r, 200, xml, "<order><x>7</x></order>", "body /x undeclared"},
		"a status":                 {r, 201, nil, "", "status /201 undeclared"},
		"an error":                 {r, 500, nil, "", "status /500 undeclared"},
		"a redirection":            {r, 302, nil, "", "status /302 undeclared"},
		"not modified":             {conditional, 304, nil, "", ""},
		"not modified, unprovoked": {r, 304, nil, "", "status /304 undeclared"},
		"the head alone":           {httptest.NewRequest("HEAD", "/orders/7", nil), 200, xml, "", ""},
		"the head of another":      {httptest.NewRequest("HEAD", "/orders/7", nil), 418, xml, "", "status /418 undeclared"},
	} {
		if got := faultsOf(t, a.Judge(c.r, c.status, c.h, []byte(c.body))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestRequestsAndAnswersReadTheSameSchemaTheirOwnWay(t *testing.T) {
	d := open(t, shop, schema.Options{})
	put := operation(t, d, "PUT /orders/{id}")
	if got := answer(put, "PUT", "/orders/7", `{"item":"tea","secret":"s"}`, "Content-Type", "application/json"); got != "" {
		t.Errorf("a request: %s", got)
	}
	if got := answer(put, "PUT", "/orders/7", `{"item":"tea","secret":"s","id":7}`, "Content-Type", "application/json"); got != "body /id undeclared" {
		t.Errorf("a request with what is readOnly: %s", got)
	}
	a, err := d.Answers("GET /orders/{order}")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/orders/7", nil)
	if got := faultsOf(t, a.Judge(r, 200, head("Content-Type", "application/json", "X-Left", "1"), []byte(`{"id":7,"item":"tea"}`))); got != "" {
		t.Errorf("an answer: %s", got)
	}
}

func TestAnswersThatPassAsTheyCome(t *testing.T) {
	a := answers(t, shop, "GET /orders/{id}", schema.Options{})
	r := httptest.NewRequest("GET", "/orders/7", nil)
	for name, c := range map[string]struct {
		status int
		h      http.Header
		want   bool
	}{
		"bytes":                      {200, head("Content-Type", "image/png", "X-Left", "3"), true},
		"a text without a schema":    {200, head("Content-Type", "text/csv", "X-Left", "3"), true},
		"JSON":                       {200, head("Content-Type", "application/json", "X-Left", "3"), false},
		"without a header":           {200, head("Content-Type", "image/png"), false},
		"a type that nobody says":    {200, head("Content-Type", "image/gif", "X-Left", "3"), false},
		"no type":                    {200, head("X-Left", "3"), false},
		"a status without a body":    {500, head("Content-Type", "image/png"), false},
		"where another type belongs": {404, head("Content-Type", "image/png"), false},
	} {
		if got := a.Passes(r, c.status, c.h); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestUndeclaredPropertiesAreStripped(t *testing.T) {
	attacktest.Rows(t, 113)
	a := answers(t, shop, "GET /orders/{id}", schema.Options{})
	r := httptest.NewRequest("GET", "/orders/7", nil)
	h := head("Content-Type", "application/json", "X-Left", "3")
	for text, c := range map[string]struct {
		want  string
		taken int
		fault string
	}{
		`{"id":7,"item":"tea"}`: {`{"id":7,"item":"tea"}`, 0, ""},
		`{ "cost" : 1.50 , "id":7, "item":"\u0074ea" , "to":{"zip":1, "city":"Oslo"} }`: {`{ "id":7, "item":"\u0074ea" , "to":{"city":"Oslo"} }`, 2, ""},
		`{"id":7,"item":"tea","secret":"x"}`:                                            {`{"id":7,"item":"tea"}`, 1, ""},
		`{"id":7,"item":"tea","pay":{"cash":1,"note":"x"}}`:                             {`{"id":7,"item":"tea","pay":{"cash":1}}`, 1, ""},
		`{"id":"7","item":"tea","cost":1}`:                                              {"", 0, "body /cost undeclared, body /id type"},
		`{"item":"tea","cost":1}`:                                                       {"", 0, "body /cost undeclared, body /id required"},
		`{"id":7,"item":"tea","item":"x","cost":1}`:                                     {"", 0, "body  form"},
		`[]`:                              {"", 0, "body  type"},
		`{"id":7,"item":"tea","a~b/c":1}`: {`{"id":7,"item":"tea"}`, 1, ""},
		`{"id":7,"item":"tea",` + strings.Repeat(`"`, 1) + `x":1,"y":2,"z":3}`: {`{"id":7,"item":"tea"}`, 3, ""},
	} {
		clean, taken, err := a.Strip(r, 200, h, []byte(text))
		if got := faultsOf(t, err); string(clean) != c.want || taken != c.taken || got != c.fault {
			t.Errorf("%s: %s, %d, %q", text, clean, taken, got)
		}
	}
	many := `{"id":7,"item":"tea"`
	for i := range 40 {
		many += `,"x` + strings.Repeat("y", i) + `":1`
	}
	if clean, taken, err := a.Strip(r, 200, h, []byte(many+"}")); err != nil || taken != 40 || string(clean) != `{"id":7,"item":"tea"}` {
		t.Errorf("%s, %d, %v", clean, taken, err)
	}
	if _, _, err := a.Strip(r, 201+200, h, []byte(many+"}")); err == nil {
		t.Error("an answer whose media type is not declared is stripped")
	}
}

func TestWhatADocumentGetsWrongAboutAnswers(t *testing.T) {
	for responses, want := range map[string]string{
		`{}`:                                      "declares no responses",
		`{"20": {description: x}}`:                "is no status",
		`{"600": {description: x}}`:               "is no status",
		`{"200": {description: x, heders: {}}}`:   `"heders" is not known`,
		`{"200": {$ref: "#/components/nothing"}}`: "there is nothing at",
		`{"200": {description: x, headers: {X-A: {description: y}}}}`:                                                                                   "has no schema",
		`{"200": {description: x, content: {application/json: {schema: {type: strng}}}}}`:                                                               "cannot be used",
		`{"200": {description: x, content: {application/json: {schema: {type: object, properties: {a: {x-pavise-sensitiv: true}}}}}}}`:                  "is no word of Pavise",
		`{"200": {description: x, x-pavise-sensitive: true}}`:                                                                                           "write it into a schema",
		`{"200": {description: x, content: {application/json: {schema: {type: string, x-pavise-sensitive: maybe}}}}}`:                                   "is true, false, mask, remove, card or email",
		`{"200": {description: x, content: {application/json: {schema: {type: string, x-pavise-sensitive: 1}}}}}`:                                       "is true, false, mask, remove, card or email",
		`{"200": {description: x, content: {application/json: {schema: {type: string, x-pavise-scopes: [a]}}}}}`:                                        "beside an x-pavise-sensitive",
		`{"200": {description: x, content: {application/json: {schema: {type: string, x-pavise-sensitive: true, x-pavise-scopes: []}}}}}`:               "is a list of scopes",
		`{"200": {description: x, content: {application/json: {schema: {type: string, x-pavise-sensitive: true, x-pavise-scopes: orders}}}}}`:           "is a list of scopes",
		`{"200": {description: x, content: {text/plain: {schema: {type: string, x-pavise-sensitive: true}}}}}`:                                          "in JSON alone",
		`{"200": {description: x, content: {application/json: {example: {x-pavise-any: 1}, schema: {type: object, properties: {x-pavise-name: {}}}}}}}`: "",
		`{2XX: {description: x}, "404": {description: y}, default: {description: z}, x-own: 1}`:                                                         "",
	} {
		d, err := schema.Open("api.yaml", []byte("openapi: 3.1.0\npaths: {/x: {get: {responses: "+responses+"}}}\n"), schema.Options{})
		if err == nil {
			_, err = d.Answers("GET /x")
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", responses, err, want)
		}
	}
}

func TestSunsets(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		document, item, operation   string
		deprecation, sunset, answer string
	}{
		"nothing":                  {"", "", "", "", "", ""},
		"deprecated":               {"", "", "deprecated: true,", "@0", "", ""},
		"since":                    {"", "", "deprecated: true, x-deprecated-at: 2026-11-30,", "@1795996800", "", ""},
		"from a time on":           {"", "", `x-deprecated-at: "2027-06-01T12:00:00+02:00",`, "@1811844000", "", ""},
		"until the end of the day": {"", "", "x-sunset: 2027-01-31,", "", "Sun, 31 Jan 2027 23:59:59 GMT", ""},
		"over":                     {"", "", "x-sunset: 2027-01-30,", "", "Sat, 30 Jan 2027 23:59:59 GMT", "endpoint_sunset"},
		"of the path":              {"", "x-sunset: 2027-01-30,", "", "", "Sat, 30 Jan 2027 23:59:59 GMT", "endpoint_sunset"},
		"of the document":          {"x-sunset: 2027-01-30", "", "", "", "Sat, 30 Jan 2027 23:59:59 GMT", "endpoint_sunset"},
		"the innermost is heard":   {"x-sunset: 2027-01-30", "x-sunset: 2027-01-30,", "x-sunset: 2027-03-01,", "", "Mon, 01 Mar 2027 23:59:59 GMT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := "openapi: 3.1.0\n" + c.document + "\npaths: {/x: {" + c.item + " get: {" + c.operation + " responses: {}}}}\n"
			o := operation(t, open(t, text, schema.Options{Now: func() time.Time { return now }}), "GET /x")
			if got := answer(o, "GET", "/x", ""); got != c.answer {
				t.Errorf("answered with %q, want %q", got, c.answer)
			}
			h := o.Header()
			if h.Get("Deprecation") != c.deprecation || h.Get("Sunset") != c.sunset {
				t.Errorf("%v", h)
			}
		})
	}
	for _, wrong := range []string{"x-sunset: soon", "x-sunset: 2027-02-30", "x-deprecated-at: true"} {
		d := open(t, "openapi: 3.1.0\npaths: {/x: {get: {"+wrong+", responses: {}}}}\n", schema.Options{})
		if _, err := d.Operation("GET /x"); err == nil || !strings.Contains(err.Error(), "write a day") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func BenchmarkJudgeAnswer(b *testing.B) {
	a := answers(b, shop, "GET /orders/{id}", schema.Options{})
	r := httptest.NewRequest("GET", "/orders/7", nil)
	h := head("Content-Type", "application/json", "X-Left", "3")
	text := []byte(`{"id":7,"item":"tea","to":{"city":"Oslo","floor":2},"pay":{"cash":1.5}}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Judge(r, 200, h, text); err != nil {
			b.Fatal(err)
		}
	}
}
