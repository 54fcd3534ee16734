package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/registration"
)

// Grants are what people and clients have allowed; a grants.Store is one.
type Grants interface {
	Grant(ctx context.Context, id string) (*grants.Grant, error)
	Select(ctx context.Context, want func(*grants.Grant) bool) ([]grants.Grant, error)
	Revoke(ctx context.Context, id, reason string) error
}

// Grant is what somebody allowed a client, as an administrator sees it.
type Grant struct {
	ID          string    `json:"id"`
	Client      string    `json:"client"`
	Application string    `json:"application"`    // the client's name, as people read it
	User        string    `json:"user,omitempty"` // the account's name; empty: the client acts for itself
	Subject     string    `json:"subject"`        // as in tokens
	Scopes      []string  `json:"scopes"`
	Created     time.Time `json:"created"`
	Used        time.Time `json:"used,omitzero"`
	Ends        time.Time `json:"ends"`
}

// GrantQuery chooses grants; the zero value chooses all that are in force.
type GrantQuery struct {
	Client string `json:"client,omitempty"`
	User   string `json:"user,omitempty"` // name or subject
}

// RevokeGrants ends grants: either those that are named, or those that the query chooses.
type RevokeGrants struct {
	IDs []string `json:"ids,omitempty"`
	GrantQuery
	Reason string `json:"reason,omitempty"`
}

// RevokedGrants are those that a call has ended. Where there were more than one call ends,
// Left says how many are still in force.
type RevokedGrants struct {
	Revoked []Grant `json:"revoked"`
	Left    int     `json:"left,omitempty"`
}

// maxRevoked is how many grants one call ends, each with two commits of the store.
const maxRevoked = 500

func (s *Service) grants(r *http.Request) (any, error) {
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	return s.selectGrants(r.Context(), o, GrantQuery{Client: q.Get("client"), User: q.Get("user")})
}

// selectGrants returns the grants in force that a query chooses, oldest first, never nil.
func (s *Service) selectGrants(ctx context.Context, o *OAuth, q GrantQuery) ([]Grant, error) {
	if q.Client != "" {
		if _, err := s.Registry.Client(ctx, q.Client); err != nil {
			return nil, err
		}
	}
	people, subject, unknown, err := s.peopleFor(ctx, q.User)
	if err != nil {
		return nil, err
	}
	found, err := o.Grants.Select(ctx, func(g *grants.Grant) bool {
		return (q.Client == "" || g.Client == q.Client) && (q.User == "" || g.Subject == subject)
	})
	if err != nil {
		return nil, err
	}
	if unknown != nil && len(found) == 0 {
		return nil, unknown
	}
	called, err := s.applications(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Grant, 0, len(found))
	for i := range found {
		all = append(all, shownGrant(&found[i], people, called))
	}
	return all, nil
}

func shownGrant(g *grants.Grant, people, called map[string]string) Grant {
	shown := Grant{
		ID: g.ID, Client: g.Client, Application: cmp.Or(called[g.Client], g.Client), User: people[g.Subject],
		Subject: g.Subject, Scopes: g.Scopes, Created: g.Created, Used: g.Used, Ends: g.Ends,
	}
	if shown.Scopes == nil {
		shown.Scopes = []string{}
	}
	return shown
}

