// Package jwt is the shield for access tokens that an issuer signed: JSON Web
// Tokens in the header Authorization, scheme Bearer.
//
// A token is judged in this order, and the order is part of the security:
//
//	carried   one Authorization header, at most 16 KiB        internal/bearer
//	form      three parts of strict base64url; strict JSON    compact.go
//	issuer    is iss one of ours? otherwise it is foreign     jwt.go
//	key       the issuer's key for this kid and algorithm     jwt.go
//	signature with that key and no other                      signature.go
//	type      an access token, by what its header says        jwt.go
//	claims    times, audience, scopes, binding, revocation,
//	          and the client: known here? usable?             internal/bearer
//
// Nothing of a token is believed before its signature but the name of the issuer
// that has to vouch for it. What a token says about its own verification (jwk,
// jku, x5u, x5c) is never looked at, and what it says about its algorithm must be
// what the key is pinned to.
//
// A token that was verified is kept by its digest, so that the next request with
// it costs no signature: only the signature. Whether its key still stands, whether
// it is revoked, expired, for us, and for what, is asked on every use. See
// README.md for settings and limits, docs/decisions/0060-jwt.md for the choices.
package jwt

import (
	"crypto"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/shield"
)

const (
	kind         = bearer.Mapped
	defaultCache = 4096

	accessToken = "at+jwt" // RFC 9068 §2.1

	// ownIdentity is the type of the tokens with which Pavise tells upstreams who
	// called. They are for upstreams: no shield takes one, whatever the settings say.
	ownIdentity = "pavise-identity+jwt"
)

//go:embed README.md
var readme string

// Kind describes the shield to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "an access token that an issuer signed, for users and applications",
		Config:  func() shield.Config { return &Config{Cache: defaultCache} },
		Client:  bearer.Caller,
		Issue:   bearer.Map,
		Attacks: attacks(),
		README:  readme,
	}
}

// Config is the settings of the shield. Written as one word, `jwt: corp`, it is
// the issuer's name.
type Config struct {
	Issuer   []string          `yaml:"issuer" doc:"Name of the issuer, or several, as under issuers. Default: the authorization server of this installation (oauth)."`
	Audience []string          `yaml:"audience" doc:"Accepted values of aud, exact. Default: those of the issuer."`
	Require  map[string]string `yaml:"require" doc:"Claims that must have exactly this value: a string, a number or true or false as it is written; dots go down."`
	Bound    bool              `yaml:"certificate_bound" doc:"Accept only tokens that are bound to the caller's client certificate (RFC 8705). The host must ask for certificates."`
	DPoP     string            `yaml:"dpop" doc:"accept: a token that is bound to a key comes with the scheme DPoP and a proof by that key (RFC 9449), others as Bearer. require: only bound ones." default:"accept" enum:"accept,require"`
	Nonce    bool              `yaml:"dpop_nonce" doc:"Demand a recent nonce of this installation in each proof, so that none can be made in advance (RFC 9449 §9). Callers learn it from the first answer."`
	ACR      []string          `yaml:"acr" doc:"Ways of signing in of which one is wanted, as in the claim acr (RFC 9470)."`
	MaxAge   time.Duration     `yaml:"max_age" doc:"How long ago the person may have signed in, as in the claim auth_time (RFC 9470). Default: any time."`
	Cache    int               `yaml:"cache" doc:"Tokens whose signature is remembered, 0 to 65536. Default 4096."`
}

func (c *Config) wants() bearer.Wants {
	return bearer.Wants{
		Issuers: c.Issuer, Audience: c.Audience, Require: c.Require, Certificate: c.Bound,
		DPoP: c.DPoP, Nonce: c.Nonce, ACR: c.ACR, MaxAge: c.MaxAge,
	}
}

// Names says which issuers of the configuration the settings refer to.
func (c *Config) Names() map[string][]string {
	return map[string][]string{"issuer": c.wants().Names()}
}

// Calling says what a caller's token must be bound to: "certificate", "key" or nothing, and
// for whom it must be.
func (c *Config) Calling() map[string]string {
	calling := map[string]string{"audience": strings.Join(c.Audience, " ")}
	switch {
	case c.Bound:
		calling["bound"] = "certificate"
	case c.DPoP == "require":
		calling["bound"] = "key"
	}
	return calling
}

// UsesCertificate says whether the host has to ask for client certificates.
func (c *Config) UsesCertificate() bool { return c.Bound }

// SetScalar takes the short form.
func (c *Config) SetScalar(value string) error {
	if value == "" {
		return fmt.Errorf("write the name of an issuer: jwt: corp")
	}
	c.Issuer = []string{value}
	return nil
}

// Validate returns what cannot work.
func (c *Config) Validate() []shield.Problem {
	problems := c.wants().Problems()
	if c.Cache < 0 || c.Cache > bearer.MaxCache {
		problems = append(problems, shield.Problem{Path: "cache", Message: fmt.Sprintf("%d is not between 0 and %d", c.Cache, bearer.MaxCache)})
	}
	return problems
}

// Open returns the shield.
func (c *Config) Open(env shield.Env) (shield.Shield, error) {
	judge, err := bearer.Open(kind, c.wants(), env)
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	t := &tokens{judge: judge, now: env.Now, types: map[*bearer.Issuer][]string{}, cache: bearer.NewCache[*verified](c.Cache)}
	for _, issuer := range judge.Issuers() {
		if err := verifiable(issuer); err != nil {
			return nil, fmt.Errorf("jwt: issuer %s: %w", issuer.Name, err)
		}
		t.types[issuer] = typesOf(issuer)
	}
	return t, nil
}

