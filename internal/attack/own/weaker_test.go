package own_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/finding"
)

const policy = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}, other.test: {certificate: local}}
oauth: {issuer: "https://127.0.0.1:{{port}}"}
fetch: {allow: [127.0.0.1]}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    openapi: orders.openapi.yaml
    responses: {contract: refuse}
    injection: on
    limit: 30000/minute per client
    endpoints:
      GET /health: {shield: {public: load balancers ask whether we live}}
      GET /v1/orders/{id}: {shield: {any: [jwt, {api_key: {header: X-Shop-Key, environment: live}}]}, scopes: [orders:read]}
      POST /v1/orders: {shield: {hmac: {headers: [idempotency-key]}}, scopes: [orders:write], limit: 280/minute per client}
      POST /v1/transfers: {shield: {all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, api_key]}, scopes: [orders:write]}
  others:
    host: other.test
    upstream: "{{upstream}}"
    shield: api_key
    cors: [https://app.example.com]
    endpoints:
      GET /v2/things: {scopes: any}
scopes: {orders:read: See orders, orders:write: Place orders}
`

const document = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /health:
    get: {responses: {"200": {description: fine}}}
  /v1/orders/{id}:
    get:
      parameters:
        - {name: id, in: path, required: true, schema: {type: string, maxLength: 20}}
        - {name: lang, in: query, schema: {type: string, enum: [en, de]}}
      responses:
        "200": {description: an order, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}
  /v1/orders:
    post:
      requestBody: &body
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [item, amount]
              additionalProperties: false
              properties: {item: {type: string, maxLength: 100}, amount: {type: integer, minimum: 1}}
      responses: &made
        "200": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}
  /v1/transfers:
    post:
      requestBody: *body
      responses: *made
`

// files are those of the policy. The document is JSON for readers of YAML: anchors are written out.
func files() map[string]string {
	body := `
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [item, amount]
              additionalProperties: false
              properties: {item: {type: string, maxLength: 100}, amount: {type: integer, minimum: 1}}`
	made := `
        "200": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}`
	text := strings.NewReplacer("*body", body, "*made", made, "&body", "", "&made", "").Replace(document)
	return map[string]string{"orders.openapi.yaml": text}
}

// TestAPolicyInForceHolds: a policy with every kind of shield, a contract, judged answers and
// injections: nothing is found, no service is asked, and each act is in the log.
func TestAPolicyInForceHolds(t *testing.T) {
	i := install(t, policy, files())
	report, outcomes := i.attack(t, "pavise.yaml", attack.Smuggles, nil)
	if len(report.Findings) > 0 {
		show(t, report)
		t.Errorf("%d findings", len(report.Findings))
	}
	held := map[attack.Outcome]int{}
	for id, outcome := range outcomes {
		held[outcome]++
		if outcome == attack.Unsure {
			t.Logf("unsure: %s", id)
		}
		if strings.Contains(id, ": a good request") && outcome != attack.Held {
			t.Errorf("%s: %s", id, outcome)
		}
	}
	t.Log(report.About)
	if held[attack.Held] < 300 {
		t.Errorf("%d cases held", held[attack.Held])
	}
	for _, asked := range i.asked() {
		if asked != "GET /health" {
			t.Errorf("a service was asked %s", asked)
		}
	}
	acts := map[string]int{}
	if err := i.running.App().State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := i.admin.Events(t.Context(), audit.Query{Class: audit.Admin, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found.Records {
		var one struct {
			Action string `json:"action"`
		}
		if err := json.Unmarshal(e.Event, &one); err != nil {
			t.Fatal(err)
		}
		acts[one.Action]++
	}
	for _, act := range []string{"client.create", "client.test_end", "credential.create", "credential.revoke"} {
		if acts[act] == 0 {
			t.Errorf("no event tells of %s: %v", act, acts)
		}
	}
}

// TestWhatIsAcceptedReachesTheServiceIfItMay: with Through the service answers.
func TestWhatIsAcceptedReachesTheServiceIfItMay(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks a gateway; others do under the race detector")
	}
	i := install(t, policy, files())
	report, _ := i.attack(t, "pavise.yaml", attack.Writes, func(g *own.Gateway) { g.Through = true })
	if len(report.Findings) > 0 {
		show(t, report)
		t.Errorf("%d findings", len(report.Findings))
	}
	if all := strings.Join(i.asked(), "\n"); !strings.Contains(all, "POST /v1/orders") || !strings.Contains(all, "GET /v1/orders/") {
		t.Errorf("the service was asked:\n%s", all)
	}
}

const forms = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local}}
apis:
  forms:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    injection: on
    endpoints:
      GET /v1/forms/{id}: {shield: {public: anybody may read}}
      POST /v1/forms: {shield: {public: anybody may fill one in}}
      DELETE /v1/forms/{id}: {shield: {public: anybody may take one back}}
      POST /v1/orders: {shield: api_key, scopes: [orders:write]}
