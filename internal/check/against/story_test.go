package against_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/check/against"
)

// story compares two configurations, both ways.
func story(t *testing.T, older, newer string) (there, back *against.Result) {
	t.Helper()
	dir := folder(t)
	one, other := load(t, dir, older), load(t, dir, newer)
	return compare(t, one, other), compare(t, other, one)
}

// has reports whether a door is refused so, with something peculiar.
func has(doors []against.Door, refused, with string) bool {
	return slices.ContainsFunc(doors, func(d against.Door) bool {
		return strings.Contains(d.Refused, refused) && strings.Contains(d.With+d.Path, with)
	})
}

func at(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("      " + line + "\n")
	}
	return b.String()
}

// Several things that change in one edit are each a door, and nothing is left unproved.
func TestEachChangeOfAnEditIsADoor(t *testing.T) {
	type door struct{ refused, with string }
	for name, c := range map[string]struct {
		older, newer string
		doors        []door
	}{
		"a scope, a path and wrong tries": {
			written(at("GET /v1/orders/{id}: {shield: api_key, scopes: [a:read, a:write]}"), "limits: {wrong_tries: 5}\n"),
			written(at("GET /v1/orders/{id...}: {shield: api_key, scopes: [a:read]}"), "limits: {wrong_tries: 50}\n"),
			[]door{{"unknown_endpoint", "/v1/orders/7/7"}, {"insufficient_scope", "/v1/orders/7"}, {"locked_out", "after 6 wrong credentials"}},
		},
		"wrong tries beside a scope": {
			written(at("GET /v1/orders/{id}: {shield: api_key, scopes: [a:read, a:write]}"), "limits: {wrong_tries: 5}\n"),
			written(at("GET /v1/orders/{id}: {shield: api_key, scopes: [a:read]}"), "limits: {wrong_tries: 50}\n"),
			[]door{{"insufficient_scope", "a client with a:read"}, {"locked_out", "after 6 wrong credentials"}},
		},
		"a network and a method": {
			written(at(`GET /v1/orders: {shield: api_key, scopes: [a:read], when: 'context.address.isInRange(ip("192.0.2.0/24"))'}`), ""),
			written(at(`GET /v1/orders: {shield: api_key, scopes: [a:read], when: 'context.address.isInRange(ip("192.0.2.0/24")) || context.address.isInRange(ip("198.51.100.0/24"))'}`,
				`DELETE /v1/orders: {shield: api_key, scopes: [a:read], when: 'context.address.isInRange(ip("192.0.2.0/24"))'}`), ""),
			[]door{{"denied", "from 198.51.100.1"}, {"method_not_allowed", "an API key"}},
		},
		"the size of a body and its type": {
			written(at("POST /v1/orders: {shield: api_key, scopes: [a:read], max_body: 2KiB, body_schema: order.json}"), ""),
			written(at("POST /v1/orders: {shield: api_key, scopes: [a:read], max_body: 64KiB}"), ""),
			[]door{{"too_large", "64KiB"}, {"unsupported_media", "plain text"}},
		},
		"a limit and a shield": {
			written(at("GET /v1/orders: {shield: api_key, scopes: any, limit: 10/minute per client}"), ""),
			written(at("GET /v1/orders: {shield: {public: everybody may see them}, scopes: any, limit: 100/minute per address}"), ""),
			[]door{{"missing_credential", "no credential"}, {"rate_limited", "an API key of the environment live in X-API-Key, of a client without scopes; 11 times in a row of one client"}},
		},
		"a limit, and one shield for another": {
			written(at("GET /v1/orders: {shield: api_key, scopes: any, limit: 10/minute per client}"), ""),
			written(at("GET /v1/orders: {shield: {jwt: {issuer: corp}}, scopes: any, limit: 100/minute per client}"), ""),
			[]door{{"missing_credential", "a JWT"}, {"rate_limited", "11 times in a row of one client"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := story(t, c.older, c.newer)
			for _, want := range c.doors {
				if !has(there.Opened, want.refused, want.with) || !has(back.Closed, want.refused, want.with) {
					t.Errorf("no door is refused with %s, with %s: %+v", want.refused, want.with, there.Opened)
				}
			}
			for _, one := range there.Unproved {
				if !strings.Contains(one.String(), "shield") { // one for another closes as much as it opens
					t.Errorf("unproved: %s", one)
				}
			}
		})
	}
}

// What only two facets open together is a door, too: neither alone passes on the new one, or is refused by the old one.
func TestTwoFacetsTogetherAreADoor(t *testing.T) {
	when := func(condition string) string {
		return written(at("GET /v1/orders: {shield: api_key, scopes: any, when: '"+condition+"'}"), "")
	}
	const south = `principal.tenant == "south"`
	for name, c := range map[string]struct{ older, newer, refused, with string }{
		"a tenant from one network": {
			when(south), when(south + ` || principal.tenant == "west" && context.address.isInRange(ip("192.0.2.0/24"))`), "denied", "of the tenant west; from 192.0.2.1",
		},
		"a tenant that has a scope": {
			when(south), when(south + ` || principal.tenant == "west" && principal.scopes.contains("a:read")`), "denied", "",
		},
		"an issuer whose ceiling has other scopes": {
			strings.Replace(written(at("GET /v1/orders: {shield: {jwt: {issuer: corp}}, scopes: [a:write]}"), ""), `may_grant: ["a:*"]`, `may_grant: [a:read]`, 1),
			strings.Replace(written(at("GET /v1/orders: {shield: {jwt: {issuer: corp}}, scopes: [a:write]}"), ""), `may_grant: ["a:*"]`, `may_grant: [a:read, a:write]`, 1), "insufficient_scope", "a:write",
		},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := story(t, c.older, c.newer)
			if c.with == "" { // scopes are only asked about if they are demanded
				if len(there.Opened) == 0 && len(there.Unproved) != 1 {
					t.Errorf("%+v", there)
				}
				return
			}
			if len(there.Opened) == 0 || !has(there.Opened, c.refused, c.with) || len(there.Closed) > 0 || len(back.Opened) > 0 || len(there.LeftOut) > 0 {
				t.Errorf("opened %+v, closed %+v, left out %q; back opened %+v", there.Opened, there.Closed, there.LeftOut, back.Opened)
			}
		})
	}
}

