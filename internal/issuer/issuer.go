// Package issuer knows the authorities whose tokens are trusted, and keeps their
// keys at hand.
//
// An issuer's public keys come from its discovery document (OpenID Connect or RFC
// 8414), from the address of a key set, from a local file, or from inside this
// program. They are fetched in the background and kept in memory: no request
// waits for an issuer, except the first after the start and the first with a key
// that nobody has seen. When an issuer cannot be reached, the keys at hand serve
// until they are KeysMaxAge old; after that its tokens are neither accepted nor
// called wrong, but answered 503.
//
// Whoever holds a token that names an unknown key can make the gateway ask the
// issuer, so that happens at most once per CoolDown, for all of them together.
// A key that an issuer withdraws verifies nothing after the next refresh
// (CacheFor, 10 minutes by default).
//
// Keys in a fetched set are judged before they are used: public ones only, RSA of
// 2048 to 8192 bits, points that lie on their curve, and each key tied to one
// algorithm, so that a token cannot choose how it is verified.
//
// What a token must say is not decided here but by the shields that read tokens.
package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

// Defaults and bounds of [Settings].
const (
	DefaultLeeway     = 30 * time.Second
	MaxLeeway         = 60 * time.Second
	DefaultMaxAge     = 24 * time.Hour
	DefaultCacheFor   = 10 * time.Minute
	DefaultKeysMaxAge = 24 * time.Hour
	DefaultCoolDown   = 30 * time.Second
	minCoolDown       = time.Second
)

// DefaultAlgorithms are accepted where Settings name none.
func DefaultAlgorithms() []string {
	return []string{"RS256", "PS256", "ES256", "EdDSA", "Ed25519"}
}

// Algorithms are all that an issuer may sign with. Symmetric ones are not among
// them: docs/decisions/0060-jwt.md says why.
func Algorithms() []string {
	return []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
		"ES256", "ES384", "ES512", "EdDSA", "Ed25519",
	}
}

// Settings describe one issuer. Zero values stand for the defaults.
type Settings struct {
	Name       string            // in the configuration: letters, digits, ".", "-" and "_"
	URL        string            // the exact value of "iss"
	JWKS       string            // address or file of the key set; empty: by discovery at URL
	Audience   []string          // accepted values of "aud"
	MayGrant   shield.Scopes     // ceiling of scopes; empty: none
	ScopesFrom string            // claim; empty: "scope", then "scp"
	Claims     map[string]string // "user", "client", "tenant" or an attribute → claim
	Types      []string          // accepted "typ"; empty: at+jwt
	Algorithms []string          // accepted "alg"; empty: [DefaultAlgorithms]
	Leeway     time.Duration     // 0: [DefaultLeeway]
	MaxAge     time.Duration     // longest life of a token; 0: [DefaultMaxAge]
	CacheFor   time.Duration     // keys are fetched again at this age; 0: [DefaultCacheFor]
	KeysMaxAge time.Duration     // keys serve without the issuer until this age; 0: [DefaultKeysMaxAge]
	CoolDown   time.Duration     // between two fetches for unknown kids; 0: [DefaultCoolDown]

	Clients string // kind of the credentials that its clients are; empty: they are mapped by the shield
	Family  string // claim that names what a token was issued under; whoever revokes that revokes the token

	Grantee string // claim that names the client to which was granted what another's token was made of

	Fetch shield.Fetcher   // instead of Env.Fetch, for an issuer with a CA of its own
	Keys  shield.KeySource // given in-process; JWKS must be empty then

	Asked      *Asked              // how it is asked about tokens; nil: it is not
	Introspect shield.Introspector // given in-process; Asked must be nil then
}

// Asked is how an issuer is asked about tokens (RFC 7662).
type Asked struct {
	Address    string // empty: what its metadata says
	ClientID   string
	SecretFile string // one line; followed when it changes
	Form       bool   // the secret goes into the form (client_secret_post), not into the header
	HTTP       *http.Client
}

