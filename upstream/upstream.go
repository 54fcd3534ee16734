// Package upstream lets a service behind Pavise know who called it, and be sure
// of it.
//
// Pavise sends with each request a header Pavise-Identity: a token that it signed
// a moment ago, for this service only, and that lives a minute at most. A service
// that checks it knows that the request came through the gateway, and whom the
// gateway found behind it. A request without a good token did not come through
// Pavise, whatever its other headers say.
//
//	v, err := upstream.NewVerifier(upstream.Options{
//		Audience: "orders",                // the name of this upstream in pavise.yaml
//		Issuer:   "pavise",                // the name of the gateway
//		File:     "/etc/pavise/identity.jwks",
//	})
//	…
//	http.ListenAndServe(addr, v.Middleware(mux))
//	…
//	caller := upstream.CallerOf(r.Context())
//	if !caller.Has("orders:read") { … }
//
// The package needs nothing but the standard library and can be copied as it is.
// What it does not do: it cannot tell that the request's path or body are those
// that the gateway sent, so the way between gateway and service must be protected
// by TLS or a private network; and it does not ask whether a credential was
// revoked within the token's minute, unless Options.Revoked does.
//
// # Format
//
// The token is a JWS in compact form (RFC 7515 §7.1), signed with Ed25519 (RFC
// 8037). Its header is these bytes and no others, with the key's RFC 7638
// thumbprint:
//
//	{"alg":"EdDSA","kid":"…","typ":"pavise-identity+jwt"}
//
// so there is no algorithm to be confused about and no header to be parsed. Its
// claims are iss, aud (one string), iat, exp, jti, sub, and origin, client, user,
// tenant, scopes, shield, credential, with, as [Caller] describes them.
package upstream

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Header carries the token.
const Header = "Pavise-Identity"

const (
	maxToken = 8 << 10          // bytes
	maxLife  = 60 * time.Second // from iat to exp
	leeway   = 5 * time.Second  // between the clocks of gateway and service
)

// ErrIdentity is the error of every request that does not prove that it came
// through the gateway. What is wrapped in it is for the service's own log.
var ErrIdentity = errors.New("no proof that the request came through the gateway")

// Caller is who called, as the gateway found out.
type Caller struct {
	Gateway      string   // that says so: its issuer name
	Origin       string   // who vouches for Subject; only both together are a global name
	Subject      string   // the origin's name for the caller
	Client       string   // the application that called
	User         string   // the person, if there is one
	Tenant       string   // of the client, if it has one
	Scopes       []string // what the caller may do
	Shield       string   // how it was proved: "api_key", "jwt", "hmac", "mtls", "public", …
	CredentialID string   // public name of the credential
	With         []Proof  // further proofs that the endpoint demanded
	TokenID      string
	Issued       time.Time
	Expires      time.Time
}

// Proof is one more proof that the endpoint demanded.
type Proof struct {
	Shield       string `json:"shield"`
	Subject      string `json:"sub"`
	Client       string `json:"client"`
	User         string `json:"user"`
	CredentialID string `json:"credential"`
}

// Has reports whether the caller has the scope. A nil Caller has none.
func (c *Caller) Has(scope string) bool { return c != nil && slices.Contains(c.Scopes, scope) }

// Options says whose tokens count. Audience, Issuer and one of Keys, File and
// URL are required.
type Options struct {
	Audience string // the name of this upstream in the gateway's configuration
	Issuer   string // the name of the gateway

	Keys []byte // the gateway's JWKS document
	File string // where it is kept; read again when an unknown key appears
	URL  string // where the gateway serves it; fetched again likewise. https, or loopback

	Client  *http.Client       // for URL; nil: one with a timeout of 5 s
	Now     func() time.Time   // nil: time.Now
	Revoked func(*Caller) bool // nil: nothing is revoked before it expires
}

// Verifier checks tokens. It is safe for concurrent use and holds no goroutine.
type Verifier struct {
	o    Options
	keys *keySet
	seen seen
}

// NewVerifier returns a verifier that has its keys; it fails if they cannot be had.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Audience == "" || o.Issuer == "" {
		return nil, errors.New("a verifier needs the audience (the name of this upstream) and the issuer (the name of the gateway)")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	keys, err := openKeys(&o)
	if err != nil {
		return nil, err
	}
	return &Verifier{o: o, keys: keys}, nil
}

// Verify returns who sent the request. Its error is an [ErrIdentity].
func (v *Verifier) Verify(r *http.Request) (*Caller, error) {
	values := r.Header[Header]
	switch {
	case len(values) == 0:
		return nil, refuse("there is no header " + Header)
	case len(values) > 1:
		return nil, refuse(fmt.Sprintf("header %s stands %d times", Header, len(values)))
	}
	return v.token(r.Context(), values[0])
}

func refuse(why string) error { return fmt.Errorf("%w: %s", ErrIdentity, why) }

