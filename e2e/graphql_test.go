package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const graphqlYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: any
    endpoints:
      POST /graphql:
        graphql:
          batch: 2
          schema: schema.graphql
          scopes: {"Query.*": any, "Mutation.placeOrder": [orders:write], "Order.price": [prices:read]}
      GET /graphql: {graphql: {}}
      POST /tried:
        graphql: {}
        insecure_report_only: [{what: graphql, until: "UNTIL", reason: first we look what it would refuse}]
scopes: {orders:write: Place orders, prices:read: See prices}
`

const graphqlSchema = `
type Query { order(id: ID!): Order orders(first: Int): [Order] }
type Mutation { placeOrder(item: String): Order cancelOrder(id: ID!): Order }
type Order { id: ID! item: String price: Float next: Order }
`

// What asks for too much, or for what its caller may not have, does not reach the service; the
// answer names the rule and never a value.
func TestGraphQLIsHeldToBounds(t *testing.T) {
	attacktest.Rows(t, 110)
	yaml := strings.Replace(graphqlYAML, "UNTIL", time.Now().AddDate(1, 0, 0).Format(time.DateOnly), 1)
	g := harness.Start(t, harness.Config{YAML: yaml, Files: map[string]string{"schema.graphql": graphqlSchema}})
	plain, writer := g.Issue("api_key", "shop", "prices:read"), g.Issue("api_key", "shop", "orders:write", "prices:read")
	g.Plant("canary-value")
	send := func(c shield.Credential, target, body string) harness.Answer {
		method := "POST"
		if body == "" {
			method = "GET"
		}
		r := g.Request(method, target, body)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", c.Secret)
		return g.Do(r)
	}
	query := func(document string) string {
		text, err := json.Marshal(map[string]any{"query": document, "variables": map[string]string{"secret": "canary-value"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	many := func(n int, form string) (all string) {
		for i := range n {
			all += fmt.Sprintf(form, i)
		}
		return all
	}
	doubling := "{...f0} fragment f60 on Query{order(id:1){id}}"
	for i := range 60 {
		doubling += fmt.Sprintf("fragment f%d on Query{...f%d ...f%d}", i, i+1, i+1)
	}
	const good = `{order(id: 1) {id price next {item}}}`
	g.Accepted(send(plain, "/graphql", query(good)))
	if string(g.Upstream.Last(t).Body) != query(good) {
		t.Error("the service got something else")
	}
	g.Accepted(send(plain, "/graphql", "["+query(good)+","+query(good)+"]"))
	g.Accepted(send(plain, "/graphql?query="+url.QueryEscape(good), ""))
	g.Accepted(send(writer, "/graphql", query(`mutation {placeOrder(item: "canary-value") {id}}`)))
	reached := len(g.Upstream.Requests())
	for name, c := range map[string]struct {
		answer harness.Answer
		rule   string
	}{
		"aliases, 1,000 times":   {send(plain, "/graphql", query("{"+many(1000, `a%d:order(id:1){id} `)+"}")), "tokens"},
		"aliases, 100 times":     {send(plain, "/graphql", query("{"+many(100, `a%d:order(id:1){id} `)+"}")), "aliases"},
		"depth 50":               {send(plain, "/graphql", query("{order(id:1)"+strings.Repeat("{next", 50)+"{id}"+strings.Repeat("}", 51))), "depth"},
		"a batch of 500":         {send(plain, "/graphql", "["+strings.TrimSuffix(strings.Repeat(query(good)+",", 500), ",")+"]"), "batch"},
		"introspection":          {send(plain, "/graphql", query("{__schema{types{name}}}")), "introspection"},
		"introspection by GET":   {send(plain, "/graphql?query="+url.QueryEscape("{__schema{types{name}}}"), ""), "introspection"},
		"a mutation by GET":      {send(writer, "/graphql?query="+url.QueryEscape("mutation{placeOrder{id}}"), ""), "method"},
		"lists":                  {send(plain, "/graphql", query("{orders(first: 100000) {id}}")), "cost"},
		"a field that is not":    {send(plain, "/graphql", query("{order(id: 1) {secret}}")), "field"},
		"fragments in a circle":  {send(plain, "/graphql", query("{...f} fragment f on Query{...f}")), "cycle"},
		"fragments that double":  {send(plain, "/graphql", query(doubling)), "fields"},
		"no GraphQL":             {send(plain, "/graphql", query("{order(id: \"canary-value\"")), "form"},
		"two documents":          {send(plain, "/graphql", `{"query":"{a}","query":"{__schema{types{name}}}"}`), "form"},
		"a document in the path": {send(plain, "/graphql?query=%7Ba%7D", query(good)), "form"},
	} {
		g.Refused(c.answer, 400, shield.GraphQLRefused)
		if !strings.Contains(string(c.answer.Body), `"rule":"`+c.rule+`"`) {
			t.Errorf("%s: %s", name, c.answer.Body)
		}
	}
	other := g.Issue("api_key", "shop", "orders:write")
	g.Refused(send(other, "/graphql", query(good)), 403, shield.InsufficientScope)
	g.Refused(send(plain, "/graphql", query(`mutation {placeOrder {id}}`)), 403, shield.InsufficientScope)
	g.Refused(send(writer, "/graphql", query(`mutation {cancelOrder(id: 1) {id}}`)), 403, shield.InsufficientScope)
	if len(g.Upstream.Requests()) != reached {
		t.Error("the service saw what was refused")
	}
	e := g.Accepted(send(plain, "/tried", query("{__schema{types{name}}}")))
	if e.Would != "graphql graphql_refused body introspection /query/__schema" {
		t.Errorf("on trial: %q", e.Would)
	}
}
