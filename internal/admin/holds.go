package admin

import (
	"context"
	"net/http"
	"time"

	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/internal/client"
)

// NewHold asks to suspend a credential for a time.
type NewHold struct {
	Kind   string        `json:"kind,omitempty"` // where several kinds have the id
	ID     string        `json:"id"`
	Life   time.Duration `json:"life"` // nanoseconds
	Reason string        `json:"reason,omitempty"`
}

// Release asks to end what is demanded of a credential, or of a person.
type Release struct {
	Name string `json:"name"`
}

func what(h *client.Hold) string {
	if h.SignIn {
		return "step_up"
	}
	return "suspend"
}

func (s *Service) holds(r *http.Request) (any, error) {
	all, err := s.Registry.Holds(r.Context())
	if all == nil {
		all = []client.Hold{}
	}
	return all, err
}

func (s *Service) hold(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "credential.suspend"}
	var n NewHold
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = n.ID
	c, err := s.find(r, n.Kind, n.ID)
	if err != nil {
		return nil, change, err
	}
	if c.Kind == bearer.Mapped || c.Kind == registration.Kind().Name {
		return nil, change, problem(http.StatusUnprocessableEntity, "no_credential", "%s is how a client's tokens are known, and is shown by nobody", c.ID)
	}
	change, err = s.Registry.Hold(r.Context(), client.Hold{
		Kind: c.Kind, Credential: c.ID, Until: s.Env.Now().Add(n.Life), Reason: n.Reason,
	})
	return Done{change.Text}, change, err
}

func (s *Service) release(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "credential.unsuspend"}
	var n Release
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change, err := s.Registry.Release(r.Context(), n.Name)
	return Done{change.Text}, change, err
}

// Holds lists suspended credentials, and people who have to sign in again.
func (c *Client) Holds(ctx context.Context) (all []client.Hold, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/holds", nil, &all)
	return all, err
}

// Hold suspends a credential.
func (c *Client) Hold(ctx context.Context, n NewHold) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/holds", n, &done)
	return done, err
}

// Release ends what is demanded of a credential, or of a person.
func (c *Client) Release(ctx context.Context, name string) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/holds/release", Release{name}, &done)
	return done, err
}
