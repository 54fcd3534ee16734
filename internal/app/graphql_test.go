package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGraphQLsFilesAreReadAtTheStart(t *testing.T) {
	for name, c := range map[string]struct{ graphql, want string }{
		"files that are there":          {"{schema: schema.graphql, persisted: documents.json, scopes: {Query.*: any, Order.price: orders:read}}", ""},
		"no file":                       {"{schema: nope.graphql}", "nope.graphql"},
		"no schema":                     {"{schema: documents.json}", "POST /graphql"},
		"no documents":                  {"{persisted: schema.graphql}", "persisted documents are"},
		"scopes of what is not there":   {"{schema: schema.graphql, scopes: {Order.nope: any}}", "the type Order has no field nope"},
		"scopes of what nobody can see": {"{scopes: {Order.price: any}}", "without a schema"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"schema.graphql": "type Query {order: Order} type Order {price: Float}", "documents.json": `{"one": "{order {price}}"}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := Check(write(t, dir, strings.Replace(graphqlFile, "GRAPHQL", c.graphql, 1)))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

const graphqlFile = `
listen: {https: 127.0.0.1:0}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:3000
    shield: api_key
    scopes: any
    endpoints:
      POST /graphql: {graphql: GRAPHQL}
scopes: {orders:read: See orders}
`
