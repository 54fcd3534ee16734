package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// NewRegistration asks for a client together with its registration at the authorization
// server: both are made, or neither is.
type NewRegistration struct {
	Client   NewClient         `json:"client"`
	Settings map[string]string `json:"settings,omitempty"`
	Expires  time.Duration     `json:"expires,omitempty"` // of the registration, from now, in nanoseconds; 0: never
}

// Registration is how a client is registered at the authorization server.
type Registration struct {
	ClientID  string            `json:"client_id"`
	Issuer    string            `json:"issuer"`
	Discovery string            `json:"discovery"` // where programs find everything else (RFC 8414)
	Settings  map[string]string `json:"settings"`  // with what holds where they are silent; lists are separated by spaces
}

// Registered is a client that was made with its registration. Secret is shown this once;
// empty: the client proves itself in another way, or proves nothing.
type Registered struct {
	Client       client.Client     `json:"client"`
	Credential   client.Credential `json:"credential"`
	Registration Registration      `json:"registration"`
	Secret       string            `json:"client_secret,omitempty"`
}

// discovery is the path of the metadata (RFC 8414 §3).
const discovery = "/.well-known/oauth-authorization-server"

func (s *Service) register(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "client.register"}
	var n NewRegistration
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = n.Client.ID
	o, err := s.oauth(r.Context())
	if err != nil {
		return nil, change, err
	}
	if n.Expires < 0 {
		return nil, change, fmt.Errorf("it would expire %s ago", -n.Expires)
	}
	issued, settings, err := s.issue(registration.KindName, shield.IssueRequest{Client: n.Client.ID, Settings: n.Settings})
	if err != nil {
		return nil, change, err
	}
	made, err := s.registered(r, n, issued, settings)
	if err != nil {
		return nil, change, err
	}
	shown, err := registrationOf(o.Issuer, &made.Credential)
	if err != nil {
		return nil, change, err
	}
	made.Registration = *shown
	change.Text = fmt.Sprintf("with scopes %s and grants %s", strings.Join(made.Client.Scopes, " "), shown.Settings["grants"])
	return made, change, nil
}

// registered makes a client and its credential.
func (s *Service) registered(r *http.Request, n NewRegistration, issued shield.Issued, settings map[string]string) (Registered, error) {
	c := client.Credential{Kind: registration.KindName, Settings: settings}
	if n.Expires > 0 {
		c.Expires = s.Env.Now().UTC().Add(n.Expires)
	}
	made := Registered{Secret: issued.Secret}
	var err error
	made.Client, made.Credential, err = s.Registry.CreateWith(r.Context(), client.Client{
		ID: n.Client.ID, Tenant: n.Client.Tenant, Contact: n.Client.Contact, Scopes: n.Client.Scopes, Attributes: n.Client.Attributes,
	}, c, issued)
	return made, err
}

// registrationOf shows a registration.
func registrationOf(issuer string, c *client.Credential) (*Registration, error) {
	settings, err := registration.Describe(c.Client, c.Settings)
	if err != nil {
		return nil, fmt.Errorf("registration of client %s: %w", c.Client, err)
	}
	return &Registration{ClientID: c.ID, Issuer: issuer, Discovery: issuer + discovery, Settings: settings}, nil
}

// registrationIn finds the registration among the credentials of a client; nil if it has
// none, or there is no server at which it would be.
func (s *Service) registrationIn(ctx context.Context, credentials []client.Credential) (*Registration, error) {
	for i := range credentials {
		if c := &credentials[i]; c.Kind == registration.KindName && c.Revoked.IsZero() {
			o, err := s.oauth(ctx)
			if err != nil {
				return registrationOf("", c)
			}
			return registrationOf(o.Issuer, c)
		}
	}
	return nil, nil
}

// Register makes a client with its registration.
func (c *Client) Register(ctx context.Context, n NewRegistration) (made Registered, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/registrations", n, &made)
	return made, err
}