func (v *Verifier) token(ctx context.Context, token string) (*Caller, error) {
	if len(token) > maxToken {
		return nil, refuse(fmt.Sprintf("the token is longer than %d bytes", maxToken))
	}
	if strings.ContainsAny(token, "\r\n") {
		return nil, refuse("the token has line breaks") // base64 of the standard library would pass over them
	}
	header, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(signature, ".") {
		return nil, refuse("the token does not have three parts")
	}
	key, err := v.keys.find(ctx, header)
	if err != nil {
		return nil, refuse(err.Error())
	}
	c := v.seen.get(token, key)
	if c == nil {
		sig, err := decode(signature)
		if err != nil || !ed25519.Verify(key, []byte(token[:len(header)+1+len(payload)]), sig) {
			return nil, refuse("the signature is not the gateway's")
		}
		if c, err = parse(payload); err != nil {
			return nil, err
		}
		v.seen.put(token, key, c)
	}
	return v.judge(c)
}

// seen remembers tokens whose signature is good, for the gateway sends one several
// times. It says nothing else about them: all the rest is asked on every use.
type seen struct {
	mu     sync.RWMutex
	tokens map[string]signed
}

type signed struct {
	by     string // the public key
	claims *claims
}

const maxSeen = 1024 // tokens; then it starts anew

func (s *seen) get(token string, key ed25519.PublicKey) *claims {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if known, ok := s.tokens[token]; ok && known.by == string(key) {
		return known.claims
	}
	return nil
}

func (s *seen) put(token string, key ed25519.PublicKey, c *claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil || len(s.tokens) >= maxSeen {
		s.tokens = make(map[string]signed)
	}
	s.tokens[token] = signed{string(key), c}
}

// decode reads base64url without padding, in its only canonical form.
func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

// claims of a token whose signature is good.
type claims struct {
	Issuer       string   `json:"iss"`
	Audience     string   `json:"aud"`
	Subject      string   `json:"sub"`
	Origin       string   `json:"origin"`
	Client       string   `json:"client"`
	User         string   `json:"user"`
	Tenant       string   `json:"tenant"`
	Scopes       []string `json:"scopes"`
	Shield       string   `json:"shield"`
	CredentialID string   `json:"credential"`
	With         []Proof  `json:"with"`
	Issued       int64    `json:"iat"`
	Expires      int64    `json:"exp"`
	ID           string   `json:"jti"`
}

func parse(payload string) (*claims, error) {
	raw, err := decode(payload)
	if err != nil {
		return nil, refuse("the claims are not base64url")
	}
	c := new(claims)
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, refuse("the claims are not those of an identity token")
	}
	return c, nil
}

// judge asks on every use whether the token is for us and for now.
func (v *Verifier) judge(c *claims) (*Caller, error) {
	issued, expires, now := time.Unix(c.Issued, 0), time.Unix(c.Expires, 0), v.o.Now()
	switch {
	case c.Issuer != v.o.Issuer:
		return nil, refuse(fmt.Sprintf("the token is of gateway %q, not of %q", c.Issuer, v.o.Issuer))
	case c.Audience != v.o.Audience:
		return nil, refuse(fmt.Sprintf("the token is for upstream %q, this is %q", c.Audience, v.o.Audience))
	case c.Issued == 0 || c.Expires == 0 || expires.Sub(issued) > maxLife:
		return nil, refuse("the token lives longer than a minute")
	case !now.Before(expires.Add(leeway)):
		return nil, refuse(fmt.Sprintf("the token expired at %s", expires.UTC().Format(time.RFC3339)))
	case now.Add(leeway).Before(issued):
		return nil, refuse("the token was signed in the future; compare the clocks of gateway and service")
	}
	caller := &Caller{
		Gateway: c.Issuer, Origin: c.Origin, Subject: c.Subject, Client: c.Client, User: c.User, Tenant: c.Tenant,
		Scopes: slices.Clone(c.Scopes), Shield: c.Shield, CredentialID: c.CredentialID, With: slices.Clone(c.With), TokenID: c.ID, Issued: issued, Expires: expires,
	}
	if v.o.Revoked != nil && v.o.Revoked(caller) {
		return nil, refuse("credential " + c.CredentialID + " was revoked")
	}
	return caller, nil
}

type contextKey struct{}

// Middleware lets only requests through that came through the gateway, and says
// by [CallerOf] who sent them. Others get 401.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := v.Verify(r)
		if err != nil {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Www-Authenticate", Header)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"title":"This service answers only through its gateway.","status":401}` + "\n")) // he may be gone
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, caller)))
	})
}

// CallerOf returns who sent the request, or nil outside a handler of [Verifier.Middleware].
func CallerOf(ctx context.Context) *Caller {
	caller, _ := ctx.Value(contextKey{}).(*Caller)
	return caller
}
