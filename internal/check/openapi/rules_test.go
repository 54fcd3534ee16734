package openapi_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/check/openapi"
)

// today is when the checks of these tests are made.
func today() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

func clean(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/clean.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func check(t testing.TB, text string) *openapi.Report {
	t.Helper()
	r, err := openapi.Check("a.yaml", []byte(text), openapi.Options{Now: today()})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r
}

// fault is a change of the clean document that a rule has to find, alone.
type fault struct {
	rule     string
	old, new string
	at       string // pointer of what is found
}

const (
	problem = `{$ref: "#/components/responses/Problem"}`
	whole   = `security: [{login: [orders:read]}]`
	flow    = "authorizationCode:\n          authorizationUrl: https://login.example.com/authorize\n          tokenUrl"
	item    = `item: {type: string, pattern: "^[A-Z]-[0-9]{1,4}$"}`
	order   = "/components/schemas/Order"
	limited = "{name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}"
)

func faults() []fault {
	scheme := func(rule, now string) fault {
		return fault{rule, "    login:\n      type: oauth2", "    other: " + now + "\n    login:\n      type: oauth2", "/components/securitySchemes/other"}
	}
	property := func(rule, name, now string) fault {
		return fault{rule, item, item + "\n        " + name + ": " + now, order + "/properties/" + name}
	}
	parameter := func(rule, now string) fault {
		return fault{rule, limited, limited + "\n        - " + now, "/paths/~1v1~1orders/get/parameters/1"}
	}
	return []fault{
		{"no-security", "      operationId: listOrders", "      operationId: listOrders\n      security: []", "/paths/~1v1~1orders/get"},
		{"optional-security", whole, `security: [{login: [orders:read]}, {}]`, "/security/1"},
		{"security-undefined", "      operationId: listOrders", "      operationId: listOrders\n      security: [{logn: []}]", "/paths/~1v1~1orders/get/security/0/logn"},
		{"security-without-scopes", "      operationId: listOrders", "      operationId: listOrders\n      security: [{login: []}]", "/paths/~1v1~1orders/get/security/0/login"},
		{"scope-undefined", "      operationId: listOrders", "      operationId: listOrders\n      security: [{login: [orders:all]}]", "/paths/~1v1~1orders/get/security/0/login"},
		{"admin-operation", "  /v1/orders:\n", "  /v1/admin/stop:\n    post: {operationId: stop, security: [{cert: []}], responses: {4XX: " + problem + "}}\n  /v1/orders:\n", "/paths/~1v1~1admin~1stop/post"},
		scheme("api-key-in-query", "{type: apiKey, in: query, name: k}"),
		scheme("api-key-in-cookie", "{type: apiKey, in: cookie, name: k}"),
		scheme("basic-auth", "{type: http, scheme: Basic}"),
		scheme("legacy-http-auth", "{type: http, scheme: digest}"),
		{"oauth-implicit", flow, strings.Replace(flow, "authorizationCode", "implicit", 1), "/components/securitySchemes/login/flows/implicit"},
		{"oauth-password", flow, strings.Replace(flow, "authorizationCode", "password", 1), "/components/securitySchemes/login/flows/password"},
		{"oauth-plain-url", "tokenUrl: https", "tokenUrl: HTTP", "/components/securitySchemes/login/flows/authorizationCode/tokenUrl"},
		parameter("credential-as-parameter", "{name: Authorization, in: header, schema: {type: string, maxLength: 99}}"),
		{"secret-in-path", "/v1/orders/{order_id}:\n    parameters:\n      - {name: order_id", "/v1/orders/{resetToken}:\n    parameters:\n      - {name: resetToken", "/paths/~1v1~1orders~1{resetToken}/parameters/0"},
		parameter("secret-in-query", "{name: api_key, in: query, schema: {type: string, maxLength: 99}}"),
		parameter("personal-data-in-url", "{name: customerEmail, in: query, schema: {type: string, format: email}}"),
		{"sequential-id", "{name: order_id, in: path, required: true, schema: {type: string, format: uuid}}", "{name: order_id, in: path, required: true, schema: {type: integer, minimum: 1, maximum: 10000}}", "/paths/~1v1~1orders~1{order_id}/parameters/0"},

		{"http-server", "url: https://{region}", "url: http://{region}", "/servers/0/url"},
		{"internal-server", "{region}.api.example.com", "{region}.staging.example.com", "/servers/0/url"},
		{"server-variable-open", ", enum: [eu, us]", "", "/servers/0/variables/region"},
		{"server-with-credentials", "https://{region}.api", "https://me:changeme@{region}.api", "/servers/0/url"},
		{"callback-plain", "https://shop.example.com/shipped", "http://shop.example.com/shipped", "/paths/~1v1~1orders/post/callbacks/shipped/http:~1~1shop.example.com~1shipped"},
		{"method-trace", "    get:\n      operationId: showOrder", "    trace:\n      operationId: showOrder", "/paths/~1v1~1orders~1{order_id}/trace"},
		{"body-on-get", "    post:\n      operationId", "    delete:\n      operationId", "/paths/~1v1~1orders/delete/requestBody"},

		property("string-unbounded", "text", "{type: string}"),
		property("string-unbounded", "text", `{type: string, pattern: "^a+$"}`),
		property("string-unbounded", "text", `{type: [string, "null"], format: byte}`),
		property("number-unbounded", "n", "{type: number, minimum: 0}"),
		{"page-size-unbounded", "minimum: 1, maximum: 100", "minimum: 1", "/paths/~1v1~1orders/get/parameters/0/schema"},
		property("array-unbounded", "list", "{type: array, items: {type: boolean}}"),
		property("map-unbounded", "map", "{type: object, additionalProperties: {type: boolean}}"),
		property("object-open", "object", "{type: object, properties: {a: {type: boolean}}, additionalProperties: true, writeOnly: true}"),
		property("object-open", "object", "{type: object, maxProperties: 3, writeOnly: true}"),
		property("value-free", "any", "{description: whatever}"),
		{"pattern-unanchored", "^[A-Z]-[0-9]{1,4}$\"", "[A-Z]-[0-9]{1,4}$\", maxLength: 9", order + "/properties/item/pattern"},
		{"pattern-catastrophic", "^[A-Z]-[0-9]{1,4}$\"", "^([A-Z]+)*$\", maxLength: 90", order + "/properties/item/pattern"},
		property("mass-assignment", "isAdmin", "{type: boolean}"),
		{"mass-assignment", "uuid, readOnly: true}", "uuid}", order + "/properties/id"},
		{"upload-unbounded", "format: binary, maxLength: 1000000", "format: binary", "/paths/~1v1~1orders/post/requestBody/content/multipart~1form-data/schema/properties/receipt"},
		{"upload-any-type", "            encoding: {receipt: {contentType: application/pdf}}\n", "", "/paths/~1v1~1orders/post/requestBody/content/multipart~1form-data/schema/properties/receipt"},
		{"wildcard-media-type", "          multipart/form-data:", "          \"*/*\": {}\n          multipart/form-data:", "/paths/~1v1~1orders/post/requestBody/content/*~1*"},
		property("ssrf-candidate", "notify_url", "{type: string, maxLength: 200}"),

		{"response-without-schema", "application/json: {schema: {type: array, items: {$ref: \"#/components/schemas/Order\"}}}", "application/json: {}", "/components/responses/Orders/content/application~1json"},
		{"response-open-object", "{type: array, items: {$ref: \"#/components/schemas/Order\"}}", "{type: object}", "/components/responses/Orders/content/application~1json/schema"},
		{"password-returned", "properties: {code: {type: string}}", "properties: {clientSecret: {type: string}}", "/components/responses/Problem/content/application~1problem+json/schema/properties/clientSecret"},
		{"write-only-returned", "properties: {code: {type: string}}", "properties: {code: {type: string, writeOnly: true}}", "/components/responses/Problem/content/application~1problem+json/schema/properties/code"},
		{"stack-trace-returned", "properties: {code: {type: string}}", "properties: {stackTrace: {type: string}}", "/components/responses/Problem/content/application~1problem+json/schema/properties/stackTrace"},
		{"secret-in-document", "note: {type: string, maxLength: 200}", "note: {type: string, maxLength: 200, example: \"key " + "AKIA" + "Q3EGRTW7UBMHZ5KX" + "\"}", order + "/properties/note/example"},
		{"response-400-missing", `        "400": ` + problem + "\n", "", "/paths/~1v1~1orders/get"},
		{"response-401-missing", `        "401": ` + problem + "\n", "", "/paths/~1v1~1orders/get"},
		{"response-403-missing", `        "403": ` + problem + "\n", "", "/paths/~1v1~1orders/get"},
		{"response-429-missing", `        "429": ` + problem + "\n", "", "/paths/~1v1~1orders/get"},
		{"sensitive-flow", "  /v1/orders:\n", "  /v1/login:\n    post: {operationId: login, responses: {\"401\": " + problem + ", \"403\": " + problem + "}}\n  /v1/orders:\n", "/paths/~1v1~1login/post"},

		{"no-owner", ", contact: {email: orders@example.com}", "", "/info"},
		{"no-operation-id", "    get:\n      operationId: showOrder\n", "    get:\n", "/paths/~1v1~1orders~1{order_id}/get"},
		{"operation-id-twice", "operationId: placeOrder", "operationId: listOrders", "/paths/~1v1~1orders/post/operationId"},
		{"deprecated-without-sunset", "operationId: placeOrder", "operationId: placeOrder\n      deprecated: true", "/paths/~1v1~1orders/post"},
		{"sunset-over", "operationId: placeOrder", "operationId: placeOrder\n      x-sunset: \"2026-11-29\"", "/paths/~1v1~1orders/post"},
		{"unused-component", "  schemas:\n", "  schemas:\n    Old: {$ref: \"#/components/schemas/Old\"}\n", "/components/schemas/Old"},
		{"reference-broken", "{type: array, items: {$ref: \"#/components/schemas/Order\"}}", "{type: array, items: {$ref: \"#/components/schemas/Ordr\"}}", "/components/responses/Orders/content/application~1json/schema/items"},
		{"unusable", "note: {type: string, maxLength: 200}", "note: {type: string, maxLength: 200, maxLenght: 20}", order},
		parameter("unusable", `{$ref: "#/components/parameters/none"}`),

		{"waiver-invalid", "operationId: placeOrder", "operationId: placeOrder\n      x-pavise-waive: {rule: no-security, reason: because, until: \"2027-01-31\"}", "/paths/~1v1~1orders/post/x-pavise-waive"},
		{"waiver-over", "operationId: placeOrder", "operationId: placeOrder\n      x-pavise-waive: {rule: no-security, reason: it was asked for, until: \"2026-11-29\"}", "/paths/~1v1~1orders/post/x-pavise-waive"},
		{"waiver-unused", "operationId: placeOrder", "operationId: placeOrder\n      x-pavise-waive: [{rule: no-security, reason: it was asked for, until: \"2026-11-30\"}]", "/paths/~1v1~1orders/post/x-pavise-waive/0"},
	}
}

func TestTheCleanDocumentIsClean(t *testing.T) {
	for _, f := range check(t, clean(t)).Findings {
		t.Errorf("%d:%d %s %s: %s", f.Line, f.Column, f.Rule, f.Pointer, f.What)
	}
}

// Each fault is found by its rule alone, where it stands; without it nothing is found.
func TestEachRuleFindsItsFaultAlone(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults() {
		seen[f.rule] = true
		t.Run(f.rule, func(t *testing.T) {
			text := strings.Replace(clean(t), f.old, f.new, 1)
			if text == clean(t) {
				t.Fatalf("%q is not in the clean document", f.old)
			}
			text = addCertificate(text)
			found := 0
			for _, got := range check(t, text).Findings {
				if got.Rule == f.rule && got.Pointer == f.at && got.Line > 1 && got.Column > 0 {
					found++
					continue
				}
				t.Errorf("%d:%d %s %s: %s", got.Line, got.Column, got.Rule, got.Pointer, got.What)
			}
			if found != 1 {
				t.Errorf("found %d times at %s", found, f.at)
			}
		})
	}
	for _, r := range openapi.Rules() {
		if !seen[r.ID] {
			t.Errorf("no fault is for the rule %s", r.ID)
		}
		if r.Title == "" || r.Why == "" || r.Mend == "" || !strings.HasPrefix(r.OWASP, "API") || strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("the rule %+v does not say enough", r)
		}
	}
	if len(seen) != len(openapi.Rules()) || len(seen) < 30 {
		t.Errorf("faults of %d rules, and there are %d", len(seen), len(openapi.Rules()))
	}
}

// addCertificate gives a document the scheme that faults speak of, and a use of each scheme.
func addCertificate(text string) string {
	if strings.Contains(text, "cert: []") {
		text = strings.Replace(text, "  securitySchemes:\n", "  securitySchemes:\n    cert: {type: mutualTLS}\n", 1)
	}
	if strings.Contains(text, "    other: {") {
		text = strings.Replace(text, "operationId: placeOrder", "operationId: placeOrder\n      security: [{other: []}]", 1)
	}
	return text
}
