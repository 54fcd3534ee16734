package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/dpop"
)

// Schemes of access tokens (RFC 6750 §2.1, RFC 9449 §7.1).
const (
	schemeBearer = "Bearer"
	schemeKey    = "DPoP"
)

// serveUserInfo answers with what a token lets its client know of the person. A token in
// the query or in a form is not read (RFC 6750 §2.2, §2.3: only the header).
func (s *Server) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	c, r := s.newCall(r)
	scheme, fault := c.mayAskWho()
	if fault == nil {
		if fault = c.prove(); fault != nil && fault.Status == http.StatusBadRequest {
			fault.Status = http.StatusUnauthorized // RFC 9449 §7.1: here it is a resource that is asked
		}
	}
	if fault != nil {
		c.challenged(w, scheme, fault)
		return
	}
	answer := newKept()
	s.library.ServeHTTP(answer, r)
	switch {
	case c.away != nil:
		c.challenged(w, scheme, undecided(c.away))
	case c.fault != nil && c.fault.Code == "invalid_dpop_proof": // it was used before
		c.fault.Status = http.StatusUnauthorized
		c.challenged(w, scheme, c.fault)
	case c.fault != nil: // the proof is of another key or token, or the client is none any more
		c.challenged(w, scheme, &Fault{Status: http.StatusUnauthorized, Code: "invalid_token", Detail: c.fault.Detail})
	default:
		answer.send(w)
	}
}

// mayAskWho judges the token: that it is one for this, and came as it must. It keeps the
// token's scopes, which may be fewer than those of its grant.
func (c *call) mayAskWho() (scheme string, fault *Fault) {
	values := c.request.Header.Values("Authorization")
	if len(values) > 1 {
		return schemeBearer, badRequest("the header Authorization stands twice")
	}
	scheme, token := schemeBearer, ""
	if len(values) == 1 {
		name, rest, _ := strings.Cut(values[0], " ")
		if token = strings.TrimSpace(rest); strings.EqualFold(name, schemeKey) {
			scheme = schemeKey
		} else if !strings.EqualFold(name, schemeBearer) {
			token = ""
		}
	}
	if token == "" {
		return scheme, &Fault{Status: http.StatusUnauthorized, Code: "invalid_token", Detail: "no access token came with the request"}
	}
	wrong := func(detail string) *Fault {
		return &Fault{Status: http.StatusUnauthorized, Code: "invalid_token", Description: "the access token is not accepted", Detail: detail}
	}
	info, err := c.server.active(c.request.Context(), token)
	switch {
	case errors.Is(err, goidc.ErrNotFound):
		return scheme, wrong("the token is not active, or no access token")
	case err != nil:
		return scheme, undecided(err)
	}
	switch bound := info.Confirmation != nil && info.Confirmation.JWKThumbprint != ""; {
	case bound && scheme != schemeKey:
		return schemeKey, wrong("the token is bound to a key, and was sent as Bearer") // RFC 9449 §7.2
	case !bound && scheme == schemeKey:
		return scheme, wrong("the token came with the scheme DPoP and is not bound to a key")
	case !isWord(info.Scopes, "openid"):
		return scheme, &Fault{Status: http.StatusForbidden, Code: "insufficient_scope", Description: "the access token is not for this", Detail: "the token lacks openid"}
	}
	c.scopes = info.Scopes
	return scheme, nil
}

// challenged answers with the challenge that goes with the scheme.
func (c *call) challenged(w http.ResponseWriter, scheme string, f *Fault) {
	challenge := scheme + ` realm="userinfo"`
	if c.request.Header.Get("Authorization") != "" {
		challenge += fmt.Sprintf(`, error=%q`, f.Code)
	}
	if f.Code == "insufficient_scope" {
		challenge += `, scope="openid"`
	}
	if scheme == schemeKey {
		challenge += fmt.Sprintf(`, algs=%q`, strings.Join(dpop.Algorithms(), " "))
	}
	if f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	c.request.Header.Del("Authorization") // the challenge is given
	c.sendFault(w, f)
}

// active is what is known of an access token that is in force: else [goidc.ErrNotFound].
// The library would take a refresh token for one.
func (s *Server) active(ctx context.Context, token string) (goidc.TokenInfo, error) {
	if !strings.HasPrefix(token, opaquePrefix) && strings.Count(token, ".") != 2 {
		return goidc.TokenInfo{}, goidc.ErrNotFound
	}
	info, err := s.provider.Introspect(ctx, token)
	if err != nil {
		return goidc.TokenInfo{}, err
	}
	stands := false
	if info.IsActive {
		stands, err = s.stands(ctx, info)
	}
	if err == nil && !stands {
		err = goidc.ErrNotFound
	}
	return info, err
}
