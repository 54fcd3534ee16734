package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSanitisingIsHeldToTheDescription(t *testing.T) {
	for name, c := range map[string]struct{ api, endpoint, notes, want string }{
		"fields that there are":             {"{field: body /note, do: trim}", "{field: query q, do: trim}", "{field: body /text, do: trim}", ""},
		"stripping":                         {"{field: body, do: strip_undeclared}", "{field: query, do: strip_undeclared}", "{field: body /text, do: trim}", ""},
		"a field that only another has":     {"{field: query q, do: trim}", "{field: query q, do: trim}", "{field: body /text, do: trim}", ""},
		"a field that the endpoint has not": {"{field: body /note, do: trim}", "{field: body /note, do: trim}", "{field: body /text, do: trim}", "what describes GET /v1/orders has no field body /note"},
		"a field that no endpoint has":      {"{field: body /nope, do: trim}", "{field: query q, do: trim}", "{field: body /text, do: trim}", "no endpoint has a field body /nope"},
		"stripping by a schema":             {"{field: body /note, do: trim}", "{field: query q, do: trim}", "{field: body, do: strip_undeclared}", ""},
		"a field that a schema has not":     {"{field: body /note, do: trim}", "{field: query q, do: trim}", "{field: body /nope, do: trim}", "what describes POST /v1/notes has no field body /nope"},
		"stripping of a query by a schema":  {"{field: body /note, do: trim}", "{field: query q, do: trim}", "{field: query, do: strip_undeclared}", "what describes POST /v1/notes has no field query"},
		"a parameter that nobody has":       {"{field: body /note, do: trim}", "{field: query p, do: trim}", "{field: body /text, do: trim}", "has no field query p"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "orders.yaml"), []byte(sanitisedAPI), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "note.json"), []byte(`{"type": "object", "properties": {"text": {"type": "string"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		file := strings.NewReplacer("API", c.api, "ENDPOINT", c.endpoint, "NOTES", c.notes).Replace(sanitiseFile)
		err := Check(write(t, dir, file))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const sanitiseFile = `
listen: {https: 127.0.0.1:0}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:3000
    openapi: orders.yaml
    shield: api_key
    scopes: any
    sanitise: [API]
    endpoints:
      GET /v1/orders: {sanitise: [ENDPOINT]}
      POST /v1/orders: {}
      POST /v1/notes: {insecure_undescribed: it has a schema of its own, body_schema: note.json, sanitise: [NOTES]}
scopes: {}
`

const sanitisedAPI = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /v1/orders:
    get:
      parameters: [{name: q, in: query, schema: {type: string}}]
      responses: {"200": {description: found}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {note: {type: string}}}}}}
      responses: {"201": {description: made}}
`
