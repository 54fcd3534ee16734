package upstream

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"pavise.dev/pavise/internal/strictjson"
)

// Bounds of what a provider says, in bytes.
const (
	maxSubject  = 255 // OpenID Connect Core §2
	maxText     = 256
	maxUserinfo = 256 << 10
	maxQuery    = 8 << 10
	maxCode     = 4 << 10

	maxTokenAge = 10 * time.Minute // since an ID token was issued
	leeway      = time.Minute
	authLeeway  = 5 * time.Second // between the clocks, for when somebody signed in
)

// verify checks an ID token (OpenID Connect Core §3.1.3.7).
func (p *Provider) verify(ctx context.Context, known *discovered, token *oauth2.Token, f Flow) (Identity, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return Identity{}, fmt.Errorf("%w: there is no ID token", ErrRejected)
	}
	verifier := oidc.NewVerifier(p.Issuer, known.keys, &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: known.algorithms, Now: p.now})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: ID token: %s", ErrRejected, describe(err))
	}
	var payload json.RawMessage
	if err := id.Claims(&payload); err != nil {
		return Identity{}, fmt.Errorf("%w: ID token: %s", ErrRejected, describe(err))
	}
	claims, err := strictjson.Object(payload)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: ID token: %w", ErrRejected, err)
	}
	if err := p.checkClaims(id, claims, f.Nonce); err != nil {
		return Identity{}, fmt.Errorf("%w: ID token: %w", ErrRejected, err)
	}
	at, err := p.authTime(claims, f.After)
	if err != nil {
		return Identity{}, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return Identity{}, fmt.Errorf("%w: the access token is not the one of the ID token", ErrRejected)
		}
	}
	if err := p.complete(ctx, known, claims, id.Subject, token); err != nil {
		return Identity{}, err
	}
	who, err := p.identity(claims, id.Subject, "name", "email", "email_verified")
	who.AuthTime = at
	return who, err
}

// authTime is when the person signed in there, after the given moment if there is one.
func (p *Provider) authTime(claims map[string]any, after time.Time) (time.Time, error) {
	said, ok := claims["auth_time"]
	if !ok {
		if !after.IsZero() {
			return time.Time{}, fmt.Errorf("%w: there is no auth_time, although max_age was sent", ErrNotFresh)
		}
		return time.Time{}, nil
	}
	number, ok := said.(strictjson.Number)
	seconds, err := number.Float()
	if !ok || err != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}, fmt.Errorf("%w: ID token: its auth_time is no time", ErrRejected)
	}
	at, now := time.Unix(int64(seconds), 0).UTC(), p.now().UTC()
	switch {
	case at.After(now.Add(leeway)):
		return time.Time{}, fmt.Errorf("%w: ID token: its auth_time is in the future", ErrRejected)
	case at.Before(after.Add(-authLeeway)):
		return time.Time{}, fmt.Errorf("%w: they did at %s, wanted was after %s", ErrNotFresh, at.Format(time.RFC3339), after.Format(time.RFC3339))
	case at.After(now):
		at = now
	}
	return at, nil
}

// complete adds what an ID token leaves out and the provider's userinfo says of the same
// person (OpenID Connect Core §5.3). What it does not say, or a provider that does not
// answer there, leaves the claims as they are; what the ID token says goes first.
func (p *Provider) complete(ctx context.Context, known *discovered, claims map[string]any, subject string, token *oauth2.Token) error {
	if known.userinfo == "" || !p.isLacking(claims) {
		return nil
	}
	body, err := p.userinfo(ctx, known.userinfo, token)
	if err != nil {
		return nil // who somebody is, is known already
	}
	more, err := strictjson.Object(body)
	if err != nil {
		return nil // as above; a signed answer is not read
	}
	if more["sub"] != subject {
		return fmt.Errorf("%w: userinfo is about somebody else", ErrRejected)
	}
	for name, value := range more {
		if _, ok := claims[name]; !ok {
			claims[name] = value
		}
	}
	return nil
}

func (p *Provider) isLacking(claims map[string]any) bool {
	wanted := append(slices.Collect(maps.Keys(p.Require)), "name", "email")
	return slices.ContainsFunc(wanted, func(claim string) bool { return at(claims, claim) == nil })
}

// checkClaims is what the library leaves to its caller. The library lets Google leave out
// the scheme of its issuer; we do not, because the issuer is part of who somebody is.
func (p *Provider) checkClaims(id *oidc.IDToken, claims map[string]any, nonce string) error {
	party, hasParty := claims["azp"].(string)
	_, saysParty := claims["azp"]
	now := p.now()
	switch {
	case id.Issuer != p.Issuer:
		return errors.New("it is another issuer's")
	case nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1:
		return errors.New("its nonce is not the one that was sent")
	case len(id.Audience) > 1 && !saysParty:
		return errors.New("it is for several, and does not say which of them asked")
	case saysParty && (!hasParty || party != p.ClientID):
		return errors.New("somebody else asked for it")
	case id.Expiry.IsZero() || id.IssuedAt.IsZero():
		return errors.New("it does not say when it was issued, or when it ends")
	case id.IssuedAt.After(now.Add(leeway)):
		return errors.New("it is of the future")
	case now.Sub(id.IssuedAt) > maxTokenAge:
		return errors.New("it is too old")
	}
	return nil
}

