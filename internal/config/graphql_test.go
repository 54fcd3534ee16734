package config_test

import (
	"strings"
	"testing"
)

func TestGraphQLThatCannotWorkIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ endpoint, want string }{
		"nothing but defaults":    {"POST /graphql: {scopes: any, graphql: {}}", ""},
		"a GET":                   {"GET /graphql: {scopes: any, graphql: {depth: 3}}", ""},
		"scopes of fields":        {"POST /graphql: {scopes: any, graphql: {scopes: {Query.*: any, Mutation.place: [orders:write, orders:read]}}}", ""},
		"on trial":                {"POST /graphql: {scopes: any, graphql: {}, insecure_report_only: [{what: graphql, until: \"2099-12-31\", reason: to look first}]}", ""},
		"another method":          {"PUT /graphql: {scopes: any, graphql: {}}", "GraphQL is asked with GET or POST, not PUT"},
		"a scope that nobody has": {"POST /graphql: {scopes: any, graphql: {scopes: {Query.*: [orders:nope]}}}", `scope "orders:nope" is not described`},
		"scopes of no field":      {"POST /graphql: {scopes: any, graphql: {scopes: {Query: any}}}", "Query"},
		"any beside others":       {"POST /graphql: {scopes: any, graphql: {scopes: {Query.*: [any, orders:read]}}}", "any demands no scope"},
		"a bound of nothing":      {"POST /graphql: {scopes: any, graphql: {depth: 0}}", "depth"},
		"an unknown bound":        {"POST /graphql: {scopes: any, graphql: {width: 3}}", `unknown setting "width"`},
	} {
		_, err := parse(strings.Replace(base, "      POST /v1/orders:", "      "+c.endpoint+"\n      POST /v1/orders:", 1))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
