package against_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/all"
)

// proved names the settings that decide about requests to endpoints, each with a random edit that widens it, or a
// test of its own (in capitals). Everything else stands in named.
func proved() map[string]string {
	return map[string]string{
		"issuers.audience": "another audience", "issuers.may_grant": "TestTwoFacetsTogetherAreADoor", "issuers.types": "another type of tokens", "issuers.algorithms": "another algorithm",
		"issuers.leeway": "clocks that differ more", "issuers.max_age": "tokens live longer",
		"limits.address": "more requests of one address", "limits.wrong_tries": "more wrong tries",
		"apis.host": "another host", "apis.limit": "TestSettingsOfAnAPIAreDoors", "apis.quota": "a higher quota of the API", "apis.cors": "another origin", "apis.insecure_allow": "slashes in escapes",
		"apis.concurrency": "TestRequestsAtTheSameTimeAreDoors", "apis.concurrency_total": "TestRequestsAtTheSameTimeAreDoors", "apis.endpoints": "another path",
		"apis.shield": "TestSettingsOfAnAPIAreDoors", "apis.scopes": "TestSettingsOfAnAPIAreDoors", "apis.max_body": "TestSettingsOfAnAPIAreDoors", "apis.injection": "TestSettingsOfAnAPIAreDoors",
		"apis.insecure_report_only": "TestSettingsOfAnAPIAreDoors", "apis.openapi": "TestSettingsOfAnAPIAreDoors", "apis.resource": "TestSettingsOfAnAPIAreDoors",
		"endpoints.shield": "public", "endpoints.scopes": "no scope is demanded", "endpoints.limit": "a higher limit", "endpoints.when": "no condition", "endpoints.max_body": "a longer body",
		"endpoints.body_schema": "another description", "endpoints.insecure_undescribed": "TestSettingsOfAnAPIAreDoors", "endpoints.quota": "a higher quota", "endpoints.concurrency": "more of one client at once",
		"endpoints.concurrency_total": "more at once", "endpoints.idempotency": "no key of idempotency is demanded", "endpoints.graphql": "deeper questions", "endpoints.insecure_report_only": "a description on trial",
		"endpoints.injection": "no injections are looked for",
		"api_key.environment": "keys of every environment", "api_key.insecure_allow_browsers": "keys of browsers", "api_key.header": "TestAnotherHeaderIsADoorBothWays",
		"hmac.window": "older signatures", "hmac.future": "clocks that are further ahead", "hmac.headers": "fewer signed headers", "hmac.max_body": "longer signed bodies",
		"jwt.issuer": "another issuer", "jwt.audience": "another audience of a shield", "jwt.require": "a claim is demanded no more", "jwt.certificate_bound": "tokens that are bound to no certificate",
		"jwt.dpop": "tokens that are bound to no key", "jwt.acr": "another way of signing in", "jwt.max_age": "an older sign-in",
		"introspect.insecure_without_audience": "answers without an audience", "mtls.trust": "another authority", "mtls.allow": "another certificate",
	}
}

// named are settings that no request to an endpoint shows, with why. Those that may open something are
// named by check --against where they differ (difference-unproved).
func named() map[string]string {
	const (
		server = "of the authorization server, whose own endpoints are not compared"
		edge   = "of connections and heads, before there is a request"
		behind = "of what is behind the endpoint, or of answers"
		kept   = "of what is kept and told"
		others = "of what others say, whom the check stands for"
		as     = "as in jwt, by the same function"
		people = "what an API is, for people"
		orders = "of more than one request, in an order"
	)
	return map[string]string{
		"file.listen": edge, "file.include": "the file is read whole", "file.oauth": server, "file.pki": "of the own authority", "file.state": kept, "file.trusted_proxies": edge, "file.honeypots": "paths that no endpoint serves",
		"file.log": kept, "file.alerts": kept, "file.traces": kept, "file.schedule": kept, "file.waivers": kept, "file.fetch": others, "file.policies": "Cedar beyond tenants, scopes and addresses", "file.scopes": "what scopes mean, for people",
		"hosts.certificate": edge, "hosts.client_certificates": edge,
		"issuers.url": others, "issuers.jwks": others, "issuers.scopes_from": others, "issuers.claims": others, "issuers.keys_max_age": others, "issuers.cool_down": others, "issuers.ca": others, "issuers.introspection": others,
		"limits.connections": edge, "limits.connections_per_address": edge, "limits.requests": "of all requests under way, whoever sends them", "limits.handshakes": edge, "limits.header_bytes": edge, "limits.header_timeout": edge,
		"limits.body_timeout": edge, "limits.idle_timeout": edge,
		"apis.upstream": behind, "apis.timeout": behind, "apis.identity": behind, "apis.responses": behind, "apis.audit": kept, "apis.events": kept, "apis.priority": "of all requests under way, whoever sends them", "apis.candidate": "refuses nothing",
		"apis.owner": people, "apis.version": people, "apis.exposure": people, "apis.data": people,
		"apis.flows": orders, "apis.sanitise": "of fields that it refuses to clean", "endpoints.sanitise": "of fields that it refuses to clean", "endpoints.timeout": behind, "endpoints.priority": "of all requests under way, whoever sends them",
		"endpoints.candidate": "refuses nothing", "endpoints.responses": behind,
		"jwt.dpop_nonce": orders, "jwt.cache": "how fast it is", "introspect.dpop_nonce": orders, "introspect.cache": "how fast it is", "introspect.remember": others,
		"introspect.issuer": as, "introspect.audience": as, "introspect.require": as, "introspect.jwt": as, "introspect.certificate_bound": as, "introspect.dpop": as, "introspect.acr": as, "introspect.max_age": as,
		"mtls.crl": others, "mtls.revocation": others,
	}
}

