package own_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/pki"
)

const machines = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
apis:
  machines:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    endpoints:
      GET /v1/machines/{id}: {shield: {mtls: {trust: own}}, scopes: [machines:read]}
      POST /v1/machines: {shield: {all: [{mtls: {trust: own}}, api_key]}, scopes: [machines:write]}
scopes: {machines:read: See machines, machines:write: Add machines}
`

// TestCertificatesOfTheOwnAuthority: what trusts the installation's own authority is attacked with certificates that it
// made for the test. A gateway that asks for less than the policy is found; one that keeps it is not.
func TestCertificatesOfTheOwnAuthority(t *testing.T) {
	head, endpoints, _ := strings.Cut(machines, "    endpoints:\n")
	const before = "    endpoints: {GET /v1/before: {shield: api_key, scopes: any}}\n"
	i := install(t, head+before+endpoints[strings.Index(endpoints, "scopes: {machines"):], nil)
	if _, err := i.admin.InitAuthority(t.Context(), admin.InitAuthority{Setup: pki.Setup{Name: "Test", Domain: "test.internal", Algorithm: "ES256"}}); err != nil {
		t.Fatal(err)
	}
	strict := strings.Replace(i.read(t, "pavise.yaml"), before, "    endpoints:\n"+endpoints[:strings.Index(endpoints, "scopes: {machines")], 1)
	i.write(t, "policy.yaml", strict)
	for name, c := range map[string]struct{ old, new, want string }{
		"in force":         {"", "", ""},
		"a scope removed":  {"scopes: [machines:read]", "scopes: any", "missing-scope"},
		"one proof of two": {"{all: [{mtls: {trust: own}}, api_key]}", "{mtls: {trust: own}}", "incomplete-proof"},
		"the other of two": {"{all: [{mtls: {trust: own}}, api_key]}", "api_key", "incomplete-proof"},
		"two, of whomever": {"{mtls: {trust: own}}, api_key]", "{mtls: {trust: own}}, {api_key: {}, actor: true}]", "mixed-identities"},
		"no shield":        {"shield: {mtls: {trust: own}}, scopes: [machines:read]", "shield: {public: it is only a test}", "no-credential"},
	} {
		t.Run(name, func(t *testing.T) {
			i.write(t, "pavise.yaml", strings.Replace(strict, c.old, c.new, 1))
			if err := i.running.App().Reload(i.load(t, "pavise.yaml")); err != nil {
				t.Fatal(err)
			}
			f := i.load(t, "policy.yaml")
			report, outcomes := attackWith(t, own.Gateway{File: f, Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, f), PerSecond: 5000}, 0, func(one *attack.Case) bool {
				return c.want == "" && one.Rule.ID != "http2" && one.Rule.ID != "ambiguous-path" && one.Rule.ID != "ambiguous-header" || one.Rule.ID == c.want || strings.HasSuffix(one.ID, "a good request")
			})
			found := rulesOf(report)
			if found[c.want] != (c.want != "") || c.want == "" && len(found) > 0 {
				show(t, report)
				t.Errorf("found %v, want %q", found, c.want)
			}
			if c.want != "" {
				return
			}
			tried := map[string]int{}
			for id, outcome := range outcomes {
				rule, _, _ := strings.Cut(id, " ")
				if tried[rule+" "+string(outcome)]++; strings.HasSuffix(id, "a good request") && outcome != attack.Held {
					t.Errorf("%s: %s", outcome, id)
				}
			}
			if tried["ended-credential held"] == 0 || tried["mixed-identities held"] == 0 || tried["forged-credential held"] == 0 {
				t.Errorf("tried %v", tried)
			}
		})
	}
}
