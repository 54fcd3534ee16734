package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
)

// End asks to end a credential that was lost, with everything that was derived of it.
type End struct {
	Kind   string `json:"kind,omitempty"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Ended says what was ended, and what was not.
type Ended struct {
	Credentials []string `json:"credentials"` // the credential, and certificates that came of it
	Grants      []string `json:"grants"`      // at the authorization server
	Tokens      string   `json:"tokens,omitempty"`
	Before      []string `json:"before,omitempty"` // was over already

	// Left was not ended, or it is not known whether it was: whoever asks again goes on with it.
	Left   []string `json:"left,omitempty"`
	Faults []string `json:"faults,omitempty"` // why
}

// maxEndFaults is after how many grants that could not be ended no further one is tried.
const maxEndFaults = 10

// end revokes a credential and what can have come of it. Each step has an event of its own. One that
// fails keeps no other from being done; the answer says what was ended and what was not, and whoever
// asks again goes on with the rest.
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
	e := &ending{s: s, r: r, of: &c, reason: n.Reason, done: Ended{Credentials: []string{}, Grants: []string{}}}
	e.run()
	fault := e.fault()
	if unwritten := s.note(r, "credential.end", c.ID, e.text()+", because: "+n.Reason, fault); unwritten != nil && fault == nil {
		fault = wrapped("unrecorded", unwritten, "it is ended, but its event could not be written")
	}
	if fault == nil {
		reply(w, e.done, nil)
		return
	}
	p := *problemOf(fault)
	p.Ended = &e.done
	reply(w, nil, &p)
}

// ending is one credential that ends.
type ending struct {
	s      *Service
	r      *http.Request
	of     *client.Credential
	reason string

	done  Ended
	first error // of what failed
}

func (e *ending) run() {
	e.credentials()
	if e.s.derivesTokens(e.r.Context(), e.of) {
		e.ofServer()
	}
	if e.s.Refresh == nil {
		return
	}
	if err := e.s.Refresh(e.r.Context()); err != nil {
		e.failed(wrapped("not_in_force", err, "what was ended is kept as ended, but the gateway does not know of it yet"))
	}
}

// failed notes why something was not done; left is what.
func (e *ending) failed(err error, left ...string) {
	if e.first == nil {
		e.first = err
	}
	e.done.Left = append(e.done.Left, left...)
	if text := err.Error(); !slices.Contains(e.done.Faults, text) {
		e.done.Faults = append(e.done.Faults, text)
	}
}

// note records a step.
func (e *ending) note(action, target, text string, err error) {
	if fault := e.s.note(e.r, action, target, text, err); fault != nil && err == nil {
		e.failed(wrapped("unrecorded", fault, target+" is ended, but its event could not be written"))
	}
}

// credentials ends the credential itself, and certificates that came of it by renewal.
func (e *ending) credentials() {
	c := e.of
	name := c.Kind + " " + c.ID
	renewed := c.Kind == client.CertificateKind && c.Settings[client.SettingCA] != ""
	if !c.Revoked.IsZero() {
		e.done.Before = append(e.done.Before, name)
		if !renewed {
			return
		}
	}
	revoke := func() (client.Change, error) { return e.s.Registry.RevokeKind(e.r.Context(), c.Kind, c.ID, e.reason) }
	if renewed {
		revoke = func() (client.Change, error) { return e.s.Registry.RevokeWithRenewals(e.r.Context(), c.ID, e.reason) }
	}
	change, err := revoke()
	if errors.Is(err, client.ErrMissing) {
		return // somebody ended all of them before
	}
	e.note(change.Action, change.Target, change.Text, err)
	e.done.Credentials = append(e.done.Credentials, change.Ended...)
	if err != nil {
		e.failed(err, name)
	}
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

// ofServer ends what the client was granted, with all access and refresh tokens.
func (e *ending) ofServer() {
	ctx, who := e.r.Context(), e.of.Client
	allGrants, allTokens := "grants of client "+who, "tokens of client "+who
	o, err := e.s.oauth(ctx)
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == noServer {
		return // nobody can have issued any
	}
	if err != nil {
		e.failed(fmt.Errorf("ask the authorization server: %w", err), allGrants, allTokens)
		return
	}
	found, err := o.Grants.Select(ctx, func(g *grants.Grant) bool { return g.Client == who })
	if err != nil {
		e.failed(fmt.Errorf("find the grants of client %s: %w", who, err), allGrants)
	}
	faults := 0
	for _, g := range found {
		if faults == maxEndFaults || ctx.Err() != nil {
			e.done.Left = append(e.done.Left, "grant "+g.ID)
			continue
		}
		err := o.Grants.Revoke(ctx, g.ID, e.reason)
		e.note("grant.revoke", g.ID, "of client "+who+", because: "+e.reason, err)
		if err != nil {
			faults++
			e.failed(fmt.Errorf("revoke grant %s: %w", g.ID, err), "grant "+g.ID)
			continue
		}
		e.done.Grants = append(e.done.Grants, g.ID)
	}
	// Last: a refresh before its grant was ended may have made new ones.
	change, err := e.s.Registry.RevokeTokens(ctx, client.Revocation{Issuer: o.Issuer, Subject: who, Reason: e.reason})
	e.note(change.Action, change.Target, change.Text, err)
	if err != nil {
		e.failed(fmt.Errorf("revoke the tokens of client %s: %w", who, err), allTokens)
		return
	}
	e.done.Tokens = "all " + allTokens + " issued until now"
}

// fault is why not all was done as it should be; nil if it was.
func (e *ending) fault() error {
	if len(e.done.Left) == 0 {
		return e.first
	}
	why := e.done.Faults[0]
	if more := len(e.done.Faults) - 1; more > 0 {
		why += fmt.Sprintf(" (and %d more)", more)
	}
	status := max(problemOf(e.first).Status, http.StatusInternalServerError)
	return problem(status, "ended_in_part", "%s; not ended: %s: %s", e.text(), few(e.done.Left), why)
}

// text says in a line what was ended.
func (e *ending) text() string {
	tokens := e.done.Tokens
	if tokens == "" {
		tokens = "no tokens"
	}
	return fmt.Sprintf("%d credentials, %d grants ended; %s", len(e.done.Credentials), len(e.done.Grants), tokens)
}

// few names some, and counts the rest.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// End ends a credential that was lost, with what was derived of it. Where that was done in part, what was
// ended is returned beside the error.
func (c *Client) End(ctx context.Context, n End) (e Ended, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/end", n, &e)
	if p, ok := errors.AsType[*Problem](err); ok && p.Ended != nil {
		e = *p.Ended
	}
	return e, err
}
