package bearer

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"pavise.dev/pavise/shield"
)

// Token is a token whose claims are believed: its issuer vouches for them. It is
// immutable.
type Token struct {
	Issuer *Issuer
	Claims *Claims

	withdrawn func() bool
}

// NewToken returns a token of what an issuer vouched for.
func (j *Judge) NewToken(issuer *Issuer, claims *Claims) *Token {
	t := &Token{Issuer: issuer, Claims: claims}
	t.withdrawn = func() bool { return !j.live(t) }
	return t
}

// Decide says who calls with a believed token, or why he may not. It asks everything that
// is asked on every use of a token.
func (j *Judge) Decide(r *http.Request, p Presented, t *Token) (*shield.Identity, error) {
	now, c := j.now(), t.Claims
	if refusal := j.unfit(t, now); refusal != nil {
		return nil, p.Refuse(refusal.Of(c.CredentialID, c.foreignClient, true))
	}
	revoked, err := j.isRevoked(t)
	if err != nil {
		return nil, fmt.Errorf("ask whether token %s is revoked: %w", c.CredentialID, err)
	}
	if revoked {
		return nil, p.Refuse(shield.Refuse(shield.RevokedCredential, "the token, or all of its subject since %s, was revoked", c.issued.UTC().Format(time.RFC3339)).
			Of(c.CredentialID, c.foreignClient, true))
	}
	id, err := j.identity(r, p, t, now)
	if err != nil {
		return nil, err
	}
	if err := j.possession(r, id, p); err != nil {
		return nil, err
	}
	if refusal := j.wanted.lacking(c, now); refusal != nil {
		return nil, refusal.Of(id.CredentialID, id.Client, true).With(j.wanted.challenge(id.Scheme))
	}
	return id, nil
}

// Mismatch is the refusal of a token that its issuer vouched for and that cannot be what
// it is used as.
func (t *Token) Mismatch(p Presented, format string, args ...any) *shield.Refusal {
	return p.Refuse(shield.Refuse(shield.InvalidCredential, format, args...).Of(t.Claims.CredentialID, t.Claims.foreignClient, true))
}

func (j *Judge) isRevoked(t *Token) (bool, error) {
	revoked, err := j.revoked.Token(t.Issuer.URL, t.Claims.subject, t.Claims.id, t.Claims.issued)
	if revoked || err != nil || t.Issuer.Family == "" {
		return revoked, err
	}
	family, ok := t.Claims.all[t.Issuer.Family].(string)
	if !ok || family == "" {
		return true, nil // its issuer always says it
	}
	return j.revoked.Token(t.Issuer.URL, "", family, t.Claims.issued)
}

// live is asked while a stream lasts. What cannot be decided is not live.
func (j *Judge) live(t *Token) bool {
	revoked, err := j.isRevoked(t)
	return err == nil && !revoked && j.now().Before(t.Claims.Ends)
}

// identity says who calls: a client of ours, if a record maps the issuer's client
// to one, otherwise a client that is named after the issuer.
func (j *Judge) identity(r *http.Request, p Presented, t *Token, now time.Time) (*shield.Identity, error) {
	c := t.Claims
	record, err := j.mapped(t)
	if err != nil && !errors.Is(err, shield.ErrUnknown) {
		return nil, fmt.Errorf("look up client %s: %w", c.mapping, err)
	}
	if err != nil && t.Issuer.Clients != "" {
		return nil, t.Mismatch(p, "the token's client is not registered here")
	}
	id := &shield.Identity{
		Shield: j.kind, CredentialID: c.CredentialID, Issuer: t.Issuer.URL, Subject: c.subject,
		Client: c.foreignClient, User: c.user, Tenant: c.tenant, Scopes: c.scopes, Attributes: c.attributes,
		Scheme: Scheme, Expires: c.Ends, Confirm: c.confirm, Revocation: t.withdrawn, SignedIn: c.signedIn(),
	}
	if err != nil {
		return id, nil
	}
	if err := record.Usable(now, r); err != nil {
		return nil, p.Challenged(err)
	}
	mapTo(id, record, now)
	return id, j.grantee(id, p, t, now)
}

// grantee holds that the client to which was granted what this token was made of (RFC 8693)
// is still one that may have it: what is taken from that client is taken from every token
// that others made of its own.
func (j *Judge) grantee(id *shield.Identity, p Presented, t *Token, now time.Time) error {
	if t.Issuer.Grantee == "" || t.Claims.all[t.Issuer.Grantee] == nil {
		return nil
	}
	name, _ := t.Claims.all[t.Issuer.Grantee].(string) // no client has no name
	record, err := j.credentials.Credential(t.Issuer.Clients, name)
	if errors.Is(err, shield.ErrUnknown) {
		return t.Mismatch(p, "the client that the token was granted to first is not registered here any more")
	}
	if err != nil {
		return fmt.Errorf("look up client %s: %w", name, err)
	}
	if err := record.InForce(now); err != nil {
		return p.Challenged(err)
	}
	known := record.Identity(now)
	id.Scopes = id.Scopes.Within(record.Scopes)
	if withdrawn := known.Revocation; withdrawn != nil {
		before := id.Revocation
		id.Revocation = func() bool { return withdrawn() || before() }
	}
	return nil
}

// Mapped is the kind of the records that map an issuer's client to one of ours: one record
// serves all shields for access tokens.
const Mapped = "jwt"

// mapped returns the record that maps the token's client to one of ours.
func (j *Judge) mapped(t *Token) (*shield.Record, error) {
	c := t.Claims
	if t.Issuer.Clients != "" {
		id, _ := c.all["client_id"].(string) // no client has no name
		return j.credentials.Credential(t.Issuer.Clients, id)
	}
	if c.mapping == "" {
		return nil, shield.ErrUnknown
	}
	return j.credentials.Credential(Mapped, c.mapping)
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

// Map returns the credential that makes a client of an issuer one of ours. Nothing is
// made: the secret is the issuer's business.
func Map(env shield.Env, req shield.IssueRequest) (shield.Issued, error) {
	if req.Import != "" {
		return shield.Issued{}, errors.New("there is nothing to import: the issuer makes the tokens")
	}
	name, theirs := req.Settings["issuer"], req.Settings["client_id"]
	if name == "" || !isText(theirs) {
		return shield.Issued{}, errors.New("settings issuer and client_id are needed: which client of which issuer is this one?")
	}
	if env.Issuers == nil {
		return shield.Issued{}, errors.New("no issuers are configured")
	}
	if _, err := env.Issuers.Issuer(name); err != nil {
		return shield.Issued{}, fmt.Errorf("map a client: %w", err)
	}
	return shield.Issued{ID: mappingID(name, theirs), Keep: shield.KeepNothing}, nil
}
