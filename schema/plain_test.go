package schema_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

const plainSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/hook",
	"type": "object", "required": ["kind"],
	"properties": {"kind": {"enum": ["made", "gone"]}, "order": {"$ref": "#/$defs/order"}},
	"$defs": {"order": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}, "next": {"$ref": "#/$defs/order"}}}}
}`

func TestBodiesAreHeldToAPlainSchema(t *testing.T) {
	attacktest.Rows(t, 102, 103, 108)
	layer, err := schema.OpenBody("hook.json", []byte(plainSchema), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"kind": "made"}`: "",
		`{"kind": "made", "order": {"count": 2, "next": {"count": 1}}}`: "",
		`{"kind": "lost"}`: "body /kind enum",
		`{}`:               "body /kind required",
		`{"kind": "made", "order": {"count": 0}}`:              "body /order/count minimum",
		`{"kind": "made", "order": {"next": {"admin": true}}}`: "body /order/next/admin undeclared",
		`{"kind": "made", "admin": true}`:                      "body /admin undeclared",
		`{"kind": "made", "kind": "gone"}`:                     "a name stands twice",
		``:                                                     "body / required",
		`[`:                                                    "a value is missing",
	} {
		r := httptest.NewRequest("POST", "/v1/hooks?any=thing", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Body = shield.NewBody(r.Body, layer.Body())
		err := layer.Check(r, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	r := httptest.NewRequest("POST", "/v1/hooks", strings.NewReader(`kind=made`))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Body = shield.NewBody(r.Body, layer.Body())
	if err := layer.Check(r, nil); err == nil || !strings.Contains(err.Error(), "unsupported_media") {
		t.Errorf("a form: %v", err)
	}
}

func TestPlainSchemasThatCannotBeUsedAreToldWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"type": "object", "minLenght": 3}`:                                "hook.json:1:",
		`{"$schema": "http://json-schema.org/draft-07/schema#"}`:            "2020-12 is read",
		`{"properties": {"a": {"$ref": "https://example.com/other.json"}}}`: "bundle it",
		`{"pattern": "(?=x)"}`:                                              "hook.json:1:",
		`{"type": `:                                                         "hook.json",
	} {
		if _, err := schema.OpenBody("hook.json", []byte(text), schema.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