scopes: {orders:write: Place orders}
`

// TestAServiceIsNotChangedUnlessThatIsAllowed: where anybody may call, and where the test goes through, it is the
// service that answers; also what the gateway should have refused and does not.
func TestAServiceIsNotChangedUnlessThatIsAllowed(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks a gateway several times; others do under the race detector")
	}
	i := install(t, forms, nil)
	strict := i.read(t, "pavise.yaml")
	i.write(t, "policy.yaml", strict)
	i.write(t, "pavise.yaml", strings.Replace(strict, "    injection: on\n", "", 1))
	if err := i.running.App().Reload(i.load(t, "pavise.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		through         bool
		allowed         attack.Demand
		writes, removes bool
	}{
		{"nothing is allowed", false, 0, false, false},
		{"nothing is allowed, and it goes through", true, 0, false, false},
		{"writing is allowed", false, attack.Writes, true, false},
		{"removing is allowed", false, attack.Destroys, false, true},
	} {
		before := len(i.asked())
		report, _ := i.attack(t, "policy.yaml", c.allowed, func(g *own.Gateway) { g.Through = c.through })
		all := strings.Join(i.asked()[before:], "\n")
		if strings.Contains(all, "POST ") != c.writes || strings.Contains(all, "DELETE ") != c.removes || !strings.Contains(all, "GET ") {
			t.Errorf("%s: the service was asked\n%s", c.name, all)
		}
		if !rulesOf(report)["injection-passes"] {
			t.Errorf("%s: what comes through in a query is not found", c.name)
		}
	}
}

// TestWhatIsNotLetTryIsCounted: a finding that nobody could look for is not mended.
func TestWhatIsNotLetTryIsCounted(t *testing.T) {
	i := install(t, forms, nil)
	run, err := own.Open(t.Context(), own.Gateway{File: i.load(t, "pavise.yaml"), Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, i.load(t, "pavise.yaml")), PerSecond: 5000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := run.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	plan := run.Plan()
	plan.Cases = slices.DeleteFunc(plan.Cases, func(c attack.Case) bool { return c.Rule.ID != "no-credential" })
	for _, kept := range []int{0, len(plan.Cases)} {
		if kept > 0 {
			if _, err := i.admin.Block(t.Context(), admin.NewBlock{Network: netip.MustParsePrefix("127.0.0.0/8"), Life: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := attack.Run(t.Context(), run.Prober(), plan, attack.Options{}); err != nil {
			t.Fatal(err)
		}
		if run.Kept() != kept {
			t.Errorf("%d of %d cases were not let try, want %d", run.Kept(), len(plan.Cases), kept)
		}
	}
}

// TestAWeakerGatewayIsFound: the gateway runs with less than its operator believes.
func TestAWeakerGatewayIsFound(t *testing.T) {
	i := install(t, policy, files())
	strict := i.read(t, "pavise.yaml")
	i.write(t, "policy.yaml", strict)
	for name, c := range map[string]struct {
		old, new, rule string
		allowed        attack.Demand
	}{
		"scopes removed":            {"scopes: [orders:read]}", "scopes: any}", "missing-scope", 0},
		"a shield replaced":         {"{shield: {hmac: {headers: [idempotency-key]}}, scopes: [orders:write], limit: 280/minute per client}", "{shield: {public: it is only a test}}", "no-credential", 0},
		"one proof of two":          {"{all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, api_key]}", "api_key", "incomplete-proof", 0},
		"another proof of two":      {"{all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, api_key]}", "{all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, {api_key: {}, actor: true}]}", "mixed-identities", 0},
		"a limit removed":           {", limit: 280/minute per client}", "}", "missing-limit", 0},
		"a limit raised":            {"limit: 280/minute", "limit: 2800/minute", "missing-limit", attack.Floods},
		"the contract off":          {"    openapi: orders.openapi.yaml\n    responses: {contract: refuse}\n", "", "contract", 0},
		"injections are not sought": {"    openapi: orders.openapi.yaml\n    responses: {contract: refuse}\n    injection: on\n", "", "injection-passes", 0},
		"an endpoint more":          {"    endpoints:\n      GET /health:", "    endpoints:\n      GET /metrics: {shield: {public: it is only a test}, insecure_undescribed: it is only a test}\n      GET /health:", "undeclared-endpoint", 0},
		"paths are taken":           {"    limit: 30000/minute per client\n", "    limit: 30000/minute per client\n    insecure_allow: [{what: semicolon, reason: it is only a test}]\n", "ambiguous-path", 0},
		"an origin more":            {"cors: [https://app.example.com]", "cors: [https://app.example.com, https://pavise-attack.example]", "foreign-origin", 0},
	} {
		t.Run(name, func(t *testing.T) {
			weak := strings.Replace(strict, c.old, c.new, 1)
			if weak == strict {
				t.Fatal("the policy has no such line")
			}
			i.write(t, "pavise.yaml", weak)
			if err := i.running.App().Reload(i.load(t, "pavise.yaml")); err != nil {
				t.Fatal(err)
			}
			report := i.tryRule(t, "policy.yaml", c.rule, c.allowed)
			if found := rulesOf(report); !found[c.rule] {
				show(t, report)
				t.Errorf("%s is not found: %v", c.rule, found)
			}
			for _, f := range report.Findings {
				if f.Rule == c.rule && f.Mend == "" {
					t.Errorf("%s says not what mends it", f.Rule)
				}
			}
		})
	}
}

// TestAServiceBesideTheGatewayIsFound: it answers whoever goes around the gateway.
func TestAServiceBesideTheGatewayIsFound(t *testing.T) {
	address := outward(t)
	l, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
	if err != nil {
		t.Skip("nothing can listen at the machine's own address")
	}
	status := http.StatusOK
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	i := install(t, strings.Replace(policy, "{{upstream}}", "http://"+l.Addr().String(), 1), files())
	report := i.tryRule(t, "pavise.yaml", "upstream-open", 0)
	if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Proof, l.Addr().String()) {
		show(t, report)
		t.Errorf("%d findings", len(report.Findings))
	}
	status = http.StatusUnauthorized // it asks who is there
	if report = i.tryRule(t, "pavise.yaml", "upstream-open", 0); len(report.Findings) != 0 {
		show(t, report)
		t.Errorf("%d findings", len(report.Findings))
	}
}

// outward is an address of this machine that others reach.
func outward(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
			return prefix.Addr()
		}
	}
	t.Skip("this machine has no address but its own")
	return netip.Addr{}
}

// tryRule runs the cases of one rule.
func (i *installation) tryRule(t *testing.T, file, rule string, allowed attack.Demand) *finding.Report {
	t.Helper()
	f := i.load(t, file)
	report, _ := attackWith(t, own.Gateway{File: f, Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, f), PerSecond: 5000}, allowed,
		func(c *attack.Case) bool { return c.Rule.ID == rule || strings.HasSuffix(c.ID, "a good request") })
	return report
}

const signed = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
apis:
  things:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {any: [hmac, api_key]}
    endpoints:
      GET /me: {scopes: any}
      DELETE /v1/things/{id}: {shield: hmac, scopes: any}
      GET /v1/things/{id}: {shield: {all: [{mtls: {trust: pavise-data/local-ca/ca.pem}}, hmac]}, scopes: any}
scopes: {}
`

// TestASignedRequestWithoutABodyHolds: a GET signs no headers and has no body, so that some attacks
// of the kind leave it as it was.
func TestASignedRequestWithoutABodyHolds(t *testing.T) {
	i := install(t, signed, nil)
	report, outcomes := i.attack(t, "pavise.yaml", attack.Destroys, nil)
	if len(report.Findings) > 0 {
		show(t, report)
		t.Errorf("%d findings", len(report.Findings))
	}
	tried := map[attack.Outcome]int{}
	for id, outcome := range outcomes {
		if !strings.Contains(id, "forged-credential") {
			continue
		}
		tried[outcome]++
		if outcome == attack.Unsure {
			t.Errorf("unsure: %s", id)
		}
	}
	if tried[attack.Held] < 60 || tried[attack.Skipped] == 0 {
		t.Errorf("forged credentials: %v", tried)
	}
}
