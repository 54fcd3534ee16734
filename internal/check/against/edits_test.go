package against_test

import (
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// policy is a configuration in parts, which edits change one at a time.
type policy struct {
	hosts     string // of the API
	api       map[string]string
	limits    map[string]string
	window    string // of signatures
	issuer    map[string]string
	trust     []string
	endpoints map[string]endpoint
}

// endpoint is one with its settings, by their names; without scopes any are demanded.
type endpoint struct {
	shield   string
	scopes   []string // nil: any
	settings map[string]string
}

func known() []string { return []string{"a:read", "a:write", "b:read", "b:write", "c:all"} }

func with(settings ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		all[settings[i]] = settings[i+1]
	}
	return all
}

func plain() policy {
	return policy{
		hosts: "api.example.com", window: "60s", trust: []string{"one.pem"},
		api:    with("quota", "1000/day per client", "max_body", "128KiB"),
		limits: with("address", "3000/minute", "wrong_tries", "20"),
		issuer: with("audience", "[orders]", "may_grant", `["a:*", "b:*"]`, "max_age", "1h", "types", "[at+jwt]", "algorithms", "[ES256]", "leeway", "10s"),
		endpoints: map[string]endpoint{
			"GET /health":         {"{public: a load balancer asks here}", nil, with()},
			"GET /v1/catalog":     {"{api_key: {environment: live}}", []string{"a:read"}, with("limit", "60/minute per client")},
			"GET /v1/orders/{id}": {"{any: [{jwt: {issuer: corp}}, api_key]}", []string{"a:read", "b:read"}, with("limit", "90/minute per client", "quota", "900/day per client")},
			"POST /v1/orders":     {"{jwt: {issuer: corp, audience: [orders]}}", []string{"a:write"}, with("limit", "30/minute per client", "max_body", "64KiB", "body_schema", "order.json")},
			"POST /v1/payments":   {"{hmac: {window: WINDOW, max_body: 16KiB, headers: [X-Shop]}}", []string{"b:write"}, with("limit", "20/minute per client", "max_body", "32KiB")},
			"POST /v1/approvals":  {"{jwt: {issuer: corp, require: {role: boss}, acr: [mfa], max_age: 10m, dpop: require}}", []string{"b:write"}, with("limit", "20/hour per user")},
			"GET /v1/bound":       {"{jwt: {issuer: corp, certificate_bound: true}}", []string{"b:read"}, with("concurrency", "3", "concurrency_total", "9")},
			"GET /v1/desk":        {"{introspect: {issuer: desk}}", []string{"a:read"}, with("limit", "300/minute per endpoint")},
			"GET /v1/reports":     {"{mtls: {trust: TRUST, allow: [{dns: a.example.com}]}}", []string{"c:all"}, with("limit", "40/minute per client")},
			"POST /v1/transfers":  {"{all: [{mtls: {trust: TRUST}}, {hmac: {window: WINDOW}}]}", []string{"b:write"}, with("limit", "20/minute per client", "max_body", "16KiB")},
			"POST /v1/graph":      {"{api_key: {environment: live}}", []string{"a:read"}, with("graphql", `{depth: 4, aliases: 2, scopes: {"Mutation.*": [a:write]}}`)},
			"POST /v1/notes":      {"{api_key: {environment: live}}", []string{"a:write"}, with("injection", "on", "max_body", "8KiB")},
		},
	}
}

func (p policy) clone() policy {
	next := p
	next.trust, next.issuer, next.api, next.limits = slices.Clone(p.trust), maps.Clone(p.issuer), maps.Clone(p.api), maps.Clone(p.limits)
	next.endpoints = map[string]endpoint{}
	for pattern, e := range p.endpoints {
		next.endpoints[pattern] = e.clone()
	}
	return next
}

func (e endpoint) clone() endpoint {
	return endpoint{e.shield, slices.Clone(e.scopes), maps.Clone(e.settings)}
}

// block writes settings, each on a line.
func block(indent string, settings map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if settings[name] != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, settings[name])
		}
	}
	return b.String()
}