// Env is what a [Set] uses of the world.
type Env struct {
	Now   func() time.Time // nil: time.Now
	Fetch shield.Fetcher   // needed by issuers with an address
	Files shield.Files     // needed by issuers with a file

	// Warn is told what an operator should know: keys that are not used, an
	// issuer that cannot be reached. Equal warnings in a row are told once. It
	// must not block. Nil: nobody is told.
	Warn func(issuer, text string)

	// Previous is the set that this one replaces after a reload. Keys that it
	// fetched are taken over, so that a reload while an issuer is down changes
	// nothing. It may be closed after New returned, not before.
	Previous *Set
}

// Set holds issuers and implements [shield.Issuers]. It is safe for concurrent
// use and owns goroutines: Close it.
type Set struct {
	issuers map[string]*shield.Issuer
	remotes map[string]*remote
	asking  []*http.Client
	closing sync.Once
}

var _ shield.Issuers = (*Set)(nil)

// New returns a set that works, or everything that is wrong with the settings.
// It does not wait for issuers; a file must be readable now.
func New(env Env, settings ...Settings) (*Set, error) {
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Warn == nil {
		env.Warn = func(string, string) {}
	}
	set := &Set{issuers: map[string]*shield.Issuer{}, remotes: map[string]*remote{}}
	var all error
	for _, s := range settings {
		if err := set.add(env, s); err != nil {
			all = errors.Join(all, fmt.Errorf("issuer %s: %w", s.Name, err))
		}
	}
	if all != nil {
		return nil, all
	}
	for name, r := range set.remotes {
		if env.Previous != nil && env.Previous.remotes[name] != nil {
			r.adopt(env.Previous.remotes[name])
		}
		r.start()
	}
	return set, nil
}

func (set *Set) add(env Env, s Settings) error {
	if set.issuers[s.Name] != nil {
		return errors.New("the name stands twice")
	}
	var wrong error
	for _, problem := range s.Problems() {
		wrong = errors.Join(wrong, fmt.Errorf("%s: %s", problem.Path, problem.Message))
	}
	if wrong != nil {
		return wrong
	}
	s = s.withDefaults()
	keys, err := set.source(env, s)
	if err != nil {
		return err
	}
	asked, err := set.introspector(env, s)
	if err != nil {
		return err
	}
	set.issuers[s.Name] = &shield.Issuer{
		Name: s.Name, URL: s.URL, Audience: s.Audience, MayGrant: s.MayGrant, ScopesFrom: s.ScopesFrom,
		Claims: s.Claims, Types: s.Types, Algorithms: s.Algorithms, Leeway: s.Leeway, MaxAge: s.MaxAge, Keys: keys,
		Introspect: asked, Clients: s.Clients, Family: s.Family, Grantee: s.Grantee,
	}
	return nil
}

// introspector returns what asks the issuer; nil if nothing may.
func (set *Set) introspector(env Env, s Settings) (shield.Introspector, error) {
	if s.Asked == nil {
		return s.Introspect, nil
	}
	asker, err := newAsker(env, s)
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	set.asking = append(set.asking, s.Asked.HTTP)
	return asker, nil
}

func (set *Set) source(env Env, s Settings) (shield.KeySource, error) {
	switch {
	case s.Keys != nil:
		return s.Keys, nil
	case s.JWKS != "" && !isAddress(s.JWKS):
		return newFile(env, s)
	case s.Fetch == nil && env.Fetch == nil:
		return nil, errors.New("its keys are to be fetched, but nothing was given to fetch with")
	}
	r := newRemote(s, env)
	set.remotes[s.Name] = r
	return r, nil
}

// Issuer returns the issuer of this name.
func (set *Set) Issuer(name string) (*shield.Issuer, error) {
	issuer, ok := set.issuers[name]
	if !ok {
		return nil, fmt.Errorf("no issuer is called %q; there are: %s", name, strings.Join(set.names(), ", "))
	}
	return issuer, nil
}

func (set *Set) names() []string {
	names := make([]string, 0, len(set.issuers))
	for name := range set.issuers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Refresh fetches the keys of every issuer with an address now, and returns what
// went wrong.
func (set *Set) Refresh(ctx context.Context) error {
	var all error
	for name, r := range set.remotes {
		if err := r.refresh(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("issuer %s: %w", name, err))
		}
	}
	return all
}

