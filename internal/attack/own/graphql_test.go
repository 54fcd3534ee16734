package own_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/attacktest"
)

const graphs = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local}}
apis:
  shop:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: any
    endpoints:
      POST /graphql: {graphql: {}}
      GET /graphql: {graphql: {}}
scopes: {}
`

// TestGraphQLOfAWeakerGatewayIsFound: row 110. Whatever the policy bounds and the gateway that runs does not, is found by
// the case that is about it, and by no other; where the policy is in force, nothing is.
func TestGraphQLOfAWeakerGatewayIsFound(t *testing.T) {
	attacktest.Rows(t, 110)
	i := install(t, graphs, nil)
	strict := i.read(t, "pavise.yaml")
	i.write(t, "policy.yaml", strict)
	for name, c := range map[string]struct{ weaker, want string }{
		"in force":      {"graphql: {}", ""},
		"aliases":       {"graphql: {aliases: 1000}", "aliases"},
		"depth":         {"graphql: {depth: 100}", "depth"},
		"introspection": {"graphql: {introspection: true}", "introspection"},
		"directives":    {"graphql: {directives: 1000}", "a directive repeated"},
		"batches":       {"graphql: {batch: 1000}", "a batch"},
		"no GraphQL":    {"scopes: any", "aliases, depth, introspection, a directive repeated, a mutation by GET, a batch, a mutation as application/x-www-form-urlencoded, a mutation as text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			i.write(t, "pavise.yaml", strings.ReplaceAll(strict, "graphql: {}", c.weaker))
			if err := i.running.App().Reload(i.load(t, "pavise.yaml")); err != nil {
				t.Fatal(err)
			}
			f := i.load(t, "policy.yaml")
			report, outcomes := attackWith(t, own.Gateway{File: f, Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, f), PerSecond: 5000}, 0, func(c *attack.Case) bool {
				return strings.Contains(c.ID, "GraphQL: ") || strings.HasSuffix(c.ID, "a good request")
			})
			wanted := map[string]bool{}
			for one := range strings.SplitSeq(c.want, ", ") {
				wanted[one] = c.want != ""
			}
			found := map[string]bool{}
			for _, f := range report.Findings {
				_, what, _ := strings.Cut(f.Case, "GraphQL: ")
				if found[what] = true; !wanted[what] || f.Rule != "contract" || f.Proof == "" {
					t.Errorf("%s at %s: %s", f.Case, f.Where, f.What)
				}
			}
			for one := range wanted {
				if one != "" && !found[one] {
					t.Errorf("%s is not found", one)
				}
			}
			for id, outcome := range outcomes {
				if outcome == attack.Unsure || outcome == attack.Skipped {
					t.Errorf("%s: %s", outcome, id)
				}
			}
		})
	}
}
