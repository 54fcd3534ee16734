// Package authserver is the authorization server of an installation: OAuth 2.0 and OpenID
// Connect, for clients that act for themselves and for people who allow them something.
//
// It is put together of layers that know as little of each other as they can:
//
//	protocol      reads requests and writes answers; the only one that knows the library
//	registration  what is known of a client
//	dynamic       programs that register themselves
//	grants        what was granted, by keys that open once
//	keys          what tokens are signed with, rotated
//	people        accounts, signing in, consent, pages
//
// A [Base] is what lasts as long as the installation runs: keys and grants. A [Server] is
// made of it for each configuration. It serves nothing by itself: the guard does, with its
// limits and its events, at the addresses that [Server.Endpoints] returns.
package authserver

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"pavise.dev/pavise/internal/authserver/dynamic"
	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/keys"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// FamilyClaim names, in access tokens, what they were issued under.
const FamilyClaim = "grant_id"

// published is how long a key is known before it signs: longer than the longest time for
// which other programs usually keep a key set.
const published = 24 * time.Hour

// Base is what lasts: keys and grants. It is safe for concurrent use.
type Base struct {
	Keys        *keys.Ring
	Grants      *grants.Store
	Invitations *dynamic.Invitations

	registry *client.Registry
	refresh  func(context.Context) error
	now      func() time.Time
	rand     io.Reader
	issuer   string
	access   time.Duration
}

// BaseOptions are what a [Base] needs.
type BaseOptions struct {
	Issuer      string
	Registry    *client.Registry
	Refresh     func(context.Context) error // makes a revocation bite at once
	Algorithm   string
	Rotate      time.Duration // how long a key signs
	AccessToken time.Duration // longest life of what it signed
	Now         func() time.Time
	Rand        io.Reader
	Changed     func(action, target, text string) // hears of rotations; may be nil
}

// OpenBase reads keys and grants, and makes keys at the first start.
func OpenBase(ctx context.Context, o BaseOptions) (*Base, error) {
	b := &Base{registry: o.Registry, refresh: o.Refresh, now: o.Now, rand: o.Rand, issuer: o.Issuer, access: o.AccessToken}
	var err error
	b.Keys, err = keys.Open(ctx, keys.Options{
		Records: o.Registry.Records(), Algorithm: o.Algorithm, Now: o.Now, Rotate: o.Rotate, Publish: published,
		Retain: o.AccessToken + time.Hour, Changed: o.Changed,
	})
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	b.Invitations = dynamic.NewInvitations(o.Registry.Records(), o.Now, o.Rand)
	b.Grants, err = grants.New(grants.Options{Records: o.Registry.Records(), Now: o.Now, Revoked: b.revoke})
	return b, err
}

// revoke refuses what was issued under a grant, as long as any of it could be in use.
func (b *Base) revoke(ctx context.Context, g *grants.Grant, reason string) error {
	v := client.Revocation{Issuer: b.issuer, TokenID: g.ID, Until: b.now().Add(b.access + time.Minute), Reason: reason}
	if _, err := b.registry.RevokeTokens(ctx, v); err != nil {
		return err
	}
	return b.refresh(ctx)
}

// Key implements shield.KeySource: the server's own keys, without asking it over HTTP.
func (b *Base) Key(_ context.Context, kid, alg string) (crypto.PublicKey, error) {
	for _, key := range b.Keys.All() {
		if key.ID == kid && key.Algorithm == alg {
			return key.Public, nil
		}
	}
	return nil, shield.Refuse(shield.InvalidCredential, "the authorization server has no key with the token's kid and alg")
}

// Current implements protocol.Keys.
func (b *Base) Current() (id, algorithm string, key crypto.Signer) { return b.Keys.Current() }

// Public implements protocol.Keys.
func (b *Base) Public() []protocol.PublicKey {
	var all []protocol.PublicKey
	for _, key := range b.Keys.All() {
		all = append(all, protocol.PublicKey{ID: key.ID, Algorithm: key.Algorithm, Key: key.Public})
	}
	return all
}

