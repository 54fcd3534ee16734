package jwt

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// ownIdentity is the type of the tokens with which Pavise tells upstreams who
// called. They are for upstreams: no shield takes one, whatever the settings say.
const ownIdentity = "pavise-identity+jwt"

// judge decides about a token whose signature is good. All of it is asked on every
// use of the token: nothing here is remembered.
func (t *tokens) judge(r *http.Request, v *verified, now time.Time) (*shield.Identity, error) {
	if refusal := t.unfit(v, now); refusal != nil {
		return nil, t.refuse(refusal.Of(v.claims.credentialID, v.claims.foreignClient, true))
	}
	revoked, err := t.isRevoked(v)
	if err != nil {
		return nil, fmt.Errorf("ask whether token %s is revoked: %w", v.claims.credentialID, err)
	}
	if revoked {
		return nil, t.refuse(shield.Refuse(shield.RevokedCredential, "the token, or all of its subject since %s, was revoked", v.claims.issued.UTC().Format(time.RFC3339)).
			Of(v.claims.credentialID, v.claims.foreignClient, true))
	}
	return t.identity(r, v, now)
}

// unfit says why a token is not for this endpoint, not now, or no access token.
func (t *tokens) unfit(v *verified, now time.Time) *shield.Refusal {
	c, issuer := v.claims, v.issuer
	if !isType(issuer.types, c.typ) {
		return shield.Refuse(shield.InvalidCredential, "typ %q is not one of %s", c.typ, strings.Join(issuer.types, ", "))
	}
	if c.notAccess != "" {
		return shield.Refuse(shield.InvalidCredential, "the token is not an access token: %s", c.notAccess)
	}
	if refusal := times(c, issuer.Issuer, now); refusal != nil {
		return refusal
	}
	if !slices.ContainsFunc(c.audience, func(audience string) bool { return slices.Contains(issuer.audience, audience) }) {
		return shield.Refuse(shield.InvalidCredential, "the token is for another audience than %s", strings.Join(issuer.audience, ", "))
	}
	for _, want := range issuer.require {
		if got, ok := at(c.all, want.claim); !ok || !isValue(got, want.value) {
			return shield.Refuse(shield.InvalidCredential, "claim %s is not %q", want.claim, want.value)
		}
	}
	if c.otherBinding {
		return shield.Refuse(shield.UnboundCredential, "the token is bound to something that nobody here knows")
	}
	if t.bound && c.confirm.Certificate == "" {
		return shield.Refuse(shield.UnboundCredential, "the token is not bound to a certificate")
	}
	return nil
}

// isType compares the header's typ. An issuer whose tokens may be of the plain
// type may also leave it out (RFC 7519 §5.1).
func isType(types []string, typ string) bool {
	if typ == "" {
		typ = plainJWT
	}
	return typ != ownIdentity && slices.Contains(types, typ)
}

// times tests exp, nbf and iat (RFC 7519 §4.1) with the issuer's leeway, and how
// long the token lives in all.
func times(c *claims, issuer *shield.Issuer, now time.Time) *shield.Refusal {
	switch early := now.Add(issuer.Leeway); {
	case !now.Before(c.ends):
		return shield.Refuse(shield.ExpiredCredential, "expired at %s", c.expires.UTC().Format(time.RFC3339))
	case early.Before(c.notBefore):
		return shield.Refuse(shield.ExpiredCredential, "not valid before %s", c.notBefore.UTC().Format(time.RFC3339))
	case early.Before(c.issued):
		return shield.Refuse(shield.ExpiredCredential, "issued in the future, at %s", c.issued.UTC().Format(time.RFC3339))
	}
	start := c.issued
	if start.IsZero() {
		start = now
	}
	if issuer.MaxAge > 0 && c.expires.Sub(start) > issuer.MaxAge {
		return shield.Refuse(shield.InvalidCredential, "the token lives longer than %s", issuer.MaxAge)
	}
	return nil
}

// isValue compares a claim with the text that the settings demand.
func isValue(got any, want string) bool {
	switch got := got.(type) {
	case string:
		return got == want
	case strictjson.Number:
		return string(got) == want
	case bool:
		return want == fmt.Sprint(got)
	}
	return false
}

func (t *tokens) isRevoked(v *verified) (bool, error) {
	revoked, err := t.revoked.Token(v.issuer.URL, v.claims.subject, v.claims.id, v.claims.issued)
	if revoked || err != nil || v.issuer.Family == "" {
		return revoked, err
	}
	family, ok := v.claims.all[v.issuer.Family].(string)
	if !ok || family == "" {
		return true, nil // its issuer always says it
	}
	return t.revoked.Token(v.issuer.URL, "", family, v.claims.issued)
}

// live is asked while a stream lasts. What cannot be decided is not live.
func (t *tokens) live(v *verified) bool {
	revoked, err := t.isRevoked(v)
	return err == nil && !revoked && t.now().Before(v.claims.ends)
}

// identity says who calls: a client of ours, if a record maps the issuer's client
// to one, otherwise a client that is named after the issuer.
func (t *tokens) identity(r *http.Request, v *verified, now time.Time) (*shield.Identity, error) {
	c := v.claims
	record, err := t.mapped(v)
	if err != nil && !errors.Is(err, shield.ErrUnknown) {
		return nil, fmt.Errorf("look up client %s: %w", c.mapping, err)
	}
	if err != nil && v.issuer.Clients != "" {
		return nil, t.refuse(shield.Refuse(shield.InvalidCredential, "the token's client is not registered here").Of(c.credentialID, c.foreignClient, true))
	}
	id := &shield.Identity{
		Shield: kind, CredentialID: c.credentialID, Issuer: v.issuer.URL, Subject: c.subject,
		Client: c.foreignClient, User: c.user, Tenant: c.tenant, Scopes: c.scopes, Attributes: c.attributes,
		Scheme: scheme, Expires: c.ends, Confirm: c.confirm, Revocation: v.withdrawn,
	}
	if err != nil {
		return id, nil
	}
	if err := record.Usable(now, r); err != nil {
		return nil, t.challenged(err)
	}
	mapTo(id, record, now)
	return id, nil
}

// mapped returns the record that maps the token's client to one of ours.
func (t *tokens) mapped(v *verified) (*shield.Record, error) {
	c := v.claims
	if v.issuer.Clients != "" {
		id, _ := c.all["client_id"].(string) // no client has no name
		return t.credentials.Credential(v.issuer.Clients, id)
	}
	if c.mapping == "" {
		return nil, shield.ErrUnknown
	}
	return t.credentials.Credential(kind, c.mapping)
}

// mapTo makes the identity one of the record's client. What the operator wrote
// about his client goes before what the token says; scopes must be allowed by
// both.
func mapTo(id *shield.Identity, record *shield.Record, now time.Time) {
	known := record.Identity(now)
	id.Client = known.Client
	id.Scopes = id.Scopes.Within(record.Scopes)
	if known.Tenant != "" {
		id.Tenant = known.Tenant
	}
	if len(known.Attributes) > 0 {
		id.Attributes = merged(id.Attributes, known.Attributes)
	}
	if !known.Expires.IsZero() && known.Expires.Before(id.Expires) {
		id.Expires = known.Expires
	}
	if client := known.Revocation; client != nil {
		token := id.Revocation
		id.Revocation = func() bool { return client() || token() }
	}
}

func merged(token, client map[string]any) map[string]any {
	if len(token) == 0 {
		return client
	}
	all := maps.Clone(token)
	maps.Copy(all, client)
	return all
}
