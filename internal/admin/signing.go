package admin

import (
	"context"
	"net/http"
	"time"

	"pavise.dev/pavise/internal/authserver/keys"
	"pavise.dev/pavise/internal/client"
)

// OAuth is the authorization server, as far as it is administered.
type OAuth struct {
	Issuer string
	Grants Grants
	Keys   SigningKeys

	Invitations  Invitations
	Registration bool     // programs may register themselves
	Scopes       []string // that the configuration knows
}

// SigningKeys are the keys that sign tokens; a keys.Ring is one.
type SigningKeys interface {
	All() []keys.Key
	Rotate(ctx context.Context, compromised bool) error
}

// maxReason is the longest reason for an act, in bytes.
const maxReason = 256

// oauth is the authorization server, or the problem that there is none.
func (s *Service) oauth(ctx context.Context) (*OAuth, error) {
	if s.OAuth == nil {
		return nil, errNoServer()
	}
	o, err := s.OAuth(ctx)
	if err == nil && o == nil {
		err = errNoServer()
	}
	return o, err
}

// noServer is the code of the problem that there is none.
const noServer = "no_authorization_server"

func errNoServer() error {
	return problem(http.StatusConflict, noServer, "this installation has no authorization server")
}

// SigningKey is a key of the authorization server.
type SigningKey struct {
	ID        string    `json:"kid"`
	Algorithm string    `json:"alg"`
	State     string    `json:"state"` // next, current, previous
	Created   time.Time `json:"created"`
	Since     time.Time `json:"since,omitzero"` // it signs, or signed, from here …
	Until     time.Time `json:"until,omitzero"` // … to here
}

// RotateSigning lets the next key sign at once.
type RotateSigning struct {
	// Compromised: the keys that signed until now verify nothing any more either.
	Compromised bool   `json:"compromised,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

func (s *Service) signingKeys(r *http.Request) (any, error) {
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, err
	}
	return shownKeys(o), nil
}

func shownKeys(o *OAuth) []SigningKey {
	all := []SigningKey{}
	for _, k := range o.Keys.All() {
		all = append(all, SigningKey{k.ID, k.Algorithm, string(k.State), k.Created, k.Since, k.Until})
	}
	return all
}

func (s *Service) rotateSigning(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "signing_key.rotate", Target: "signing keys"}
	var n RotateSigning
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	if len(n.Reason) > maxReason {
		return nil, change, problem(http.StatusBadRequest, "malformed", "the reason has more than %d bytes", maxReason)
	}
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, change, err
	}
	if err := o.Keys.Rotate(r.Context(), n.Compromised); err != nil {
		return nil, change, err
	}
	all := shownKeys(o)
	for _, k := range all {
		if k.State == string(keys.Current) {
			change.Target, change.Text = k.ID, "signs with "+k.Algorithm+" from now on"
		}
	}
	if n.Compromised {
		change.Text += "; nothing that was signed before is accepted"
	}
	if n.Reason != "" {
		change.Text += ", because: " + n.Reason
	}
	return all, change, nil
}

// SigningKeys lists the keys of the authorization server: next, current, previous.
func (c *Client) SigningKeys(ctx context.Context) (all []SigningKey, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/signing-keys", nil, &all)
	return all, err
}

// RotateSigning lets the next key sign, and returns the keys as they are then.
func (c *Client) RotateSigning(ctx context.Context, n RotateSigning) (all []SigningKey, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/signing-keys/rotate", n, &all)
	return all, err
}