// text writes a policy as a configuration.
func (p policy) text() string {
	var b strings.Builder
	list := func(words []string) string { return "[" + strings.Join(words, ", ") + "]" }
	b.WriteString("hosts:\n  api.example.com: {certificate: local, client_certificates: ask}\n  other.example.com: {certificate: local, client_certificates: ask}\n")
	b.WriteString("limits:\n" + block("  ", p.limits))
	b.WriteString("issuers:\n  corp:\n    url: https://login.example.com\n    jwks: keys.json\n" + block("    ", p.issuer))
	b.WriteString("  desk: {url: https://desk.example.com, jwks: keys.json, audience: orders, may_grant: [\"a:*\"], introspection: {url: https://desk.example.com/ask, client_id: pavise, client_secret_file: desk.secret}}\n")
	b.WriteString("apis:\n  orders:\n    host: [" + p.hosts + "]\n    upstream: http://127.0.0.1:9000\n" + block("    ", p.api) + "    endpoints:\n")
	for _, pattern := range slices.Sorted(maps.Keys(p.endpoints)) {
		e := p.endpoints[pattern]
		shield := strings.NewReplacer("TRUST", list(p.trust), "WINDOW", p.window).Replace(e.shield)
		fmt.Fprintf(&b, "      %s:\n        shield: %s\n", pattern, shield)
		if e.scopes == nil {
			b.WriteString("        scopes: any\n")
		} else {
			fmt.Fprintf(&b, "        scopes: %s\n", list(e.scopes))
		}
		b.WriteString(block("        ", e.settings))
	}
	b.WriteString("scopes:\n")
	for _, scope := range known() {
		fmt.Fprintf(&b, "  %s: What it allows\n", scope)
	}
	return b.String()
}

// edit changes a policy so that it lets more through; taken the other way round it lets less
// through. It reports whether it changed anything.
type edit struct {
	name  string
	widen func(p *policy, pattern string, e *endpoint, n int) bool
}

func (e *endpoint) isPublic() bool { return strings.Contains(e.shield, "public") }

// editsOfAccess change who may call what.
func editsOfAccess() []edit {
	return []edit{
		{"a scope is demanded no more", func(_ *policy, _ string, e *endpoint, n int) bool {
			if len(e.scopes) < 2 {
				return false
			}
			e.scopes = slices.Delete(e.scopes, n%len(e.scopes), n%len(e.scopes)+1)
			return true
		}},
		{"no scope is demanded", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.scopes
			e.scopes = nil
			return was != nil && !e.isPublic()
		}},
		{"public", func(_ *policy, _ string, e *endpoint, _ int) bool {
			if e.isPublic() {
				return false
			}
			e.shield, e.scopes = "{public: everybody may see this}", nil
			for _, name := range []string{"limit", "quota", "idempotency", "when", "graphql"} { // a condition would find no tenant
				delete(e.settings, name)
			}
			return true
		}},
		replaced("all becomes any", "{all: [", "{any: ["),
		{"a key is enough", func(_ *policy, _ string, e *endpoint, _ int) bool {
			for _, word := range []string{"api_key", "public", "any", "all: ["} {
				if strings.Contains(e.shield, word) {
					return false
				}
			}
			e.shield = "{any: [" + e.shield + ", api_key]}"
			return true
		}},
		{"no condition", func(_ *policy, _ string, e *endpoint, _ int) bool { return removed(e.settings, "when") }},
		{"another tenant", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.settings["when"]
			if was != "" && !strings.Contains(was, "west") {
				e.settings["when"] = was + ` || principal.tenant == "west"`
			}
			return was != e.settings["when"]
		}},
		{"another tenant, from one network", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.settings["when"]
			if was != "" && !strings.Contains(was, "west") {
				e.settings["when"] = was + ` || principal.tenant == "west" && context.address.isInRange(ip("192.0.2.0/24"))`
			}
			return was != e.settings["when"]
		}},
		{"another method", func(p *policy, pattern string, e *endpoint, _ int) bool {
			method, path, _ := strings.Cut(pattern, " ")
			next := map[string]string{"GET": "DELETE", "POST": "PUT"}[method] + " " + path
			if _, there := p.endpoints[next]; there || e.isPublic() || e.settings["graphql"] != "" {
				return false
			}
			p.endpoints[next] = e.clone()
			return true
		}},
		{"another path", func(p *policy, pattern string, e *endpoint, n int) bool {
			next := fmt.Sprintf("GET /v2/things-%d/{id}", n%5)
			if _, there := p.endpoints[next]; there || !strings.HasPrefix(pattern, "GET") {
				return false
			}
			p.endpoints[next] = e.clone()
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
			p.endpoints["GET /{path...}"] = endpoint{"api_key", []string{"a:read"}, with()}
			return !there
		}},
		{"another host", func(p *policy, _ string, _ *endpoint, _ int) bool {
			was := p.hosts
			p.hosts = "api.example.com, other.example.com"
			return was != p.hosts
		}},
	}
}

