package schema

import (
	"fmt"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

// quickSchemas use every word that a quick look knows, and some that it does not.
var quickSchemas = []string{
	`{type: object, required: [a], properties: {a: {type: integer, minimum: 1, maximum: 9}, b: {type: string, minLength: 1, maxLength: 3}, c: {type: [string, "null"], enum: [x, null]}}}`,
	`{type: object, properties: {a: {type: array, items: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 5}, minItems: 1, maxItems: 2}}, minProperties: 1, maxProperties: 2}`,
	`{allOf: [{type: object, properties: {a: {type: string, pattern: "^[a-z]+$"}}}, {type: object, required: [b], properties: {b: {type: boolean}}}]}`,
	`{oneOf: [{type: object, required: [a], properties: {a: {const: 1}}}, {type: object, required: [b], properties: {b: {type: string, format: date}}}, {type: string}]}`,
	`{anyOf: [{type: object, properties: {a: {type: integer, format: int32}}}, {type: object, properties: {b: {enum: [1, x, true]}}, required: [b]}, {type: array, items: {type: string}, uniqueItems: true}]}`,
	`{type: object, properties: {a: {multipleOf: 0.5}, b: {minimum: 0.5}}, additionalProperties: {type: string, maxLength: 2}}`,
	`{type: object, properties: {a: {not: {type: string}}, b: {type: object, properties: {c: {type: integer}}}}, required: [a]}`,
	`{type: object, properties: {a: {oneOf: [{type: integer}, {type: number, maximum: 5}]}, b: {anyOf: [{type: "null"}, {type: string, const: x, enum: [x, y]}]}}}`,
	`{allOf: [{oneOf: [{properties: {a: {type: integer}}, required: [a]}, {properties: {b: {}, a: {type: string}}, required: [b]}]}, {properties: {c: {}}}]}`,
	`{type: object, properties: {a: {minLength: 1}, b: {items: {type: integer}}}, unevaluatedProperties: {type: integer}}`,
}

func quickRules(t testing.TB) (all []*rule) {
	t.Helper()
	for i, text := range quickSchemas {
		for _, undeclared := range []bool{false, true} {
			d, err := Open("api.yaml", []byte("openapi: 3.1.0\npaths:\n  /a:\n    post:\n      requestBody: {content: {application/json: {schema: "+text+"}}}\n"), Options{Undeclared: undeclared})
			if err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			o, err := d.Operation("POST /a")
			if err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			all = append(all, o.body.media[0].schema)
		}
	}
	return all
}

// disagreement is what a quick look says that the library denies.
func disagreement(r *rule, v any) error {
	said, err := r.quick.look(v), r.schema.Validate(v)
	if said == yes && err != nil || said == no && err == nil {
		return fmt.Errorf("a quick look says %d, the library %v", said, err)
	}
	return nil
}

func TestQuickLooksAgreeWithTheLibrary(t *testing.T) {
	attacktest.Rows(t, 108)
	values := []string{`1`, `0`, `9`, `10`, `1.0`, `1e0`, `0.5`, `4.9`, `5`, `-1`, `"x"`, `"xy"`, `"abcd"`, `"ä"`, `""`, `"2026-11-30"`, `true`, `null`, `[]`, `[1]`, `["a","a"]`, `["a","b"]`, `[1,2,3]`, `{}`, `{"c":1}`, `{"c":"x"}`}
	var texts []string
	for _, a := range values {
		texts = append(texts, a, `{"a":`+a+`}`, `{"b":`+a+`}`, `{"c":`+a+`,"a":1}`, `{"z":`+a+`}`)
		for _, b := range values {
			texts = append(texts, `{"a":`+a+`,"b":`+b+`}`)
		}
	}
	accepted, quickly := 0, 0
	for i, r := range quickRules(t) {
		for _, text := range texts {
			v, err := document([]byte(text), false)
			if err != nil {
				t.Fatal(err)
			}
			if err := disagreement(r, v); err != nil {
				t.Errorf("%s: %s: %v", quickSchemas[i/2], text, err)
			}
			if r.schema.Validate(v) == nil {
				if accepted++; r.quick.look(v) == yes {
					quickly++
				}
			}
		}
	}
	t.Logf("%d of %d accepted values are accepted quickly", quickly, accepted)
	if quickly < accepted/3 {
		t.Error("hardly anything is accepted quickly")
	}
}

func FuzzQuickLooksAgreeWithTheLibrary(f *testing.F) {
	rules := quickRules(f)
	f.Add(uint8(0), `{"a":1,"b":"x","c":null}`)
	f.Add(uint8(6), `[1,2.5,"x",{"a":{"b":1e2}}]`)
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		v, err := document([]byte(text), which&1 == 1)
		if err != nil || strings.Count(text, "[") > 1000 {
			return
		}
		if err := disagreement(rules[int(which)%len(rules)], v); err != nil {
			t.Fatalf("%s: %s: %v", quickSchemas[int(which)%len(rules)/2], text, err)
		}
	})
}
