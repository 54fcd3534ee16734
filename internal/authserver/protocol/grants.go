package protocol

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/strictjson"
)

// The library reads a grant, judges, changes it and saves it, in separate calls. What
// was read travels in the grant's own Store under [loadedKey], so that saving it is a
// compare-and-set on what was read. It never reaches the records.
const loadedKey = "pavise.loaded"

// loaded is the state of a grant that the library was given.
type loaded struct {
	found   *grants.Found
	kind    grants.Kind
	refresh string // the refresh token that the library was given
}

// grantManager implements goidc.GrantManager.
type grantManager struct{ server *Server }

// SaveGrant keeps what the library did to a grant.
func (m grantManager) SaveGrant(ctx context.Context, g *goidc.Grant) error {
	s := m.server
	known, _ := g.Store[loadedKey].(*loaded)
	switch {
	case g.RevokedAt != 0:
		return s.revoke(ctx, g)
	case known == nil:
		return s.openGrant(ctx, g)
	case known.kind == grants.Refresh && g.RefreshToken != known.refresh:
		return s.spend(ctx, g, known)
	case known.kind == grants.Code && g.AuthCodeConsumedAt != 0, known.kind == grants.DeviceCode && g.DeviceCodeConsumedAt != 0:
		refreshable, err := s.isRefreshable(ctx, g)
		if err != nil {
			return err
		}
		if refreshable {
			g.RefreshToken = refreshPrefix + s.options.Random()
		}
		return s.spend(ctx, g, known)
	}
	return fmt.Errorf("grant %s was saved without anything that changes it", g.ID)
}

// Grant implements goidc.GrantManager. Grants of clients to themselves are not kept:
// what they are stands in their id.
func (m grantManager) Grant(ctx context.Context, id string) (*goidc.Grant, error) {
	s := m.server
	if client, ok := ownGrant(id); ok {
		revoked, err := s.options.Tokens.Token(s.options.Issuer, "", id, time.Time{})
		if err != nil {
			return nil, away(ctx, err)
		}
		if revoked {
			return nil, goidc.ErrNotFound
		}
		return &goidc.Grant{ID: id, ClientID: client, Subject: client}, nil
	}
	g, err := s.options.Grants.Grant(ctx, id)
	if err != nil {
		return nil, notFound(ctx, err)
	}
	return forLibrary(g, nil)
}

// Grants of clients to themselves are called "client:<client>:<token>".
const ownPrefix = "client:"

func ownGrant(id string) (client string, ok bool) {
	rest, ok := strings.CutPrefix(id, ownPrefix)
	client, _, named := strings.Cut(rest, ":")
	return client, ok && named
}

// openGrant keeps a grant that its client has yet to fetch. One whose token is handed
// out in the same answer writes nothing.
func (s *Server) openGrant(ctx context.Context, g *goidc.Grant) error {
	var key grants.Key
	switch {
	case g.AuthCode != "":
		key = grants.Key{Kind: grants.Code, Secret: g.AuthCode, Ends: time.Unix(int64(g.AuthCodeExpiresAt), 0)}
	case g.DeviceCode != "":
		key = grants.Key{Kind: grants.DeviceCode, Secret: g.DeviceCode, Ends: time.Unix(int64(g.DeviceCodeExpiresAt), 0)}
	default:
		return nil
	}
	data, err := dataOf(g)
	if err != nil {
		return err
	}
	now := s.options.Now()
	ends := key.Ends.Add(s.options.AccessToken)
	refreshable, err := s.isRefreshable(ctx, g)
	if err != nil {
		return err
	}
	if refreshable {
		ends = now.Add(s.options.RefreshToken)
	}
	kept := &grants.Grant{
		ID: g.ID, Client: g.ClientID, Subject: g.Subject, Scopes: strings.Fields(g.Scopes), Created: now, Ends: ends, Data: data,
	}
	if err := s.options.Grants.Open(ctx, kept, key); err != nil {
		return away(ctx, err)
	}
	s.options.Record(ctx, Event{Action: "grant.create", Client: g.ClientID, Subject: g.Subject, Grant: g.ID, Detail: "scopes " + g.Scopes})
	return nil
}

// isRefreshable reports whether the client of a grant gets a refresh token.
func (s *Server) isRefreshable(ctx context.Context, g *goidc.Grant) (bool, error) {
	known, err := s.client(ctx, g.ClientID)
	if errors.Is(err, ErrNoClient) {
		return false, nil
	}
	return err == nil && known.refreshes(strings.Fields(g.Scopes)), err
}

