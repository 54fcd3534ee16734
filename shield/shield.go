// Package shield answers one question about a request: who is calling?
//
// A [Shield] looks at one kind of credential (an API key, a token, a
// certificate, a signature) and gives one of three answers: an [Identity], a
// [Refusal], or an error that means "could not decide". Two refusals are
// special: [Absent] (there is no credential of mine) and [Foreign] (the carrier
// is there, but what it carries is not mine). Only these two let another shield
// of an [Any] try; a credential that is ours and wrong ends the search.
//
// Each kind of shield lives in a folder below this one and is described by one
// [Kind]: its settings, its caller's half, how its credentials are made, and
// what an attacker would try. The list of kinds is in shield/all. The promises
// that every kind keeps are tested by shield/shieldtest.
//
// This package holds no shield of its own but the two that combine others,
// [Any] and [All]. It knows no configuration file, store or network.
package shield

import "net/http"

// A Shield decides who sent a request.
//
// Verify is pure: it writes no response, changes neither the request nor its
// body's bytes, and uses nothing up (what may be used once is returned as
// [Identity.Once] and consumed by the guard). Many goroutines may call it at
// once. Its error is a [*Refusal], or any other error when it could not decide;
// the guard denies both. No error holds any part of a credential.
//
// What a shield reads of the request: the certificates that the peer presented
// are r.TLS.PeerCertificates (never VerifiedChains); the body, where
// [Needs.Body] asked for it, is r.Body as a [*Body]; r.RemoteAddr is the
// caller's address after the rules for trusted proxies; r.Host is a configured
// host. Time, credentials and revocations come from the [Env] it was opened with.
type Shield interface {
	Verify(r *http.Request) (*Identity, error)
}

// Needs says, as data, what an opened shield wants of the core.
type Needs struct {
	ClientCert bool     // the handshake asks for a client certificate
	Body       int64    // bytes of the body that it may read, bounded; 0 leaves the stream untouched
	Carries    []string // header names of its credential: single-valued, removed before the upstream
	Accepts    []string // what sets its credentials apart; two shields of one Any share none of these
	Tokens     *Tokens  // nil: it takes no access tokens
}

// Tokens is what a shield for access tokens tells clients that look for a way in (RFC 9728
// §2).
type Tokens struct {
	Issuers          []string // whose tokens it takes: their URLs
	CertificateBound bool     // only tokens that are bound to a certificate
	KeyBound         bool     // only tokens that are bound to a key (DPoP)
	ProofAlgorithms  []string // that proofs of possession may be signed with
}

// Needy is a [Shield] that wants something of the core.
type Needy interface {
	Needs() Needs
}

// Exposer is a [Shield] that knows its credentials where others can read them: in a
// URL, which logs and proxies keep.
type Exposer interface {
	// Exposed returns a refusal with the code [ExposedCredential], or nil. It is
	// as pure as Verify, and Verify asks it first. [Any] and [All] ask it of all
	// their shields before any of them verifies, because a credential in the URL
	// is known to others whatever else the request carries.
	Exposed(r *http.Request) *Refusal
}

// NeedsOf returns what s wants; the zero Needs if it wants nothing.
func NeedsOf(s Shield) Needs {
	if n, ok := s.(Needy); ok {
		return n.Needs()
	}
	return Needs{}
}
