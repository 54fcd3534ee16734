package schema_test

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/shield"
)

// post is a document with one operation, whose body of one media type has a schema.
func post(version, media, schema, components string) string {
	return document(version, `
  /a:
    post:
      requestBody: {required: true, content: {`+media+`: {schema: `+schema+`}}}
      responses: {"200": {description: ok}}
components:
  schemas:
    Any: {}
`+components)
}

// get is a document with one operation, that has one parameter.
func get(version, parameter string) string {
	return document(version, `
  /a:
    get:
      parameters: [`+parameter+`]
      responses: {"200": {description: ok}}
`)
}

// Each case is a way around a schema, or a schema that used to refuse what it should not.
func TestBodiesThatGoAroundTheirSchema(t *testing.T) {
	attacktest.Rows(t, 108)
	const nested = `{type: object, properties: {a: {type: object, properties: {kind: {type: string}, n: {type: integer}}}, b: {type: string}}, `
	const pets = `
    Card: {type: object, required: [kind, card], properties: {kind: {type: string}, card: {type: string}}}
    Cash: {type: object, required: [kind, cash], properties: {kind: {type: string}, cash: {type: integer}}}
    Base: {type: object, properties: {id: {type: integer, readOnly: true}, name: {type: string}}}
    Secret: {allOf: [{type: string, readOnly: true}]}
    Tree: {oneOf: [{type: object, properties: {l: {$ref: "#/components/schemas/Tree"}, r: {type: integer}}}, {type: object, properties: {l: {$ref: "#/components/schemas/Tree"}, s: {type: integer}}}]}
`
	for name, c := range map[string]struct {
		version, schema string
		answers         map[string]string
	}{
		"if sees what else is there": {"3.1.0", nested + `if: {properties: {a: {properties: {kind: {const: x}}, required: [kind]}}, required: [a]}, then: {required: [b]}}`, map[string]string{
			`{"a":{"kind":"x","n":1}}`: "body /b required", `{"a":{"kind":"y","n":1}}`: "", `{"a":{"kind":"x","n":1},"b":""}`: "",
		}},
		"not sees what else is there": {"3.1.0", nested + `not: {properties: {a: {properties: {kind: {const: x}}, required: [kind]}}, required: [a]}}`, map[string]string{
			`{"a":{"kind":"x","n":1}}`: "body  not", `{"a":{"kind":"y","n":1}}`: "",
		}},
		"then adds to what is declared": {"3.1.0", nested + `if: {required: [b]}, then: {properties: {a: {properties: {n: {minimum: 5}}}}}}`, map[string]string{
			`{"b":"","a":{"kind":"x","n":5}}`: "", `{"b":"","a":{"kind":"x","n":4}}`: "body /a/n minimum", `{"a":{"n":5,"x":1}}`: "body /a/x undeclared",
		}},
		"allOf adds to what is declared": {"3.1.0", `{allOf: [{$ref: "#/components/schemas/Card"}, {properties: {card: {maxLength: 3}}, required: [kind]}]}`, map[string]string{
			`{"kind":"","card":"abc"}`: "", `{"kind":"","card":"abcd"}`: "body /card maxLength", `{"kind":"","card":"","x":1}`: "body /x undeclared",
		}},
		"readOnly beside what demands it": {"3.0.3", `{allOf: [{$ref: "#/components/schemas/Base"}, {type: object, required: [id, name]}]}`, map[string]string{
			`{"name":"x"}`: "", `{"name":"x","id":1}`: "body /id undeclared", `{}`: "body /name required",
		}},
		"readOnly through allOf": {"3.0.3", `{type: object, required: [s], properties: {s: {allOf: [{$ref: "#/components/schemas/Secret"}]}, t: {type: string}}}`, map[string]string{
			`{"t":""}`: "", `{"s":"x"}`: "body /s undeclared",
		}},
		"readOnly of further properties": {"3.1.0", `{type: object, properties: {a: {}}, additionalProperties: {type: string, readOnly: true}}`, map[string]string{
			`{"a":1}`: "", `{"b":"x"}`: "body /b undeclared",
		}},
		"patternProperties say what there is": {"3.1.0", `{type: object, patternProperties: {"^x-": {type: string}}}`, map[string]string{
			`{"x-a":"b"}`: "", `{"a":"b"}`: "body /a undeclared", `{"x-a":1}`: "body /x-a type",
		}},
		"additionalProperties beside allOf": {"3.1.0", `{allOf: [{$ref: "#/components/schemas/Cash"}], additionalProperties: {type: string}}`, map[string]string{
			`{"kind":"a","cash":1}`: "body /cash type",
		}},
		"a discriminator says which": {"3.1.0", `{oneOf: [{$ref: "#/components/schemas/Card"}, {$ref: "#/components/schemas/Cash"}], discriminator: {propertyName: kind, mapping: {paid: "#/components/schemas/Card"}}}`, map[string]string{
			`{"kind":"Card","card":"x"}`: "", `{"kind":"paid","card":"x"}`: "", `{"kind":"Cash","cash":1}`: "", `{"kind":"Card","cash":1}`: "body  oneOf", `{"kind":"paid","cash":1}`: "body  oneOf", `{"kind":"other","cash":1}`: "body  oneOf",
		}},
		"nullable beside allOf": {"3.0.3", `{type: object, properties: {p: {nullable: true, allOf: [{$ref: "#/components/schemas/Cash"}]}}}`, map[string]string{
			`{"p":null}`: "", `{"p":{"kind":"a","cash":1}}`: "", `{"p":{"kind":"a","cash":1,"x":2}}`: "body /p/x undeclared", `{"p":1}`: "body /p anyOf",
		}},
		"demanded, and nothing else said": {"3.1.0", `{type: object, properties: {a: {}}, required: [b]}`, map[string]string{
			`{"b":1}`: "", `{"a":1}`: "body /b required", `{"b":1,"c":1}`: "body /c undeclared",
		}},
		"base64 with line ends": {"3.0.3", `{type: string, format: byte}`, map[string]string{`"YWI="`: "", `"YW\nI="`: "body  format", `"YWJ="`: "body  format"}},
		"readOnly among alternatives": {"3.1.0", `{type: object, required: [a], properties: {a: {oneOf: [{$ref: "#/components/schemas/Secret"}]}, b: {anyOf: [{type: string, readOnly: true}, {type: "null"}]}, c: {oneOf: [{type: string, readOnly: true}, {type: integer}]}}}`, map[string]string{
			`{}`: "", `{"a":"x"}`: "body /a undeclared", `{"b":"x"}`: "body /b undeclared", `{"c":1}`: "", `{"c":"x"}`: "body /c oneOf",
		}},
		"each level doubles the work": {"3.1.0", `{$ref: "#/components/schemas/Tree"}`, map[string]string{
			`{"l":{"r":1}}`: "body  oneOf", strings.Repeat(`{"l":`, 60) + `{"r":"x"}` + strings.Repeat("}", 60): "body  schema",
		}},
	} {
		o := operation(t, open(t, post(c.version, "application/json", c.schema, pets), schema.Options{}), "POST /a")
		for body, want := range c.answers {
			began := time.Now()
			if got := answer(o, "POST", "/a", body, "Content-Type", "application/json"); got != want {
				t.Errorf("%s: %s: %q, want %q", name, body, got, want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: %s took %v", name, body, took)
			}
		}
	}
}

// Schemas are read as such wherever a reference finds them.
func TestSchemasThatStandElsewhere(t *testing.T) {
	attacktest.Rows(t, 108)
	o := operation(t, open(t, document("3.0.3", `
  /a:
    post:
      requestBody: {$ref: "#/components/requestBodies/default"}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {id: {type: integer, readOnly: true}, name: {type: string, nullable: true}}}}}}}
components:
  requestBodies:
    default: {content: {application/json: {schema: {$ref: "#/paths/~1a/post/responses/200/content/application~1json/schema"}}}}
`), schema.Options{}), "POST /a")
	for body, want := range map[string]string{`{"name":null}`: "", `{"id":1}`: "body /id undeclared", `{"x":1}`: "body /x undeclared"} {
		if got := answer(o, "POST", "/a", body, "Content-Type", "application/json"); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestParametersThatGoAroundTheirSchema(t *testing.T) {
	attacktest.Rows(t, 108, 109)
	for name, c := range map[string]struct {
		version, parameter string
		undeclared         bool
		answers            map[string]string
	}{
		"a name as PHP reads it": {"3.1.0", `{name: max_items, in: query, schema: {type: integer, maximum: 9}}`, true, map[string]string{
			"?max_items=9": "", "?other=1": "", "?max.items=99": "query /max.items undeclared", "?max%20items=99": "query /max items undeclared", "?Max_Items%5B%5D=99": "query /Max_Items[] undeclared",
		}},
		"a number stands alone": {"3.1.0", `{name: q, in: query, schema: {type: integer}}`, false, map[string]string{
			"?q=7": "", "?q=-0": "", "?q=7%20": "query /q type", "?q=%207": "query /q type", "?q=7%0d%0a": "query /q type", "?q=7%09": "query /q type",
		}},
		"a number is read alike by all": {"3.1.0", `{name: q, in: query, schema: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 1}}`, false, map[string]string{
			"?q=0.5": "", "?q=0.10000000000000001": "", "?q=1e-400": "query /q type", "?q=0.99999999999999999": "query /q type", "?q=1e400": "query /q type",
		}},
		"a whole number is read alike by all": {"3.1.0", `{name: q, in: query, schema: {type: integer}}`, false, map[string]string{
			"?q=9007199254740992": "", "?q=9007199254740993": "query /q type", "?q=9007199254740993.0": "query /q type",
		}},
		"texts are UTF-8": {"3.1.0", `{name: q, in: query, schema: {type: array, items: {type: string}}}`, false, map[string]string{
			"?q=%C3%A9": "", "?q=%C3": "query /q form", "?%C3=1": "invalid_query", "?q=a&q=%FF": "query /q form",
		}},
		"null is no way around a bound": {"3.1.0", `{name: q, in: query, schema: {type: [string, "null"], minLength: 1}}`, false, map[string]string{
			"?q=": "query /q minLength", "?q=a": "",
		}},
		"a text that may be either": {"3.1.0", `{name: q, in: query, schema: {anyOf: [{type: integer, maximum: 5}, {type: string, enum: ["7", "true"]}, {type: boolean}]}}`, false, map[string]string{
			"?q=5": "", "?q=7": "", "?q=6": "query /q anyOf", "?q=true": "", "?q=x": "query /q anyOf",
		}},
		"a text or a list of them": {"3.1.0", `{name: q, in: query, explode: false, schema: {oneOf: [{type: string, maxLength: 1}, {type: array, items: {enum: [ab, cd]}}]}}`, false, map[string]string{
			"?q=*": "", "?q=ab": "", "?q=ab,cd": "", "?q=ab,ef": "query /q oneOf", "?q=ef": "query /q oneOf",
		}},
		"a list whose separator is escaped": {"3.1.0", `{name: q, in: query, explode: false, schema: {type: array, items: {type: string, maxLength: 9}}}`, false, map[string]string{
			"?q=a,b": "", "?q=a%2Cb": "query /q form", "?q=a,b%2cc": "query /q form", "?q=a%252Cb": "",
		}},
		"an object whose separator is escaped": {"3.1.0", `{name: q, in: query, explode: false, schema: {type: object, properties: {a: {type: string}}}}`, false, map[string]string{
			"?q=a,b": "", "?q=a,b%2Ca,c": "query /q form",
		}},
		"a list in parameters of its own": {"3.1.0", `{name: q, in: query, schema: {type: array, items: {type: string, maxLength: 9}}}`, false, map[string]string{"?q=a%2Cb&q=c": ""}},
		"a text with a comma":             {"3.1.0", `{name: q, in: query, explode: false, schema: {type: string}}`, false, map[string]string{"?q=a%2Cb": "", "?q=a,b": ""}},
		"a bound without a type":          {"3.1.0", `{name: q, in: query, schema: {maximum: 5}}`, false, map[string]string{"?q=5": "", "?q=6": "query /q maximum"}},
		"numbers to choose from":          {"3.1.0", `{name: q, in: query, schema: {enum: [1, 2]}}`, false, map[string]string{"?q=1": "", "?q=3": "query /q enum"}},
		"empty where that may be": {"3.1.0", `{name: q, in: query, allowEmptyValue: true, schema: {type: integer}}`, false, map[string]string{
			"?q=": "", "?q": "", "?q=1": "", "?q=x": "query /q type",
		}},
		"empty where that may not be": {"3.1.0", `{name: q, in: query, schema: {type: integer}}`, false, map[string]string{"?q=": "query /q type", "?q": "query /q type"}},
		"names that some take for others": {"3.1.0", `{name: limit, in: query, schema: {type: integer, maximum: 5}}`, true, map[string]string{
			"?limit=5&other=1": "", "?Limit=9": "query /Limit undeclared", "?limit[]=9": "query /limit[] undeclared", "?limit%5B0%5D=9": "query /limit[0] undeclared", "?+limit=9": "query / limit undeclared",
		}},
		"properties of properties": {"3.1.0", `{name: f, in: query, style: deepObject, explode: true, schema: {type: object, properties: {a: {type: integer}}, additionalProperties: {type: integer}}}`, true, map[string]string{
			"?f[a]=1": "", "?f[a][b]=1": "query /f[a][b] undeclared", "?f=1": "query /f undeclared", "?f[z]=1": "", "?f[z]=x": "query /f/z type", "?f[a=1": "query /f[a undeclared",
		}},
		"a JSON text": {"3.1.0", `{name: q, in: query, content: {application/json: {schema: {type: object, properties: {a: {type: integer}}}}}}`, false, map[string]string{
			"?q=%7B%22a%22:1%7D": "", "?q=%7B%22a%22:1,%22a%22:1%7D": "query /q form", "?q=%7B%22b%22:1%7D": "query /q/b undeclared",
		}},
		"what is reserved": {"3.1.0", `{name: q, in: query, allowReserved: true, schema: {type: string, enum: ["a/b?c:d@e", "1&x=2"]}}`, false, map[string]string{
			"?q=a/b?c:d@e": "", "?q=1%26x%3D2": "", "?q=1&x=2": "query /q enum, query /x undeclared",
		}},
	} {
		o := operation(t, open(t, get(c.version, c.parameter), schema.Options{Undeclared: c.undeclared}), "GET /a")
		for query, want := range c.answers {
			if got := answer(o, "GET", "/a"+query, ""); got != want {
				t.Errorf("%s: %s: %q, want %q", name, query, got, want)
			}
		}
	}
	o := operation(t, open(t, get("3.1.0", `{name: X-Tags, in: header, schema: {type: array, items: {enum: [a, b]}}}, {name: X-Note, in: header, schema: {type: string}}, {name: theme, in: cookie, schema: {type: string, maxLength: 4}}`), schema.Options{}), "GET /a")
	for _, c := range []struct{ header, value, want string }{
		{"X-Tags", "a, b", ""},
		{"X-Tags", "a, c", "header /X-Tags/1 enum"},
		{"X-Tags", "a,,b", "header /X-Tags/1 enum"},
		{"X-Note", "\xff", "header /X-Note form"},
		{"Cookie", "theme=dark", ""},
		{"Cookie", "other=1; theme=dark", ""},
		{"Cookie", `theme="da"`, "cookie /theme form"},
		{"Cookie", "theme=d\\k", "cookie /theme form"},
		{"Cookie", "theme=a b", "cookie /theme form"},
		{"Cookie", "theme=a,b", "cookie /theme form"},
		{"Cookie", "theme=a;theme=b", "cookie /theme form"},
		{"Cookie", " theme = lights", "cookie /theme maxLength"},
		{"Cookie", "theme=%61%62%63%64", ""},
		{"Cookie", "theme=%ff", "cookie /theme form"},
		{"Cookie", "theme", ""},
	} {
		if got := answer(o, "GET", "/a", "", c.header, c.value); got != c.want {
			t.Errorf("%s: %s: %q, want %q", c.header, c.value, got, c.want)
		}
	}
}

// Services read an escaped comma in a list in two ways. One that is not said is refused, and with the one
// that is said each value is judged.
func TestEscapedCommas(t *testing.T) {
	attacktest.Rows(t, 108)
	text := document("3.1.0", `
  /a/{s}/{m}/{l}:
    parameters:
      - {name: s, in: path, required: true, schema: {type: array, items: {enum: [a, b]}}}
      - {name: m, in: path, required: true, style: matrix, schema: {type: array, items: {enum: [a, b]}}}
      - {name: l, in: path, required: true, style: label, schema: {type: array, items: {enum: [a, b]}}}
      - {name: q, in: query, explode: false, schema: {type: array, items: {type: integer, maximum: 2}}}
      - {name: c, in: cookie, explode: false, schema: {type: array, items: {enum: [a, b]}}}
    post:
      requestBody: {content: {application/x-www-form-urlencoded: {schema: {type: object, properties: {f: {type: array, items: {enum: [a, b]}}}}, encoding: {f: {style: form, explode: false}}}}}
      responses: {"200": {description: ok}}
`)
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct{ path, body, cookie, strict, divides string }{
		{"/a/a,b/;m=a,b/.a,b?q=1,2", "f=a,b", "c=a", "", ""},
		{"/a/a%2Cb/;m=a/.a?q=1", "f=a", "c=a", "path /s form", ""},
		{"/a/a/;m=a%2cb/.a?q=1", "f=a", "c=a", "path /m form", ""},
		{"/a/a/;m=a/.a%2Cb?q=1", "f=a", "c=a", "path /l form", ""},
		{"/a/a/;m=a/.a?q=1%2C2", "f=a", "c=a", "query /q form", ""},
		{"/a/a/;m=a/.a?q=1", "f=a%2Cb", "c=a", "body  form", ""},
		{"/a/a/;m=a/.a?q=1", "f=a", "c=a%2Cb", "cookie /c form", ""},
		{"/a/a%2Cc/;m=a/.a?q=1", "f=a", "c=a", "path /s form", "path /s/1 enum"},
		{"/a/a/;m=a%2Cc/.a?q=1", "f=a", "c=a", "path /m form", "path /m/1 enum"},
		{"/a/a/;m=a/.a%2Cc?q=1", "f=a", "c=a", "path /l form", "path /l/1 enum"},
		{"/a/a/;m=a/.a?q=1%2c3", "f=a", "c=a", "query /q form", "query /q/1 maximum"},
		{"/a/a/;m=a/.a?q=1", "f=a%2Cc", "c=a", "body  form", "body /f/1 enum"},
		{"/a/a/;m=a/.a?q=1", "f=a", "c=a%2Cc", "cookie /c form", "cookie /c/1 enum"},
	} {
		for divides, want := range map[bool]string{false: c.strict, true: c.divides} {
			o := operation(t, open(t, text, schema.Options{EscapedCommas: divides}), "POST /a/{s}/{m}/{l}")
			if got := answer(o, "POST", c.path, c.body, "Content-Type", form, "Cookie", c.cookie); got != want {
				t.Errorf("%+v, they divide %t: %q, want %q", c, divides, got, want)
			}
		}
	}
}

func TestPathsThatGoAroundTheirSchema(t *testing.T) {
	attacktest.Rows(t, 108)
	o := operation(t, open(t, document("3.1.0", `
  /a/{s}/{l}/{j}:
    parameters:
      - {name: s, in: path, required: true, schema: {type: string, pattern: "^[^/]*$"}}
      - {name: l, in: path, required: true, schema: {type: array, items: {type: string}}}
      - {name: j, in: path, required: true, content: {application/json: {schema: {type: string, maxLength: 3}}}}
    get: {responses: {"200": {description: ok}}}
`), schema.Options{}), "GET /a/{s}/{l}/{j}")
	for path, want := range map[string]string{
		"/a/x/y,z/%22abc%22": "", "/a/x%2Fy/z/%22abc%22": "path /s pattern", "/a/x/%FF/%22abc%22": "path /l form", "/a/%FF/z/%22abc%22": "path /s form",
		"/a/x/z/abc": "path /j form", "/a/x/z/%22abcd%22": "path /j maxLength",
	} {
		if got := answer(o, "GET", path, ""); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestMediaTypesThatGoAroundTheirSchema(t *testing.T) {
	attacktest.Rows(t, 103, 108)
	o := operation(t, open(t, document("3.1.0", `
  /a:
    post:
      requestBody:
        content:
          application/json: {schema: {type: object, properties: {plain: {}}}}
          application/json; version=2: {schema: {type: object, properties: {second: {}}}}
          application/vnd.a+json; charset=utf-8: {}
          text/*: {schema: {type: string, maxLength: 3}}
      responses: {"200": {description: ok}}
`), schema.Options{}), "POST /a")
	for _, c := range []struct{ media, body, want string }{
		{"application/json", `{"plain":1}`, ""},
		{"application/json", `{"second":1}`, "body /second undeclared"},
		{"application/json; version=2", `{"second":1}`, ""},
		{"application/json; version=2", `{"plain":1}`, "body /plain undeclared"},
		{"application/vnd.a+json", `{"any":1}`, ""},
		{"application/vnd.a+json", `{"any":1,"any":2}`, "body  form"},
		{"text/plain", `abc`, ""},
		{"text/plain", `abcd`, "body  maxLength"},
		{"text/plain", "\xff", "body  form"},
	} {
		if got := answer(o, "POST", "/a", c.body, "Content-Type", c.media); got != c.want {
			t.Errorf("%s: %s: %q, want %q", c.media, c.body, got, c.want)
		}
	}
}

func TestFormsThatGoAroundTheirSchema(t *testing.T) {
	attacktest.Rows(t, 108)
	o := operation(t, open(t, document("3.1.0", `
  /a:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema:
              type: object
              properties:
                tags: {type: array, items: {type: string, maxLength: 2}}
                ids: {type: array, items: {type: integer}}
                who: {type: object, properties: {name: {type: string}}}
              additionalProperties: {type: integer}
            encoding: {tags: {style: form, explode: false}}
      responses: {"200": {description: ok}}
`), schema.Options{}), "POST /a")
	for body, want := range map[string]string{
		"tags=a,bb": "", "tags=a,bbb": "body /tags/1 maxLength", "tags=a&tags=b": "body  form", "tags=a%2Cb": "body  form",
		"ids=1&ids=2": "", "ids=1&ids=x": "body /ids/1 type", "ids=1,2": "body /ids/0 type",
		"who=%7B%22name%22:%22x%22%7D": "", "who=%7B%22x%22:1%7D": "body /who/x undeclared", "who=x": "body  form",
		"more=1": "", "more=x": "body /more type", "tags=%FF": "body  form", "%FF=1": "body  form",
	} {
		if got := answer(o, "POST", "/a", body, "Content-Type", "application/x-www-form-urlencoded"); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestServersSayWhereOperationsAre(t *testing.T) {
	d := open(t, `
openapi: 3.1.0
info: {title: T, version: "1"}
servers: [{url: "https://{host}/{base}/v1/", variables: {host: {default: api.example.com}, base: {default: shop}}}]
paths:
  x-note: kept
  /a: {get: {responses: {"200": {description: ok}}}}
  /b/: {servers: [{url: /v2}], get: {responses: {"200": {description: ok}}}, put: {servers: [{url: "https://up.example.com"}, {url: "https://up.example.com/old"}], responses: {"200": {description: ok}}}}
  /c: {$ref: "#/components/pathItems/C"}
components: {pathItems: {C: {get: {responses: {"200": {description: ok}}}}}}
`, schema.Options{})
	if got := strings.Join(d.Operations(), ", "); got != "GET /shop/v1/a, GET /v2/b/, PUT /b/, PUT /old/b/, GET /shop/v1/c" {
		t.Error(got)
	}
	operation(t, d, "GET /v2/b/{$}")
	for _, pattern := range []string{"GET /shop/v1/{a...}", "GET /v2/b/{x}", "GET /shop/v1/{$}"} {
		if _, err := d.Operation(pattern); err == nil {
			t.Errorf("%s is found", pattern)
		}
	}
}

func TestOneOperationThatCannotBeUsedLeavesTheOthers(t *testing.T) {
	d := open(t, document("3.1.0", `
  /good: {get: {responses: {"200": {description: ok}}}}
  /bad: {get: {parameters: [{name: q, in: query, schema: {type: string, pattern: "(?=a)"}}], responses: {"200": {description: ok}}}}
`), schema.Options{})
	operation(t, d, "GET /good")
	if _, err := d.Operation("GET /bad"); err == nil || !strings.HasPrefix(err.Error(), "api.yaml:6:") {
		t.Errorf("%v", err)
	}
	if all := d.Unusable(); len(all) != 1 || !strings.Contains(all[0].Error(), "GET /bad") {
		t.Errorf("%v", all)
	}
}

func TestWordsThatAreNotFollowed(t *testing.T) {
	for name, text := range map[string]string{
		"$id":                  post("3.1.0", "application/json", `{$id: "https://example.com/a", type: object}`, ""),
		"$anchor":              post("3.1.0", "application/json", `{$anchor: a, type: object}`, ""),
		"$dynamicRef":          post("3.1.0", "application/json", `{$dynamicRef: "#a"}`, ""),
		"an older $schema":     post("3.1.0", "application/json", `{$schema: "http://json-schema.org/draft-04/schema#", type: object, properties: {a: {}}}`, ""),
		"another dialect":      "jsonSchemaDialect: http://json-schema.org/draft-07/schema\n" + post("3.1.0", "application/json", `{}`, ""),
		"a bound of bytes":     post("3.1.0", "image/png", `{type: string, maxLength: 3}`, ""),
		"text beside a $ref":   document("3.1.0", "\n  /a: {$ref: \"#/components/pathItems/A\", parameters: []}\ncomponents: {pathItems: {A: {}}}\n"),
		"properties of a form": strings.Replace(post("3.1.0", "application/x-www-form-urlencoded", `{type: object}`, ""), "{type: object}", "{type: object}, encoding: {a: {style: deepObject}}", 1),
		"a body of no type":    document("3.1.0", "\n  /a: {post: {requestBody: {content: {}}, responses: {\"200\": {description: ok}}}}\n"),
		"a word misspelt":      post("3.1.0", "application/json", `{type: string, maxlength: 3}`, ""),
		"a rule misspelt":      get("3.1.0", `{name: a, in: query, requird: true, schema: {type: string}}`),
		"a parameter twice":    get("3.1.0", `{name: a, in: query, schema: {type: string}}, {name: a, in: query, schema: {}}`),
		"a style of elsewhere": get("3.1.0", `{name: a, in: query, style: matrix, schema: {type: string}}`),
		"a place that is none": get("3.1.0", `{name: a, in: querry, schema: {type: string}}`),
		"an operation twice":   document("3.1.0", "\n  /{a}: {parameters: [{name: a, in: path, required: true, schema: {}}], get: {}}\n  /{b}: {parameters: [{name: b, in: path, required: true, schema: {}}], get: {}}\n"),
	} {
		d, err := schema.Open("api.yaml", []byte(text), schema.Options{})
		if err == nil && len(d.Unusable()) == 0 {
			t.Errorf("%s: it is accepted", name)
		}
	}
}

// An upload that nothing judges is not read, let alone kept.
func TestOpaqueUploadsAreNotKept(t *testing.T) {
	attacktest.Rows(t, 108)
	o := operation(t, open(t, orders, schema.Options{}), "POST /v1/orders")
	r := httptest.NewRequest("POST", "/v1/orders", nil)
	r.Header.Set("Content-Type", "image/png")
	r.ContentLength = 1 << 30
	r.Body = shield.NewBody(io.NopCloser(unreadable{t}), 1<<31)
	if err := o.Check(r, nil); err != nil {
		t.Error(err)
	}
	only := operation(t, open(t, post("3.1.0", "image/png", "{type: string, format: binary}", ""), schema.Options{}), "POST /a")
	if only.Body() != 1 {
		t.Errorf("%d bytes are kept", only.Body())
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the upload was read")
	return 0, io.EOF
}

// Where undeclared properties may be there, those that many readers take for a declared one are
// refused all the same: Go and .NET read "Role" as "role".
func TestPropertiesThatAreTakenForOthers(t *testing.T) {
	attacktest.Rows(t, 108)
	const user = `{type: object, properties: {role: {enum: [user]}, pets: {type: array, items: {$ref: "#/components/schemas/Pet"}}}`
	const pet = `
    Pet: {allOf: [{type: object, properties: {kind: {enum: [cat]}}}, {type: object, properties: {name: {type: string}}}], additionalProperties: true}
`
	for name, c := range map[string]struct {
		schema     string
		undeclared bool
	}{
		"the document says so": {user + `, additionalProperties: true}`, false},
		"nothing is closed":    {user + `}`, true},
	} {
		o := operation(t, open(t, post("3.1.0", "application/json", c.schema, pet), schema.Options{Undeclared: c.undeclared}), "POST /a")
		for body, want := range map[string]string{
			`{"role":"user","other":1}`:                     "",
			`{"role":"admin"}`:                              "body /role enum",
			`{"Role":"admin"}`:                              "body /Role undeclared",
			`{"role":"user","ROLE":"admin"}`:                "body /ROLE undeclared",
			`{"pets":[{"kind":"cat","age":3}]}`:             "",
			`{"pets":[{"kind":"cat"},{"\u212aind":"dog"}]}`: "body /pets/1/\u212aind undeclared",
		} {
			if got := answer(o, "POST", "/a", body, "Content-Type", "application/json"); got != want {
				t.Errorf("%s: %s: %q, want %q", name, body, got, want)
			}
		}
	}
	o := operation(t, open(t, post("3.1.0", "application/x-www-form-urlencoded", user+`, additionalProperties: {type: string}}`, pet), schema.Options{}), "POST /a")
	for body, want := range map[string]string{"role=user&other=1": "", "Role=admin": "body /Role undeclared"} {
		if got := answer(o, "POST", "/a", body, "Content-Type", "application/x-www-form-urlencoded"); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
