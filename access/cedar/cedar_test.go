package cedar_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/access/cedar"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

func compile(t testing.TB, condition string, policies ...string) *cedar.Decider {
	t.Helper()
	s := cedar.Settings{
		API: "payments", Endpoint: "POST /v1/payments/{id}", Condition: condition,
		Now: func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) },
	}
	for _, text := range policies {
		s.Policies = append(s.Policies, cedar.File{Name: "p.cedar", Text: text})
	}
	d, err := cedar.New(s)
	if err != nil {
		t.Fatalf("compile %q: %v", condition, err)
	}
	return d
}

func request(d *cedar.Decider, body string) *http.Request {
	r := httptest.NewRequest("POST", "/v1/payments/7?currency=EUR&twice=1&twice=2", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetPathValue("id", "7")
	r.RemoteAddr = "192.0.2.7:1234"
	if d.Body() > 0 {
		r.Body = shield.NewBody(io.NopCloser(strings.NewReader(body)), d.Body())
	}
	return r
}

func acme() *shield.Identity {
	return &shield.Identity{
		Shield: "hmac", CredentialID: "k1", Client: "shop", Tenant: "acme", Issuer: "pavise", Subject: "shop",
		Scopes: shield.Scopes{"payments:write"}, Attributes: map[string]any{"level": 3, "ratio": 0.5, "regions": []any{"eu"}},
	}
}

func check(d *cedar.Decider, body string) error { return d.Check(request(d, body), acme()) }

func isDenied(err error) bool {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	return ok && refusal.Code == shield.Denied
}

func TestConditionsDecide(t *testing.T) {
	attacktest.Rows(t, 159)
	const tenant, amount = `principal.tenant == context.body.tenant`, `context.body.amount < 1000`
	tests := []struct {
		name, condition, body string
		allowed               bool
	}{
		{"the same tenant", tenant, `{"tenant":"acme"}`, true},
		{"another tenant", tenant, `{"tenant":"evil"}`, false},
		{"no tenant", tenant, `{}`, false},
		{"a null", tenant, `{"tenant":null}`, false},
		{"another type", tenant, `{"tenant":["acme"]}`, false},
		{"twice, the good one last", tenant, `{"tenant":"evil","tenant":"acme"}`, false},
		{"twice, the good one first", tenant, `{"tenant":"acme","tenant":"evil"}`, false},
		{"no body", tenant, ``, false},
		{"no JSON", tenant, `tenant=acme`, false},
		{"a list for a body", tenant, `[{"tenant":"acme"}]`, false},
		{"something after the value", tenant, `{"tenant":"acme"} {}`, false},
		{"a small amount", amount, `{"amount":20}`, true},
		{"a large amount", amount, `{"amount":2000}`, false},
		{"a fraction", amount, `{"amount":20.5}`, false},
		{"an exponent", amount, `{"amount":1e2}`, false},
		{"beyond 64 bits", amount, `{"amount":99999999999999999999}`, false},
		{"an amount as text", amount, `{"amount":"20"}`, false},
		{"a fraction that nobody names", amount, `{"amount":20,"rate":0.5,"nothing":null}`, true},
		{"a deep path", `context.body.a.b == "x"`, `{"a":{"b":"x","c":1.5}}`, true},
		{"a deep path through another type", `context.body.a.b == "x"`, `{"a":"b"}`, false},
		{"has", `context has body && context.body has tenant`, `{"tenant":"x"}`, true},
		{"a scope", `principal.scopes.contains("payments:write")`, ``, true},
		{"a scope that only begins so", `principal.scopes.contains("payments:w")`, ``, false},
		{"a path value", `resource.path.id == "7"`, ``, true},
		{"a query value", `context.query.currency == "EUR"`, ``, true},
		{"a query value that stands twice", `context.query.twice == "1"`, ``, false},
		{"an attribute", `principal.attributes.level >= 3`, ``, true},
		{"an attribute of no type", `principal.attributes.ratio == 1`, ``, false},
		{"an address", `context.address.isInRange(ip("192.0.2.0/24"))`, ``, true},
		{"a time", `context.time < datetime("2027-01-01")`, ``, true},
		{"the method", `action == Action::"POST"`, ``, true},
		{"false", `false`, ``, false},
		{"an error beside a truth", `true || context.body.nothing == 1`, `{}`, true}, // never evaluated
		{"an error that is evaluated", `context.body.nothing == 1 || true`, `{}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := check(compile(t, test.condition), test.body)
			if test.allowed && err != nil {
				t.Errorf("denied: %v", err)
			}
			if !test.allowed && !isDenied(err) {
				t.Errorf("%v, want it denied", err)
			}
		})
	}
}

func TestPolicyFilesDenyByDefaultAndForbidWins(t *testing.T) {
	const permit, forbid = `permit(principal, action, resource);`, `forbid(principal, action, resource) when { principal.tenant == "acme" };`
	tests := []struct {
		name     string
		policies []string
		allowed  bool
	}{
		{"a permit", []string{permit}, true},
		{"a permit for others", []string{`permit(principal == Client::"other", action, resource);`}, false},
		{"a forbid beside a permit", []string{permit, forbid}, false},
		{"a forbid that errs", []string{permit, `forbid(principal, action, resource) when { principal.nothing == 1 };`}, false},
		{"a permit that errs beside one that does not", []string{permit, `permit(principal, action, resource) when { principal.nothing == 1 };`}, false},
		{"only a forbid that does not match", []string{`forbid(principal == Client::"other", action, resource);`}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := check(compile(t, "", test.policies...), "")
			if test.allowed != (err == nil) || !test.allowed && !isDenied(err) {
				t.Errorf("%v; allowed should be %t", err, test.allowed)
			}
		})
	}
	if err := check(compile(t, "false", permit), ""); !isDenied(err) {
		t.Errorf("a permit overrode the condition: %v", err)
	}
}

func TestWhatIsNoPolicyIsRefusedWhenItIsCompiled(t *testing.T) {
	for _, condition := range []string{
		"principal.tenant =", "true }; permit(principal, action, resource) when { true", "true } unless { false", "}", "permit(principal, action, resource);",
	} {
		if _, err := cedar.New(cedar.Settings{Condition: condition}); err == nil {
			t.Errorf("condition %q was compiled", condition)
		}
	}
	_, err := cedar.New(cedar.Settings{Policies: []cedar.File{{Name: "pay.cedar", Text: "permit(principal, action, resource)\nwhen {"}}})
	if err == nil || !strings.Contains(err.Error(), "pay.cedar") {
		t.Errorf("error %v, want the file's name", err)
	}
	if _, err := cedar.New(cedar.Settings{Policies: []cedar.File{{Name: "empty.cedar"}}}); err == nil {
		t.Error("an empty policy file was compiled")
	}
}

func TestBodyIsReadOnlyWhereAPolicyNamesIt(t *testing.T) {
	if n := compile(t, `principal.tenant == "acme"`).Body(); n != 0 {
		t.Errorf("reads %d bytes without need", n)
	}
	if n := compile(t, `context.body.x == 1`).Body(); n != 1<<20 {
		t.Errorf("reads %d bytes", n)
	}
}

func FuzzBody(f *testing.F) {
	d := compile(f, `context.body.a.b == "x"`)
	f.Add(`{"a":{"b":"x"}}`)
	f.Add(`{"a":{"b":null}}`)
	f.Fuzz(func(t *testing.T, body string) {
		if err := check(d, body); err == nil && !strings.Contains(body, "x") && !strings.Contains(body, "u0078") {
			t.Errorf("%q was allowed", body)
		}
	})
}

func BenchmarkCondition(b *testing.B) {
	d := compile(b, `principal.tenant == context.body.tenant`)
	id := acme()
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Check(request(d, `{"tenant":"acme"}`), id); err != nil {
			b.Fatal(err)
		}
	}
}
