package cedar_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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
	for i, text := range policies {
		s.Policies = append(s.Policies, cedar.File{Name: fmt.Sprintf("p%d.cedar", i+1), Text: text})
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
		Scopes: shield.Scopes{"payments:write"}, Attributes: map[string]any{"level": 3, "ratio": 0.5, "regions": []any{"eu"}, "deep": map[string]any{"n": 2.0, "r": 0.5}},
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
		{"an attribute named kind", `context.body.kind == "a"`, `{"kind":"a"}`, true},
		{"a name in another case", tenant, `{"Tenant":"acme"}`, false},
		{"a name in two cases", tenant, `{"tenant":"acme","Tenant":"evil"}`, false},
		{"twice where nobody looks", tenant, `{"tenant":"acme","x":{"y":1,"y":2}}`, false},
		{"a name with spaces", `context.body["a b"].c == 1`, `{"a b":{"c":1}}`, true},
		{"has, and it is missing", `!(context.body has tenant)`, `{"x":1.5}`, true},
		{"has, and it is null", `!(context.body has tenant)`, `{"tenant":null}`, false},
		{"has, and nothing else, and it is null", `context.body has tenant`, `{"tenant":null}`, false},
		{"has deep, and nothing else, and it is null", `context.body has a.b`, `{"a":{"b":null}}`, false},
		{"has of a value nobody names", `context.body has rate`, `{"rate":0.5}`, true},
		{"has deep", `context.body has a.b && context.body.a.b == 1`, `{"a":{"b":1}}`, true},
		{"has deep, and it is missing", `context.body has a.b`, `{"a":{}}`, false},
		{"has deep through another type", `!(context.body has a.b)`, `{"a":[{"b":1}]}`, false},
		{"a set", `context.body.roles.contains("x")`, `{"roles":["y","x"]}`, true},
		{"a set with a fraction", `context.body.roles.contains("x")`, `{"roles":["x",0.5]}`, false},
		{"a set with a null", `context.body.roles.contains("x")`, `{"roles":["x",null]}`, false},
		{"a whole object", `context.body.a == {"b": 1}`, `{"a":{"b":1}}`, true},
		{"a whole object with two names that differ in case", `context.body.a == {"b": 1} || true`, `{"a":{"b":1,"B":2}}`, false},
		{"a whole object with two names that differ as Kelvin and K do", `context.body.a == {"b": 1} || true`, `{"a":{"k":1,"K":2}}`, false},
		{"a whole object, and a name of it in another case", `context.body == {"a": 1} || context.body.a == 1`, `{"A":1}`, false},
		{"a whole object in a list with such names", `context.body.a.contains({"b": 1})`, `{"a":[{"b":1},{"c":1,"C":2}]}`, false},
		{"a whole object with a null", `context.body.a == {"b": 1} || true`, `{"a":{"b":1,"c":null}}`, false},
		{"the context by another name, and a parameter twice", `{"c": context}.c.body.tenant == "acme"`, `{"tenant":"acme"}`, false},
		{"the context by another name, and a null", `{"c": context}.c.body.tenant == "acme"`, `{"tenant":"acme","x":null}`, false},
		{"the largest number", `context.body.n == 9223372036854775807`, `{"n":9223372036854775807}`, true},
		{"one more", `context.body.n >= 0`, `{"n":9223372036854775808}`, false},
		{"an overflow", `context.body.n + 1 > 0`, `{"n":9223372036854775807}`, false},
		{"nested too deep", tenant, `{"tenant":"acme","x":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, false},
		{"a user is none", `principal has user`, ``, false},
		{"in the tenant", `principal in Tenant::"acme"`, ``, true},
		{"in another tenant", `principal in Tenant::"evil"`, ``, false},
		{"in the API", `resource in API::"payments"`, ``, true},
		{"an attribute that is missing", `principal.attributes.none == 1`, ``, false},
		{"an attribute that is asked for", `principal.attributes has level && !(principal.attributes has none)`, ``, true},
		{"attributes by another way", `Client::"shop".attributes.level == 3`, ``, false}, // ratio has no type
		{"a list of attributes", `principal.attributes.regions.contains("eu")`, ``, true},
		{"a fraction beside the attribute", `principal.attributes.deep.n == 2`, ``, true},
		{"a query that is missing", `context.query has nothing`, ``, false},
		{"a query in another case", `!(context.query has CURRENCY)`, ``, false},
		{"all of the query", `context.query == {"currency": "EUR"}`, ``, false},
		{"no condition of bool", `1`, ``, false},
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

// Attributes come from a store and from claims of tokens: they are read as strictly
// as bodies.
func TestAttributesHaveOneReading(t *testing.T) {
	attacktest.Rows(t, 159)
	const whole = `Client::"shop".attributes == {"level": 3}`
	tests := []struct {
		name, condition string
		attributes      map[string]any
		allowed         bool
	}{
		{"attributes by another way", `Client::"shop".attributes.level == 3`, map[string]any{"level": 3}, true},
		{"attributes by another way, with a fraction", `Client::"shop".attributes.level == 3`, map[string]any{"level": 3, "x": 0.5}, false},
		{"attributes by another way, with a null", `Client::"shop".attributes.level == 3`, map[string]any{"level": 3, "x": nil}, false},
		{"all attributes", whole, map[string]any{"level": 3}, true},
		{"all attributes, and two that differ in case", whole + ` || true`, map[string]any{"level": 3, "Level": 9}, false},
		{"all attributes, and two that differ in case below", whole + ` || true`, map[string]any{"level": 3, "x": map[string]any{"a": 1, "A": 2}}, false},
		{"the attributes themselves by another way", `[principal.attributes].contains({"level": 3})`, map[string]any{"level": 3}, true},
		{"one, and another that differs in case", `principal.attributes.level == 3`, map[string]any{"level": 3, "Level": 9}, false},
		{"one that is there only in another case", `!(principal.attributes has level)`, map[string]any{"Level": 9}, false},
		{"one below, and another that differs in case", `principal.attributes.a.level == 3`, map[string]any{"a": map[string]any{"level": 3, "LEVEL": 9}}, false},
		{"two that differ in case where nobody looks", `principal.attributes.level == 3`, map[string]any{"level": 3, "x": 1, "X": 2}, true},
		{"has, and nothing else, and it is null", `principal.attributes has level`, map[string]any{"level": nil}, false},
		{"has, and nothing else", `principal.attributes has level`, map[string]any{"level": 0.5}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, d := acme(), compile(t, test.condition)
			id.Attributes = test.attributes
			err := d.Check(request(d, ""), id)
			if test.allowed && err != nil || !test.allowed && !isDenied(err) {
				t.Errorf("%v, want allowed %v", err, test.allowed)
			}
		})
	}
}

func TestAWholeQueryHasOneReading(t *testing.T) {
	attacktest.Rows(t, 159)
	d := compile(t, `context.query == {"a": "1"} || true`)
	for query, allowed := range map[string]bool{"a=1": true, "a=1&b=2": true, "a=1&A=2": false, "a=1&a=1": false} {
		r := request(d, "")
		r.URL.RawQuery = query
		if err := d.Check(r, acme()); allowed && err != nil || !allowed && !isDenied(err) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestTheHostIsTheConfiguredOne(t *testing.T) {
	attacktest.Rows(t, 159)
	d := compile(t, `context.host == "api.example.com"`)
	for sent, allowed := range map[string]bool{
		"api.example.com": true, "API.example.COM": true, "api.example.com:8443": true, "api.example.com.": false, "evil.example.com": false, "[api.example.com]": false, "": false,
	} {
		r := request(d, "")
		r.Host = sent
		if err := d.Check(r, acme()); allowed && err != nil || !allowed && !isDenied(err) {
			t.Errorf("%q: %v", sent, err)
		}
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
		if _, err := cedar.New(cedar.Settings{Endpoint: "GET /", Condition: condition}); err == nil {
			t.Errorf("condition %q was compiled", condition)
		}
	}
	_, err := cedar.New(cedar.Settings{Endpoint: "GET /", Policies: []cedar.File{{Name: "pay.cedar", Text: "permit(principal, action, resource)\nwhen {"}}})
	if err == nil || !strings.Contains(err.Error(), "pay.cedar") {
		t.Errorf("error %v, want the file's name", err)
	}
	if _, err := cedar.New(cedar.Settings{Endpoint: "GET /", Policies: []cedar.File{{Name: "empty.cedar"}}}); err == nil {
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

// A forbid that asks with has is not led astray by a value that has no type for
// Cedar, but one for the upstream.
func TestForbidsCannotBeAvoided(t *testing.T) {
	attacktest.Rows(t, 159)
	d := compile(t, "", `permit(principal, action, resource);`,
		`@id("large") forbid(principal, action, resource) when { context has body && context.body has amount && context.body.amount > 1000 };`)
	allowed := []string{``, `{}`, `{"amount":10}`, `{"x":null,"y":0.5}`}
	avoided := []string{
		`{"amount":2000}`, `{"amount":2000.5}`, `{"amount":2e3}`, `{"amount":null}`, `{"amount":"2000"}`, `{"amount":[2000]}`,
		`{"amount":99999999999999999999}`, `{"Amount":2000}`, `{"amount":1,"AMOUNT":2000}`, `{"amount":2000,"amount":1}`,
		`[{"amount":2000}]`, `amount=2000`, `{"amount":2000`, "\ufeff" + `{"amount":2000}`, `{"amount":1} {"amount":2000}`,
	}
	for _, body := range allowed {
		if err := check(d, body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range avoided {
		if err := check(d, body); !isDenied(err) {
			t.Errorf("%s: %v, want it denied", body, err)
		}
	}
	for _, header := range []http.Header{
		{},
		{"Content-Type": {"text/plain"}},
		{"Content-Type": {"application/json", "text/plain"}},
		{"Content-Type": {"text/plain+json"}},
		{"Content-Type": {"application/json;charset=utf-16"}},
		{"Content-Type": {"application/json; charset"}},
		{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
	} {
		r := request(d, `{"amount":10}`)
		r.Header = header
		if err := d.Check(r, acme()); !isDenied(err) {
			t.Errorf("%v: %v, want it denied", header, err)
		}
	}
	for _, media := range []string{"application/json; charset=UTF-8", "application/merge-patch+json"} {
		r := request(d, `{"amount":10}`)
		r.Header.Set("Content-Type", media)
		if err := d.Check(r, acme()); err != nil {
			t.Errorf("%s: %v", media, err)
		}
	}
	if err := check(d, `{"amount":2000}`); !strings.Contains(err.Error(), "p2.cedar#1 (large) forbids") {
		t.Errorf("%v does not name the policy", err)
	}

	d = compile(t, "", `permit(principal, action, resource) unless { context.query has twice && context.query.twice == "2" };`)
	if err := check(d, ""); !isDenied(err) {
		t.Errorf("a parameter that stands twice: %v", err)
	}
	d = compile(t, "", `permit(principal, action, resource) unless { principal.attributes has ratio && principal.attributes.ratio > 1 };`)
	if err := check(d, ""); !isDenied(err) {
		t.Errorf("an attribute of no type: %v", err)
	}
}

func TestTheContextByAnotherNameIsTheWholeContext(t *testing.T) {
	for _, condition := range []string{
		`{"c": context}.c.body.tenant == "acme"`, `(if principal.client == "shop" then context else {}).body.tenant == "acme"`,
		`context["body"]["tenant"] == "acme"`, `context.body == {"tenant": "acme"}`, `[context.body].contains({"tenant": "acme"})`,
	} {
		for body, allowed := range map[string]bool{`{"tenant":"acme"}`: true, `{"tenant":"evil"}`: false, `{"tenant":null}`: false, ``: false} {
			d := compile(t, condition)
			r := request(d, body)
			r.URL.RawQuery = "currency=EUR"
			if err := d.Check(r, acme()); (err == nil) != allowed {
				t.Errorf("%s of %s: %v", condition, body, err)
			}
		}
	}
}

func TestPoliciesForOtherEndpointsDoNotMatterHere(t *testing.T) {
	const permit = `permit(principal, action, resource);`
	for _, head := range []string{
		`principal, action, resource == Endpoint::"orders POST /v1/payments/{id}"`,
		`principal, action, resource in API::"orders"`,
		`principal, action, resource is API`,
		`principal, action, resource is Endpoint in API::"orders"`,
		`principal, action == Action::"GET", resource`,
		`principal, action in [Action::"GET", Action::"PUT"], resource`,
		`principal, action in Action::"GET", resource`,
	} {
		d := compile(t, "", permit, `forbid(`+head+`) when { context.body.x == 1 };`)
		if d.Body() != 0 {
			t.Errorf("%s: the body is read", head)
		}
		if err := check(d, "no JSON"); err != nil {
			t.Errorf("%s: %v", head, err)
		}
		if err := check(compile(t, "", `permit(`+head+`);`), ""); !isDenied(err) {
			t.Errorf("only a permit for others, %s: %v", head, err)
		}
	}
	for _, head := range []string{
		`principal, action, resource == Endpoint::"payments POST /v1/payments/{id}"`,
		`principal, action, resource in API::"payments"`,
		`principal, action, resource in Endpoint::"payments POST /v1/payments/{id}"`,
		`principal, action, resource is Endpoint`,
		`principal, action, resource is Endpoint in API::"payments"`,
		`principal, action == Action::"POST", resource`,
		`principal, action in [Action::"GET", Action::"POST"], resource`,
	} {
		if err := check(compile(t, "", permit, `forbid(`+head+`);`), ""); !isDenied(err) {
			t.Errorf("%s: the forbid does not hold: %v", head, err)
		}
		if err := check(compile(t, "", `permit(`+head+`);`), ""); err != nil {
			t.Errorf("%s: the permit does not hold: %v", head, err)
		}
	}
}

func TestHEADIsJudgedAsGET(t *testing.T) {
	d, err := cedar.New(cedar.Settings{API: "orders", Endpoint: "GET /v1/orders", Policies: []cedar.File{{
		Name: "p.cedar",
		Text: `permit(principal, action, resource); forbid(principal, action == Action::"GET", resource) when { principal.tenant == "acme" };`,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "HEAD"} {
		if err := d.Check(httptest.NewRequest(method, "/v1/orders", nil), acme()); !isDenied(err) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestAUserIsThePrincipal(t *testing.T) {
	id := acme()
	id.Issuer, id.User = "https://login.example.com", "ann"
	for condition, allowed := range map[string]bool{
		`principal == User::"https://login.example.com#ann"`: true,
		`principal == Client::"shop"`:                        false,
		`principal in Client::"shop"`:                        true,
		`principal in Tenant::"acme"`:                        true,
		`principal.user == "ann"`:                            true,
		`principal is User`:                                  true,
	} {
		d := compile(t, condition)
		if err := d.Check(request(d, ""), id); (err == nil) != allowed {
			t.Errorf("%s: %v", condition, err)
		}
	}
}

func TestSyntaxErrorsHaveTheirPlace(t *testing.T) {
	for _, c := range []struct {
		condition    string
		line, column int
		text         string
	}{
		{"principal.tenant = 1", 1, 20, "near"},
		{"true &&\n  éé.x", 2, 4, "near"},
		{"true ||\n\n   ] 1", 3, 6, "near"},
		{"true &&", 0, 0, "not one whole expression"},
		{"\"abc", 1, 1, "not terminated"},
		{"unknown(1)", 1, 9, "not a function"},
		{"true } unless { false", 0, 0, "more than one"},
		{"true }; permit(principal, action, resource) when { true", 0, 0, "more than one"},
	} {
		_, err := cedar.New(cedar.Settings{Endpoint: "GET /", Condition: c.condition})
		syntax, ok := errors.AsType[*cedar.SyntaxError](err)
		if !ok || syntax.Line != c.line || syntax.Column != c.column || !strings.Contains(syntax.Message, c.text) || syntax.File != "" {
			t.Errorf("%q: %v (%+v)", c.condition, err, syntax)
		}
	}
	_, err := cedar.New(cedar.Settings{Endpoint: "GET /", Policies: []cedar.File{{Name: "pay.cedar", Text: "permit(principal, action, resource);\nforbid(principal, ~);"}}})
	if err == nil || !strings.HasPrefix(err.Error(), "policy file pay.cedar:2:20: ") {
		t.Errorf("%v", err)
	}
	same := []cedar.File{{Name: "p.cedar", Text: "permit(principal, action, resource);"}, {Name: "p.cedar", Text: "forbid(principal, action, resource);"}}
	if _, err := cedar.New(cedar.Settings{Endpoint: "GET /", Policies: same}); err == nil {
		t.Error("one file hides another of the same name")
	}
	for _, endpoint := range []string{"", "GET", "/v1", "GET v1", " /v1"} {
		if _, err := cedar.New(cedar.Settings{Endpoint: endpoint, Condition: "true"}); err == nil {
			t.Errorf("endpoint %q was accepted", endpoint)
		}
	}
}

func TestNoValueOfTheRequestIsInARefusal(t *testing.T) {
	const planted = "planted-secret"
	for _, condition := range []string{
		`ip(context.body.a).isIpv4()`, `decimal(context.body.a) == decimal("1.0")`, `datetime(context.body.a) == context.time`, `duration(context.body.a) == duration("1d")`,
		`context.body.a > 1`, `context.body.a.b == 1`, `context.body == 1`, `context.body.a + 1 == 2`, `context.body.b == 1`,
	} {
		for _, body := range []string{`{"a":"` + planted + `"}`, `{"a":{"` + planted + `":1}}`, `{"a":"` + planted + `",}`, `{"a":["` + planted + `"],"A":1}`} {
			err := check(compile(t, condition), body)
			if !isDenied(err) || strings.Contains(err.Error(), planted) {
				t.Errorf("%s of %s: %v", condition, body, err)
			}
		}
	}
}

func TestABodyThatNobodyKeptOrThatIsTooLongIsNotAllowed(t *testing.T) {
	d := compile(t, `context.body.a == 1 || true`)
	r := request(d, `{"a":1}`)
	r.Body = io.NopCloser(strings.NewReader(`{"a":1}`))
	if err := d.Check(r, acme()); err == nil || isDenied(err) {
		t.Errorf("%v, want that it could not be decided", err)
	}
	r.Body = shield.NewBody(io.NopCloser(strings.NewReader(`{"a":1}`)), 3)
	refusal, ok := errors.AsType[*shield.Refusal](d.Check(r, acme()))
	if !ok || refusal.Code != shield.TooLarge {
		t.Errorf("%v, want it too large", refusal)
	}
}

func TestManyMayAskAtOnce(t *testing.T) {
	d := compile(t, `principal.tenant == context.body.tenant`)
	id := acme()
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			body, want := `{"tenant":"acme"}`, true
			if g%2 == 1 {
				body, want = `{"tenant":"evil"}`, false
			}
			for range 500 {
				if err := d.Check(request(d, body), id); (err == nil) != want {
					t.Errorf("%s: %v", body, err)
				}
			}
		})
	}
	wait.Wait()
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

func FuzzCondition(f *testing.F) {
	f.Add(`principal.tenant == context.body.tenant`)
	f.Add("true } unless { false")
	f.Add(`context.body has a.b && {"c": context}.c.query == {}`)
	f.Fuzz(func(t *testing.T, condition string) {
		d, err := cedar.New(cedar.Settings{API: "a", Endpoint: "POST /{id}", Condition: condition})
		if err != nil || condition == "" {
			return
		}
		r := httptest.NewRequest("POST", "/7?x=1", strings.NewReader(`{"a":{"b":1}}`))
		r.Header.Set("Content-Type", "application/json")
		if d.Body() > 0 {
			r.Body = shield.NewBody(r.Body, d.Body())
		}
		if err := d.Check(r, acme()); err != nil && !isDenied(err) {
			t.Fatalf("%q: %v", condition, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	const body = `{"tenant":"acme","amount":20,"items":[{"id":1,"n":2},{"id":3,"n":4}]}`
	for name, condition := range map[string]string{
		"scope": `principal.scopes.contains("payments:write")`, "path": `resource.path.id == "7"`, "body": `principal.tenant == context.body.tenant`,
	} {
		b.Run(name, func(b *testing.B) {
			d, id := compile(b, condition), acme()
			r := request(d, body)
			if d.Body() > 0 {
				r.Body = shield.NewBody(io.NopCloser(strings.NewReader(body)), d.Body())
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Check(r, id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
