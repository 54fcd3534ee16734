package main

import (
	"slices"
	"time"
)

// row is one kind of call, made of every program that can guard it.
type row struct {
	id    string
	title string
	path  string
	proof string // what the callers carry: "", key, rs256, es256, hmac
	many  int    // how many different credentials the callers take turns with
	body  int    // bytes of a POST's body; 0: GET
	tls   bool   // with a client certificate
	fresh bool   // a new connection for each request
	again bool   // which resumes the session of the one before
	mine  bool   // the client certificate is of our own authority
	ours  bool   // no other program here has such a thing
	form  string // a POST's form, with {{token}} for one of our own
	flow  string // requests that depend on the answers before

	bare string // row of the bare program that it is compared with
}

// callers are the connections that are open at once.
const callers = 64

// rows are all rows of the page, in its order.
func rows() []row {
	return []row{
		{id: "open", title: "no shield", path: "/open", bare: "open"},
		{id: "key", title: "API key, 100 keys", path: "/key", proof: "key", many: 100, bare: "open"},
		{id: "jwt-rs256-1", title: "JWT RS256, one token", path: "/rs256", proof: "rs256", many: 1, bare: "open"},
		{id: "jwt-rs256-1000", title: "JWT RS256, 1,000 tokens", path: "/rs256", proof: "rs256", many: 1000, bare: "open"},
		{id: "jwt-es256-1", title: "JWT ES256, one token", path: "/es256", proof: "es256", many: 1, bare: "open"},
		{id: "jwt-es256-1000", title: "JWT ES256, 1,000 tokens", path: "/es256", proof: "es256", many: 1000, bare: "open"},
		{id: "hmac", title: "HMAC, 256-byte body, 100 keys", path: "/hmac", proof: "hmac", many: 100, body: 256, bare: "open"},
		{id: "tls-new", title: "TLS 1.3, a new connection each", path: "/open", fresh: true, bare: "tls-new"},
		{id: "mtls", title: "mutual TLS, kept connections", path: "/mtls", tls: true, bare: "open"},
		{id: "mtls-new", title: "mutual TLS, a new connection each", path: "/mtls", tls: true, fresh: true, bare: "mtls-new"},
		{id: "mtls-again", title: "mutual TLS, a resumed session each", path: "/mtls", tls: true, fresh: true, again: true, bare: "mtls-again"},
	}
}

// authorityRows are those of the certificate authority. Nothing stands beside them: no other
// program here is one.
func authorityRows() []row {
	return []row{
		{id: "pki-mtls", title: "a call with a certificate of our own, kept connections", path: "/mine", tls: true, mine: true, ours: true},
		{id: "pki-mtls-new", title: "a call with a certificate of our own, a new connection each", path: "/mine", tls: true, mine: true, fresh: true, ours: true},
		{id: "pki-renew", title: "a certificate is renewed: signed, recorded and handed out (EST)", tls: true, mine: true, ours: true, flow: flowRenew},
	}
}

// oauthRows are those of the authorization server, and of endpoints that take its tokens.
// Nothing stands beside them: no other program here is one.
func oauthRows() []row {
	const token = "grant_type=client_credentials"
	return []row{
		{id: "oauth-jwt", title: "client credentials, JWT ES256", path: "/token", proof: "machine", many: 1, ours: true, form: token},
		{id: "oauth-opaque", title: "client credentials, opaque token", path: "/token", proof: "opaque", many: 1, ours: true, form: token},
		{id: "oauth-code", title: "a code for somebody who is signed in, and its exchange", proof: "web", many: 1, ours: true, flow: flowCode},
		{id: "oauth-refresh", title: "refresh, a new token each time", proof: "web", many: 1, ours: true, flow: flowRefresh},
		{id: "oauth-introspect", title: "introspection of a JWT", path: "/introspect", proof: "service", many: 1, ours: true, form: "token={{token}}"},
		{id: "oauth-bearer", title: "a call with a JWT of our own", path: "/own", proof: "own", many: 1, ours: true},
		{id: "oauth-bearer-opaque", title: "a call with an opaque token of our own", path: "/own", proof: "own-opaque", many: 1, ours: true},
		{id: "oauth-dpop", title: "a call with a token bound to a key, a proof each", path: "/own", proof: proofDPoP, many: 1, ours: true},
	}
}

// allRows are the rows of all tables.
func allRows() []row { return slices.Concat(rows(), oauthRows(), authorityRows()) }

// ours is the program that all this is about.
const ours = "Pavise"

// proofDPoP is the proof of rows whose requests carry a proof of possession.
const proofDPoP = "dpop"

// figure is what one measurement of a row gave.
type figure struct {
	Requests int           `json:"requests"`
	Sent     int           `json:"sent"`              // answered, with those while it got warm
	Failed   int           `json:"failed"`            // of these; an answer other than 200 is one
	Failure  string        `json:"failure,omitempty"` // the first
	Elapsed  time.Duration `json:"elapsed"`
	CPU      time.Duration `json:"cpu"` // of the gateway's processes, in all
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
	Memory   int64         `json:"memory"` // resident, of all its processes, bytes
	TLS      string        `json:"tls"`    // what was agreed on
}

// bad reports whether a call failed, or none was made.
func (f figure) bad() bool { return f.Failed > 0 || f.Requests == 0 }

func (f figure) perRequest() time.Duration {
	if f.Requests == 0 {
		return 0
	}
	return f.CPU / time.Duration(f.Requests)
}

// busy is how much of its core the gateway used.
func (f figure) busy() float64 { return float64(f.CPU) / float64(f.Elapsed) }

func (f figure) perSecond() float64 { return float64(f.Requests) / f.Elapsed.Seconds() }
