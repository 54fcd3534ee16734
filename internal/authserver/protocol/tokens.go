package protocol

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/authserver/grants"
)

// algorithm is what the server signs with at this moment.
func (s *Server) algorithm() goidc.SignatureAlgorithm {
	_, algorithm, _ := s.options.Keys.Current()
	return goidc.SignatureAlgorithm(algorithm)
}

// jwks is the key set: the private half only of the key that signs, which stands first.
func (s *Server) jwks(context.Context) (goidc.JSONWebKeySet, error) {
	id, algorithm, key := s.options.Keys.Current()
	set := goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{{Key: key, KeyID: id, Algorithm: algorithm, Use: "sig"}}}
	for _, public := range s.options.Keys.Public() {
		if public.ID != id {
			set.Keys = append(set.Keys, goidc.JSONWebKey{Key: public.Key, KeyID: public.ID, Algorithm: public.Algorithm, Use: "sig"})
		}
	}
	return set, nil
}

// tokenOptions says what kind of token a client gets, and for how long: never longer than
// its grant lasts.
func (s *Server) tokenOptions(ctx context.Context, g *goidc.Grant, c *goidc.Client) goidc.TokenOptions {
	life := s.options.AccessToken
	if known, ok := g.Store[loadedKey].(*loaded); ok {
		if left := known.found.Grant.Ends.Sub(s.options.Now()); left < life {
			life = max(left, time.Second)
		}
	}
	if left, ok := g.Store[leftKey].(float64); ok && time.Duration(left)*time.Second < life {
		life = time.Duration(left) * time.Second
	}
	seconds := int(life / time.Second)
	if known, err := s.client(ctx, c.ID); err == nil && known.Opaque && g.Store[actKey] == nil { // an exchanged token has no grant of its own
		return goidc.NewOpaqueTokenOptions(seconds)
	}
	return goidc.NewJWTTokenOptions(s.algorithm(), seconds)
}

// tokenClaims are the claims of RFC 9068 that the library does not write.
func (s *Server) tokenClaims(_ context.Context, t *goidc.Token, g *goidc.Grant) map[string]any {
	claims := map[string]any{goidc.ClaimAudience: s.audience(t, g), goidc.ClaimGrantID: grantOf(t, g)}
	if t.Format == goidc.TokenFormatOpaque {
		claims[goidc.ClaimTokenID] = publicID(t.ID)
	}
	if act, ok := g.Store[actKey]; ok {
		claims[goidc.ClaimAct], claims[GranteeClaim] = act, g.Store[granteeKey]
	}
	if p, ok := personOf(g.Store); ok {
		maps.Copy(claims, p.signIn())
	}
	return claims
}

// grantOf names what a token was issued under: who revokes that revokes the token.
func grantOf(t *goidc.Token, g *goidc.Grant) string {
	if family, ok := g.Store[familyKey].(string); ok {
		return family
	}
	if g.Subject == g.ClientID {
		return ownPrefix + g.ClientID + ":" + publicName(t)
	}
	return g.ID
}

// publicName is a token's id in claims and events.
func publicName(t *goidc.Token) string {
	if t.Format == goidc.TokenFormatOpaque {
		return publicID(t.ID)
	}
	return t.ID
}

