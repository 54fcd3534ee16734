// Package jwt is the shield for access tokens that an issuer signed: JSON Web
// Tokens in the header Authorization, scheme Bearer.
//
// A token is judged in this order, and the order is part of the security:
//
//	carried   one Authorization header, scheme Bearer, at most 16 KiB   carrier.go
//	form      three parts of strict base64url; strict JSON              compact.go
//	issuer    is iss one of ours? otherwise it is foreign               jwt.go
//	key       the issuer's key for this kid and this algorithm          jwt.go
//	signature with that key and no other                                signature.go
//	claims    kind, times, audience, scopes, binding                    claims.go, judge.go
//	revoked?  and the client: known here? usable?                       judge.go
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
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
)

// requireKey is the value of dpop that accepts bound tokens only.
const requireKey = "require"

const (
	kind      = "jwt"
	maxLeeway = 60 * time.Second
)

//go:embed README.md
var readme string

// Kind describes the shield to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "an access token that an issuer signed, for users and applications",
		Config:  func() shield.Config { return &Config{Cache: defaultCache} },
		Client:  client,
		Issue:   issue,
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

	fallback string // audience where none is named
}

// Names says which issuers of the configuration the settings refer to.
func (c *Config) Names() map[string][]string { return map[string][]string{"issuer": c.issuers()} }

// ownIssuer is the name of the authorization server of the installation itself.
const ownIssuer = "pavise"

// issuers are those that the settings name; where they name none, our own.
func (c *Config) issuers() []string {
	if len(c.Issuer) == 0 {
		return []string{ownIssuer}
	}
	return c.Issuer
}

// UsesCertificate says whether the host has to ask for client certificates.
func (c *Config) UsesCertificate() bool { return c.Bound }

// WithAudience returns the settings with the audience that holds where neither
// they nor the issuer name one: the API's name.
func (c *Config) WithAudience(name string) shield.Config {
	named := *c
	named.fallback = name
	return &named
}

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
	var problems []shield.Problem
	problem := func(path, message, hint string) {
		problems = append(problems, shield.Problem{Path: path, Message: message, Hint: hint})
	}
	if slices.Contains(c.Issuer, "") {
		problem("issuer", "no issuer is named", "add the name of one of issuers")
	}
	for _, audience := range c.Audience {
		if !isVisible(audience) {
			problem("audience", fmt.Sprintf("%q is empty, longer than %d bytes, or holds a quote, a backslash or a character that cannot be seen", audience, maxText), "")
		}
	}
	for claim := range c.Require {
		switch claim {
		case "":
			problem("require", "a claim without a name", "")
		case "iss", "aud", "exp", "nbf", "iat":
			problem("require", claim+" is always checked", "use issuer, audience, or the issuer's settings")
		}
	}
	for _, acr := range c.ACR {
		if !isVisible(acr) || strings.Contains(acr, " ") {
			problem("acr", fmt.Sprintf("%q is no value of the claim acr", acr), "")
		}
	}
	if c.MaxAge < 0 || c.MaxAge > 0 && c.MaxAge < time.Second {
		problem("max_age", "is shorter than a second", "")
	}
	if c.DPoP != "" && c.DPoP != "accept" && c.DPoP != requireKey {
		problem("dpop", fmt.Sprintf("%q is neither accept nor require", c.DPoP), "")
	}
	if c.Cache < 0 || c.Cache > maxCache {
		problem("cache", fmt.Sprintf("%d is not between 0 and %d", c.Cache, maxCache), "")
	}
	return problems
}

