package graphql_test

import (
	"fmt"
	"net/http/httptest"
	"strings"

	"pavise.dev/pavise/graphql"
	"pavise.dev/pavise/shield"
)

func ExampleNew() {
	layer, err := graphql.New(graphql.Settings{Depth: 3, Scopes: map[string][]string{"Query.*": {graphql.Any}, "Mutation.placeOrder": {"orders:write"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, document := range []string{"{orders {id}}", "{a {b {c {d}}}}", "mutation {placeOrder {id}}"} {
		r := httptest.NewRequest("POST", "/graphql", strings.NewReader(`{"query": "`+document+`"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Body = shield.NewBody(r.Body, 1<<20) // as the guard does
		fmt.Println(layer.Check(r, &shield.Identity{Client: "shop"}))
	}
	// Output:
	// <nil>
	// graphql_refused: depth 4, at most 3
	// insufficient_scope: missing orders:write
}
