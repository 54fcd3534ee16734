// Package dynamic lets programs register themselves as clients (RFC 7591) and look after
// their registration (RFC 7592): read it, and end it.
//
// Nobody registers without an invitation: an initial access token (RFC 7591 §3) that the
// operator made, with a number of uses, an end, and the most that a client may get that
// comes with it. What registers itself is a client like any other, with an id that it did
// not choose; people are told that nobody has reviewed it, and are asked each time.
//
// Nothing that a program says of itself is fetched: keys stand in its request.
package dynamic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/shield"
)

// Path is where programs register, below the issuer.
const Path = "/register"

// Registry keeps clients. A [client.Registry] is one.
type Registry interface {
	CreateWith(ctx context.Context, c client.Client, with client.Credential, issued shield.Issued) (client.Client, client.Credential, error)
	Credentials(ctx context.Context, clientID, kind string) ([]client.Credential, error)
	Client(ctx context.Context, id string) (client.Client, error)
	RevokeClient(ctx context.Context, clientID, reason string) (client.Change, error)
}

// Options are what a [Server] needs; all are required.
type Options struct {
	Issuer      string
	Registry    Registry
	Records     rows.Records
	Invitations *Invitations
	Refresh     func(context.Context) error // makes a change of the registry bite at once
	Now         func() time.Time
	Rand        io.Reader
	Record      func(Event)
	Decline     func(r *http.Request, status int, code, detail string)
}

// Event tells of a client that came or went by itself.
type Event struct{ Action, Client, Invitation, Detail string }

// What programs do.
const (
	EventRegister = "client.self_register"
	EventLeave    = "client.self_delete"
)

// Server takes registrations. It is safe for concurrent use.
type Server struct {
	Options
	managers rows.Table[manager]
}

// manager is the registration access token of a client (RFC 7592 §1.2), under its keyed hash.
type manager struct {
	Client string    `json:"client"`
	Made   time.Time `json:"made,omitzero"`
}

// New returns a server.
func New(o Options) *Server {
	return &Server{Options: o, managers: managersIn(o.Records)}
}

func managersIn(records rows.Records) rows.Table[manager] {
	return rows.NewTable[manager](records, "manager")
}

// beingMade is how long a registration may take: a token whose client is not there yet
// stays for so long.
const beingMade = time.Hour

// Collect removes the tokens of clients that are gone: removed, or revoked for good. A
// client that is disabled may be back.
func Collect(ctx context.Context, records rows.Records, registry Registry, now time.Time) error {
	managers := managersIn(records)
	if all, err := managers.All(ctx); err != nil || len(all) == 0 {
		return err
	}
	credentials, err := registry.Credentials(ctx, "", registration.KindName)
	if err != nil {
		return fmt.Errorf("read the registrations: %w", err)
	}
	there := map[string]bool{}
	for _, c := range credentials {
		there[c.Client] = there[c.Client] || c.Revoked.IsZero()
	}
	_, err = managers.RemoveIf(ctx, func(m manager) bool { return !there[m.Client] && now.Sub(m.Made) > beingMade })
	return err
}

// Handlers are the server's, by pattern.
func (s *Server) Handlers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST " + Path:             s.handle(s.register),
		"GET " + Path + "/{id}":    s.handle(s.read),
		"DELETE " + Path + "/{id}": s.handle(s.leave),
	}
}

const (
	idPrefix      = "app-"   // of clients that registered themselves
	managerPrefix = "pvsrm_" // of registration access tokens
)

// register makes a client of a request (RFC 7591 §3).
func (s *Server) register(r *http.Request) (*answer, error) {
	ctx := r.Context()
	invitation, err := s.Invitations.find(ctx, bearerOf(r))
	if err != nil {
		return nil, err
	}
	m, err := readMetadata(r)
	if err != nil {
		return nil, err
	}
	settings, err := m.settings(&invitation.Value)
	if err != nil {
		return nil, err
	}
	name, err := newName(s.Rand)
	if err != nil {
		return nil, err
	}
	id := idPrefix + name
	issued, err := registration.Kind().Issue(shield.Env{Now: s.Now, Rand: s.Rand}, shield.IssueRequest{Client: id, Settings: settings})
	if wrong, ok := errors.AsType[*registration.Fault](err); ok {
		return nil, m.fault(wrong)
	}
	if err != nil {
		return nil, err
	}
	if err := s.Invitations.use(ctx, invitation.ID); err != nil {
		return nil, err
	}
	return s.create(ctx, id, m, settings, issued, &invitation.Value)
}

// create keeps the client, and the token by which it looks after itself.
func (s *Server) create(ctx context.Context, id string, m *metadata, settings map[string]string, issued shield.Issued, by *Invitation) (*answer, error) {
	text, err := registration.Random(s.Rand)
	if err != nil {
		return nil, err
	}
	token := managerPrefix + text
	if err := s.managers.Add(ctx, s.managers.Name(token), manager{Client: id, Made: s.Now().UTC()}); err != nil {
		return nil, err
	}
	made, credential, err := s.Registry.CreateWith(ctx, client.Client{ID: id, Contact: by.Contact, Scopes: m.granted(by)},
		client.Credential{Kind: registration.KindName, Settings: settings}, issued)
	if err != nil {
		return nil, fmt.Errorf("keep client %s: %w", id, err)
	}
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	s.Record(Event{EventRegister, id, by.ID, fmt.Sprintf("called %q, scopes %v, redirects %s", m.Name, made.Scopes, settings["redirects"])})
	known := describe(s.Issuer, made, credential)
	known.Secret, known.Manager = issued.Secret, token
	if issued.Secret != "" {
		known.SecretEnds = new(int64) // never
	}
	return &answer{http.StatusCreated, known}, nil
}

// read returns a registration (RFC 7592 §2.1), without its secret: that is not kept.
func (s *Server) read(r *http.Request) (*answer, error) {
	id, err := s.managed(r)
	if err != nil {
		return nil, err
	}
	known, err := s.Registry.Client(r.Context(), id)
	if err != nil {
		return nil, err
	}
	credentials, err := s.Registry.Credentials(r.Context(), id, registration.KindName)
	if err != nil {
		return nil, err
	}
	for _, c := range credentials {
		if c.Revoked.IsZero() && !known.Disabled {
			return &answer{http.StatusOK, describe(s.Issuer, known, c)}, nil
		}
	}
	return nil, unauthorized("the client was revoked or disabled")
}

// leave ends a registration, and all that was granted to it (RFC 7592 §2.3).
func (s *Server) leave(r *http.Request) (*answer, error) {
	id, err := s.managed(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.Registry.RevokeClient(r.Context(), id, "it ended its registration"); err != nil {
		return nil, fmt.Errorf("revoke client %s: %w", id, err)
	}
	if err := s.Refresh(r.Context()); err != nil {
		return nil, err
	}
	s.Record(Event{Action: EventLeave, Client: id})
	return &answer{status: http.StatusNoContent}, nil
}

// managed is the client of the request's token, if it is the one of the path.
func (s *Server) managed(r *http.Request) (string, error) {
	row, err := s.managers.Find(r.Context(), bearerOf(r))
	if errors.Is(err, rows.ErrMissing) || err == nil && row.Value.Client != r.PathValue("id") {
		return "", unauthorized("the registration access token is none of this client's")
	}
	return row.Value.Client, err
}