// peopleFor returns the names of accounts by their subjects, and the subject of the user
// that is named, if one is. Who has no account here, or none any more, is named by his
// subject; unknown is the problem that he would be if he granted nothing either.
func (s *Service) peopleFor(ctx context.Context, name string) (names map[string]string, subject string, unknown, err error) {
	users, err := s.accounts(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	list, err := users.ListUsers(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	names = make(map[string]string, len(list))
	for _, u := range list {
		names[u.Subject] = u.Login
	}
	if name == "" {
		return names, "", nil, nil
	}
	u, err := find(ctx, users, name)
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == "unknown_user" {
		return names, name, err, nil
	}
	return names, u.Subject, nil, err
}

// applications are the names of clients, as people read them.
func (s *Service) applications(ctx context.Context) (map[string]string, error) {
	list, err := s.Registry.Credentials(ctx, "", registration.KindName)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(list))
	for _, c := range list {
		names[c.Client] = c.Settings["name"]
	}
	return names, nil
}

// revokeGrants ends grants, each with an event of its own: what was ended has one even if
// the next could not be.
func (s *Service) revokeGrants(w http.ResponseWriter, r *http.Request) {
	if fault := s.ready(); fault != nil {
		reply(w, nil, fault)
		return
	}
	var n RevokeGrants
	o, chosen, err := s.chosenGrants(r, &n)
	if err != nil {
		_ = s.note(r, "grant.revoke", targetOf(n), "", err) // the refusal is the answer, recorded or not
		reply(w, nil, err)
		return
	}
	done := RevokedGrants{Revoked: []Grant{}, Left: max(len(chosen)-maxRevoked, 0)}
	for _, g := range chosen[:len(chosen)-done.Left] {
		err := o.Grants.Revoke(r.Context(), g.ID, cmp.Or(n.Reason, "revoked by an administrator"))
		if fault := s.note(r, "grant.revoke", g.ID, sentence(g, n.Reason), err); fault != nil && err == nil {
			err = wrapped("unrecorded", fault, "the grant is revoked, but its event could not be written")
		}
		if err != nil {
			reply(w, nil, fmt.Errorf("revoke grant %s, after %d others: %w", g.ID, len(done.Revoked), err))
			return
		}
		done.Revoked = append(done.Revoked, g)
	}
	reply(w, done, nil)
}

// chosenGrants reads the call, and finds what it names. All of it is there, or nothing is
// revoked.
func (s *Service) chosenGrants(r *http.Request, n *RevokeGrants) (*OAuth, []Grant, error) {
	if err := decode(r, n); err != nil {
		return nil, nil, err
	}
	query := n.Client != "" || n.User != ""
	switch {
	case query == (len(n.IDs) > 0):
		return nil, nil, problem(http.StatusBadRequest, "malformed", "name either grants by their ids, or a client, a user, or both")
	case len(n.IDs) > maxRevoked:
		return nil, nil, problem(http.StatusBadRequest, "malformed", "%d ids, at most %d are taken at once", len(n.IDs), maxRevoked)
	case len(n.Reason) > maxReason:
		return nil, nil, problem(http.StatusBadRequest, "malformed", "the reason has more than %d bytes", maxReason)
	}
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, nil, err
	}
	all, err := s.selectGrants(r.Context(), o, n.GrantQuery)
	if err != nil || query {
		return o, all, err
	}
	var chosen []Grant
	for _, id := range n.IDs {
		i := slices.IndexFunc(all, func(g Grant) bool { return g.ID == id })
		if i < 0 {
			return o, nil, problem(http.StatusNotFound, "unknown_grant", "there is no grant %.80q in force; nothing was revoked", id)
		}
		if !slices.ContainsFunc(chosen, func(g Grant) bool { return g.ID == id }) {
			chosen = append(chosen, all[i])
		}
	}
	return o, chosen, nil
}

// targetOf names what a refused call wanted to end.
func targetOf(n RevokeGrants) string {
	var words []string
	for i, id := range n.IDs {
		if i == 3 {
			words = append(words, "…")
			break
		}
		words = append(words, fmt.Sprintf("%.80s", id))
	}
	if n.Client != "" {
		words = append(words, fmt.Sprintf("client %.80s", n.Client))
	}
	if n.User != "" {
		words = append(words, fmt.Sprintf("user %.80s", n.User))
	}
	return strings.Join(words, " ")
}

// sentence says what was ended, and why.
func sentence(g Grant, reason string) string {
	whose := "itself"
	if g.Subject != g.Client {
		whose = "user " + cmp.Or(g.User, g.Subject)
	}
	text := fmt.Sprintf("what client %s had of %s is revoked, scopes %s", g.Client, whose, strings.Join(g.Scopes, " "))
	if reason != "" {
		text += ", because: " + reason
	}
	return text
}

// Grants lists what is granted, oldest first.
func (c *Client) Grants(ctx context.Context, q GrantQuery) (all []Grant, err error) {
	v := url.Values{"client": {q.Client}, "user": {q.User}}
	err = c.call(ctx, http.MethodGet, "/v1/grants?"+v.Encode(), nil, &all)
	return all, err
}

// RevokeGrants ends grants with everything that was issued under them. A query that
// chooses more than one call ends is asked again until nothing is left.
func (c *Client) RevokeGrants(ctx context.Context, n RevokeGrants) ([]Grant, error) {
	all := []Grant{}
	for {
		var done RevokedGrants
		if err := c.call(ctx, http.MethodPost, "/v1/grants/revoke", n, &done); err != nil {
			return all, err
		}
		all = append(all, done.Revoked...)
		if done.Left == 0 || len(done.Revoked) == 0 {
			return all, nil
		}
	}
}