// Open returns the shield.
func (c *Config) Open(env shield.Env) (shield.Shield, error) {
	switch {
	case env.Now == nil || env.Issuers == nil:
		return nil, fmt.Errorf("jwt needs issuers and a clock")
	case env.Revoked == nil || env.Credentials == nil:
		return nil, fmt.Errorf("jwt needs revocations and credentials")
	}
	t := &tokens{
		now: env.Now, revoked: env.Revoked, credentials: env.Credentials,
		issuers: map[string]*trusted{}, bound: c.Bound, keyOnly: c.DPoP == requireKey, wanted: newStepUp(c.ACR, c.MaxAge), cache: newCache(c.Cache),
		proofs: &dpop.Verifier{Now: env.Now},
	}
	if c.Nonce {
		if env.Key == nil {
			return nil, fmt.Errorf("jwt: dpop_nonce needs a key of the installation's own, and there is none here")
		}
		key, err := env.Key("dpop-nonces")
		if err != nil {
			return nil, fmt.Errorf("jwt: dpop_nonce: %w", err)
		}
		t.proofs.Nonces = dpop.NewNonces(key, "resource")
	}
	for _, name := range c.issuers() {
		issuer, err := env.Issuers.Issuer(name)
		if err != nil {
			return nil, fmt.Errorf("jwt: %w", err)
		}
		if t.issuers[issuer.URL] != nil {
			return nil, fmt.Errorf("jwt: two of its issuers have the URL %s and could not be told apart", issuer.URL)
		}
		if t.issuers[issuer.URL], err = trust(issuer, c); err != nil {
			return nil, fmt.Errorf("jwt: issuer %s: %w", name, err)
		}
	}
	t.challenges = newChallenges(t.issuers, c.issuers(), env.Issuers, t.keyOnly)
	return t, nil
}

// tokens is the opened shield.
type tokens struct {
	now         func() time.Time
	revoked     shield.Revoked
	credentials shield.Lookup
	issuers     map[string]*trusted // by the value of iss
	bound       bool                // to a certificate
	keyOnly     bool                // only tokens that are bound to a key
	proofs      *dpop.Verifier
	wanted      stepUp
	cache       *cache
	challenges
}

// trusted is an issuer with what this endpoint wants of its tokens.
type trusted struct {
	*shield.Issuer
	audience []string
	types    []string // lower case, without "application/"
	require  []requirement
}

type requirement struct{ claim, value string }

func trust(issuer *shield.Issuer, c *Config) (*trusted, error) {
	t := &trusted{Issuer: issuer, audience: c.Audience, types: []string{accessToken}}
	if len(t.audience) == 0 {
		t.audience = issuer.Audience
	}
	if len(t.audience) == 0 && c.fallback != "" {
		t.audience = []string{c.fallback}
	}
	if len(t.audience) == 0 || slices.Contains(t.audience, "") {
		return nil, fmt.Errorf("no audience is configured, neither for the endpoint nor for the issuer")
	}
	if issuer.Keys == nil || issuer.URL == "" {
		return nil, fmt.Errorf("it has no keys, or no URL")
	}
	if issuer.Leeway < 0 || issuer.Leeway > maxLeeway {
		return nil, fmt.Errorf("its leeway is not between 0 and %s", maxLeeway)
	}
	if len(issuer.Algorithms) == 0 {
		return nil, fmt.Errorf("it has no algorithms")
	}
	for _, alg := range issuer.Algorithms {
		if !isSupported(alg) {
			return nil, fmt.Errorf("algorithm %q is not supported", alg)
		}
	}
	if len(issuer.Types) > 0 {
		t.types = nil
		for _, typ := range issuer.Types {
			t.types = append(t.types, plainType(typ))
		}
	}
	for claim, value := range c.Require {
		t.require = append(t.require, requirement{claim, value})
	}
	slices.SortFunc(t.require, func(a, b requirement) int { return strings.Compare(a.claim, b.claim) })
	return t, nil
}

// Needs says that the token is removed before the upstream, and that tokens of
// different issuers, and tokens of another form, are told apart.
func (t *tokens) Needs() shield.Needs {
	needs := shield.Needs{Carries: []string{"Authorization", "Dpop"}, ClientCert: t.bound}
	for url := range t.issuers {
		needs.Accepts = append(needs.Accepts, "a JWT of "+url+" in Authorization: Bearer")
	}
	slices.Sort(needs.Accepts)
	return needs
}

