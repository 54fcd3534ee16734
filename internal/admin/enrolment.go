package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
)

// NewEnrolment asks for a token by which somebody elsewhere gets one certificate.
type NewEnrolment struct {
	Client   string         `json:"client"`
	Create   bool           `json:"create,omitempty"` // make the client, if there is none
	Profile  string         `json:"profile,omitempty"`
	Names    []string       `json:"names,omitempty"`
	Life     time.Duration  `json:"life,omitempty"` // of the certificate, nanoseconds
	Scopes   []string       `json:"scopes,omitempty"`
	Networks []netip.Prefix `json:"networks,omitempty"`
	Expires  time.Duration  `json:"expires,omitempty"` // of the token, nanoseconds; 0: an hour
}

// Enrolment is a token with what its holder presents, which is shown this once.
type Enrolment struct {
	est.Token
	Secret  string `json:"token"`
	Created bool   `json:"client_created,omitempty"`
	At      string `json:"at,omitempty"` // where it is presented; empty: nowhere, pki.host names no host
}

func (s *Service) makeEnrolment(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "certificate.enrolment"}
	var n NewEnrolment
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = n.Client
	roots, err := s.Authority.Roots()
	if err != nil {
		return nil, change, err
	}
	if err := est.CheckLife(n.Expires); err != nil {
		return nil, change, err
	}
	asked := pki.Request{Client: n.Client, Profile: n.Profile, Names: n.Names, Life: n.Life, Scopes: n.Scopes, Networks: n.Networks}
	created, err := s.clientFor(r, asked, n.Create, nil) // better refused now than when somebody comes with the token
	if err != nil {
		return nil, change, err
	}
	token, secret, err := s.Enrolment.Make(r.Context(), est.Token{
		Client: n.Client, Profile: n.Profile, Names: n.Names, Life: n.Life, Scopes: n.Scopes, Networks: n.Networks,
	}, n.Expires, roots[0])
	if err != nil {
		return nil, change, err
	}
	change.Target, change.Text = token.ID, "for client "+n.Client+", until "+token.Ends.Format(time.RFC3339)
	return Enrolment{token, secret, created, s.EnrolAt}, change, nil
}

func (s *Service) enrolments(r *http.Request) (any, error) { return s.Enrolment.All(r.Context()) }

func (s *Service) withdrawEnrolment(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "certificate.enrolment_withdraw", Target: r.PathValue("id"), Text: "withdrawn"}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, change, err
	}
	err := s.Enrolment.Withdraw(r.Context(), r.PathValue("id"))
	if errors.Is(err, est.ErrUnknown) {
		err = problem(http.StatusNotFound, "unknown_enrolment", "%v", err)
	}
	return Done{change.Text}, change, err
}

// MakeEnrolment makes a token.
func (c *Client) MakeEnrolment(ctx context.Context, n NewEnrolment) (made Enrolment, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/enrolments", n, &made)
	return made, err
}

// Enrolments returns the tokens that are good.
func (c *Client) Enrolments(ctx context.Context) (all []est.Token, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/enrolments", nil, &all)
	return all, err
}

// WithdrawEnrolment ends a token.
func (c *Client) WithdrawEnrolment(ctx context.Context, id string) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/enrolments/"+url.PathEscape(id)+"/withdraw", struct{}{}, &done)
	return done, err
}
