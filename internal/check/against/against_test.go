package against_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check/against"
	"pavise.dev/pavise/internal/config"
)

// policy is a configuration in parts, which edits change one at a time.
type policy struct {
	cors, lenient, extra string
	window               string // of signatures
	audience, grants     []string
	maxAge               string
	trust                []string
	endpoints            map[string]endpoint
	scopes               []string
}

type endpoint struct {
	shield string
	scopes []string // nil: any
	limit  string
	body   string
	keyed  bool // an Idempotency-Key is required
	when   string
}

func known() []string { return []string{"a:read", "a:write", "b:read", "b:write", "c:all"} }

func plain() policy {
	return policy{
		window: "60s", audience: []string{"orders"}, grants: []string{"a:*", "b:*"}, maxAge: "1h", trust: []string{"one.pem"}, scopes: known(),
		endpoints: map[string]endpoint{
			"GET /health":         {shield: "{public: a load balancer asks here}"},
			"GET /v1/catalog":     {shield: "api_key", scopes: []string{"a:read"}, limit: "60/minute per client"},
			"GET /v1/orders/{id}": {shield: "{any: [{jwt: {issuer: corp}}, api_key]}", scopes: []string{"a:read", "b:read"}, limit: "90/minute per client"},
			"POST /v1/orders":     {shield: "{jwt: {issuer: corp}}", scopes: []string{"a:write"}, limit: "30/minute per client", body: "64KiB"},
			"POST /v1/payments":   {shield: "hmac", scopes: []string{"b:write"}, limit: "20/minute per client", body: "32KiB"},
			"GET /v1/reports":     {shield: "{mtls: {trust: TRUST}}", scopes: []string{"c:all"}, limit: "40/minute per client"},
			"POST /v1/transfers":  {shield: "{all: [{mtls: {trust: TRUST}}, hmac]}", scopes: []string{"b:write"}, limit: "20/minute per client", body: "16KiB"},
		},
	}
}

func (p policy) clone() policy {
	next := p
	next.audience, next.grants, next.trust = slices.Clone(p.audience), slices.Clone(p.grants), slices.Clone(p.trust)
	next.endpoints = map[string]endpoint{}
	for pattern, e := range p.endpoints {
		e.scopes = slices.Clone(e.scopes)
		next.endpoints[pattern] = e
	}
	return next
}

// text writes a policy as a configuration.
func (p policy) text() string {
	var b strings.Builder
	list := func(words []string) string { return "[" + strings.Join(words, ", ") + "]" }
	fmt.Fprintf(&b, "hosts:\n  api.example.com: {certificate: local, client_certificates: ask}\n")
	fmt.Fprintf(&b, "issuers:\n  corp: {url: https://login.example.com, jwks: keys.json, audience: %s, may_grant: [\"%s\"], max_age: %s}\n", list(p.audience), strings.Join(p.grants, `", "`), p.maxAge)
	fmt.Fprintf(&b, "apis:\n  orders:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n%s%s%s    endpoints:\n", p.cors, p.lenient, p.extra)
	patterns := make([]string, 0, len(p.endpoints))
	for pattern := range p.endpoints {
		patterns = append(patterns, pattern)
	}
	slices.Sort(patterns)
	for _, pattern := range patterns {
		e := p.endpoints[pattern]
		shield := strings.NewReplacer("TRUST", list(p.trust), "hmac", "{hmac: {window: "+p.window+"}}").Replace(e.shield)
		fmt.Fprintf(&b, "      %s:\n        shield: %s\n", pattern, shield)
		if e.scopes == nil {
			b.WriteString("        scopes: any\n")
		} else {
			fmt.Fprintf(&b, "        scopes: %s\n", list(e.scopes))
		}
		for name, value := range map[string]string{"limit": e.limit, "max_body": e.body, "when": e.when} {
			if value != "" {
				fmt.Fprintf(&b, "        %s: %s\n", name, value)
			}
		}
		if e.keyed {
			b.WriteString("        idempotency: {}\n")
		}
	}
	b.WriteString("scopes:\n")
	for _, scope := range p.scopes {
		fmt.Fprintf(&b, "  %s: What it allows\n", scope)
	}
	return b.String()
}

// folder holds what the policies name.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), []byte(`{"keys": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t testing.TB, dir, text string) *config.File {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := app.Load(name)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// simulated adapts a simulation, and counts.
type simulated struct{ *app.Simulation }

