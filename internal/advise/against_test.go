package advise_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/schema"
)

const payments = `openapi: 3.1.0
info: {title: Payments, version: "1"}
security: [{cert: [payments:read]}]
paths:
  /v1/partner/payments:
    post:
      security: [{cert: [payments:pay]}]
      requestBody:
        content: {application/json: {schema: {type: object, additionalProperties: false, properties: {iban: {type: string, maxLength: 34}}}}}
      responses: {"201": {description: paid, content: {application/json: {schema: {type: object, properties: {id: {type: string}}}}}}}
  /v1/partner/payments/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {iban: {type: string}}}}}}}
components: {securitySchemes: {cert: {type: mutualTLS}}}
`

// planOf advises on a document that lies in a folder.
func planOf(t *testing.T, dir, text string, answers *advise.File) *advise.Plan {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := schema.Open("api.yaml", []byte(text), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	api, endpoints, left := advise.FromDocument(d)
	api, endpoints, beyond := answers.Apply(api, endpoints)
	plan := advise.Advise(api, endpoints)
	plan.Left, plan.Served = append(left, beyond...), "api.yaml"
	return plan
}

// compared reads a configuration and compares it.
func compared(t *testing.T, dir string, plan *advise.Plan, text string) advise.Comparison {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := app.Load(name)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	live, err := app.Advised(f)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Against(live)
}

// Each way of being weaker is told, with its rule; the same thing written otherwise is not.
func TestWeakerIsTold(t *testing.T) {
	dir := t.TempDir()
	plan := planOf(t, dir, payments, &advise.File{})
	written := string(plan.Configuration())
	if c := compared(t, dir, plan, written); len(c.Weaker) > 0 || c.Equal != 2 {
		t.Fatalf("what was written is weaker: %+v", c)
	}
	for _, one := range []struct {
		name, old, new, what, rule string
	}{
		{"another shield", "shield: {all: [mtls, hmac]}", "shield: api_key", "shield", "delicate-bound"},
		{"one of two proofs", "shield: {all: [mtls, hmac]}", "shield: hmac", "shield", "two-proofs"},
		{"a weaker way beside", "shield: {all: [mtls, hmac]}", "shield: {any: [{all: [mtls, hmac]}, api_key]}", "shield", "delicate-bound"},
		{"anybody", "shield: {all: [mtls, hmac]}\n        scopes: [\"payments:pay\"]\n        limit: 30/minute per client", "shield: {public: for the test of it}\n        scopes: any\n        limit: 30/minute per address", "shield", "data-not-public"},
		{"no scope", `scopes: ["payments:pay"]`, "scopes: any", "scopes", "least-privilege"},
		{"one scope for all", `scopes: ["payments:pay"]`, `scopes: ["payments:read"]`, "scopes", "least-privilege"},
		{"no limit", "        limit: 30/minute per client\n", "", "limit", "limit-each"},
		{"a limit that all share", "limit: 30/minute per client", "limit: 30/minute per endpoint", "limit", "limit-each"},
		{"a high limit", "limit: 30/minute per client", "limit: 1000/minute per client", "limit", "limit-each"},
		{"no contract", `    openapi: "api.yaml"` + "\n", "", "openapi", "contract"},
		{"an open contract", `openapi: "api.yaml"`, "openapi: {file: api.yaml, insecure_undeclared: for the test of it}", "openapi", "contract"},
		{"a contract on trial", `openapi: "api.yaml"`, "openapi: api.yaml\n    insecure_report_only: [{what: contract, until: \"2099-12-31\", reason: for the test of it}]", "openapi", "contract"},
		{"no injection rules", "        injection: on\n", "", "injection", "injection"},
		{"few injection rules", "injection: on", "injection: {level: low}", "injection", "injection"},
		{"no idempotency", "        idempotency: {}\n", "", "idempotency", "idempotency"},
		{"optional idempotency", "idempotency: {}", "idempotency: {required: false}", "idempotency", "idempotency"},
		{"local audit", "    audit: required   # audit-required\n", "", "audit", "audit-required"},
		{"no detections", "detections: on", "detections: off", "detections", "watched"},
		{"answers that nobody looks at", "        responses: {detect: [card, key, private_key, trace], contract: strip}\n", "", "responses", "answers-held"},
		{"answers that are only recorded", "contract: strip", "contract: report", "responses", "answers-held"},
	} {
		t.Run(one.name, func(t *testing.T) {
			text := strings.ReplaceAll(written, one.old, one.new)
			if text == written {
				t.Fatalf("%q stands nowhere in\n%s", one.old, written)
			}
			if one.name == "no contract" {
				text = strings.ReplaceAll(text, ", contract: strip", "") // there is nothing to hold answers to
			}
			text = strings.ReplaceAll(text, "scopes: any\n        limit: 30/minute per address\n        injection: on\n        idempotency: {}", "scopes: any\n        limit: 30/minute per address\n        injection: on")
			c := compared(t, dir, plan, text)
			if !slices.ContainsFunc(c.Weaker, func(w advise.Weaker) bool {
				return w.What == one.what && w.Rule == one.rule && w.Where != "" && w.Why != ""
			}) {
				t.Errorf("not told: %+v", c.Weaker)
			}
		})
	}
	same := strings.NewReplacer("{all: [mtls, hmac]}", "{all: [{hmac: {window: 30s}}, {mtls: {}}]}", "30/minute per client", "[1/second per client, 2000/hour per endpoint]", "/{id}", "/{payment}").Replace(written)
	if c := compared(t, dir, plan, same); len(c.Weaker) > 0 {
		t.Errorf("the same, written otherwise, is told: %+v", c.Weaker)
	}
}

// What only one of the two has is told, and is not weaker.
func TestAbsentAndBeyondAreTold(t *testing.T) {
	dir := t.TempDir()
	plan := planOf(t, dir, payments, &advise.File{})
	text := strings.Replace(string(plan.Configuration()), `"GET /v1/partner/payments/{id}"`, `"GET /v1/other/{id}"`, 1)
	c := compared(t, dir, plan, strings.NewReplacer(`    openapi: "api.yaml"`+"\n", "", ", contract: strip", "").Replace(text))
	if !slices.Equal(c.Absent, []string{"GET /v1/partner/payments/{id}"}) || len(c.Beyond) != 1 || !strings.Contains(c.Beyond[0], "/v1/other/") {
		t.Errorf("absent %v, beyond %v", c.Absent, c.Beyond)
	}
}

// An endpoint that serves everything below is compared with each that it serves.
func TestAWiderPatternIsCompared(t *testing.T) {
	dir := t.TempDir()
	plan := planOf(t, dir, payments, &advise.File{})
	c := compared(t, dir, plan, `
hosts: {127.0.0.1: {certificate: local}}
apis:
  all: {host: 127.0.0.1, upstream: "http://127.0.0.1:1", shield: api_key, scopes: any, endpoints: {"GET /{path...}": {}, "POST /{path...}": {}}}
scopes: {}
`)
	for _, pattern := range []string{"POST /v1/partner/payments", "GET /v1/partner/payments/{id}"} {
		if !slices.ContainsFunc(c.Weaker, func(w advise.Weaker) bool { return w.Endpoint == pattern && w.What == "shield" }) {
			t.Errorf("%s is not told: %+v", pattern, c.Weaker)
		}
	}
}

// The document's words are guessed from, and answers that were given count before.
func TestAnswersCountBeforeGuesses(t *testing.T) {
	plan := planOf(t, t.TempDir(), payments, &advise.File{})
	post := plan.Advice[0]
	if post.Answers.Data != advise.Payment || post.Answers.Harm != advise.Money || !slices.Equal(post.Answers.Callers, []advise.Caller{advise.Partner}) || len(post.Guessed) != 3 {
		t.Errorf("guessed %+v, %v", post.Answers, post.Guessed)
	}
	given := &advise.File{Defaults: advise.Answers{Callers: []advise.Caller{advise.Service}}, Endpoints: map[string]advise.Answers{
		"GET /v1/partner/payments/{other}": {Data: advise.Application},
		"GET /v1/elsewhere":                {},
	}}
	plan = planOf(t, t.TempDir(), payments, given)
	get := plan.Advice[1]
	if get.Answers.Data != advise.Application || get.Answers.Callers[0] != advise.Service || get.Answers.Harm != advise.Read || len(get.Guessed) != 1 || get.Guessed[0].Question != "harm" {
		t.Errorf("answered %+v, guessed %v", get.Answers, get.Guessed)
	}
	if len(plan.Left) != 1 || plan.Left[0].What != "GET /v1/elsewhere" {
		t.Errorf("an endpoint that the document does not have: %v", plan.Left)
	}
}

// A document that says nothing of security does not say that everybody may call.
func TestSilenceIsNotOpen(t *testing.T) {
	text := `openapi: 3.1.0
info: {title: X, version: "1"}
paths:
  /v1/silent: {get: {responses: {"200": {description: it}}}}
  /v1/open: {get: {security: [], responses: {"200": {description: it}}}}
`
	plan := planOf(t, t.TempDir(), text, &advise.File{})
	if open, silent := plan.Advice[0], plan.Advice[1]; !open.Public() || silent.Public() {
		t.Errorf("%s: %s, %s: %s", open.Pattern, open.Shield, silent.Pattern, silent.Shield)
	}
}

// Answers that were saved give the same advice.
func TestSavedAnswersGiveTheSameAdvice(t *testing.T) {
	dir := t.TempDir()
	plan := planOf(t, dir, payments, &advise.File{})
	text, err := advise.AnswersOf(plan).Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := advise.ReadFile(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	other := planOf(t, dir, payments, again)
	if string(other.Configuration()) != string(plan.Configuration()) {
		t.Errorf("%s\n%s", plan.Configuration(), other.Configuration())
	}
	if slices.ContainsFunc(other.Advice, func(a advise.Advice) bool { return len(a.Guessed) > 0 }) {
		t.Error("something is still guessed")
	}
}

// What is no file of answers is refused, and why is said.
func TestBadAnswersAreRefused(t *testing.T) {
	for text, why := range map[string]string{
		"": "no answers",
		"endpoints: {GET /x: {callers: [robot]}}":                           "robot",
		"endpoints: {GET /x: {data: secret}}":                               "secret",
		"endpoints: {GET /x: {harm: some}}":                                 "some",
		"endpoints: {GET /x: {callers: [device, device]}}":                  "twice",
		"endpoints: {GET /x: {rate: often}}":                                "rate",
		"endpoints: {GET x: {}}":                                            "no endpoint",
		"endpoints: {get /x: {}}":                                           "no endpoint",
		"endpoints: {GET /x: {on_behalf: true, callers: [webhook]}}":        "webhook",
		"endpoints: {GET /x: {who: me}}":                                    "who",
		"defaults: {harm: big}":                                             "defaults",
		"tokens: {issuer: 'http://login.example.com'}":                      "issuer",
		"tokens: {issuer: 'https://login.example.com', opaque: true}":       "client_id",
		"upstream: 'file:///etc/passwd'":                                    "upstream",
		"host: 'https://api.example.com'":                                   "host",
		"name: 'a b'":                                                       "name",
		"endpoints: {GET /x: {}, GET /x: {}}":                               "already",
		"defaults: {harm: read}\n" + strings.Repeat("# comment\n", 110_000): "bytes",
		"endpoints: {\"GET /{a}/{a}\": {}}":                                 "endpoint",
		"endpoints: {GET /x: {data: user, data: health}}":                   "already",
	} {
		if _, err := advise.ReadFile([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.60q: %v, want %q", text, err, why)
		}
	}
	good := "name: shop\nhost: api.example.com\nupstream: http://127.0.0.1:9000\ntokens: {issuer: own}\ndefaults: {callers: [browser]}\nendpoints: {GET /x: {data: user, harm: read, rate: 5/minute burst 2}}"
	if _, err := advise.ReadFile([]byte(good)); err != nil {
		t.Error(err)
	}
}