// settingsIn are the names of a struct's settings; those that it embeds, too.
func settingsIn(of reflect.Type) (all []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && name == "":
			all = append(all, settingsIn(f.Type)...)
		case name != "" && name != "-":
			all = append(all, name)
		}
	}
	return all
}

// Each setting that can open a door is edited at random, or has a test of its own; each other one says why not.
func TestEverySettingIsProvedOrNamed(t *testing.T) {
	var settings []string
	add := func(prefix string, of reflect.Type, but ...string) {
		for _, name := range settingsIn(of) {
			if !slices.Contains(but, name) {
				settings = append(settings, prefix+"."+name)
			}
		}
	}
	add("file", reflect.TypeFor[config.File](), "hosts", "issuers", "apis", "limits")
	add("hosts", reflect.TypeFor[config.Host]())
	add("issuers", reflect.TypeFor[config.Issuer]())
	add("limits", reflect.TypeFor[config.Limits]())
	add("apis", reflect.TypeFor[config.API]())
	add("endpoints", reflect.TypeFor[config.Endpoint]())
	for _, kind := range all.Kinds() {
		if kind.Name != "public" {
			add(kind.Name, reflect.TypeOf(kind.Config()).Elem())
		}
	}
	kinds := map[string]bool{}
	for _, one := range edits() {
		kinds[one.name] = true
	}
	for _, setting := range settings {
		by, shown := proved()[setting]
		why, told := named()[setting]
		switch {
		case shown == told:
			t.Errorf("%s: proved: %t, named: %t; want one of both", setting, shown, told)
		case shown && !kinds[by] && !strings.HasPrefix(by, "Test"):
			t.Errorf("%s: there is no edit called %q", setting, by)
		case told && why == "":
			t.Errorf("%s: why not?", setting)
		}
	}
	for _, table := range []map[string]string{proved(), named()} {
		for setting := range table {
			if !slices.Contains(settings, setting) {
				t.Errorf("%s is no setting", setting)
			}
		}
	}
}

// Settings of an API open all its endpoints that have none of their own.
func TestSettingsOfAnAPIAreDoors(t *testing.T) {
	orders := func(api, endpoint string) string {
		text := written("", "")
		if !strings.Contains(api, "max_body") { // long bodies only cost time
			api += "    max_body: 16KiB\n"
		}
		return strings.Replace(text, "    endpoints:\n", api+"    endpoints:\n      POST /v1/orders: "+endpoint+"\n", 1)
	}
	anyAudience := func(text string) string { return strings.Replace(text, "audience: orders, ", "", 1) }
	const access = "    shield: api_key\n    scopes: [a:read]\n"
	for name, c := range map[string]struct{ older, newer, refused string }{
		"shield":    {orders("    shield: hmac\n    scopes: [a:read]\n", "{}"), orders("    shield: {any: [hmac, api_key]}\n    scopes: [a:read]\n", "{}"), "missing_credential"},
		"scopes":    {orders(access, "{}"), orders("    shield: api_key\n    scopes: any\n", "{}"), "insufficient_scope"},
		"limit":     {orders(access+"    limit: 9/minute per client\n", "{}"), orders(access+"    limit: 90000/minute per client\n", "{}"), "rate_limited"},
		"max_body":  {orders(access+"    max_body: 1KiB\n", "{}"), orders(access+"    max_body: 2KiB\n", "{}"), "too_large"},
		"injection": {orders(access+"    injection: on\n", "{}"), orders(access, "{}"), "injection"},
		"a trial": {
			orders(access+"    injection: on\n", "{}"), orders(access+"    injection: on\n    insecure_report_only: [{what: injection, until: \"2099-01-31\", reason: we look at it first}]\n", "{}"), "injection",
		},
		"openapi":     {orders(access+"    openapi: orders.json\n", "{}"), orders(access+"    openapi: {file: orders.json, insecure_undeclared: old clients send more}\n", "{}"), "invalid_input"},
		"undescribed": {orders(access+"    openapi: orders.json\n", "{}"), orders(access+"    openapi: orders.json\n", "{insecure_undescribed: nobody wrote it down yet}"), "invalid_input"},
		"resource": {
			anyAudience(orders("    shield: {jwt: {issuer: corp}}\n    scopes: [a:read]\n", "{}")), anyAudience(orders("    resource: https://api.example.com/orders\n    shield: {jwt: {issuer: corp}}\n    scopes: [a:read]\n", "{}")), "invalid_credential",
		},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := story(t, c.older, c.newer)
			if !has(there.Opened, c.refused, "") || !has(back.Closed, c.refused, "") || len(there.Closed)+len(back.Opened)+len(there.Unproved) > 0 {
				t.Errorf("opened %+v, closed %+v, unproved %v; back %+v", there.Opened, there.Closed, there.Unproved, back)
			}
		})
	}
}

// What moves opens and closes: each is told.
func TestAnotherHeaderIsADoorBothWays(t *testing.T) {
	there, _ := story(t, written(at("GET /v1/orders: {shield: api_key, scopes: [a:read]}"), ""), written(at("GET /v1/orders: {shield: {api_key: {header: X-Other-Key}}, scopes: [a:read]}"), ""))
	if !has(there.Opened, "missing_credential", "in X-Other-Key") || !has(there.Closed, "missing_credential", "in X-API-Key") {
		t.Errorf("opened %+v, closed %+v", there.Opened, there.Closed)
	}
}