// Status is how an issuer with an address fares.
type Status struct {
	Name    string
	Keys    int       // at hand
	Fetched time.Time // zero: never
	Err     error     // of the last fetch
}

// Status returns one entry for each issuer whose keys are fetched, by name.
func (set *Set) Status() []Status {
	var all []Status
	for _, name := range set.names() {
		if r := set.remotes[name]; r != nil {
			all = append(all, r.status())
		}
	}
	return all
}

// Close ends all fetches and waits for the set's goroutines. Issuers of a closed
// set answer from the keys at hand.
func (set *Set) Close() {
	set.closing.Do(func() {
		for _, r := range set.remotes {
			r.stop()
		}
		for _, r := range set.remotes {
			r.own.Wait()
		}
		for _, c := range set.asking {
			c.CloseIdleConnections()
		}
	})
}

// Problems returns what cannot work, with the names that the configuration uses.
func (s Settings) Problems() []shield.Problem {
	var all []shield.Problem
	problem := func(path, message, hint string) {
		all = append(all, shield.Problem{Path: path, Message: message, Hint: hint})
	}
	if !isName(s.Name) {
		problem("", "an issuer's name has 1 to 64 letters, digits, dots, hyphens and underscores", "its clients are called name/client")
	}
	if s.URL == "" || len(s.URL) > 512 {
		problem("url", "is missing, or longer than 512 bytes", "write the exact value of iss in its tokens")
	} else if s.JWKS == "" && s.Keys == nil && !isIssuerAddress(s.URL) {
		problem("url", "is not an address at which keys could be discovered", "write https://…, without query and fragment, or give jwks")
	}
	if s.JWKS != "" && s.Keys != nil {
		problem("jwks", "the keys are given in-process already", "")
	}
	for _, algorithm := range s.Algorithms {
		if !slices.Contains(Algorithms(), algorithm) {
			problem("algorithms", fmt.Sprintf("%q is not accepted", algorithm), algorithmHint(algorithm))
		}
	}
	for _, typ := range s.Types {
		if plain := strings.TrimPrefix(strings.ToLower(typ), "application/"); plain == "" || plain == "pavise-identity+jwt" {
			problem("types", fmt.Sprintf("%q is never an access token", typ), "at+jwt; and JWT for issuers that do not mark their access tokens")
		}
	}
	if s.Leeway < 0 || s.Leeway > MaxLeeway {
		problem("leeway", "is not between 0 and 60s", "mend the clocks instead")
	}
	for path, d := range map[string]time.Duration{"max_age": s.MaxAge, "cache_for": s.CacheFor, "keys_max_age": s.KeysMaxAge, "cool_down": s.CoolDown} {
		if d < 0 || d > 0 && d < minCoolDown {
			problem(path, "is shorter than a second", "")
		}
	}
	if d := s.withDefaults(); d.KeysMaxAge < d.CacheFor {
		problem("keys_max_age", "is shorter than the time after which keys are fetched again", fmt.Sprintf("at least %s", d.CacheFor))
	}
	slices.SortStableFunc(all, func(a, b shield.Problem) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func algorithmHint(algorithm string) string {
	if strings.HasPrefix(strings.ToUpper(algorithm), "HS") {
		return "who verifies an HMAC could also sign; let the issuer use ES256 or RS256, or use the hmac shield"
	}
	return "one of " + strings.Join(Algorithms(), ", ")
}

func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&s.Leeway, DefaultLeeway)
	set(&s.MaxAge, DefaultMaxAge)
	set(&s.KeysMaxAge, DefaultKeysMaxAge)
	set(&s.CacheFor, min(DefaultCacheFor, s.KeysMaxAge))
	set(&s.CoolDown, DefaultCoolDown)
	if len(s.Algorithms) == 0 {
		s.Algorithms = DefaultAlgorithms()
	}
	return s
}

// sameKeys reports whether both describe the same set of keys.
func (s Settings) sameKeys(other Settings) bool {
	return s.URL == other.URL && s.JWKS == other.JWKS && slices.Equal(s.Algorithms, other.Algorithms)
}

func isName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

func isAddress(s string) bool { return strings.Contains(s, "://") }

func isIssuerAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