// editsOfShields change with what a shield is satisfied.
func editsOfShields() []edit {
	return []edit{
		replaced("keys of every environment", "{api_key: {environment: live}}", "api_key"),
		replaced("keys of browsers", "{environment: live}", "{environment: live, insecure_allow_browsers: everybody may read this key}"),
		{"older signatures", func(p *policy, _ string, _ *endpoint, _ int) bool {
			was := p.window
			p.window = "300s"
			return p.window != was
		}},
		replaced("clocks that are further ahead", "{window: WINDOW", "{future: 30s, window: WINDOW"),
		replaced("longer signed bodies", "max_body: 16KiB", "max_body: 32KiB"),
		replaced("fewer signed headers", ", headers: [X-Shop]", ""),
		replaced("another audience of a shield", "audience: [orders]", "audience: [orders, others]"),
		replaced("a claim is demanded no more", "require: {role: boss}, ", ""),
		replaced("another way of signing in", "acr: [mfa]", "acr: [mfa, password]"),
		replaced("any way of signing in", "acr: [mfa], ", ""),
		replaced("an older sign-in", "max_age: 10m", "max_age: 12h"),
		replaced("a sign-in of any age", "max_age: 10m, ", ""),
		replaced("tokens that are bound to no key", ", dpop: require", ""),
		replaced("tokens that are bound to no certificate", ", certificate_bound: true", ""),
		replaced("answers without an audience", "{issuer: desk}", "{issuer: desk, insecure_without_audience: it tells us of ours alone}"),
		replaced("another issuer", "{issuer: corp, audience: [orders]}", "{issuer: [corp, desk], audience: [orders]}"),
		{"another authority", func(p *policy, _ string, _ *endpoint, _ int) bool {
			p.trust = append(p.trust, "two.pem")
			return len(p.trust) == 2
		}},
		replaced("another certificate", "[{dns: a.example.com}]", "[{dns: a.example.com}, {dns: b.example.com}]"),
		replaced("every certificate", ", allow: [{dns: a.example.com}]", ""),
		issued("another audience", "audience", "[orders]", "[orders, others]"),
		issued("tokens live longer", "max_age", "1h", "3h"),
		issued("another type of tokens", "types", "[at+jwt]", "[at+jwt, JWT]"),
		issued("another algorithm", "algorithms", "[ES256]", "[ES256, EdDSA]"),
		issued("clocks that differ more", "leeway", "10s", "60s"),
	}
}