// What a bound leaves out is said.
func TestWhatABoundLeavesOutIsSaid(t *testing.T) {
	var scopes, described []string
	for i := range 120 {
		scopes = append(scopes, fmt.Sprintf("s:%d", i))
		described = append(described, fmt.Sprintf("s:%d: One of many", i))
	}
	many := func(condition string) string {
		text := written(at("GET /v1/orders: {shield: api_key, scopes: ["+strings.Join(scopes, ", ")+"], when: '"+condition+"'}"), "")
		return strings.Replace(text, "scopes: {a:read: Read", "scopes: {"+strings.Join(described, ", ")+", a:read: Read", 1)
	}
	there, _ := story(t, many(`principal.tenant == "north"`), many(`"north" == principal.tenant`))
	report := against.Report("new", there, time.Now())
	if len(there.Opened) > 0 || len(there.LeftOut) == 0 || !strings.Contains(there.LeftOut[0], "GET /v1/orders: not all requests") || !slices.Equal(report.Notes, there.LeftOut) {
		t.Errorf("opened %+v, left out %q", there.Opened, there.LeftOut)
	}
}

// Rates and quotas are doors however high they are, and however long it takes until one shows that it is the higher one.
func TestRatesAreDoorsHoweverHigh(t *testing.T) {
	with := func(settings string) string {
		return written(at("GET /v1/orders: {shield: {jwt: {issuer: corp}}, scopes: any"+settings+"}"), "limits: {address: 1000000/second}\n")
	}
	for name, c := range map[string]struct{ older, newer, refused, with string }{
		"in a row":                          {with(", limit: 9/minute per client"), with(", limit: 10/minute per client"), "rate_limited", "10 times in a row of one client"},
		"a million":                         {with(", limit: 900000/hour per client"), with(", limit: 1000000/hour per client"), "rate_limited", "900001 times in a row of one client"},
		"none any more":                     {with(", limit: 900000/hour per client"), with(""), "rate_limited", "900001 times in a row"},
		"as many, but sooner":               {with(", limit: 60/hour per client"), with(", limit: 60/minute per client"), "rate_limited", "within"},
		"fewer at once, but sooner":         {with(", limit: 60/hour per client"), with(", limit: 2/minute per client"), "rate_limited", "within"},
		"more at once":                      {with(", limit: 60/minute per client burst 5"), with(", limit: 60/minute per client"), "rate_limited", "6 times in a row"},
		"of one person by several clients":  {with(", limit: [5/minute per client, 20/minute per user]"), with(", limit: [5/minute per client, 30/minute per user]"), "rate_limited", "21 times in a row of one person, by several clients"},
		"of everybody":                      {with(", limit: [5/minute per client, 2000/minute per endpoint]"), with(", limit: [5/minute per client, 3000/minute per endpoint]"), "rate_limited", "2001 times in a row by everybody"},
		"what one costs":                    {with(", limit: 60/minute per client cost 3"), with(", limit: 60/minute per client cost 2"), "rate_limited", "21 times in a row"},
		"a quota":                           {with(", quota: 90000/month per client"), with(", quota: 95000/month per client"), "quota_exceeded", "90001 times"},
		"a quota at the pace of a limit":    {with(", limit: 10/minute per client, quota: 90000/month per client"), with(", limit: 10/minute per client, quota: 95000/month per client"), "quota_exceeded", "90001 times within 7d"},
		"a quota of a month by days":        {with(", quota: [1000/day per client, 20000/month per client]"), with(", quota: [1000/day per client, 25000/month per client]"), "quota_exceeded", "20001 times within 21d"},
		"no quota of a month":               {with(", quota: 20000/month per client"), with(", quota: 1000/day per client"), "quota_exceeded", "20001 times within"},
		"an hour's limit, and two days'":    {with(", limit: 150/hour per client"), with(", quota: 100/day per client"), "rate_limited", "153 times within 1m"},
		"beside a limit that is raised too": {with(", limit: 9/minute per client, quota: 90000/month per client"), with(", limit: 20/minute per client, quota: 95000/month per client"), "quota_exceeded", "90001 times"},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := story(t, c.older, c.newer)
			if !has(there.Opened, c.refused, c.with) || !has(back.Closed, c.refused, c.with) || len(there.LeftOut) > 0 {
				t.Errorf("opened %+v, closed %+v; back closed %+v; left out %q", there.Opened, there.Closed, back.Closed, there.LeftOut)
			}
		})
	}
	for name, c := range map[string]struct{ older, newer string }{
		"the same in other words":     {with(", limit: 60/minute per client"), with(", limit: 60/minute per client burst 60")},
		"a quota that nobody reaches": {with(", limit: 1/minute per client, quota: 90000/month per client"), with(", limit: 1/minute per client, quota: 95000/month per client")},
		"tighter":                     {with(", limit: 10/minute per client"), with(", limit: 10/minute per client burst 5")},
		"another one beside it":       {with(", limit: 10/minute per client"), with(", limit: [10/minute per client, 100/hour per client]")},
	} {
		t.Run(name, func(t *testing.T) {
			if there, _ := story(t, c.older, c.newer); len(there.Opened) > 0 {
				t.Errorf("opened %+v", there.Opened)
			}
		})
	}
}