// Keep does what is due: rotates keys, and removes what has ended.
func (b *Base) Keep(ctx context.Context) error {
	if err := b.Keys.Keep(ctx); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if _, err := b.Grants.Collect(ctx); err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	if err := b.Invitations.Collect(ctx); err != nil {
		return fmt.Errorf("invitations: %w", err)
	}
	if err := dynamic.Collect(ctx, b.registry.Records(), b.registry, b.now()); err != nil {
		return fmt.Errorf("clients that registered themselves: %w", err)
	}
	return nil
}

// Options are what a [Server] needs beside its base.
type Options struct {
	Scopes []protocol.Scope
	APIs   []protocol.API

	RefreshToken, RefreshIdle time.Duration

	Lookup  shield.Lookup  // finds clients
	Revoked shield.Revoked // knows what was revoked
	Once    protocol.Once
	Tries   people.Tries
	Proofs  protocol.Proofs // nil: no DPoP
	Fetch   func() *http.Client
	Mutual  protocol.Mutual
	SignIn  people.SignIn
	ACR     []string // ways of signing in that the operator's own page knows
	Theme   fs.FS    // changes what people see; nil: nothing

	Registration bool // programs may register themselves

	Record    func(Event)
	Decline   func(*http.Request, *protocol.Fault)
	RequestID func(*http.Request) string
}

// Event is something that happened at the server, beside the requests themselves.
type Event struct {
	Action, Client, Subject, Target, Detail string
	Remote                                  netip.Addr
}

// Server is the authorization server under one configuration.
type Server struct {
	People   *people.Service
	clients  registration.Clients
	protocol *protocol.Server
	dynamic  *dynamic.Server // nil: nobody registers himself
}

// Open returns a server that works.
func (b *Base) Open(o Options) (*Server, error) {
	s := &Server{clients: registration.Clients{Lookup: o.Lookup, Now: b.now}}
	var err error
	s.People, err = people.New(people.Options{
		Issuer: b.issuer, Records: b.registry.Records(), Now: b.now, Rand: b.rand, Fetch: o.Fetch,
		Grants: personal{b, o.Lookup}, Key: b.Keys.Current, SignIn: o.SignIn, Templates: o.Theme, Tries: o.Tries,
		ScopeText: func(scope string) string { return protocol.TextOf(o.Scopes, scope) },
		Record: func(e people.Event) {
			o.Record(Event{Action: e.Action, Client: e.Client, Subject: e.Subject, Target: e.Method, Detail: e.Detail, Remote: e.Remote})
		},
		Fault: func(r *http.Request, err error) string {
			o.Decline(r, &protocol.Fault{Status: http.StatusServiceUnavailable, Code: string(shield.Undecided), Detail: err.Error()})
			return o.RequestID(r)
		},
	})
	if err != nil {
		return nil, err
	}
	s.protocol, err = protocol.New(protocol.Options{
		Issuer: b.issuer, Scopes: o.Scopes, APIs: o.APIs, AccessToken: b.access, RefreshToken: o.RefreshToken, RefreshIdle: o.RefreshIdle,
		Clients: s.clients, Grants: b.Grants, Keys: b, People: s.People, Once: o.Once,
		Proofs: o.Proofs, Tokens: o.Revoked, Tries: o.Tries, Fetch: o.Fetch, Mutual: o.Mutual, Now: b.now, Random: b.random,
		Record: func(_ context.Context, e protocol.Event) {
			o.Record(Event{Action: e.Action, Client: e.Client, Subject: e.Subject, Target: e.Grant, Detail: e.Detail})
		},
		RevokeOwn: b.revoke, Decline: o.Decline, RequestID: o.RequestID, Registration: b.registrationAt(o), ACR: append([]string{people.ACROne, people.ACRTwo}, o.ACR...),
	})
	if o.Registration {
		s.dynamic = b.openDynamic(o)
	}
	return s, err
}

func (b *Base) registrationAt(o Options) string {
	if !o.Registration {
		return ""
	}
	return b.issuer + dynamic.Path
}