// editsOfBounds change how often, how long, and what.
func editsOfBounds() []edit {
	return []edit{
		{"a higher limit", func(_ *policy, _ string, e *endpoint, n int) bool {
			was := e.settings["limit"]
			e.settings["limit"] = strings.Replace(was, "0/", fmt.Sprintf("%d/", 1+n%9), 1)
			return e.settings["limit"] != was
		}},
		{"a limit far beyond", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.settings["limit"]
			e.settings["limit"] = strings.Replace(was, "0/", "0000/", 1)
			return e.settings["limit"] != was
		}},
		{"as many, but sooner", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.settings["limit"]
			e.settings["limit"] = strings.Replace(was, "/hour", "/minute", 1)
			return e.settings["limit"] != was
		}},
		{"no limit", func(_ *policy, _ string, e *endpoint, _ int) bool { return removed(e.settings, "limit") }},
		{"a higher quota", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.settings["quota"]
			e.settings["quota"] = strings.Replace(was, "900/", "950/", 1)
			return e.settings["quota"] != was
		}},
		{"a higher quota of the API", func(p *policy, _ string, _ *endpoint, _ int) bool {
			was := p.api["quota"]
			p.api["quota"] = "70000/day per client"
			return p.api["quota"] != was
		}},
		{"no quota of the API", func(p *policy, _ string, _ *endpoint, _ int) bool { return removed(p.api, "quota") }},
		{"more requests of one address", func(p *policy, _ string, _ *endpoint, n int) bool {
			was := p.limits["address"]
			p.limits["address"] = fmt.Sprintf("%d/minute", 3001+n*100)
			return p.limits["address"] != was
		}},
		{"more wrong tries", func(p *policy, _ string, _ *endpoint, n int) bool {
			was := p.limits["wrong_tries"]
			p.limits["wrong_tries"] = strconv.Itoa(21 + n*20)
			return p.limits["wrong_tries"] != was
		}},
		{"a longer body", func(_ *policy, _ string, e *endpoint, _ int) bool {
			was := e.settings["max_body"]
			if strings.Contains(e.shield, "16KiB") {
				return false // its signatures are bounded, too
			}
			e.settings["max_body"] = strings.Replace(was, "KiB", "0KiB", 1)
			return e.settings["max_body"] != was
		}},
		{"no key of idempotency is demanded", func(_ *policy, _ string, e *endpoint, _ int) bool {
			return removed(e.settings, "idempotency")
		}},
		set("more of one client at once", "concurrency", "3", "5"), set("more at once", "concurrency_total", "9", "90"),
		set("another description", "body_schema", "order.json", "any.json"),
		{"no description", func(_ *policy, _ string, e *endpoint, _ int) bool { return removed(e.settings, "body_schema") }},
		set("what is not described", "body_schema", "order.json", "{file: order.json, insecure_undeclared: old clients send more}"),
		set("a description on trial", "insecure_report_only", "", `[{what: contract, until: "2099-01-31", reason: the old app sends more}]`, "body_schema"),
		{"no injections are looked for", func(_ *policy, _ string, e *endpoint, _ int) bool { return removed(e.settings, "injection") }},
		set("fewer injections are looked for", "injection", "on", "{detectors: [script]}"),
		set("injections in a field", "injection", "on", "{insecure_except: [{field: body /text, reason: they are shown as they are}]}"),
		set("injections on trial", "insecure_report_only", "", `[{what: injection, until: "2099-01-31", reason: we look at it first}]`, "injection"),
		inGraphQL("deeper questions", "depth: 4", "depth: 9"),
		inGraphQL("more aliases", "aliases: 2", "aliases: 20"),
		inGraphQL("questions for the schema", "{depth", "{introspection: true, depth"),
		inGraphQL("changes by everybody", `, scopes: {"Mutation.*": [a:write]}`, ""),
		{"another origin", func(p *policy, _ string, _ *endpoint, n int) bool {
			was := p.api["cors"]
			p.api["cors"] = fmt.Sprintf("[https://app-%d.example.com]", n%3)
			return was == ""
		}},
		lenient("slashes in escapes", "encoded_slash"), lenient("semicolons in paths", "semicolon"), lenient("underscores in headers", "underscore_headers"),
	}
}

func edits() []edit { return slices.Concat(editsOfAccess(), editsOfShields(), editsOfBounds()) }

// removed takes a setting away, and reports whether it was there.
func removed(settings map[string]string, name string) bool {
	_, was := settings[name]
	delete(settings, name)
	return was
}

// replaced replaces what stands in a shield.
func replaced(name, old, new string) edit {
	return edit{name, func(_ *policy, _ string, e *endpoint, _ int) bool {
		was := e.shield
		e.shield = strings.ReplaceAll(e.shield, old, new)
		return e.shield != was
	}}
}

// issued replaces a setting of the issuer.
func issued(name, setting, old, new string) edit {
	return edit{name, func(p *policy, _ string, _ *endpoint, _ int) bool {
		was := p.issuer[setting]
		p.issuer[setting] = new
		return was == old
	}}
}

// set replaces a setting of an endpoint, that has others as well.
func set(name, setting, old, new string, others ...string) edit {
	return edit{name, func(_ *policy, _ string, e *endpoint, _ int) bool {
		if e.settings[setting] != old || slices.ContainsFunc(others, func(other string) bool { return e.settings[other] == "" }) {
			return false
		}
		e.settings[setting] = new
		return true
	}}
}

