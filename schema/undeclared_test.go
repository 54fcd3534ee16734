package schema_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/schema"
)

const strippedYAML = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /orders:
    post:
      parameters:
        - {name: q, in: query, schema: {type: string}}
        - {name: filter, in: query, style: deepObject, explode: true, schema: {type: object, properties: {state: {type: string}}}}
      requestBody:
        content:
          application/json: {schema: {$ref: "#/components/schemas/Order"}}
          application/x-www-form-urlencoded: {schema: {type: object, properties: {item: {type: string}}}}
      responses: {"201": {description: made}}
  /payments:
    post:
      requestBody:
        content:
          application/json:
            schema:
              oneOf: [{$ref: "#/components/schemas/Card"}, {$ref: "#/components/schemas/Transfer"}]
      responses: {"201": {description: made}}
  /open:
    post:
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses: {"201": {description: made}}
  /either:
    post:
      requestBody:
        content:
          application/json:
            schema:
              oneOf:
                - {type: object, additionalProperties: false, properties: {a: {type: string}}}
                - {type: object, additionalProperties: false, required: [b], properties: {b: {type: string}}}
      responses: {"201": {description: made}}
components:
  schemas:
    Order:
      allOf:
        - {$ref: "#/components/schemas/Base"}
        - type: object
          required: [item]
          properties:
            item: {type: string}
            lines: {type: array, items: {type: object, properties: {sku: {type: string}}}}
            labels: {type: object, additionalProperties: {type: string}}
    Base: {type: object, properties: {id: {type: integer, readOnly: true}, note: {type: string}}}
    Card: {type: object, required: [card], properties: {card: {type: string}}}
    Transfer: {type: object, required: [iban], properties: {iban: {type: string}}}
`

func stripped(t *testing.T, pattern string) *schema.Operation {
	t.Helper()
	return operation(t, open(t, strippedYAML, schema.Options{}), pattern)
}

func TestWhatIsUndeclaredIsFound(t *testing.T) {
	const json, form = "application/json", "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		pattern, media, text string
		want                 []string
	}{
		"nothing":                         {"POST /orders", json, `{"item":"tea","labels":{"x":"y"}}`, nil},
		"one":                             {"POST /orders", json, `{"item":"tea","admin":true}`, []string{"/admin"}},
		"the server's to say":             {"POST /orders", json, `{"item":"tea","id":1}`, []string{"/id"}},
		"within an array":                 {"POST /orders", json, `{"item":"tea","lines":[{"sku":"a"},{"sku":"b","cost":1}]}`, []string{"/lines/1/cost"}},
		"several":                         {"POST /orders", json, `{"admin":true,"item":"tea","lines":[{"cost":1}],"a/b":1}`, []string{"/admin", "/a~1b", "/lines/0/cost"}},
		"where something else is wrong":   {"POST /orders", json, `{"item":7,"lines":[{"cost":1}]}`, []string{"/lines/0/cost"}},
		"a form":                          {"POST /orders", form, `item=tea&admin=1`, []string{"/admin"}},
		"the alternative that fits":       {"POST /payments", json, `{"iban":"DE","admin":1}`, []string{"/admin"}},
		"no alternative that fits":        {"POST /payments", json, `{"admin":1}`, nil},
		"closed alternatives, one fits":   {"POST /either", json, `{"a":"x","admin":1}`, []string{"/admin"}},
		"closed alternatives, which?":     {"POST /either", json, `{"a":"x","b":"y"}`, nil},
		"of an object that may hold more": {"POST /open", json, `{"anything":{"goes":1}}`, nil},
	} {
		got, err := stripped(t, c.pattern).UndeclaredBody(http.Header{"Content-Type": {c.media}}, []byte(c.text))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := stripped(t, "POST /orders").UndeclaredBody(http.Header{"Content-Type": {json}}, []byte(`{"item":1,"item":2}`)); err == nil {
		t.Error("a body with a name twice was read")
	}
	names, err := stripped(t, "POST /orders").UndeclaredQuery("q=1&debug=1&filter[state]=x&filter=2")
	if err != nil || !slices.Equal(names, []string{"debug", "filter"}) {
		t.Errorf("of a query: %v, %v", names, err)
	}
}

func TestADescriptionSaysWhichFieldsItHas(t *testing.T) {
	for field, want := range map[string]bool{
		"POST /orders body /item":         true,
		"POST /orders body /note":         true,
		"POST /orders body /notes":        false,
		"POST /orders body /id":           false, // the server's to say
		"POST /orders body /lines/*/sku":  true,
		"POST /orders body /lines/0/sku":  true,
		"POST /orders body /lines/*/cost": false,
		"POST /orders body /lines/sku":    false,
		"POST /orders body /item/x":       false,
		"POST /orders body /labels/x":     true,
		"POST /orders body /*":            true,
		"POST /orders body /**":           true,
		"POST /orders body":               true,
		"POST /payments body /card":       true,
		"POST /payments body /cash":       false,
		"POST /open body /a/b":            true,
		"POST /orders query /q":           true,
		"POST /orders query /p":           false,
		"POST /orders query /*":           true,
		"POST /orders query /filter[a]":   true,
		"POST /open query /*":             false,
	} {
		parts := strings.SplitN(field, " ", 4)
		var names []string
		if len(parts) == 4 {
			names = strings.Split(parts[3], "/")[1:]
		}
		if got := stripped(t, parts[0]+" "+parts[1]).Declares(parts[2], names); got != want {
			t.Errorf("%s: %v", field, got)
		}
	}
}

func TestAPlainSchemaSaysWhatIsUndeclaredToo(t *testing.T) {
	b, err := schema.OpenBody("note.json", []byte(`{"type":"object","properties":{"text":{"type":"string"}}}`), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.UndeclaredBody(http.Header{"Content-Type": {"application/json"}}, []byte(`{"text":"x","admin":1}`))
	if err != nil || !slices.Equal(got, []string{"/admin"}) {
		t.Errorf("%v, %v", got, err)
	}
	if !b.Declares("body", []string{"text"}) || b.Declares("body", []string{"admin"}) || !b.Declares("query", []string{"q"}) {
		t.Error("it declares something else than it says")
	}
	if names, err := b.UndeclaredQuery("a=1"); names != nil || err != nil {
		t.Errorf("%v, %v", names, err)
	}
}

// What the judgement refuses as taken for a declared property is told, too.
func TestWhatIsTakenForAnotherIsUndeclared(t *testing.T) {
	const user = `{type: object, properties: {role: {type: string}, pets: {type: array, items: {type: object, properties: {kind: {}}, additionalProperties: true}}}, additionalProperties: true}`
	o := operation(t, open(t, post("3.1.0", "application/json", user, ""), schema.Options{}), "POST /a")
	h := http.Header{"Content-Type": {"application/json"}}
	for body, want := range map[string]string{
		`{"role":"a","other":1,"pets":[{"kind":1,"age":2}]}`: "",
		`{"Role":"a","pets":[{},{"KIND":1}]}`:                "/Role /pets/1/KIND",
	} {
		got, err := o.UndeclaredBody(h, []byte(body))
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v, want %q", body, got, err, want)
		}
	}
}