// refreshes reports whether a client gets refresh tokens with these scopes: it is
// registered for it, and where a person signs in by OpenID Connect, it asks for it
// ("offline_access").
func (c *Client) refreshes(scopes []string) bool {
	return slices.Contains(c.Grants, RefreshToken) && (!slices.Contains(scopes, "openid") || slices.Contains(scopes, "offline_access"))
}

// spend uses up the key by which the grant was found, and lets its refresh token be the
// next. A key that somebody else was quicker to use was used twice: the grant is revoked.
func (s *Server) spend(ctx context.Context, g *goidc.Grant, known *loaded) error {
	kept := known.found.Grant
	var next *grants.Key
	if g.RefreshToken != "" {
		ends := s.options.Now().Add(s.options.RefreshIdle)
		if kept.Ends.Before(ends) {
			ends = kept.Ends
		}
		next = &grants.Key{Kind: grants.Refresh, Secret: g.RefreshToken, Ends: ends}
		g.RefreshTokenExpiresAt = int(ends.Unix())
	}
	data, err := dataOf(g)
	if err != nil {
		return err
	}
	kept.Data = data
	err = s.options.Grants.Spend(ctx, known.found, next)
	if errors.Is(err, grants.ErrSpent) {
		return errors.Join(s.reused(ctx, kept, known.kind), invalidGrant("it was used before"))
	}
	return away(ctx, err)
}

// reused revokes a grant whose key was presented twice (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func (s *Server) reused(ctx context.Context, g *grants.Grant, kind grants.Kind) error {
	why := fmt.Sprintf("a %s was presented twice", kind)
	ended, err := s.options.Grants.End(ctx, g.ID, why)
	if ended {
		s.options.Record(ctx, Event{Action: "grant.reuse", Client: g.Client, Subject: g.Subject, Grant: g.ID, Detail: why})
	}
	return away(ctx, err)
}

// revoke ends a grant: because its client says so, or because the library could not redeem
// a code of it, which it takes for misuse whatever the reason (RFC 6749 §4.1.2).
func (s *Server) revoke(ctx context.Context, g *goidc.Grant) error {
	c := callOf(ctx)
	if c == nil {
		return fmt.Errorf("grant %s was revoked outside of a request", g.ID)
	}
	if c.away != nil {
		return away(ctx, c.away) // a code that could not be redeemed because of that was not misused
	}
	why := "revoked by its client"
	if !isFor(c.request, pathRevoke) {
		why = "its code could not be redeemed"
	}
	if isFor(c.request, pathRevoke) && c.client != g.ClientID {
		return s.revokeMade(ctx, c, g)
	}
	if client, ok := ownGrant(g.ID); ok {
		own := &grants.Grant{ID: g.ID, Client: client, Subject: client, Ends: s.options.Now().Add(s.options.AccessToken)}
		if err := s.options.RevokeOwn(ctx, own, why); err != nil {
			return away(ctx, err)
		}
		c.ended = append(c.ended, Event{Action: "token.revoke", Client: client, Subject: client, Grant: g.ID, Detail: why})
		return nil
	}
	ended, err := s.options.Grants.End(ctx, g.ID, why)
	if ended {
		c.ended = append(c.ended, Event{Action: "grant.revoke", Client: g.ClientID, Subject: g.Subject, Grant: g.ID, Detail: why})
	}
	return away(ctx, err)
}

// revokeMade ends a token that a client made of another client's by exchange: that one
// alone, the grant is not its own.
func (s *Server) revokeMade(ctx context.Context, c *call, g *goidc.Grant) error {
	id, err := tokenID(c.request.PostForm.Get("token"))
	if err != nil {
		return err
	}
	const why = "revoked by the client that made it of another"
	made := &grants.Grant{ID: id, Client: c.client, Subject: g.Subject, Ends: s.options.Now().Add(s.options.AccessToken)}
	if err := s.options.RevokeOwn(ctx, made, why); err != nil {
		return away(ctx, err)
	}
	c.ended = append(c.ended, Event{Action: "token.revoke", Client: c.client, Subject: g.Subject, Grant: g.ID, Token: id, Detail: why})
	return nil
}

