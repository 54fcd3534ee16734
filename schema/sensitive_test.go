package schema_test

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const people = `
openapi: 3.1.0
info: {title: People, version: "1"}
paths:
  /people:
    get:
      responses:
        "200": {description: all, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Person"}}}}}
        "404": {description: none, content: {text/plain: {}}}
        "202": {description: later, content: {text/plain: {}}}
components:
  schemas:
    Person:
      type: object
      properties:
        id: {type: integer, x-pavise-sensitive: false}
        name: {type: string}
        birth: {type: string, x-pavise-sensitive: true}
        mail: {type: string, x-pavise-sensitive: email, x-pavise-scopes: ["people:read_pii", "people:admin"]}
        card: {type: [string, integer], x-pavise-sensitive: card}
        salary: {type: number, x-pavise-sensitive: mask, x-pavise-scopes: ["people:admin"]}
        notes: {type: array, items: {type: string}, x-pavise-sensitive: remove, x-pavise-scopes: ["people:admin"]}
        home: {$ref: "#/components/schemas/Address"}
        mother: {$ref: "#/components/schemas/Person"}
        pay: {oneOf: [{type: object, properties: {iban: {type: string, x-pavise-sensitive: true}}}, {type: object, properties: {cash: {type: number}}}]}
        tags: {type: object, additionalProperties: {type: string, x-pavise-sensitive: true}, properties: {open: {type: string}}}
        keys: {type: object, patternProperties: {"^s_": {x-pavise-sensitive: true}}}
        pair: {type: array, prefixItems: [{type: string}, {type: string, x-pavise-sensitive: true}]}
        points: {type: array, items: {type: integer, x-pavise-sensitive: remove}}
    Address: {allOf: [{type: object, properties: {city: {type: string}}}, {type: object, properties: {street: {$ref: "#/components/schemas/Street"}}}]}
    Street: {type: string, x-pavise-sensitive: true, x-pavise-scopes: ["people:read_pii"]}
`

func TestValuesAreShownToThoseAloneWhoMaySeeThem(t *testing.T) {
	attacktest.Rows(t, 113)
	a := answers(t, people, "GET /people", schema.Options{})
	r := httptest.NewRequest("GET", "/people", nil)
	h := head("Content-Type", "application/json")
	if want := []string{"people:admin", "people:read_pii"}; !slices.Equal(a.Scopes(), want) || !a.Sensitive() {
		t.Errorf("scopes %v, sensitive %v", a.Scopes(), a.Sensitive())
	}
	for name, c := range map[string]struct {
		text            string
		scopes          shield.Scopes
		want            string
		masked, removed int
	}{
		"nothing that is sensitive": {`[ {"id":7, "name":"\u0041da"} ]`, nil, `[ {"id":7, "name":"\u0041da"} ]`, 0, 0},
		"always masked":             {`[{"birth":"1815-12-10","name":"Ada"}]`, shield.Scopes{"people:admin", "people:read_pii"}, `[{"birth":"***","name":"Ada"}]`, 1, 0},
		"without the scope":         {`[{"mail":"ada@example.com"}]`, shield.Scopes{"people:read"}, `[{"mail":"a***@example.com"}]`, 1, 0},
		"with one of the scopes":    {`[{"mail":"ada@example.com"}]`, shield.Scopes{"people:admin"}, `[{"mail":"ada@example.com"}]`, 0, 0},
		"no address at all":         {`[{"mail":"ada\"@x"},{"mail":7},{"mail":null}]`, nil, `[{"mail":"***"},{"mail":null},{"mail":null}]`, 2, 0},
		"a card":                    {`[{"card":"4111 1111 1111 1111"},{"card":4111111111111111},{"card":"12"}]`, nil, `[{"card":"************1111"},{"card":"************1111"},{"card":"***"}]`, 3, 0},
		"a number":                  {`[{"salary": 9e4 ,"name":"Ada"}]`, nil, `[{"salary": null ,"name":"Ada"}]`, 1, 0},
		"removed":                   {`[{"name":"Ada", "notes":["a"] ,"id":1}]`, nil, `[{"name":"Ada" ,"id":1}]`, 0, 1},
		"not removed":               {`[{"name":"Ada", "notes":["a"] ,"id":1}]`, shield.Scopes{"people:admin"}, `[{"name":"Ada", "notes":["a"] ,"id":1}]`, 0, 0},
		"through references":        {`[{"home":{"city":"London","street":"St James"}}]`, nil, `[{"home":{"city":"London","street":"***"}}]`, 1, 0},
		"and shown":                 {`[{"home":{"city":"London","street":"St James"}}]`, shield.Scopes{"people:read_pii"}, `[{"home":{"city":"London","street":"St James"}}]`, 0, 0},
		"a schema within itself":    {`[{"mother":{"mother":{"birth":"1792","name":"Anne"}}}]`, nil, `[{"mother":{"mother":{"birth":"***","name":"Anne"}}}]`, 1, 0},
		"of one of several":         {`[{"pay":{"iban":"x","cash":1}}]`, nil, `[{"pay":{"iban":"***","cash":1}}]`, 1, 0},
		"further names":             {`[{"tags":{"open":"a","x":"b"}}]`, nil, `[{"tags":{"open":"a","x":"***"}}]`, 1, 0},
		"names of a pattern":        {`[{"keys":{"s_a":"x","b":"y"}}]`, nil, `[{"keys":{"s_a":"***","b":"y"}}]`, 1, 0},
		"the second":                {`[{"pair":["a","b","c"]}]`, nil, `[{"pair":["a","***","c"]}]`, 1, 0},
		"entries":                   {`[{"points":[1,2]}]`, nil, `[{"points":[]}]`, 0, 2},
		"an escaped name":           {`[{"\u0062irth":"1815"}]`, nil, `[{"\u0062irth":"***"}]`, 1, 0},
		"a name twice":              {`[{"birth":"1815","birth":"1816"}]`, nil, `[{"birth":"***","birth":"***"}]`, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := a.Filter(r, 200, h, []byte(c.text), c.scopes)
			if err != nil || string(got.Body) != c.want || got.Masked != c.masked || got.Removed != c.removed {
				t.Errorf("%s, %d masked, %d removed, %v", got.Body, got.Masked, got.Removed, err)
			}
		})
	}
	got, err := a.Filter(r, 200, h, []byte(`[{"notes":1,"id":7},{"id":8}]`), nil)
	if want := map[string]bool{"/0/id": true, "/1/id": true}; err != nil || !reflect.DeepEqual(got.Spared, want) {
		t.Errorf("spared %v, %v", got.Spared, err)
	}
}

