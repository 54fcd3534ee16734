// Package protocol speaks OAuth 2.0 and OpenID Connect for the authorization server. It
// is the only package that knows the library which reads requests and writes answers
// (github.com/luikyv/go-oidc); none of its types leaves here.
//
// The library does not keep, count or bound anything: around it stand
//
//	filter    what is refused before it reads a request      filter.go
//	clients   who may ask, and how they prove it             clients.go
//	grants    what was granted, used once, revoked whole     grants.go
//	sessions  what waits for a person, or was pushed         sessions.go
//	tokens    what stands in a token, and for how long       tokens.go
//	answer    the registered codes and headers               answer.go
//
// docs/decisions/0100-oauth-server.md says which gap of the library each of them closes.
//
// The server's addresses are [Server.Endpoints]; whoever serves them bounds their rates
// and bodies and records each request.
package protocol

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"

	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/shield"
)

// Lifetimes and bounds that are the same everywhere.
const (
	codeLife      = 60 * time.Second // REQUIREMENTS O4
	pushedLife    = 90 * time.Second // RFC 9126 §2.2; FAPI 2.0 allows up to 600 s
	requestLife   = 10 * time.Minute // for a person to sign in and decide
	deviceLife    = 10 * time.Minute // RFC 8628 §3.2
	devicePoll    = 5 * time.Second  // RFC 8628 §3.5
	assertionLife = 5 * time.Minute  // longest life of a client's assertion (RFC 7523 §3)
	clockLeeway   = 10 * time.Second // FAPI 2.0 §5.3.2.1: up to 10 s in the future
	idTokenLife   = 5 * time.Minute
)

// Options are what a [Server] needs. What is not marked optional is required.
type Options struct {
	Issuer string // https://host[:port], exactly as in "iss"

	Scopes []Scope // that clients can be granted
	APIs   []API   // for which tokens are issued

	AccessToken  time.Duration // life of an access token
	RefreshToken time.Duration // life of a grant that can be refreshed, from the person's consent
	RefreshIdle  time.Duration // life of a refresh token that is not used

	Clients Clients
	Grants  *grants.Store
	Keys    Keys
	People  People // optional: without it nobody can sign in, and only clients get tokens
	Once    Once
	Proofs  Proofs // optional: without it there is no DPoP
	Tokens  TokenReader
	Tries   Tries // optional: slows down guessing of client secrets
	Fetch   func() *http.Client
	Mutual  Mutual // optional: certificates of callers

	Now    func() time.Time
	Random func() string                // 256 random bits as text
	Record func(context.Context, Event) // optional: what was issued, refreshed, revoked

	// RevokeOwn ends a token that a client got for itself: such a grant is not kept.
	RevokeOwn func(ctx context.Context, g *grants.Grant, reason string) error
	// Decline says in the event of a request that the server refused it, before the
	// answer begins. Optional.
	Decline func(*http.Request, *Fault)
	// RequestID names a request to whoever asks about it. Optional.
	RequestID func(*http.Request) string
	// ACR are the ways of signing in that an application may ask for. Optional.
	ACR []string
	// Registration is where programs may register themselves, for the metadata. Optional.
	Registration string
}

// Scope is something that a client can be allowed to do.
type Scope struct{ Name, Text string }

// API is something that takes the server's tokens.
type API struct {
	Name     string   // stands in "aud"
	Resource string   // its identifier for RFC 8707; may be empty
	Scopes   []string // that its endpoints ask for
}

// Clients knows who is registered.
type Clients interface {
	// Client returns a client that may ask now from this address, or [ErrNoClient].
	Client(ctx context.Context, id string, from netip.Addr) (*Client, error)
	// Stands reports whether a client is registered and in force, wherever it asks from.
	Stands(ctx context.Context, id string) (bool, error)
}

// ErrNoClient says that there is no such client, or that it may not ask.
var ErrNoClient = errors.New("there is no such client")

// Keys signs and verifies.
type Keys interface {
	Current() (id, algorithm string, key crypto.Signer)
	Public() []PublicKey
}

// PublicKey is a key that verifies what the server signed.
type PublicKey struct {
	ID, Algorithm string
	Key           crypto.PublicKey
}

// People asks a person to sign in and to allow.
type People interface {
	Ask(w http.ResponseWriter, r *http.Request, a people.Asked) (people.Answer, error)
	DevicePrompt(w http.ResponseWriter, r *http.Request, wrong bool) error
	DeviceCode(w http.ResponseWriter, r *http.Request) (code string, ok bool, err error)
	DeviceDone(w http.ResponseWriter, r *http.Request, granted bool) error
	AskSignOut(w http.ResponseWriter, r *http.Request, action, onward string) (done bool, err error)
	SignedOut(w http.ResponseWriter, r *http.Request) error
	ErrorPage(w http.ResponseWriter, r *http.Request, status int, code, text, requestID string) error
}