// What bounds all APIs together is a door at one of them.
func TestLimitsOfAllAPIsAreDoors(t *testing.T) {
	tight := at("GET /v1/orders: {shield: api_key, scopes: [a:read], limit: 5/minute per endpoint}", "GET /v1/files: {shield: api_key, scopes: [a:read], limit: 7/minute per client}")
	for name, c := range map[string]struct{ older, newer, refused, with string }{
		"of one address":     {"limits: {address: 100/minute}\n", "limits: {address: 100000/second}\n", "429 rate_limited, at the step limit", "101 times in a row from one address"},
		"after wrong tries":  {"limits: {wrong_tries: 20}\n", "limits: {wrong_tries: 100000}\n", "429 locked_out, at the step limit", "after 21 wrong credentials from its network"},
		"very many of these": {"limits: {wrong_tries: 50000}\n", "limits: {wrong_tries: 100000}\n", "429 locked_out, at the step limit", "after 50001 wrong credentials from its network"},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := story(t, written(tight, c.older), written(tight, c.newer))
			if len(there.Opened) != 1 || !has(there.Opened, c.refused, c.with) || len(there.Closed)+len(there.Unproved)+len(back.Opened) > 0 || !has(back.Closed, c.refused, c.with) {
				t.Errorf("opened %+v, closed %+v, unproved %v; back %+v", there.Opened, there.Closed, there.Unproved, back)
			}
		})
	}
}