// publicID names an opaque token without saying what it is.
func publicID(secret string) string {
	sum := sha256.Sum256([]byte("public id of " + secret))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// targets are the APIs that are meant, of those that can be: those that were asked for,
// else those that ask for one of the scopes.
func targets(reach []API, resources, scopes []string) []API {
	return slices.DeleteFunc(slices.Clone(reach), func(api API) bool {
		if len(resources) > 0 {
			return !slices.ContainsFunc(resources, api.is)
		}
		return !slices.ContainsFunc(api.Scopes, func(scope string) bool { return slices.Contains(scopes, scope) })
	})
}

// audience names the APIs that a token is for, none beyond its grant, by their identifiers
// too where they were asked for; and the server itself, for its userinfo or if there is no
// API.
func (s *Server) audience(t *goidc.Token, g *goidc.Grant) []string {
	var audience []string
	add := func(name string) {
		if name != "" && !slices.Contains(audience, name) {
			audience = append(audience, name)
		}
	}
	for _, api := range targets(s.reach(g), t.Resources, strings.Fields(t.Scopes)) {
		add(api.Name)
		if len(t.Resources) > 0 {
			add(api.Resource)
		}
	}
	if len(audience) == 0 || isWord(t.Scopes, "openid") {
		add(s.options.Issuer)
	}
	return audience
}

// issued tells of a token.
func (s *Server) issued(ctx context.Context, t *goidc.Token, g *goidc.Grant) error {
	detail := fmt.Sprintf("%s, scopes %s, audience %v, until %s", t.Format, t.Scopes, s.audience(t, g), time.Unix(int64(t.ExpiresAt), 0).UTC().Format(time.RFC3339))
	action := "token.issue"
	if known, ok := g.Store[loadedKey].(*loaded); ok && known.kind == grants.Refresh {
		action = "token.refresh"
	}
	s.options.Record(ctx, Event{Action: action, Client: t.ClientID, Subject: t.Subject, Grant: grantOf(t, g), Token: publicName(t), Detail: detail})
	return nil
}

// ownScopes says under which scopes a client acts for itself: those that it asks for, or
// all that it has if it asks for none in particular. Those of OpenID Connect are about
// people.
func (s *Server) ownScopes(ctx context.Context, kind goidc.GrantType, g *goidc.Grant) error {
	c := callOf(ctx)
	if kind != goidc.GrantClientCredentials || c == nil {
		return nil
	}
	known, err := s.client(ctx, g.ClientID)
	if err != nil {
		return err
	}
	wanted := strings.Fields(c.request.PostForm.Get("scope")) // the library drops some, and takes the rest for all
	for _, scope := range wanted {
		if !slices.Contains(known.Scopes, scope) {
			return beyond("invalid_scope", "scope %q is none that the client has for itself", scope)
		}
	}
	if len(wanted) == 0 {
		wanted = known.Scopes
	}
	g.Scopes = strings.Join(wanted, " ")
	return nil
}

// opaqueManager implements goidc.OpaqueTokenManager.
type opaqueManager struct{ server *Server }

// SaveToken implements goidc.OpaqueTokenManager.
func (m opaqueManager) SaveToken(ctx context.Context, t *goidc.Token) error {
	s := m.server
	if t.RevokedAt != 0 {
		return away(ctx, s.options.Grants.RemoveToken(ctx, t.ID))
	}
	bare := *t
	bare.ID = ""
	if t.Subject == t.ClientID {
		bare.GrantID = ownPrefix + t.ClientID + ":" + publicID(t.ID)
	}
	data, err := json.Marshal(bare)
	if err != nil {
		return fmt.Errorf("encode a token: %w", err)
	}
	return away(ctx, s.options.Grants.AddToken(ctx, t.ID, &grants.Token{ID: publicID(t.ID), Ends: time.Unix(int64(t.ExpiresAt), 0), Data: data}))
}

// Token implements goidc.OpaqueTokenManager.
func (m opaqueManager) Token(ctx context.Context, secret string) (*goidc.Token, error) {
	if !strings.HasPrefix(secret, opaquePrefix) {
		return nil, goidc.ErrNotFound
	}
	kept, err := m.server.options.Grants.Token(ctx, secret)
	if err != nil {
		return nil, notFound(ctx, err)
	}
	t := &goidc.Token{}
	if err := json.Unmarshal(kept.Data, t); err != nil {
		return nil, fmt.Errorf("decode a token: %w", err)
	}
	t.ID = secret
	return t, nil
}

// stands reports whether what is behind a token is still in force: its client, the client
// to which was granted what it was made of, and the token by its own name.
func (s *Server) stands(ctx context.Context, info goidc.TokenInfo) (bool, error) {
	clients := []string{info.ClientID}
	if grantee, ok := info.AdditionalClaims[GranteeClaim].(string); ok {
		clients = append(clients, grantee)
	}
	for _, id := range clients {
		if stands, err := s.options.Clients.Stands(ctx, id); err != nil || !stands {
			return false, away(ctx, err)
		}
	}
	name, _ := info.AdditionalClaims[goidc.ClaimTokenID].(string)
	if name == "" {
		return true, nil
	}
	revoked, err := s.options.Tokens.Token(s.options.Issuer, info.Subject, name, time.Unix(int64(info.IssuedAt), 0))
	return err == nil && !revoked, away(ctx, err)
}

func isRefreshToken(token string) bool { return strings.HasPrefix(token, refreshPrefix) }

// mayIntrospect lets a client ask about its own tokens, and about access tokens for an
// API that it serves (RFC 7662 §4). Who may not is answered that the token is not active.
func (s *Server) mayIntrospect(ctx context.Context, c *goidc.Client, info goidc.TokenInfo) bool {
	known, err := s.client(ctx, c.ID)
	if err != nil || known.Auth == AuthNone { // who proves nothing is told nothing
		return false
	}
	if stands, err := s.stands(ctx, info); err != nil || !stands {
		return false // what nobody would take is not active
	}
	if info.ClientID == c.ID {
		return true
	}
	if asked := callOf(ctx); asked == nil || isRefreshToken(asked.request.PostForm.Get("token")) {
		return false // it is for its own client, and says nothing to an API
	}
	audience := []string(info.ResourceAudiences)
	if more, ok := info.AdditionalClaims[goidc.ClaimAudience].([]string); ok {
		audience = append(audience, more...)
	}
	return slices.ContainsFunc(audience, func(name string) bool { return slices.Contains(known.APIs, name) })
}
