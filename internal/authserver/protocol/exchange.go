package protocol

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Where an exchanged token carries what it inherits.
const (
	actKey    = "act"    // who acts for the subject (RFC 8693 §4.1)
	familyKey = "family" // the grant whose end is its end
	leftKey   = "left"   // seconds until the token that it was made of ends

	granteeKey = "grantee" // the client that has that grant
)

// GranteeClaim names, in a token that was exchanged, the client to which was granted what
// it was made of: when that one is none any more, the token is none.
const GranteeClaim = "grantee"

// exchange makes a token of another (RFC 8693): for a service that was called with the
// first and must call further for the same person. The service must serve an API that the
// first token is for; the new token can do nothing that the first could not, does not
// outlive it, names the service as the actor, and ends when the first one's grant does.
func (s *Server) exchange(ctx context.Context, r goidc.TokenExchangeRequest) (goidc.TokenExchangeResult, error) {
	c := callOf(ctx)
	if c == nil {
		return goidc.TokenExchangeResult{}, errors.New("an exchange outside of a request")
	}
	switch {
	case r.ActorToken != "":
		return goidc.TokenExchangeResult{}, goidc.NewError(goidc.ErrorCodeInvalidRequest, "actor_token is not supported: the client that authenticates is the actor")
	case r.SubjectTokenType != goidc.TokenTypeIdentifierAccessToken && r.SubjectTokenType != goidc.TokenTypeIdentifierJWT:
		return goidc.TokenExchangeResult{}, goidc.NewError(goidc.ErrorCodeInvalidRequest, "subject_token_type must be that of an access token")
	case r.RequestedTokenType != "" && r.RequestedTokenType != goidc.TokenTypeIdentifierAccessToken:
		return goidc.TokenExchangeResult{}, goidc.NewError(goidc.ErrorCodeInvalidRequest, "only access tokens are issued here")
	}
	info, err := s.active(ctx, r.SubjectToken)
	if errors.Is(err, goidc.ErrNotFound) {
		err = refusedSubject("it is not active, or no access token")
	}
	if err != nil {
		return goidc.TokenExchangeResult{}, err
	}
	if err := s.mayExchange(ctx, c, info); err != nil {
		return goidc.TokenExchangeResult{}, err
	}
	family, err := grantManager{s}.Grant(ctx, familyOf(info))
	if err != nil {
		return goidc.TokenExchangeResult{}, err
	}
	reach := s.reach(family)
	if !mayReach(reach, r.Resource, audienceOf(info), strings.Fields(c.request.PostForm.Get("scope"))) {
		return goidc.TokenExchangeResult{}, goidc.NewError(goidc.ErrorCodeInvalidTarget, "neither the subject token nor any of the scopes is for this target")
	}
	act := map[string]any{"sub": c.client}
	if before, ok := info.AdditionalClaims[goidc.ClaimAct]; ok {
		act["act"] = before
	}
	left := float64(int64(info.ExpiresAt) - s.options.Now().Unix())
	store := map[string]any{actKey: act, familyKey: family.ID, granteeKey: family.ClientID, leftKey: left, apisKey: strings.Join(namesOf(reach), " ")}
	return goidc.TokenExchangeResult{Subject: info.Subject, Store: store}, nil
}

func familyOf(info goidc.TokenInfo) string {
	if family, ok := info.AdditionalClaims[goidc.ClaimGrantID].(string); ok {
		return family
	}
	return info.GrantID
}

// targets lets "audience" mean what "resource" means (RFC 8693 §2.1): both name an API.
func (c *call) targets() *Fault {
	form := c.request.PostForm
	if form.Get("grant_type") == TokenExchange && form.Has("audience") {
		form["resource"] = append(form["resource"], form["audience"]...)
		form.Del("audience")
	}
	return nil
}

func audienceOf(info goidc.TokenInfo) []string {
	audience := []string(info.ResourceAudiences)
	if more, ok := info.AdditionalClaims[goidc.ClaimAudience].([]string); ok {
		audience = append(audience, more...)
	}
	return audience
}

// mayReach reports whether a new token may be for these APIs, of those that the grant
// reaches: those of the first token, and those that ask for one of its scopes. An API that
// asks for no scope would do for the service whatever it does for the person.
func mayReach(reach []API, resources, audience, scopes []string) bool {
	for _, resource := range resources {
		reached := slices.ContainsFunc(reach, func(api API) bool {
			return api.is(resource) && (slices.Contains(audience, api.Name) || len(targets([]API{api}, nil, scopes)) > 0)
		})
		if !reached {
			return false
		}
	}
	return true
}

func refusedSubject(why string) error {
	return goidc.WrapError(goidc.ErrorCodeInvalidRequest, "the subject token is not accepted", errors.New(why))
}

// mayExchange says why a token cannot be exchanged by a client.
func (s *Server) mayExchange(ctx context.Context, c *call, info goidc.TokenInfo) error {
	if info.Confirmation != nil {
		return refusedSubject("it is bound to a key or certificate of somebody else")
	}
	known, err := s.client(ctx, c.client)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(audienceOf(info), func(name string) bool { return slices.Contains(known.APIs, name) }) {
		return refusedSubject("it is for no API that the client serves")
	}
	wanted := strings.Fields(c.request.PostForm.Get("scope"))
	if len(wanted) == 0 {
		return goidc.NewError(goidc.ErrorCodeInvalidScope, "name the scopes that the new token needs")
	}
	for _, scope := range wanted {
		if !isWord(info.Scopes, scope) {
			return goidc.NewError(goidc.ErrorCodeInvalidScope, "the subject token does not have every scope that is asked for")
		}
	}
	return nil
}
