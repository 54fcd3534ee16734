// Package formtest has one event of each kind that Pavise records, to try forms with.
package formtest

import (
	"net/netip"
	"time"

	"pavise.dev/pavise/audit"
)

// Sample is an event, with the class of OCSF and the activity that it must become.
type Sample struct {
	Name     string
	Event    audit.Event
	Class    int64
	Activity int64
}

// Samples returns them; each has an id of its own.
func Samples(now time.Time) []Sample {
	all := append(requests(), acts()...)
	for i := range all {
		e := &all[i].Event
		e.ID, e.Time = "id-"+all[i].Name, now.Add(time.Duration(i)*time.Second)
		if e.Class == audit.Request || e.Class == audit.Connection {
			e.Remote = netip.MustParseAddrPort("192.0.2.7:50123")
			e.Peer = e.Remote
		}
	}
	return all
}

func requests() []Sample {
	accepted := audit.Event{
		Class: audit.Request, TLS: "1.3", SNI: "api.example.com", Proto: "HTTP/2.0", Method: "GET", Host: "api.example.com:8443", Path: "/v1/orders/7",
		Query: "page=*", UserAgent: "curl/8", API: "orders", Endpoint: "GET /v1/orders/{id}", Step: "proxy", Decision: audit.Accepted, Status: 200,
		Shield: "api_key", CredentialID: "k1", Client: "shop", Tenant: "north", Proved: true, Upstream: "http://127.0.0.1:9000", UpstreamStatus: 200,
		Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Parent: "b7ad6b7169203331", Sampled: true,
		Took:    [audit.Parts]time.Duration{audit.Entry: 40 * time.Microsecond, audit.Identity: 200 * time.Microsecond, audit.Rights: 10 * time.Microsecond},
		BytesIn: 10, BytesOut: 512, Duration: 1500 * time.Microsecond, UpstreamDuration: time.Millisecond,
	}
	refused := func(step, code string, status int, change func(*audit.Event)) audit.Event {
		e := accepted
		e.Step, e.Decision, e.Code, e.Status, e.Detail = step, audit.Refused, code, status, "why it was refused"
		e.Upstream, e.UpstreamStatus, e.UpstreamDuration, e.Proved = "", 0, 0, false
		if change != nil {
			change(&e)
		}
		return e
	}
	nobody := func(e *audit.Event) { e.Client, e.CredentialID, e.Tenant, e.Shield = "", "", "", "" }
	nowhere := func(e *audit.Event) { nobody(e); e.API, e.Endpoint, e.Host = "", "", "evil host/\"" }
	delegated := accepted
	delegated.Shield, delegated.User, delegated.Subject, delegated.Issuer, delegated.Method = "jwt", "ann", "s1", "https://login.example.com", "DELETE"
	changed := accepted
	changed.Method, changed.Endpoint = "PATCH", "PATCH /v1/orders/{id}"
	failed := refused("proxy", "upstream_failed", 502, nil)
	failed.Decision, failed.Upstream, failed.UpstreamDuration = audit.Failed, "http://127.0.0.1:9000", 30*time.Millisecond
	broken := accepted
	broken.UpstreamStatus, broken.Status, broken.Note, broken.Duration = 500, 500, "upstream_aborted", 2*time.Second
	bare := audit.Event{Class: audit.Request, Decision: audit.Refused, Step: "door", Code: "invalid_path"}
	return []Sample{
		{"accepted", accepted, 6003, 2},
		{"changed", changed, 6003, 3},
		{"delegated", delegated, 6003, 4},
		{"no-scope", refused("access", "insufficient_scope", 403, nil), 6003, 2},
		{"no-credential", refused("shield", "missing_credential", 401, nobody), 3002, 1},
		{"wrong-credential", refused("shield", "invalid_credential", 401, nil), 3002, 1},
		{"exposed", refused("shield", "exposed_credential", 400, func(e *audit.Event) { e.Exposed = true }), 3002, 1},
		{"injection", refused("harm", "denied", 403, nil), 2004, 1},
		{"no-endpoint", refused("route", "unknown_endpoint", 404, nowhere), 4002, 3},
		{"odd-method", refused("door", "invalid_method", 400, func(e *audit.Event) { nowhere(e); e.Method = "BREW" }), 4002, 99},
		{"bare", bare, 4002, 99},
		{"upstream-failed", failed, 6003, 2},
		{"answer-broken", broken, 6003, 2},
		{"counted", refused("limit", "rate_limited", 429, func(e *audit.Event) { nowhere(e); e.Count, e.Note = 4000, "counted" }), 4002, 3},
		{"handshake", audit.Event{Class: audit.Connection, Decision: audit.Refused, Step: "tls", Code: "tls_version", SNI: "api.example.com", Detail: "TLS 1.0"}, 4001, 4},
		{"framing", audit.Event{Class: audit.Connection, Decision: audit.Refused, Step: "http1", Code: "bad_framing", Status: 400, TLS: "1.3"}, 4001, 5},
	}
}

func acts() []Sample {
	admin := func(action, target, change string) audit.Event {
		return audit.Event{Class: audit.Admin, Decision: audit.Accepted, Actor: "root", Action: action, Target: target, Change: change}
	}
	grant := func(action, detail string) audit.Event {
		return audit.Event{
			Class: audit.Grant, Decision: audit.Noted, Action: action, Client: "shop", Subject: "s1", Issuer: "https://api.example.com", Detail: detail,
			Remote: netip.MustParseAddrPort("192.0.2.7:0"),
		}
	}
	system := func(code string) audit.Event {
		return audit.Event{Class: audit.System, Decision: audit.Noted, Code: code, Target: "pavise.yaml"}
	}
	return []Sample{
		{"client-create", admin("client.create", "shop", "scopes [orders:read]"), 3001, 1},
		{"client-disable", admin("client.disable", "shop", "switched off"), 3001, 5},
		{"user-join", admin("user.join", "user ann", "signs in as \"a\""), 3001, 99},
		{"key-create", admin("credential.create", "k1", "for shop"), 3004, 1},
		{"key-revoke", admin("credential.revoke", "k1", "withdrawn"), 3004, 4},
		{"reload", admin("reload", "pavise.yaml", "limits changed"), 3004, 3},
		{"odd-act", admin("thing.do", "", ""), 3004, 99},
		{"sign-in", grant("person.sign_in", ""), 3002, 1},
		{"sign-in-failed", grant("person.sign_in_failed", "the account is disabled"), 3002, 1},
		{"sign-out", grant("person.sign_out", ""), 3002, 2},
		{"token", grant("token.issue", "at+jwt, scopes orders:read"), 3003, 1},
		{"grant", grant("grant.create", "scopes orders:read"), 3005, 1},
		{"grant-reuse", grant("grant.reuse", "a refresh token came twice"), 3005, 2},
		{"password", grant("person.password_changed", ""), 3001, 3},
		{"forged", grant("person.forged_form", "no token"), 3001, 99},
		{"started", system("started"), 6002, 3},
		{"stopped", system("stopped"), 6002, 4},
		{"sink-lost", system("sink_lost"), 0, 99},
		{"fired", audit.Event{Class: "detection", Decision: audit.Noted, Code: "stuffing", Detail: "401 from 90 addresses"}, 2004, 1},
		{"strange", audit.Event{Class: "new", Decision: "new"}, 0, 99},
	}
}