// ask asks a service of plain OAuth 2.0 who somebody is.
func (p *Provider) ask(ctx context.Context, token *oauth2.Token) (Identity, error) {
	body, err := p.userinfo(ctx, p.UserinfoURL, token)
	if err != nil {
		return Identity{}, err
	}
	return p.ParseUserinfo(body)
}

// userinfo reads what an address says about whom a token is of.
func (p *Provider) userinfo(ctx context.Context, address string, token *oauth2.Token) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask who it is: %w", err)
	}
	if token.AccessToken == "" || token.TokenType != "" && !strings.EqualFold(token.TokenType, "bearer") {
		return nil, fmt.Errorf("%w: there is no bearer token", ErrRejected)
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	r.Header.Set("Accept", "application/json")
	answer, err := p.fetch().Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: ask who it is: %s", ErrAway, describe(err))
	}
	defer func() { _ = answer.Body.Close() }() // read, or given up
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: ask who it is: status %d", ErrAway, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxUserinfo+1))
	if err != nil {
		return nil, fmt.Errorf("%w: ask who it is: %s", ErrAway, describe(err))
	}
	if len(body) > maxUserinfo {
		return nil, fmt.Errorf("%w: ask who it is: more than %d bytes", ErrAway, maxUserinfo)
	}
	return body, nil
}

// ParseUserinfo reads a document about a person by the fields of the settings.
func (p *Provider) ParseUserinfo(body []byte) (Identity, error) {
	claims, err := strictjson.Object(body)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: userinfo: %w", ErrRejected, err)
	}
	return p.identity(claims, plain(at(claims, p.SubjectField)), p.NameField, p.EmailField, p.VerifiedField)
}

func (p *Provider) identity(claims map[string]any, subject, name, email, verified string) (Identity, error) {
	if subject == "" || len(subject) > maxSubject || !utf8.ValidString(subject) || strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Identity{}, fmt.Errorf("%w: it does not say who it is", ErrRejected)
	}
	for claim, values := range p.Require {
		if value, ok := at(claims, claim).(string); !ok || !slices.Contains(values, value) {
			return Identity{}, fmt.Errorf("%w: %s is not one of those that the configuration asks for", ErrStranger, claim)
		}
	}
	id := Identity{Issuer: p.Issuer, Subject: subject, Name: text(at(claims, name)), Email: text(at(claims, email))}
	if said, ok := at(claims, verified).(bool); ok && verified != "" && id.Email != "" {
		id.EmailVerified = said
	}
	return id, nil
}

// at returns what stands at a path of fields, or nil.
func at(claims map[string]any, path string) any {
	var value any = claims
	for field := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[field]
	}
	return value
}

// plain is a subject as text. Some are numbers; only whole ones have one spelling.
func plain(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case strictjson.Number:
		if digits := string(value); digits != "" && len(digits) <= 20 && !strings.ContainsAny(digits, ".eE-") {
			return digits
		}
	}
	return ""
}

// text is what a person is called, if it can be kept.
func text(value any) string {
	s, ok := value.(string)
	if !ok || len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// Callback is what a person brings back.
type Callback struct {
	State, Code, Issuer, Error string
}

// ParseCallback reads the query of an answer (RFC 6749 §4.1.2, RFC 9207 §2): each
// parameter at most once, and either a code or an error. What it does not know it ignores.
func ParseCallback(query string) (Callback, error) {
	if len(query) > maxQuery {
		return Callback{}, fmt.Errorf("%w: the answer is too long", ErrRejected)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Callback{}, fmt.Errorf("%w: the answer cannot be read", ErrRejected)
	}
	for _, name := range []string{"state", "code", "iss", "error", "error_description"} {
		if len(values[name]) > 1 {
			return Callback{}, fmt.Errorf("%w: %s stands twice", ErrRejected, name)
		}
	}
	back := Callback{State: values.Get("state"), Code: values.Get("code"), Issuer: values.Get("iss"), Error: short(values.Get("error"))}
	switch {
	case len(back.State) != 43:
		return Callback{}, fmt.Errorf("%w: the state is missing", ErrRejected)
	case len(back.Code) > maxCode || strings.ContainsFunc(back.Code, func(r rune) bool { return r < ' ' || r > '~' }):
		return Callback{}, fmt.Errorf("%w: the code cannot be one", ErrRejected)
	case (back.Code == "") == (back.Error == ""):
		return Callback{}, fmt.Errorf("%w: want either a code or an error", ErrRejected)
	}
	return back, nil
}