// Where the answer is not what the document says, nothing sensitive slips through.
func TestAnswersThatCannotBeFilteredAreRefused(t *testing.T) {
	a := answers(t, people, "GET /people", schema.Options{})
	r := httptest.NewRequest("GET", "/people", nil)
	for name, c := range map[string]struct {
		status int
		media  string
		body   string
		want   string
		fault  string
	}{
		"JSON that is none":               {200, "application/json", `[{"birth":"1815"`, "", "body  form"},
		"another status":                  {201, "application/json", `[{"birth":"1815"}]`, `[{"birth":"***"}]`, ""},
		"another kind of JSON":            {200, "application/vnd.x+json", `[{"birth":"1815"}]`, `[{"birth":"***"}]`, ""},
		"another media type":              {200, "text/csv", "birth\n1815", "", "header /Content-Type undeclared"},
		"no media type":                   {200, "", `[{"birth":"1815"}]`, "", "header /Content-Type undeclared"},
		"declared, and nothing sensitive": {202, "text/plain", "later", "later", ""},
		"an error in words":               {503, "text/plain", "away", "away", ""},
		"nothing":                         {200, "", "", "", ""},
	} {
		h := head()
		if c.media != "" {
			h = head("Content-Type", c.media)
		}
		got, err := a.Filter(r, c.status, h, []byte(c.body), nil)
		if fault := faultsOf(t, err); fault != c.fault || fault == "" && string(got.Body) != c.want {
			t.Errorf("%s: %s, %q", name, got.Body, fault)
		}
	}
	if plain := answers(t, shop, "GET /orders/{id}", schema.Options{}); plain.Sensitive() || len(plain.Scopes()) > 0 {
		t.Error("a document without annotations has sensitive values")
	}
}

// Covering in place is what reading, covering and writing would be: of every value that the
// document covers, nothing is left.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`[{"birth":"canary","mail":"canary@x.io","home":{"street":"canary"},"mother":{"birth":"canary","tags":{"x":"canary"}},"notes":["canary"],"pair":["a","canary"]}]`,
		`[{"pay":{"iban":"canary"},"keys":{"s_":["canary",{"a":"canary"}]}, "salary":{"canary":1}} , {"birth" : "\u0063anary"}]`, `[]`, `{"birth":"canary"}`, `[[{"birth":"canary"}]]`, `1e700`,
	} {
		f.Add(seed)
	}
	d, err := schema.Open("api.yaml", []byte(people), schema.Options{})
	if err != nil {
		f.Fatal(err)
	}
	a, err := d.Answers("GET /people")
	if err != nil {
		f.Fatal(err)
	}
	r, h := httptest.NewRequest("GET", "/people", nil), head("Content-Type", "application/json")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := a.Filter(r, 200, h, []byte(text), nil)
		if err != nil || !json.Valid([]byte(text)) || text != strings.ToValidUTF8(text, "") {
			return
		}
		var before, after any
		if err := decode(string(got.Body), &after); err != nil {
			t.Fatalf("%q became %q", text, got.Body)
		}
		again, err := a.Filter(r, 200, h, got.Body, nil)
		if err != nil || string(again.Body) != string(got.Body) {
			t.Fatalf("%q, filtered %q, again %q", text, got.Body, again.Body)
		}
		if err := decode(text, &before); err != nil {
			t.Fatal(err)
		}
		list, _ := after.([]any)
		for _, one := range list {
			checkPerson(t, one)
		}
		if got.Masked+got.Removed == 0 && !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q, and nothing was counted", text, got.Body)
		}
	})
}

// decode keeps numbers as they are written: JSON has some that float64 has not.
func decode(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

func checkPerson(t *testing.T, v any) {
	t.Helper()
	person, ok := v.(map[string]any)
	if !ok {
		return
	}
	if birth, there := person["birth"]; there && birth != "***" && birth != nil {
		t.Fatalf("a birth is shown: %v", birth)
	}
	if _, there := person["notes"]; there {
		t.Fatal("notes are shown")
	}
	if home, ok := person["home"].(map[string]any); ok && home["street"] != nil && home["street"] != "***" {
		t.Fatalf("a street is shown: %v", home["street"])
	}
	checkPerson(t, person["mother"])
}

func BenchmarkFilter(b *testing.B) {
	a := answers(b, people, "GET /people", schema.Options{})
	r, h := httptest.NewRequest("GET", "/people", nil), head("Content-Type", "application/json")
	text := []byte("[" + strings.Repeat(`{"id":7,"name":"Ada","birth":"1815-12-10","mail":"ada@example.com","home":{"city":"London","street":"St James"}},`, 19) + `{"id":8}]`)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if got, err := a.Filter(r, 200, h, text, nil); err != nil || got.Masked != 57 {
			b.Fatal(got.Masked, err)
		}
	}
}
