package crs_test

import (
	"testing"

	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

const notes = `
openapi: 3.1.0
info: {title: Notes, version: "1"}
paths:
  /v1/notes:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                kind: {enum: ["1' or '1'='1", plain]}
                lists: {type: array, items: {type: object, properties: {text: {type: string}}}}
      responses: {"201": {description: made}}
`

// Rules find nothing in what a contract confines, and everything in what it does not; without a contract they look at all.
func TestWhatAContractConfinesIsNotLookedAt(t *testing.T) {
	document, err := schema.Open("notes.yaml", []byte(notes), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	operation, err := document.Operation("POST /v1/notes")
	if err != nil {
		t.Fatal(err)
	}
	rules := rulesOf(t, crs.Settings{})
	for name, c := range map[string]struct {
		described crs.Described
		body      string
		pointer   string // that is refused; "": none
	}{
		"a word of a list":                     {operation, `{"kind":"1' or '1'='1"}`, ""},
		"the same without a contract":          {nil, `{"kind":"1' or '1'='1"}`, "/kind"},
		"a text that may be anything":          {operation, `{"kind":"plain","lists":[{},{"text":"1' or '1'='1"}]}`, "/lists/1/text"},
		"a harmless text that may be anything": {operation, `{"kind":"plain","lists":[{"text":"O'Brien"}]}`, ""},
	} {
		r := request("POST", "/v1/notes", "application/json", c.body)
		if err := operation.Check(r, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refusal := refusalOf(t, rules.Layer(crs.Endpoint{Pattern: "POST /v1/notes", Described: c.described}).Check(r, nil))
		switch {
		case c.pointer == "" && refusal != nil, c.pointer != "" && refusal == nil:
			t.Errorf("%s: %v", name, refusal)
		case refusal != nil && refusal.Fields[0] != (shield.Field{In: "body", Pointer: c.pointer, Rule: "crs-942100"}):
			t.Errorf("%s: %+v, want %s", name, refusal.Fields, c.pointer)
		}
	}
}