// tokenID is the id of a JWT whose signature was verified.
func tokenID(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("a token that was exchanged is no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("read a token: %w", err)
	}
	claims, err := strictjson.Object(text)
	if err != nil {
		return "", fmt.Errorf("read a token: %w", err)
	}
	id, ok := claims["jti"].(string)
	if !ok || id == "" {
		return "", errors.New("a token of ours has no jti")
	}
	return id, nil
}

// tellEnded tells of what was revoked, when it is known why.
func (c *call) tellEnded() {
	for _, e := range c.ended {
		if c.fault != nil {
			e.Detail += ": " + c.fault.Detail
		}
		c.server.options.Record(c.request.Context(), e)
	}
}

func invalidGrant(why string) error {
	return goidc.WrapError(goidc.ErrorCodeInvalidGrant, "invalid grant", errors.New(why))
}

// find looks up a grant for the token endpoint.
func (s *Server) find(ctx context.Context, kind grants.Kind, secret string) (*goidc.Grant, error) {
	found, err := s.options.Grants.Find(ctx, grants.Key{Kind: kind, Secret: secret})
	if errors.Is(err, grants.ErrSpent) {
		if c := callOf(ctx); c == nil || !isFor(c.request, pathToken) {
			return nil, goidc.ErrNotFound // who only asks about it does not use it
		}
		if err := s.reused(ctx, found.Grant, kind); err != nil {
			return nil, err
		}
		return nil, goidc.ErrNotFound
	}
	if err != nil {
		return nil, notFound(ctx, err)
	}
	if c := callOf(ctx); c != nil && isFor(c.request, pathToken) && !found.Grant.Revoked.IsZero() {
		return nil, invalidGrant("the grant was revoked") // the library has other words for some kinds
	}
	g, err := forLibrary(found.Grant, &loaded{found: found, kind: kind})
	if err != nil {
		return nil, err
	}
	if err := s.narrow(ctx, g); err != nil {
		return nil, err
	}
	return g, s.within(ctx, g)
}

// narrow takes out of a grant what its client may not have any more.
func (s *Server) narrow(ctx context.Context, g *goidc.Grant) error {
	known, err := s.client(ctx, g.ClientID)
	if errors.Is(err, ErrNoClient) {
		return nil // who is no client does not get that far
	}
	if err != nil {
		return err
	}
	may := s.grantable(known)
	g.Scopes = strings.Join(slices.DeleteFunc(strings.Fields(g.Scopes), func(scope string) bool { return !slices.Contains(may, scope) }), " ")
	return nil
}

// forLibrary is a grant in the library's words.
func forLibrary(kept *grants.Grant, state *loaded) (*goidc.Grant, error) {
	g := &goidc.Grant{}
	if err := json.Unmarshal(kept.Data, g); err != nil {
		return nil, fmt.Errorf("decode grant %s: %w", kept.ID, err)
	}
	if g.Store == nil {
		g.Store = map[string]any{}
	}
	g.ID, g.ClientID, g.Subject = kept.ID, kept.Client, kept.Subject
	if !kept.Revoked.IsZero() {
		g.RevokedAt = int(kept.Revoked.Unix())
	}
	if state != nil {
		g.Store[loadedKey] = state
	}
	return g, nil
}

// dataOf is what is kept of the library's grant: nothing that opens it.
func dataOf(g *goidc.Grant) (json.RawMessage, error) {
	bare := *g
	bare.AuthCode, bare.RefreshToken, bare.DeviceCode, bare.RevokedAt = "", "", "", 0
	bare.Store = without(g.Store, loadedKey, requestKey)
	data, err := json.Marshal(bare)
	if err != nil {
		return nil, fmt.Errorf("encode grant %s: %w", g.ID, err)
	}
	return data, nil
}

func without(store map[string]any, names ...string) map[string]any {
	bare := map[string]any{}
	for name, value := range store {
		bare[name] = value
	}
	for _, name := range names {
		delete(bare, name)
	}
	return bare
}

// refreshManager implements goidc.RefreshTokenManager.
type refreshManager struct{ server *Server }

// GrantByRefreshToken implements goidc.RefreshTokenManager.
func (m refreshManager) GrantByRefreshToken(ctx context.Context, token string) (*goidc.Grant, error) {
	g, err := m.server.find(ctx, grants.Refresh, token)
	if err != nil {
		return nil, err
	}
	state, _ := g.Store[loadedKey].(*loaded) // find puts it there
	g.RefreshToken, state.refresh = token, token
	return g, nil
}
