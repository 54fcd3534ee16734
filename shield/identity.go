package shield

import (
	"slices"
	"strings"
	"time"
)

// Identity is what a shield proved about the caller. It is shared and must not
// be changed once a shield returned it.
type Identity struct {
	Shield       string         // the kind that proved it: "api_key", "jwt", …
	CredentialID string         // public id of the credential; never the credential
	Issuer       string         // who vouches for Subject; with Subject it is a global name, alone neither is
	Subject      string         // the issuer's name for the caller
	Client       string         // the client that owns the credential
	User         string         // the person, if there is one
	Tenant       string         // the client's tenant, if it has one
	Scopes       Scopes         // already cut to what the issuer may grant; nil: carries none at all
	Attributes   map[string]any // of the client or the token; read-only
	Scheme       string         // HTTP authentication scheme for a challenge about scopes: "Bearer"; empty: none
	Expires      time.Time      // when the credential ends; zero: never. Streams end with it
	SignedIn     time.Time      // when the person signed in, as the issuer says; zero: it does not
	Confirm      Confirm        // certificate or key to which the credential is bound
	Once         []Once         // what the guard consumes before the request goes on
	With         []*Identity    // the other proofs of an All
	Warnings     []string       // for the event: codes such as "credential_old"
	Revocation   func() bool    // whether it was withdrawn since, asked while a stream lasts; nil: never is. Safe for concurrent use; it waits for nobody
}

// Confirm is what a credential is bound to (the "cnf" of RFC 7800). The guard
// compares it with what the caller presented; the zero value binds to nothing.
type Confirm struct {
	Certificate string // "x5t#S256" of RFC 8705: base64url SHA-256 of the DER certificate
	Key         string // "jkt" of RFC 9449: base64url SHA-256 thumbprint of the key
}

// MaxSkew is how far ahead of ours the clock of a caller may be at most, in any
// shield: none accepts a time further in the future. Whoever forgets which claims
// were used up refuses for so long what was made before.
const MaxSkew = time.Minute

// Once is a claim that may be used up once: a nonce, or the digest of signed
// bytes, within a space of its own.
type Once struct {
	Space  string    // credential or issuer within which Digest is unique
	Digest [32]byte  // SHA-256 of the nonce or of the signed bytes
	Made   time.Time // the signer's own timestamp; refused when older than a cold start
	Until  time.Time // after this moment the claim would be refused anyway and may be forgotten
}

// All calls f with the identity and every other proof of it, primary first.
func (id *Identity) All(f func(*Identity)) {
	f(id)
	for _, other := range id.With {
		other.All(f)
	}
}

// Scopes is a set of scope names. A nil Scopes means "carries no scopes at
// all", which differs from an empty one only inside an [All]. It is never changed
// after it was made.
type Scopes []string

// Has reports whether the set holds scope, compared byte by byte.
func (s Scopes) Has(scope string) bool { return slices.Contains(s, scope) }

// Missing returns the scopes of want that the set lacks.
func (s Scopes) Missing(want Scopes) Scopes {
	var missing Scopes
	for _, scope := range want {
		if !s.Has(scope) {
			missing = append(missing, scope)
		}
	}
	return missing
}

// Intersect returns the scopes that both sets hold, never nil.
func (s Scopes) Intersect(other Scopes) Scopes {
	both := Scopes{}
	for _, scope := range s {
		if other.Has(scope) {
			both = append(both, scope)
		}
	}
	return both
}

// Within returns the scopes that ceiling allows, never nil. An entry of the
// ceiling is a scope, or a prefix that ends in ":*" or "." + "*" (the separator
// is part of the prefix), or "*" alone.
func (s Scopes) Within(ceiling Scopes) Scopes {
	cut := Scopes{}
	for _, scope := range s {
		if ceiling.covers(scope) {
			cut = append(cut, scope)
		}
	}
	return cut
}

func (s Scopes) covers(scope string) bool {
	for _, entry := range s {
		if entry == "*" || entry == scope {
			return true
		}
		prefix, ok := strings.CutSuffix(entry, "*")
		if ok && len(scope) > len(prefix) && strings.HasPrefix(scope, prefix) &&
			(strings.HasSuffix(prefix, ":") || strings.HasSuffix(prefix, ".")) {
			return true
		}
	}
	return false
}