// verifiable says why tokens of an issuer could not be verified.
func verifiable(issuer *bearer.Issuer) error {
	if issuer.Keys == nil {
		return errors.New("it has no keys")
	}
	if len(issuer.Algorithms) == 0 {
		return errors.New("it has no algorithms")
	}
	for _, alg := range issuer.Algorithms {
		if !isSupported(alg) {
			return fmt.Errorf("algorithm %q is not supported", alg)
		}
	}
	return nil
}

// typesOf are the accepted types of an issuer's tokens, in lower case, without
// "application/".
func typesOf(issuer *bearer.Issuer) []string {
	if len(issuer.Types) == 0 {
		return []string{accessToken}
	}
	types := make([]string, 0, len(issuer.Types))
	for _, typ := range issuer.Types {
		types = append(types, plainType(typ))
	}
	return types
}

// tokens is the opened shield.
type tokens struct {
	judge *bearer.Judge
	now   func() time.Time
	types map[*bearer.Issuer][]string
	cache *bearer.Cache[*verified]
}

// verified is a token whose signature was good under a key. That is all that is remembered
// of it as a verdict. It is immutable.
type verified struct {
	token    *bearer.Token
	kid, alg string
	key      crypto.PublicKey
}

// Needs says that the token is removed before the upstream, and that tokens of
// different issuers, and tokens of another form, are told apart.
func (t *tokens) Needs() shield.Needs {
	return t.judge.Needs(func(url string) string { return "a JWT of " + url + " in Authorization" })
}

// Exposed implements [shield.Exposer]: no token may stand in the query.
func (t *tokens) Exposed(r *http.Request) *shield.Refusal { return t.judge.Exposed(r) }

// Verify finds the caller by the token that he carries.
func (t *tokens) Verify(r *http.Request) (*shield.Identity, error) {
	p, err := t.judge.Carried(r)
	if err != nil {
		return nil, err
	}
	digest := p.Digest()
	v, err := t.remembered(r, p, &digest)
	if err != nil {
		return nil, err
	}
	fresh := v == nil
	if fresh {
		if v, err = t.verify(r, p); err != nil {
			return nil, err
		}
	}
	id, err := t.judge.Decide(r, p, v.token)
	if err != nil {
		return nil, err
	}
	if fresh {
		t.cache.Put(&digest, v, v.token.Claims.Ends, t.now())
	}
	if err := t.judge.Alone(r); err != nil {
		return nil, err
	}
	return id, nil
}

// remembered returns what is known of a token whose signature was good, if the
// key that it was good under is still the issuer's. Nil: nothing is known.
func (t *tokens) remembered(r *http.Request, p bearer.Presented, digest *[32]byte) (*verified, error) {
	v, ok := t.cache.Find(digest)
	if !ok {
		return nil, nil
	}
	key, err := t.key(r, p, v.token.Issuer, v.kid, v.alg)
	if err != nil {
		if _, ok := errors.AsType[*shield.Refusal](err); ok {
			t.cache.Drop(digest) // its key left the set
		}
		return nil, err
	}
	if !sameKey(key, v.key) {
		t.cache.Drop(digest)
		return nil, nil
	}
	return v, nil
}

// verify does what is done once for each token: form, issuer, key, signature, type.
func (t *tokens) verify(r *http.Request, p bearer.Presented) (*verified, error) {
	parts, issuer, err := t.read(p)
	if err != nil {
		return nil, err
	}
	key, err := t.key(r, p, issuer, parts.kid, parts.alg)
	if err != nil {
		return nil, err
	}
	if err := checkSignature(parts.alg, key, parts.signed, parts.signature); err != nil {
		return nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "issuer %s: %v", issuer.Name, err))
	}
	claims, err := bearer.Read(parts.claims, parts.typ, issuer)
	if err != nil {
		return nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "issuer %s: %v", issuer.Name, err))
	}
	v := &verified{token: t.judge.NewToken(issuer, claims), kid: parts.kid, alg: parts.alg, key: key}
	if !isType(t.types[issuer], parts.typ) {
		return nil, v.token.Mismatch(p, "typ %q is not one of %s", parts.typ, strings.Join(t.types[issuer], ", "))
	}
	return v, nil
}

// read takes a token apart and finds the issuer that has to vouch for it.
func (t *tokens) read(p bearer.Presented) (*parts, *bearer.Issuer, error) {
	switch p.Form() {
	case bearer.Opaque:
		return nil, nil, p.Refuse(shield.Refuse(shield.Foreign, "the token is no JWT of three parts"))
	case bearer.NoToken:
		return nil, nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "the token holds a character that no token has"))
	}
	parts, err := split(p.Token)
	if err != nil {
		return nil, nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "%v", err))
	}
	iss, ok := parts.claims["iss"].(string)
	if !ok {
		return nil, nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "the token names no issuer"))
	}
	issuer := t.judge.Issuer(iss)
	if issuer == nil {
		return nil, nil, p.Refuse(shield.Refuse(shield.Foreign, "the token is of an issuer that this endpoint does not trust"))
	}
	if !slices.Contains(issuer.Algorithms, parts.alg) {
		return nil, nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "issuer %s may not sign with the token's alg", issuer.Name))
	}
	return parts, issuer, nil
}

// isType compares the header's typ. An issuer whose tokens may be of the plain
// type may also leave it out (RFC 7519 §5.1).
func isType(types []string, typ string) bool {
	if typ == "" {
		typ = bearer.PlainJWT
	}
	return typ != ownIdentity && slices.Contains(types, typ)
}

// key returns the issuer's key, or its refusal with our challenge.
func (t *tokens) key(r *http.Request, p bearer.Presented, issuer *bearer.Issuer, kid, alg string) (any, error) {
	key, err := issuer.Keys.Key(r.Context(), kid, alg)
	if err != nil {
		return nil, p.Challenged(err)
	}
	return key, nil
}