// Verify finds the caller by the token that he carries.
func (t *tokens) Verify(r *http.Request) (*shield.Identity, error) {
	token, proved, err := t.carried(r)
	if err != nil {
		return nil, err
	}
	digest := digestOf(token)
	v, err := t.remembered(r, &digest)
	if err != nil {
		return nil, err
	}
	fresh := v == nil
	if fresh {
		if v, err = t.verify(r, token); err != nil {
			return nil, err
		}
		v.digest = digest
	}
	now := t.now()
	id, err := t.judge(r, v, now)
	if err != nil {
		return nil, err
	}
	if err := t.possession(r, id, token, proved); err != nil {
		return nil, err
	}
	if refusal := t.wanted.lacking(v.claims, now); refusal != nil {
		return nil, refusal.Of(id.CredentialID, id.Client, true).With(t.wanted.challenge(id.Scheme))
	}
	if fresh {
		t.cache.put(v, now)
	}
	if err := t.alone(r); err != nil {
		return nil, err
	}
	return id, nil
}

// remembered returns what is known of a token whose signature was good, if the
// key that it was good under is still the issuer's. Nil: nothing is known.
func (t *tokens) remembered(r *http.Request, digest *[32]byte) (*verified, error) {
	v := t.cache.find(digest)
	if v == nil {
		return nil, nil
	}
	key, err := t.key(r, v.issuer, v.kid, v.alg)
	if err != nil {
		if _, ok := errors.AsType[*shield.Refusal](err); ok {
			t.cache.drop(v) // its key left the set
		}
		return nil, err
	}
	if !sameKey(key, v.key) {
		t.cache.drop(v)
		return nil, nil
	}
	return v, nil
}

// verify does what is done once for each token: form, issuer, key, signature.
func (t *tokens) verify(r *http.Request, token string) (*verified, error) {
	if err := t.form(token); err != nil {
		return nil, err
	}
	parts, err := split(token)
	if err != nil {
		return nil, t.refuse(shield.Refuse(shield.InvalidCredential, "%v", err))
	}
	iss, ok := parts.claims["iss"].(string)
	if !ok {
		return nil, t.refuse(shield.Refuse(shield.InvalidCredential, "the token names no issuer"))
	}
	issuer := t.issuers[iss]
	if issuer == nil {
		return nil, t.refuse(shield.Refuse(shield.Foreign, "the token is of an issuer that this endpoint does not trust"))
	}
	if !slices.Contains(issuer.Algorithms, parts.alg) {
		return nil, t.refuse(shield.Refuse(shield.InvalidCredential, "issuer %s may not sign with the token's alg", issuer.Name))
	}
	key, err := t.key(r, issuer, parts.kid, parts.alg)
	if err != nil {
		return nil, err
	}
	if err := checkSignature(parts.alg, key, parts.signed, parts.signature); err != nil {
		return nil, t.refuse(shield.Refuse(shield.InvalidCredential, "issuer %s: %v", issuer.Name, err))
	}
	v := &verified{issuer: issuer, kid: parts.kid, alg: parts.alg, key: key}
	if v.claims, err = readClaims(parts, issuer); err != nil {
		return nil, t.refuse(shield.Refuse(shield.InvalidCredential, "issuer %s: %v", issuer.Name, err))
	}
	v.withdrawn = func() bool { return !t.live(v) }
	return v, nil
}

// key returns the issuer's key, or its refusal with our challenge.
func (t *tokens) key(r *http.Request, issuer *trusted, kid, alg string) (any, error) {
	key, err := issuer.Keys.Key(r.Context(), kid, alg)
	if err != nil {
		return nil, t.challenged(err)
	}
	return key, nil
}
