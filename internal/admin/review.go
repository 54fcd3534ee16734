package admin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
)

// Narrow takes scopes away from a credential.
type Narrow struct {
	Kind   string   `json:"kind,omitempty"` // empty: the only kind that has the id
	ID     string   `json:"id"`
	Scopes []string `json:"scopes"` // that it keeps
}

func (s *Service) narrow(r *http.Request) (any, client.Change, error) {
	var n Narrow
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change := client.Change{Action: "credential.narrow", Target: n.ID}
	c, err := s.find(r, n.Kind, n.ID)
	if err != nil {
		return nil, change, err
	}
	change, err = s.Registry.NarrowCredential(r.Context(), c.Kind, c.ID, n.Scopes)
	return Done{change.Text}, change, err
}

// End asks to end a credential that was lost, with everything that was derived of it.
type End struct {
	Kind   string `json:"kind,omitempty"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Ended says what was ended.
type Ended struct {
	Credentials []string `json:"credentials"` // the credential, and certificates that came of it
	Grants      []string `json:"grants"`      // at the authorization server
	Tokens      string   `json:"tokens,omitempty"`
}

// end revokes a credential and what can have come of it. Each step has an event of its own; what was
// ended stays so if the next could not be, and whoever asks again goes on.
func (s *Service) end(w http.ResponseWriter, r *http.Request) {
	if fault := s.ready(); fault != nil {
		reply(w, nil, fault)
		return
	}
	var n End
	var c client.Credential
	err := decode(r, &n)
	if err == nil {
		c, err = s.find(r, n.Kind, n.ID)
	}
	if err == nil && n.Reason == "" {
		err = problem(http.StatusBadRequest, "malformed", "say why: the reason stands in the log")
	}
	if err != nil {
		_ = s.note(r, "credential.end", n.ID, "", err) // the refusal is the answer, recorded or not
		reply(w, nil, err)
		return
	}
	done, err := s.ended(r, &n, &c)
	if s.Refresh != nil {
		if fault := s.Refresh(r.Context()); fault != nil && err == nil {
			err = wrapped("not_in_force", fault, "the change is kept, but not yet in force")
		}
	}
	text := fmt.Sprintf("%d credentials, %d grants ended; %s", len(done.Credentials), len(done.Grants), cmp.Or(done.Tokens, "no tokens come of it"))
	if fault := s.note(r, "credential.end", c.ID, text+", because: "+n.Reason, err); fault != nil && err == nil {
		err = wrapped("unrecorded", fault, "it is ended, but its event could not be written")
	}
	reply(w, done, err)
}

func (s *Service) ended(r *http.Request, n *End, c *client.Credential) (Ended, error) {
	done := Ended{Credentials: []string{}, Grants: []string{}}
	ctx := r.Context()
	before, err := s.inForce(ctx)
	if err != nil {
		return done, err
	}
	revoke, renewed := s.Registry.Revoke, c.Kind == client.CertificateKind && c.Settings[client.SettingCA] != ""
	if renewed {
		revoke = s.Registry.RevokeWithRenewals
	}
	if c.Revoked.IsZero() || renewed {
		change, err := revoke(ctx, c.ID, n.Reason)
		if !c.Revoked.IsZero() && errors.Is(err, client.ErrMissing) {
			err = nil // all of them were ended before
		}
		if fault := s.note(r, change.Action, change.Target, change.Text, err); fault != nil && err == nil {
			err = wrapped("unrecorded", fault, "the credential is revoked, but its event could not be written")
		}
		if err != nil {
			return done, err
		}
	}
	after, err := s.inForce(ctx)
	if err != nil {
		return done, err
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			done.Credentials = append(done.Credentials, name)
		}
	}
	if !s.derivesTokens(ctx, c) {
		return done, nil
	}
	return done, s.endTokens(r, n, c, &done)
}

// inForce are the credentials that are not revoked.
func (s *Service) inForce(ctx context.Context) (names []string, err error) {
	known, err := s.Registry.Credentials(ctx, "", "")
	for _, c := range known {
		if c.Revoked.IsZero() {
			names = append(names, c.Kind+" "+c.ID)
		}
	}
	return names, err
}

// derivesTokens reports whether whoever holds a credential can have got tokens by it: it is the
// registration itself, or a certificate or key by which the client shows the authorization server
// who it is.
func (s *Service) derivesTokens(ctx context.Context, c *client.Credential) bool {
	if c.Kind == registration.KindName {
		return true
	}
	if c.Kind != client.CertificateKind {
		return false
	}
	all, err := s.Registry.Credentials(ctx, c.Client, registration.KindName)
	return err != nil || len(all) > 0 // if it cannot be told, they are ended too
}

// endTokens ends what the client was granted, with all access and refresh tokens.
func (s *Service) endTokens(r *http.Request, n *End, c *client.Credential, done *Ended) error {
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil // there is no server that could have issued any
	}
	found, err := o.Grants.Select(r.Context(), func(g *grants.Grant) bool { return g.Client == c.Client })
	if err != nil {
		return err
	}
	for _, g := range found {
		err := o.Grants.Revoke(r.Context(), g.ID, n.Reason)
		if fault := s.note(r, "grant.revoke", g.ID, "of client "+c.Client+", because: "+n.Reason, err); fault != nil && err == nil {
			err = wrapped("unrecorded", fault, "the grant is revoked, but its event could not be written")
		}
		if err != nil {
			return fmt.Errorf("revoke grant %s, after %d others: %w", g.ID, len(done.Grants), err)
		}
		done.Grants = append(done.Grants, g.ID)
	}
	change, err := s.Registry.RevokeTokens(r.Context(), client.Revocation{Issuer: o.Issuer, Subject: c.Client, Reason: n.Reason})
	if fault := s.note(r, change.Action, change.Target, change.Text, err); fault != nil && err == nil {
		err = wrapped("unrecorded", fault, "the tokens are revoked, but their event could not be written")
	}
	if err == nil {
		done.Tokens = "all tokens of client " + c.Client + " issued until now"
	}
	return err
}

// Sealing asks to put a report's digest into the log, so that a checkpoint signs it.
type Sealing struct {
	Target string `json:"target"` // what the report is about
	SHA256 string `json:"sha256"` // of the report's file, hexadecimal
}

// Sealed is a signed checkpoint, and the id of the event that it covers.
type Sealed struct {
	Note
	Event string `json:"event"`
}

// sealReport records the digest of a report, and signs the log up to there.
func (s *Service) sealReport(r *http.Request) (any, error) {
	if fault := s.ready(); fault != nil {
		return nil, fault
	}
	var q Sealing
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if sum, err := hex.DecodeString(q.SHA256); err != nil || len(sum) != 32 || len(q.Target) > maxReason {
		return nil, problem(http.StatusBadRequest, "malformed", "want what the report is about, and its SHA-256 in hexadecimal")
	}
	id, err := s.noteAs(r, "review.seal", q.Target, "report sha256:"+q.SHA256)
	if err != nil {
		return nil, wrapped("unrecorded", err, "record the report")
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	n, err := s.signed()
	return Sealed{n, id}, err
}

// Narrow takes scopes away from a credential.
func (c *Client) Narrow(ctx context.Context, n Narrow) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/narrow", n, &d)
	return d, err
}

// End ends a credential that was lost, with what was derived of it.
func (c *Client) End(ctx context.Context, n End) (e Ended, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/end", n, &e)
	return e, err
}

// SealReport puts a report's digest into the log.
func (c *Client) SealReport(ctx context.Context, q Sealing) (s Sealed, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/reports", q, &s)
	return s, err
}