func (s simulated) Decide(r *http.Request) (against.Decision, error) {
	d, err := s.Simulation.Decide(r)
	return against.Decision(d), err
}

func compare(t testing.TB, older, newer *config.File) *against.Result {
	t.Helper()
	var opened []*app.Simulation
	defer func() { // and not at the end of the test, which compares hundreds
		for _, s := range opened {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	build := func(f *config.File, o against.Others) (against.Guard, error) {
		s, err := app.Simulate(f, (*app.World)(&o))
		if err != nil {
			return nil, err
		}
		opened = append(opened, s)
		return simulated{s}, nil
	}
	r, err := against.Compare(older, newer, build, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// edit changes a policy so that it lets more through; taken the other way round it lets less
// through. It reports whether it changed anything.
type edit struct {
	name  string
	widen func(p *policy, pattern string, e *endpoint, n int) bool
}

func edits() []edit {
	replaced := func(old, new string) func(*policy, string, *endpoint, int) bool {
		return func(_ *policy, _ string, e *endpoint, _ int) bool {
			before := e.shield
			e.shield = strings.ReplaceAll(e.shield, old, new)
			return e.shield != before
		}
	}
	return []edit{
		{"a scope is demanded no more", func(_ *policy, pattern string, e *endpoint, n int) bool {
			if len(e.scopes) < 2 {
				return false
			}
			e.scopes = slices.Delete(e.scopes, n%len(e.scopes), n%len(e.scopes)+1)
			return true
		}},
		{"no scope is demanded", func(_ *policy, pattern string, e *endpoint, _ int) bool {
			was := e.scopes
			e.scopes = nil
			return was != nil && !strings.Contains(e.shield, "public")
		}},
		{"public", func(_ *policy, pattern string, e *endpoint, _ int) bool {
			if strings.Contains(e.shield, "public") {
				return false
			}
			e.shield, e.scopes = "{public: everybody may see this}", nil
			e.limit, e.keyed, e.when = "", false, "" // a condition would find no tenant
			return true
		}},
		{"all becomes any", replaced("{all: [", "{any: [")},
		{"a key is enough", func(_ *policy, pattern string, e *endpoint, _ int) bool {
			if strings.Contains(e.shield, "api_key") || strings.Contains(e.shield, "public") || strings.Contains(e.shield, "any") || strings.Contains(e.shield, "all") {
				return false
			}
			e.shield = "{any: [" + e.shield + ", api_key]}"
			return true
		}},
		{"a higher limit", func(_ *policy, pattern string, e *endpoint, n int) bool {
			before := e.limit
			e.limit = strings.Replace(e.limit, "0/", fmt.Sprintf("%d/", 1+n%9), 1)
			return e.limit != before
		}},
		{"no limit", func(_ *policy, pattern string, e *endpoint, _ int) bool {
			before := e.limit
			e.limit = ""
			return before != ""
		}},
		{"a longer body", func(_ *policy, pattern string, e *endpoint, _ int) bool {
			before := e.body
			e.body = strings.Replace(e.body, "KiB", "0KiB", 1)
			return e.body != before
		}},
		{"another method", func(p *policy, pattern string, e *endpoint, _ int) bool {
			method, path, _ := strings.Cut(pattern, " ")
			next := map[string]string{"GET": "DELETE", "POST": "PUT"}[method] + " " + path
			if _, there := p.endpoints[next]; there || strings.Contains(e.shield, "public") {
				return false
			}
			added := *e
			added.scopes = slices.Clone(e.scopes)
			p.endpoints[next] = added
			return true
		}},
		{"another path", func(p *policy, _ string, e *endpoint, n int) bool {
			next := fmt.Sprintf("GET /v2/things-%d/{id}", n%5)
			if _, there := p.endpoints[next]; there {
				return false
			}
			added := *e
			added.scopes, added.body, added.keyed = slices.Clone(e.scopes), "", false
			p.endpoints[next] = added
			return true
		}},
		{"an open end", func(p *policy, pattern string, e *endpoint, _ int) bool {
			wide := strings.Replace(pattern, "{id}", "{id...}", 1)
			if wide == pattern {
				return false
			}
			p.endpoints[wide] = *e
			delete(p.endpoints, pattern)
			return true
		}},
		{"everything else", func(p *policy, _ string, _ *endpoint, _ int) bool {
			_, there := p.endpoints["GET /{path...}"]
			p.endpoints["GET /{path...}"] = endpoint{shield: "api_key", scopes: []string{"a:read"}}
			return !there
		}},
		{"another audience", func(p *policy, _ string, _ *endpoint, _ int) bool {
			p.audience = append(p.audience, "others")
			return len(p.audience) == 2
		}},
		{"tokens live longer", func(p *policy, _ string, _ *endpoint, _ int) bool {
			before := p.maxAge
			p.maxAge = map[string]string{"1h": "3h", "3h": "12h"}[p.maxAge]
			if p.maxAge == "" {
				p.maxAge = before
			}
			return p.maxAge != before
		}},
		{"another authority", func(p *policy, _ string, _ *endpoint, _ int) bool {
			p.trust = append(p.trust, "two.pem")
			return len(p.trust) == 2
		}},
		{"older signatures", func(p *policy, _ string, _ *endpoint, _ int) bool {
			before := p.window
			p.window = "300s"
			return p.window != before
		}},
		{"another origin", func(p *policy, _ string, _ *endpoint, n int) bool {
			before := p.cors
			p.cors = fmt.Sprintf("    cors: [https://app-%d.example.com]\n", n%3)
			return before == ""
		}},
		{"slashes in escapes", func(p *policy, _ string, _ *endpoint, _ int) bool {
			before := p.lenient
			p.lenient = "    insecure_allow:\n      - {what: encoded_slash, reason: the service has names with slashes}\n"
			return before == ""
		}},
		{"no key of idempotency is demanded", func(_ *policy, pattern string, e *endpoint, _ int) bool {
			was := e.keyed
			e.keyed = false
			return was
		}},
		{"no condition", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.when
			e.when = ""
			return was != ""
		}},
	}
}

// narrowings are edits that only make sense the other way round: they begin with what is there.
func prepared(r *mathrand.Rand) policy {
	p := plain()
	for pattern, e := range p.endpoints {
		if strings.HasPrefix(pattern, "POST") && strings.Contains(e.shield, "jwt") {
			e.keyed = true
		}
		if !strings.Contains(e.shield, "public") && r.IntN(4) == 0 {
			e.when = `principal.tenant == "south"`
		}
		p.endpoints[pattern] = e
	}
	return p
}

// Random edits, 100 unless EDITS says how many: of each that lets more through there is a request that truly passes on the
// new gateway and is refused by the old one; of each that lets less through there is none, and
// there is one the other way round.
func TestRandomEdits(t *testing.T) {
	dir := folder(t)
	r := mathrand.New(mathrand.NewPCG(7, 11))
	all, used := edits(), map[string]int{}
	rounds := 100
	if text := os.Getenv("EDITS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	tried := 0
	for n := 0; n < rounds; {
		before := prepared(r)
		after := before.clone()
		patterns := make([]string, 0, len(after.endpoints))
		for pattern := range after.endpoints {
			patterns = append(patterns, pattern)
		}
		slices.Sort(patterns)
		pattern := patterns[r.IntN(len(patterns))]
		one := all[r.IntN(len(all))]
		e := after.endpoints[pattern]
		changed := one.widen(&after, pattern, &e, r.IntN(1000))
		if _, there := after.endpoints[pattern]; there {
			after.endpoints[pattern] = e
		}
		if !changed {
			continue
		}
		n++
		used[one.name]++
		narrow, wide := load(t, dir, before.text()), load(t, dir, after.text())
		widened := compare(t, narrow, wide)
		if len(widened.Opened) == 0 || len(widened.Closed) != 0 {
			t.Errorf("%s at %s: %d opened, %d closed %+v", one.name, pattern, len(widened.Opened), len(widened.Closed), widened.Closed)
		}
		narrowed := compare(t, wide, narrow)
		if len(narrowed.Opened) != 0 || len(narrowed.Closed) == 0 {
			t.Errorf("the reverse of %s at %s: %d opened %+v, %d closed", one.name, pattern, len(narrowed.Opened), narrowed.Opened, len(narrowed.Closed))
		}
		tried += widened.Tried + narrowed.Tried
	}
	t.Logf("%d requests were decided by both; edits: %v", tried, used)
	if rounds >= 500 && len(used) < len(all) {
		t.Errorf("only %d of %d kinds of edits were made", len(used), len(all))
	}
}

func TestNothingIsOpenedByWhatIsTheSame(t *testing.T) {
	dir := folder(t)
	f := load(t, dir, plain().text())
	other := t.TempDir()
	for _, name := range []string{"one.pem", "two.pem", "keys.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := compare(t, f, load(t, other, plain().text()))
	if len(r.Opened)+len(r.Closed) > 0 || r.Tried < 100 {
		t.Errorf("%+v", r)
	}
}

// written is a configuration of one host with the endpoints of an API named orders, and what else it says.
func written(endpoints, more string) string {
	return `hosts:
  api.example.com: {certificate: local, client_certificates: ask}
issuers:
  corp: {url: https://login.example.com, jwks: keys.json, audience: orders, may_grant: ["a:*"]}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    endpoints:
` + endpoints + more + `scopes: {a:read: Read, a:write: Write}
`
}

// opened compares two configurations, and the reverse, and returns what the new one opens.
func opened(t *testing.T, older, newer string) []against.Door {
	t.Helper()
	dir := folder(t)
	one, other := load(t, dir, older), load(t, dir, newer)
	there, back := compare(t, one, other), compare(t, other, one)
	if len(there.Opened) != len(back.Closed) || len(there.Closed) != len(back.Opened) {
		t.Errorf("there %d opened and %d closed, back %d and %d", len(there.Opened), len(there.Closed), len(back.Opened), len(back.Closed))
	}
	return there.Opened
}

// An endpoint that goes leaves its requests to a wider pattern, behind which they need another credential: no request
// that either of the two takes as its own shows that.
func TestAnEndpointThatGoesLeavesItsRequestsToAnother(t *testing.T) {
	exact := "      GET /v1/orders/secret: {shield: {jwt: {issuer: corp}}, scopes: [a:write]}\n"
	wide := "      GET /v1/orders/{id}: {shield: api_key, scopes: [a:read]}\n"
	doors := opened(t, written(exact+wide, ""), written(wide, ""))
	if len(doors) == 0 || doors[0].Path != "/v1/orders/secret" || doors[0].Pattern != "GET /v1/orders/{id}" || !strings.Contains(doors[0].With, "API key") {
		t.Errorf("opened: %+v", doors)
	}
	if doors := opened(t, written(wide, ""), written(exact+wide, "")); slices.ContainsFunc(doors, func(d against.Door) bool { return !strings.Contains(d.With, "JWT") }) {
		t.Errorf("the reverse opens more than it does: %+v", doors)
	}
}

// What a signature may cover is bounded by its shield: that shows in long bodies that are signed, and in nothing else.
func TestWhatWidensBehindOneWayInIsFound(t *testing.T) {
	signed := func(size string) string {
		return "      POST /v1/orders: {shield: {any: [{jwt: {issuer: corp}}, {hmac: {max_body: " + size + "}}]}, scopes: [a:write], max_body: 256KiB}\n"
	}
	doors := opened(t, written(signed("16KiB"), ""), written(signed("64KiB"), ""))
	if len(doors) != 1 || !strings.Contains(doors[0].With, "signature") || !strings.Contains(doors[0].With, "64KiB") {
		t.Errorf("opened: %+v", doors)
	}
	if doors := opened(t, written(signed("64KiB"), ""), written(signed("16KiB"), "")); len(doors) != 0 {
		t.Errorf("the reverse opens %+v", doors)
	}
}

// However much changes, the last change counts like the first.
func TestNoChangeIsTooFarBack(t *testing.T) {
	apis := func(timeout, last string) string {
		var b strings.Builder
		for i := range 120 {
			fmt.Fprintf(&b, "  api-%03[1]d:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n    timeout: %[2]s\n    endpoints:\n      GET /v1/api-%03[1]d: {shield: api_key, scopes: [a:read], timeout: %[2]s}\n", i, timeout)
		}
		return b.String() + "  zebra:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n    endpoints:\n      GET /v1/zebra: {shield: api_key, scopes: " + last + "}\n"
	}
	health := "      GET /health: {shield: {public: a load balancer asks here}, scopes: any}\n"
	dir := folder(t)
	older, newer := load(t, dir, written(health, apis("20s", "[a:read]"))), load(t, dir, written(health, apis("21s", "any")))
	if changes := config.Changes(older, newer); len(changes) <= 200 {
		t.Fatalf("%d changes are too few", len(changes))
	}
	r := compare(t, older, newer)
	if len(r.Opened) == 0 || r.Opened[0].Pattern != "GET /v1/zebra" {
		t.Errorf("opened %+v", r.Opened)
	}
}

// What a pattern leaves open at its end is more than one segment: each form of it is a door.
func TestAnOpenEndIsTriedAtEveryForm(t *testing.T) {
	at := func(patterns ...string) string {
		text := ""
		for _, pattern := range patterns {
			text += "      GET " + pattern + ": {shield: api_key, scopes: [a:read]}\n"
		}
		return written(text, "")
	}
	for name, c := range map[string]struct{ older, newer, want string }{
		"one segment becomes many":       {at("/files/{name}"), at("/files/{name...}"), "/files/7/7"},
		"none is let in too":             {at("/files/{name}", "/files/{name}/{rest...}"), at("/files/{name...}"), "/files/"},
		"a slash at the end":             {at("/files/{name}"), at("/files/{name}", "/files/{name}/{$}"), "/files/7/"},
		"deeper than all that there was": {at("/files/{a}", "/files/{a}/{b}", "/files/{a}/{b}/{c}"), at("/files/{name...}"), "/files/7/7/7/7"},
		"at the root":                    {at("/{name}"), at("/{name...}"), "/7/7"},
	} {
		t.Run(name, func(t *testing.T) {
			doors := opened(t, c.older, c.newer)
			if !slices.ContainsFunc(doors, func(d against.Door) bool { return d.Path == c.want }) {
				t.Errorf("nothing is opened at %s: %+v", c.want, doors)
			}
		})
	}
}

// A door that is proved says nothing of what else differs: each setting is told for itself.
func TestADoorHidesNoOtherDifference(t *testing.T) {
	const path = "apis.orders.endpoints.GET /v1/orders."
	at := func(settings string) string {
		return "      GET /v1/files/{a}: {shield: api_key, scopes: [a:read]}\n      GET /v1/orders: {shield: " + settings + "}\n"
	}
	key := "api_key, scopes: [a:read]"
	for name, c := range map[string]struct {
		older, newer string
		unproved     []string
	}{
		"outside of APIs": {
			written(at(key), "limits: {wrong_tries: 5}\n"), written(at("api_key, scopes: any"), "limits: {wrong_tries: 5000}\n"), []string{"limits.wrong_tries"},
		},
		"a limit of addresses alone": {
			written(at(key), "limits: {address: 100/minute}\n"), written(at(key), "limits: {address: 200/minute}\n"), []string{"limits.address"},
		},
		"another setting of the endpoint": {
			written(at(key+", max_body: 1KiB"), ""), written(at("api_key, scopes: any, max_body: 2KiB"), ""), []string{path + "max_body"},
		},
		"a setting of the shield, and behind it": {
			written(at("{api_key: {environment: live}}, scopes: [a:read]"), ""), written(at("{api_key: {environment: any}}, scopes: any"), ""), []string{path + "scopes"},
		},
		"a rate, and one that is too high": {
			written(at(key+", limit: 9/minute per client, quota: 90000/month per client"), ""),
			written(at(key+", limit: 20/minute per client, quota: 95000/month per client"), ""),
			[]string{path + "quota"},
		},
		"a quota": {
			written(at(key+", quota: 9/month per client"), ""), written(at(key+", quota: 20/month per client"), ""), nil,
		},
		"an issuer that the door does not use": {
			written(at(key), ""), strings.Replace(written(at("api_key, scopes: any"), ""), "audience: orders", "audience: others", 1), []string{"issuers.corp.audience"},
		},
		"an issuer that the door uses": {
			written(at("{jwt: {issuer: corp}}, scopes: [a:read]"), ""),
			strings.Replace(written(at("{jwt: {issuer: corp}}, scopes: [a:read]"), ""), "audience: orders", "audience: [orders, others]", 1), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			r := compare(t, load(t, dir, c.older), load(t, dir, c.newer))
			var told []string
			for _, f := range against.Report("new", r, time.Now()).Findings {
				if f.Rule == "difference-unproved" {
					told = append(told, f.Where.Path)
					if strings.Contains(f.What, f.Where.Path) {
						t.Errorf("the place is told twice: %s  %s", f.Where.Path, f.What)
					}
				}
			}
			if !slices.Equal(told, c.unproved) {
				t.Errorf("told are %q, not %q; doors: %+v %+v", told, c.unproved, r.Opened, r.Closed)
			}
		})
	}
}
