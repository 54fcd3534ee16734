package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/dynamic"
	"pavise.dev/pavise/internal/client"
)

// Invitations let programs register themselves; a dynamic.Invitations is one.
type Invitations interface {
	Make(ctx context.Context, v dynamic.Invitation, life time.Duration) (dynamic.Invitation, string, error)
	All(ctx context.Context) ([]dynamic.Invitation, error)
	Withdraw(ctx context.Context, id string) error
}

// NewInvitation asks for an initial access token (RFC 7591 §3).
type NewInvitation struct {
	Contact string        `json:"contact,omitempty"` // of whoever answers for the clients
	Scopes  []string      `json:"scopes"`            // the most that a client may get
	Grants  []string      `json:"grants,omitempty"`  // none: authorization_code and refresh_token
	Uses    int           `json:"uses"`              // how many clients may register
	Life    time.Duration `json:"life"`              // nanoseconds
}

// Invited is an invitation with its token, which is shown this once.
type Invited struct {
	dynamic.Invitation
	Token string `json:"initial_access_token"`
	At    string `json:"registration_endpoint"`
}

func (s *Service) invitations(r *http.Request) (any, error) {
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, err
	}
	all, err := o.Invitations.All(r.Context())
	if all == nil {
		all = []dynamic.Invitation{}
	}
	return all, err
}

func (s *Service) invite(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "client.invite"}
	var n NewInvitation
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, change, err
	}
	if !o.Registration {
		return nil, change, problem(http.StatusConflict, "no_registration", "programs may not register themselves at this installation")
	}
	for _, scope := range n.Scopes {
		if !slices.Contains(o.Scopes, scope) {
			return nil, change, fmt.Errorf("scope %q is not among the scopes of the configuration", scope)
		}
	}
	made, token, err := o.Invitations.Make(r.Context(), dynamic.Invitation{Contact: n.Contact, Scopes: n.Scopes, Grants: n.Grants, Left: n.Uses}, n.Life)
	if err != nil {
		return nil, change, err
	}
	change.Target = made.ID
	change.Text = fmt.Sprintf("for %d clients with scopes %s and grants %s at most, until %s",
		made.Left, strings.Join(made.Scopes, " "), strings.Join(made.Grants, " "), made.Ends.Format(time.RFC3339))
	return Invited{made, token, o.Issuer + dynamic.Path}, change, nil
}

func (s *Service) withdrawInvitation(r *http.Request) (any, client.Change, error) {
	id := r.PathValue("id")
	change := client.Change{Action: "client.invite_withdraw", Target: id}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, change, err
	}
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, change, err
	}
	err = o.Invitations.Withdraw(r.Context(), id)
	if errors.Is(err, dynamic.ErrUnknown) {
		return nil, change, problem(http.StatusNotFound, "unknown_invitation", "there is no invitation %.80q that is good", id)
	}
	return struct{}{}, change, err
}

// Invitations returns the invitations that are good, newest first.
func (c *Client) Invitations(ctx context.Context) (list []dynamic.Invitation, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/invitations", nil, &list)
	return list, err
}

// Invite makes an invitation.
func (c *Client) Invite(ctx context.Context, n NewInvitation) (made Invited, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/invitations", n, &made)
	return made, err
}

// WithdrawInvitation ends an invitation. Who has registered with it stays.
func (c *Client) WithdrawInvitation(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/v1/invitations/"+id+"/withdraw", struct{}{}, &struct{}{})
}
