package shield

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"
)

// Kind describes one kind of shield to the rest of the program. Each folder
// below shield has a function of the same shape, `func Kind() shield.Kind`.
type Kind struct {
	Name    string                                  // as in the configuration: "api_key", "jwt", "hmac", "mtls", "public"
	Summary string                                  // one line for tables and help
	Config  func() Config                           // a new settings struct that holds its defaults
	Client  func(Credential) (Signer, error)        // how a caller signs; shares the signed bytes with Verify. Nil: nothing to send
	Issue   func(Env, IssueRequest) (Issued, error) // how a credential is made; nil: made elsewhere
	Attacks []Attack                                // what an attacker tries, and the answer that must come back
	README  string                                  // the folder's page
}

// Config is the documented settings struct of a kind, a pointer to a struct
// whose fields have tags `yaml:"name"` and `doc:"what it does, unit, bounds"`.
// The decoder of the configuration, its JSON Schema, the help and the tables of
// the docs derive from it. It may implement [Scalar] to be written as one word.
type Config interface {
	// Validate returns what cannot work, with paths relative to the struct.
	Validate() []Problem
	// Open returns a shield that works, or an error that says what is missing.
	Open(Env) (Shield, error)
}

// Scalar is a [Config] with a short form: `shield: {public: load-balancer probe}`.
type Scalar interface {
	SetScalar(value string) error
}

// Caller is a [Config] that says what it wants of a caller's half, in the words of
// [Credential.Settings] and of its README: for whoever makes a credential that fits.
type Caller interface {
	Calling() map[string]string
}

// Problem is something wrong in a settings struct.
type Problem struct {
	Path    string // field, dotted: "window", "rules.0.dns"; empty: the struct itself
	Message string // what is wrong
	Hint    string // the next thing to try
}

// Env is what an opened shield may use of the world. All of it is safe for
// concurrent use, and nothing of it waits for a store.
type Env struct {
	Now         func() time.Time
	Rand        io.Reader
	Credentials Lookup
	Revoked     Revoked
	Fetch       Fetcher // of documents that are signed by themselves, with TLS or without; nil: there is no way out
	Issuers     Issuers
	Files       Files
	Authority   Authority // nil: there is none, and never will be

	// Go runs something beside requests, until the shield's configuration is replaced; its
	// context ends then. Nil: there is nobody who would end it.
	Go func(func(context.Context))

	// API is the API whose endpoints the shield guards; the zero value: none in particular.
	API API

	// Key returns a key of the installation's own for a purpose: 32 bytes, the same on
	// every node and after a restart. Nil: there is none.
	Key func(purpose string) ([]byte, error)
}

// API is what a shield may know of the API that it guards.
type API struct {
	Name     string   // in the configuration: the audience where none is configured
	Resource string   // its resource identifier (RFC 8707 §2), where the configuration names one
	Ports    []string // at which the installation is known to answer; nil: not known
}

// Lookup finds what is known of a credential in a snapshot in memory.
type Lookup interface {
	// Credential returns the record, [ErrUnknown], or [ErrStale].
	Credential(kind, id string) (*Record, error)
	// Holder returns the record whose secret, kept with [KeepHash], is
	// material; for secrets that carry no id, such as imported keys. It looks
	// the keyed hash up in an index. [ErrUnknown] or [ErrStale] as above.
	Holder(kind string, material []byte) (*Record, error)
}

// Revoked knows which tokens of issuers were withdrawn before their time.
type Revoked interface {
	// Token reports whether the token, or its subject since a moment at or
	// after issuedAt, was revoked; or [ErrStale].
	Token(issuer, subject, tokenID string, issuedAt time.Time) (bool, error)
	// Generation rises with every change; a cached verdict may compare it.
	Generation() uint64
}

// Fetcher is the one way out: bounded in size and time, and unable to reach
// addresses that the operator did not allow.
type Fetcher interface {
	// Get returns the body of a 200 answer of at most limit bytes.
	Get(ctx context.Context, url string, limit int64) (body []byte, header http.Header, err error)
}

// Issuers finds a configured issuer of tokens by the name it has in the file.
type Issuers interface {
	Issuer(name string) (*Issuer, error)
}

// Issuer is an authority whose tokens are trusted, with the limits of that trust.
type Issuer struct {
	Name       string            // in the configuration
	URL        string            // the exact value of "iss"
	Audience   []string          // accepted values of "aud"; never empty
	MayGrant   Scopes            // ceiling for scopes it puts into tokens
	ScopesFrom string            // claim that holds scopes: "scope", "scp", "permissions", …
	Claims     map[string]string // attribute or "tenant", "user", "client" → claim name (dots go down)
	Types      []string          // accepted "typ" values; empty: "at+jwt" and "application/at+jwt" and "JWT" by the rules of shield/jwt
	Algorithms []string          // accepted "alg" values; never empty, never "none"
	Leeway     time.Duration     // clock skew tolerated, at most 60 s
	MaxAge     time.Duration     // longest accepted life of a token (exp − iat); 0: no bound
	Keys       KeySource

	// Introspect asks the issuer about a token (RFC 7662). Nil: it cannot be asked.
	Introspect Introspector

	// Clients is the kind of credential by which its clients are known here, where the
	// issuer is ours: a token of a client without one is refused. Empty: they are mapped.
	Clients string
	// Family is the claim that names what a token was issued under. It may be revoked
	// like a token's id; then every token under it is refused. Empty: there is none.
	Family string
	// Grantee is the claim that names the client to which somebody granted what a token of
	// another client was made of (RFC 8693): a client as in Clients, which has to be in
	// force, too, and whose scopes are a limit. Empty: there is none.
	Grantee string
}

