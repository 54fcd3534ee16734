// Package audit records every decision: one [Event] for each request, each
// connection fault and each administrative act, kept safe before the first byte
// of an answer leaves, in a chain that shows any later change.
package audit

import (
	"net/netip"
	"time"
)

// Class says what an event is about.
type Class string

// The classes of events.
const (
	Request    Class = "request"    // one HTTP request, decided
	Connection Class = "connection" // a fault below a request: TLS handshake, framing, limits of the edge
	Admin      Class = "admin"      // somebody changed something: credentials, configuration
	Grant      Class = "grant"      // the authorization server: sign-in, consent, tokens issued, refreshed, revoked
	Detection  Class = "detection"  // a rule over the events found something: Code is its name, Target whom it is about
	System     Class = "system"     // Pavise about itself: start, reload, stale state, sink lag
)

// Decision is how it ended.
type Decision string

// The decisions.
const (
	Accepted Decision = "accepted"
	Refused  Decision = "refused"
	Failed   Decision = "failed" // a step or the upstream could not do its work
	Noted    Decision = "noted"  // nothing was to be decided
)

// Part is a part of the path of a request.
type Part uint8

// The parts.
const (
	Entry      Part = iota // door, cheap limits, route
	Identity               // the shield
	Rights                 // scopes, limits of the caller
	Input                  // sanitising, contract
	Conditions             // policy
	Last                   // injection, candidates, flows
	Parts      = 6
)

// String names a part.
func (p Part) String() string {
	return [Parts]string{"entry", "identity", "rights", "input", "conditions", "last"}[p]
}

// SentByPage is the warning of a refused request of a stranger that a page made his browser send:
// perhaps a page of somebody else, so that it says nothing about him.
const SentByPage = "sent_by_page"

// Event is one flat record. The guard fills it step by step and hands it to the
// [Sink]; nobody else writes it. Strings may hold anything an attacker sent:
// whoever encodes them escapes and truncates. No field ever holds a secret.
type Event struct {
	ID    string // request ID; also given to the caller and the upstream
	Time  time.Time
	Class Class

	// Where from.
	Remote netip.AddrPort // the caller after the rules for trusted proxies
	Peer   netip.AddrPort // the other end of the connection
	TLS    string         // "1.3", "1.2", "" for none
	SNI    string

	// What was asked. Path and Query hold no sensitive part.
	Proto, Method, Host, Path, Query string
	UserAgent                        string

	// Which trace it belongs to (W3C Trace Context): lower-case hexadecimal digits.
	Trace, Span, Parent string
	Sampled             bool // the trace is recorded

	// What was decided, and by which step of the path.
	API, Endpoint string
	Step          string // "door", "limit", "route", "shield", "access", …
	Decision      Decision
	Code          string
	Detail        string // for the operator
	Status        int

	// Who.
	Shield, CredentialID string
	Issuer, Subject      string
	Client, User, Tenant string
	With                 string // further credential ids of an `all`, joined by a space
	Proved               bool   // the caller held the secret of CredentialID
	Exposed              bool   // a credential must be taken for leaked
	Warning              string // "credential_old", …

	// How it went on.
	Upstream         string // the address that answered
	UpstreamStatus   int
	BytesIn          int64
	BytesOut         int64
	Duration         time.Duration // from the first step to the last byte
	UpstreamDuration time.Duration
	Took             [Parts]time.Duration // each part of the path, before the handler
	Note             string               // "upgraded", "aborted", "interrupted"

	// What layers did beside the decision.
	Would   string // why rules on trial would have refused: "contract invalid_input body minimum /count; injection …"
	Changed string // what was changed in request or answer, and how often: "trim=2; card=1"

	// Administrative acts and the system's own events.
	Actor, Action, Target, Change string

	Count int // how many equal events this one stands for; 0 and 1 mean one

	// Handle belongs to the Sink between Begin and Complete.
	Handle uint64
}

// Sink is where events go. It is safe for concurrent use.
//
// A request's event is begun once, before the first byte of its answer, and
// completed once. Begin copies what it needs: the guard reuses the Event after
// Complete.
type Sink interface {
	// Begin keeps the event safe against the death of this process. Nothing of
	// the answer is sent before it returns nil.
	Begin(*Event) error
	// Complete records what was not known at Begin: Status, Decision and Code (which a
	// failing upstream may still change), Note, bytes, durations. It never blocks for long.
	Complete(*Event)
}

// Record begins and completes an event in one step, for everything that is no
// request.
func Record(s Sink, e *Event) error {
	if err := s.Begin(e); err != nil {
		return err
	}
	s.Complete(e)
	return nil
}