// inGraphQL replaces what stands in a bound of questions.
func inGraphQL(name, old, new string) edit {
	return edit{name, func(_ *policy, _ string, e *endpoint, _ int) bool {
		was := e.settings["graphql"]
		e.settings["graphql"] = strings.Replace(was, old, new, 1)
		return e.settings["graphql"] != was
	}}
}

// lenient has the door let something through.
func lenient(name, what string) edit {
	return edit{name, func(p *policy, _ string, _ *endpoint, _ int) bool {
		was := p.api["insecure_allow"]
		p.api["insecure_allow"] = "[{what: " + what + ", reason: the service has such names}]"
		return was == ""
	}}
}

// prepared is a policy in which there is something to take away.
func prepared(r *mathrand.Rand) policy {
	p := plain()
	for _, pattern := range slices.Sorted(maps.Keys(p.endpoints)) {
		e := p.endpoints[pattern]
		if strings.HasPrefix(pattern, "POST") && strings.Contains(e.shield, "jwt") {
			e.settings["idempotency"] = "{required: true}"
		}
		if !e.isPublic() && r.IntN(4) == 0 {
			e.settings["when"] = `principal.tenant == "south"`
		}
	}
	return p
}

// editsToMake are the kinds of edits that are made: each once, and as many more as EDITS says.
func editsToMake(t *testing.T, r *mathrand.Rand) (all []edit) {
	t.Helper()
	rounds := len(edits())
	if text := os.Getenv("EDITS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for len(all) < rounds {
		kinds := edits()
		r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		all = append(all, kinds...)
	}
	return all[:rounds]
}

// edited is a policy and what an edit makes of it, at a pattern by chance.
func edited(t *testing.T, r *mathrand.Rand, one edit) (before, after policy, pattern string) {
	t.Helper()
	for range 1000 {
		before = prepared(r)
		after = before.clone()
		patterns := slices.Sorted(maps.Keys(after.endpoints))
		pattern = patterns[r.IntN(len(patterns))]
		e := after.endpoints[pattern]
		changed := one.widen(&after, pattern, &e, r.IntN(1000))
		if _, there := after.endpoints[pattern]; there {
			after.endpoints[pattern] = e
		}
		if changed {
			return before, after, pattern
		}
	}
	t.Fatalf("nothing can be edited so: %s", one.name)
	return before, after, pattern
}

// Random edits, of each kind one unless EDITS says how many: of each that lets more through there is
// a request that truly passes on the new gateway and is refused by the old one; of each that lets
// less through there is none, and there is one the other way round.
func TestRandomEdits(t *testing.T) {
	dir := folder(t)
	seed := uint64(11)
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	r := mathrand.New(mathrand.NewPCG(7, seed))
	tried, named, rounds := 0, 0, editsToMake(t, r)
	for _, one := range rounds {
		before, after, pattern := edited(t, r, one)
		narrow, wide := load(t, dir, before.text()), load(t, dir, after.text())
		widened := compare(t, narrow, wide)
		if len(widened.Opened) == 0 || len(widened.Closed) != 0 {
			t.Errorf("%s at %s: %d opened, %d closed %+v, unproved %v", one.name, pattern, len(widened.Opened), len(widened.Closed), widened.Closed, widened.Unproved)
		}
		narrowed := compare(t, wide, narrow)
		if len(narrowed.Opened) != 0 || len(narrowed.Closed) == 0 {
			t.Errorf("the reverse of %s at %s: %d opened %+v, %d closed", one.name, pattern, len(narrowed.Opened), narrowed.Opened, len(narrowed.Closed))
		}
		for _, door := range slices.Concat(widened.Opened, narrowed.Closed) {
			if door.Refused == "" || door.Refused == "passes" {
				t.Errorf("%s at %s: a door that nobody refused: %+v", one.name, pattern, door)
			}
		}
		tried += widened.Tried + narrowed.Tried
		named += len(widened.Unproved)
	}
	t.Logf("%d edits: %d requests were decided by both; %d settings were named beside the doors", len(rounds), tried, named)
}