// KeySource finds the public key of an issuer.
type KeySource interface {
	// Key returns the key with this id for this algorithm. An empty kid is
	// accepted only if the issuer has exactly one key for alg. An unknown kid
	// may cause one fetch per cool-down. A *Refusal means "no such key"; any
	// other error means that the keys are unknown or too old (503).
	Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error)
}

// Introspector asks an issuer about tokens that say nothing by themselves.
type Introspector interface {
	// Introspect returns the members of the answer (RFC 7662 §2.2), read strictly: numbers
	// as they are written. It returns [ErrInactive] for a token that is not active, and any
	// other error if the issuer gave no answer that can be believed (503).
	Introspect(ctx context.Context, token string) (map[string]any, error)
}

// ErrInactive says that an issuer does not stand by a token.
var ErrInactive = errors.New("the issuer says that the token is not active")

// Files reads files that settings name, relative to the file that names them,
// and says when they changed.
type Files interface {
	// Read returns the content of at most 16 MiB.
	Read(name string) ([]byte, error)
	// Watch calls changed after the file changed, until the shield's
	// configuration is replaced.
	Watch(name string, changed func())
}

// Authority is the installation's own certificate authority, as far as shields know it.
type Authority interface {
	// Issuers returns the certificates (PEM) of those who sign for callers. Its error says
	// what to do if there are none yet.
	Issuers() ([]byte, error)
	// Pins returns the pins (SHA-256 of the SubjectPublicKeyInfo, base64) of all its own
	// certificates: roots too, and those that are trusted no more.
	Pins() []string
	// Watch calls changed after they have changed, until the shield's configuration is
	// replaced.
	Watch(changed func())
}

// Credential is the caller's half: what a client holds to sign requests with.
type Credential struct {
	Kind, ID     string
	Secret       string            // key, shared secret, or token
	Certificates []tls.Certificate // for mutual TLS
	Settings     map[string]string // as the README of the kind says: "header", "covered", …
	Now          func() time.Time  // nil: time.Now
	Rand         io.Reader         // nil: crypto/rand
}

// Signer adds a credential to an outgoing request. It may read the body and must
// leave it readable. Safe for concurrent use.
type Signer interface {
	Sign(r *http.Request) error
}

// Presenter is a [Signer] whose credential is a certificate of the connection.
type Presenter interface {
	Certificate() *tls.Certificate
}

// Explainer is a [Signer] that can show the bytes it signs, for `call --debug`.
type Explainer interface {
	Canonical(r *http.Request) (string, error)
}

// IssueRequest asks a kind for a new credential.
type IssueRequest struct {
	Client      string
	Environment string            // short word that stands in the credential: "live", "test"
	Import      string            // an existing secret to take over; empty: make one
	Settings    map[string]string // as the README of the kind says
}

// Issued is a credential that was made. The store keeps Material as Keep says,
// the caller is shown Secret once.
type Issued struct {
	ID       string
	Secret   string
	Material []byte // what is hashed or sealed
	Keep     Keep
}

// Keep says how the store remembers a secret.
type Keep int

// The ways to keep a secret.
const (
	KeepNothing Keep = iota // there is no secret: a certificate's name, a token's client
	KeepHash                // keyed hash; cannot be read back
	KeepSealed              // encrypted; can be read back to verify signatures
)

// Attack is what an attacker of one kind tries, and the answer he must get.
type Attack struct {
	Row    int                       // of docs/attacks.md; 0: the kind's own
	Name   string                    // what is tried
	Change func(*http.Request) error // turns a good signed request into the attack

	// Present makes what is shown instead of the good certificate, with its key, where the
	// attack is one on the connection; Change does the same to a request that has arrived.
	// It returns nil for no certificate at all. Nil: the attack is one on the request.
	Present func(good *tls.Certificate) (*tls.Certificate, error)

	Repeat int  // send the request this many times more; the last answer counts
	Code   Code // expected
	Status int  // expected; 0: Code.Status()
}

// Unsigned returns a signer that does nothing, for callers without a credential.
func Unsigned() Signer { return unsigned{} }

type unsigned struct{}

func (unsigned) Sign(*http.Request) error { return nil }

// Networks is a list of address ranges; empty allows every address.
type Networks []netip.Prefix

// Allow reports whether addr is in one of the ranges, or none is given.
func (n Networks) Allow(addr netip.Addr) bool {
	if len(n) == 0 {
		return true
	}
	for _, prefix := range n {
		if prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