func (b *Base) openDynamic(o Options) *dynamic.Server {
	return dynamic.New(dynamic.Options{
		Issuer: b.issuer, Registry: b.registry, Records: b.registry.Records(), Invitations: b.Invitations, Refresh: b.refresh, Now: b.now, Rand: b.rand,
		Record: func(e dynamic.Event) {
			o.Record(Event{Action: e.Action, Client: e.Client, Target: e.Invitation, Detail: e.Detail})
		},
		Decline: func(r *http.Request, status int, code, detail string) {
			o.Decline(r, &protocol.Fault{Status: status, Code: code, Detail: detail})
		},
	})
}

func (b *Base) random() string {
	text, err := registration.Random(b.rand)
	if err != nil {
		panic(fmt.Sprintf("no randomness for a token: %v", err)) // nothing was decided: the server aborts the request
	}
	return text
}

// Introspect implements shield.Introspector: what an access token of ours stands for.
func (s *Server) Introspect(ctx context.Context, token string) (map[string]any, error) {
	return s.protocol.Introspect(ctx, token)
}

// Collect removes sessions that have ended, and what people said to clients that are gone.
func (s *Server) Collect(ctx context.Context) error {
	if _, err := s.People.Collect(ctx); err != nil {
		return err
	}
	_, err := s.People.ForgetClients(ctx, func(client string) (bool, error) {
		stands, err := s.clients.Stands(ctx, client)
		return !stands, err
	})
	return err
}

// Endpoint is an address of the server.
type Endpoint struct {
	Pattern   string
	Handler   http.Handler
	Pages     bool // people see it: no script of another origin may read it
	PerMinute int  // requests of one address; 0: what the configuration lets clients ask
}

// Requests of one address in a minute that are plenty.
const (
	registerPerMinute = 60
	pagesPerMinute    = 120
)

// Endpoints returns every address of the server.
func (s *Server) Endpoints() []Endpoint {
	var all []Endpoint
	for _, e := range s.protocol.Endpoints() {
		rate := 0
		if e.Pages {
			rate = pagesPerMinute
		}
		all = append(all, Endpoint{e.Pattern, e.Handler, e.Pages, rate})
	}
	if s.dynamic != nil {
		for pattern, handler := range s.dynamic.Handlers() {
			all = append(all, Endpoint{pattern, handler, false, registerPerMinute})
		}
	}
	for _, p := range s.People.Pages() {
		all = append(all, Endpoint{p.Pattern, p.Handler, true, p.PerMinute})
	}
	return all
}

// personal shows people what they have allowed.
type personal struct {
	base   *Base
	lookup shield.Lookup
}

// OfPerson implements people.Grants.
func (p personal) OfPerson(ctx context.Context, subject string) ([]people.Grant, error) {
	found, err := p.base.Grants.Select(ctx, func(g *grants.Grant) bool { return g.Subject == subject && g.Client != subject })
	if err != nil {
		return nil, err
	}
	all := make([]people.Grant, 0, len(found))
	for _, g := range found {
		all = append(all, people.Grant{
			ID: g.ID, Client: g.Client, Application: p.nameOf(g.Client), Scopes: g.Scopes, Created: g.Created, Used: g.Used, Ends: g.Ends,
		})
	}
	return all, nil
}

func (p personal) nameOf(id string) string {
	record, err := p.lookup.Credential(registration.KindName, id)
	if err != nil || record.Settings["name"] == "" {
		return id
	}
	return record.Settings["name"]
}

var errNotTheirs = errors.New("there is no such grant of this person")

// Revoke implements people.Grants.
func (p personal) Revoke(ctx context.Context, subject, id string) error {
	g, err := p.base.Grants.Grant(ctx, id)
	if errors.Is(err, grants.ErrUnknown) || err == nil && g.Subject != subject {
		return errNotTheirs
	}
	if err != nil {
		return err
	}
	return p.base.Grants.Revoke(ctx, id, "withdrawn by the person")
}

// RevokeAll implements people.Grants.
func (p personal) RevokeAll(ctx context.Context, subject string) error {
	found, err := p.base.Grants.Select(ctx, func(g *grants.Grant) bool { return g.Subject == subject })
	if err != nil {
		return err
	}
	var faults []error
	for _, g := range slices.Backward(found) {
		faults = append(faults, p.base.Grants.Revoke(ctx, g.ID, "everything of the person was ended"))
	}
	return errors.Join(faults...)
}