// Requests at the same time are doors, too, as many as can be held.
func TestRequestsAtTheSameTimeAreDoors(t *testing.T) {
	with := func(api, settings string) string {
		text := written(at("GET /v1/orders: {shield: api_key, scopes: any, limit: 2000/minute per client"+settings+"}"), "")
		return strings.Replace(text, "    endpoints:\n", api+"    endpoints:\n", 1)
	}
	for name, c := range map[string]struct{ older, newer, with string }{
		"of one client":       {with("", ", concurrency: 3"), with("", ", concurrency: 30"), "4 at the same time, of one client"},
		"of all":              {with("", ", concurrency_total: 5"), with("", ", concurrency_total: 6"), "6 at the same time, by everybody"},
		"of an API":           {with("    concurrency: 2\n", ""), with("    concurrency: 4\n", ""), "3 at the same time, of one client"},
		"of all at an API":    {with("    concurrency_total: 2\n", ""), with("", ""), "3 at the same time, by everybody"},
		"beside others":       {with("    concurrency: 7\n", ", concurrency: 5, concurrency_total: 9"), with("    concurrency: 7\n", ", concurrency: 6, concurrency_total: 9"), "6 at the same time, of one client"},
		"far more than a few": {with("", ", concurrency: 900"), with("", ", concurrency: 901"), "901 at the same time"},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := story(t, c.older, c.newer)
			if !has(there.Opened, "503 busy", c.with) || !has(back.Closed, "503 busy", c.with) || len(there.Closed)+len(back.Opened)+len(there.Unproved)+len(there.LeftOut) > 0 {
				t.Errorf("opened %+v, closed %+v, unproved %v; back closed %+v", there.Opened, there.Closed, there.Unproved, back.Closed)
			}
		})
	}
	there, _ := story(t, with("", ", concurrency: 3000"), with("", ", concurrency: 5000"))
	if len(there.Opened) > 0 || len(there.LeftOut) != 1 || len(there.Unproved) != 1 {
		t.Errorf("opened %+v, left out %q, unproved %v", there.Opened, there.LeftOut, there.Unproved)
	}
}

// A request to paste stays one, whatever a configuration calls its paths and values.
func TestRequestsToPasteAreQuoted(t *testing.T) {
	path := "GET /v1/it's/$(x)"
	there, _ := story(t, written(at(`"`+path+`": {shield: api_key, scopes: [a:read]}`), ""), written(at(`"`+path+`": {shield: api_key, scopes: any}`), ""))
	if len(there.Opened) != 1 || there.Opened[0].Request != `curl -X GET 'https://api.example.com/v1/it'\''s/$(x)'` {
		t.Errorf("%+v", there.Opened)
	}
}