// Once uses up what may be used once.
type Once interface {
	Consume(ctx context.Context, claims []shield.Once) error
}

// Proofs verifies DPoP proofs at the server's endpoints (RFC 9449 §5).
type Proofs interface {
	// Verify returns the thumbprint of the key and the claim to consume; ok is false
	// if the request carries no proof. nonce, if not empty, belongs in the answer's
	// header DPoP-Nonce. The error is a *shield.Refusal.
	Verify(r *http.Request) (thumbprint string, claim shield.Once, ok bool, nonce string, err error)
}

// TokenReader knows what was revoked before its time.
type TokenReader interface {
	Token(issuer, subject, tokenID string, issuedAt time.Time) (bool, error)
}

// Tries counts wrong client secrets by client and network.
type Tries interface {
	Blocked(credentialID string, addr netip.Addr) time.Duration
	Wrong(credentialID string, addr netip.Addr)
	Right(credentialID string, addr netip.Addr)
}

// Mutual says how clients that have certificates reach the server.
type Mutual struct {
	Host string // base address of the aliases (RFC 8705 §5): https://host[:port]
	// Trust says why the chain that the caller presented is not trusted, for
	// tls_client_auth. The handshake has verified nothing. Nil: no chain is.
	Trust func(chain []*x509.Certificate) error
}

// Event is something that happened to a grant.
type Event struct {
	Action  string // "token.issue", "token.refresh", "token.revoke", "grant.reuse", …
	Client  string
	Subject string
	Grant   string
	Token   string // public id
	Detail  string
}

// Server answers. It is safe for concurrent use.
type Server struct {
	options  Options
	library  http.Handler
	provider *provider.Provider
	polls    *polls
	metadata []byte
}

// New returns a server that works, or an error that says what is missing.
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{options: o, polls: newPolls(o.Now)}
	var err error
	if s.provider, err = provider.New(o.Issuer, grantManager{s}, s.jwks, s.settings()...); err != nil {
		return nil, fmt.Errorf("authorization server: %w", err)
	}
	s.library = s.provider.Handler()
	if s.metadata, err = s.describe(); err != nil {
		return nil, err
	}
	return s, nil
}

// check refuses options with which the library would fall back to something of its own.
func (o *Options) check() error {
	missing := map[string]bool{
		"issuer": o.Issuer == "", "clients": o.Clients == nil, "grants": o.Grants == nil, "keys": o.Keys == nil,
		"once store": o.Once == nil, "revocations": o.Tokens == nil, "clock": o.Now == nil, "randomness": o.Random == nil,
		"HTTP client": o.Fetch == nil, "revocation of tokens": o.RevokeOwn == nil,
	}
	var names []string
	for name, is := range missing {
		if is {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		return fmt.Errorf("the authorization server misses its %v", names)
	}
	if o.AccessToken < time.Second || o.RefreshToken < o.AccessToken || o.RefreshIdle < o.AccessToken || o.RefreshIdle > o.RefreshToken {
		return fmt.Errorf("lives of access token %s, unused refresh token %s and grant %s: want them in this order, and at least a second", o.AccessToken, o.RefreshIdle, o.RefreshToken)
	}
	if o.Record == nil {
		o.Record = func(context.Context, Event) {}
	}
	if o.Decline == nil {
		o.Decline = func(*http.Request, *Fault) {}
	}
	if o.RequestID == nil {
		o.RequestID = func(*http.Request) string { return "" }
	}
	return nil
}

// settings says in the library's words what the server does.
func (s *Server) settings() []provider.Option {
	algorithm := s.algorithm()
	all := []provider.Option{
		provider.WithClientCredentialsGrant(),
		provider.WithTokenExchangeGrant(s.exchange),
		provider.WithTokenExchangeClientAuthnRequired(),
		provider.WithScopes(s.scopes()...),
		provider.WithDCR(clientManager{s}),
		provider.WithDefaultAuthn(goidc.AuthnMethodSecretBasic),
		provider.WithSecretBasicAuthn(),
		provider.WithSecretPostAuthn(),
		provider.WithNoneAuthn(),
		provider.WithPrivateKeyJWTAuthn(goidc.ES256, goidc.PS256, "EdDSA", goidc.RS256),
		provider.WithClientSecretVerifier(s.verifySecret),
		provider.WithJTIConsumer(consumeJTI),
		provider.WithJWTLifetime(int(assertionLife.Seconds())),
		provider.WithJWTLeewayTime(int(clockLeeway.Seconds())),
		provider.WithIDTokenSignatureAlgs(algorithm),
		provider.WithIDTokenLifetime(int(idTokenLife.Seconds())),
		provider.WithTokenOptions(s.tokenOptions),
		provider.WithTokenClaims(s.tokenClaims),
		provider.WithTokenHandler(s.issued),
		provider.WithGrantHandler(s.ownScopes),
		provider.WithOpaqueTokens(opaqueManager{s}),
		provider.WithOpaqueTokenFunc(func(context.Context, *goidc.Grant) string { return opaquePrefix + s.options.Random() }),
		provider.WithGrantIDFunc(s.random),
		provider.WithJWTIDFunc(s.random),
		provider.WithTokenIntrospection(s.mayIntrospect),
		provider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true }),
		provider.WithTokenRevocationRevokeGrantOnAccessToken(),
		provider.WithErrorHandler(noteError),
		provider.WithErrorRenderer(s.renderError),
		provider.WithHTTPClientFunc(func(context.Context) *http.Client { return s.options.Fetch() }),
	}
	if resources := s.resources(); len(resources) > 0 {
		all = append(all, provider.WithResourceIndicators(resources[0], resources[1:]...))
	}
	if s.options.Proofs != nil {
		all = append(all, provider.WithDPoP(goidc.ES256, goidc.PS256, "EdDSA", goidc.RS256, "ES384"))
	}
	if s.options.Mutual.Host != "" {
		all = append(all,
			provider.WithMTLS(s.options.Mutual.Host, clientCertificate), provider.WithTLSTokenBinding(),
			provider.WithSelfSignedTLSAuthn(),
		)
	}
	if s.options.Mutual.Host != "" && s.options.Mutual.Trust != nil {
		all = append(all, provider.WithTLSAuthn())
	}
	if s.options.People == nil {
		return all
	}
	if len(s.options.ACR) > 0 {
		var acrs []goidc.ACR
		for _, acr := range s.options.ACR {
			acrs = append(acrs, goidc.ACR(acr))
		}
		all = append(all, provider.WithACRs(acrs[0], acrs[1:]...))
	}
	return append(all, s.withPeople()...)
}

// withPeople are the settings for grants that people give.
func (s *Server) withPeople() []provider.Option {
	return []provider.Option{
		provider.WithAuthCodeGrant(authManager{s}),
		provider.WithAuthCodeLifetime(int(codeLife.Seconds())),
		provider.WithAuthCodeFunc(s.random),
		provider.WithAuthSessionLifetime(int(requestLife.Seconds())),
		provider.WithAuthnSessionIDFunc(s.random),
		provider.WithPKCERequired(goidc.CodeChallengeMethodSHA256),
		provider.WithIssuerResponseParameter(),
		provider.WithPAR(authManager{s}),
		provider.WithPARLifetime(int(pushedLife.Seconds())),
		provider.WithPARIDFunc(s.random),
		provider.WithRefreshTokenGrant(refreshManager{s}),
		provider.WithRefreshTokenRotation(),
		provider.WithRefreshTokenFunc(func(context.Context) string { return refreshPrefix + s.options.Random() }),
		provider.WithRefreshTokenShouldIssue(func(context.Context, *goidc.Client, *goidc.Grant) bool { return false }), // see grants.go
		provider.WithDeviceGrant(deviceManager{s}, s.promptDevice, s.confirmDevice),
		provider.WithDeviceCodeFunc(s.random),
		provider.WithIDTokenClaims(s.idTokenClaims),
		provider.WithUserInfoClaims(s.userInfoClaims),
		provider.WithClaims(goidc.ClaimSubject, goidc.ClaimName, goidc.ClaimPreferredUsername, goidc.ClaimEmail, goidc.ClaimEmailVerified, goidc.ClaimAuthTime, goidc.ClaimACR, goidc.ClaimAMR),
		provider.WithPolicies(goidc.NewPolicy("person", func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, s.askPerson)),
	}
}

// Prefixes of what clients hold, so that scanners and people know it when they see it.
const (
	opaquePrefix  = "pvsat_"
	refreshPrefix = "pvsrt_"
)

func (s *Server) random(context.Context) string { return s.options.Random() }

func (s *Server) scopes() []goidc.Scope {
	names := []string{"openid", "profile", "email", "offline_access"}
	for _, scope := range s.options.Scopes {
		names = append(names, scope.Name)
	}
	all := make([]goidc.Scope, 0, len(names))
	for _, name := range names {
		all = append(all, goidc.NewScope(name))
	}
	return all
}

func (s *Server) resources() []string {
	var all []string
	for _, api := range s.options.APIs {
		for _, name := range []string{api.Resource, api.Name} {
			if name != "" && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
