package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// NewClient asks for a client.
type NewClient struct {
	ID         string         `json:"id"`
	Tenant     string         `json:"tenant,omitempty"`
	Contact    string         `json:"contact,omitempty"`
	Scopes     []string       `json:"scopes,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// NewCredential asks for a credential, or to take one over.
type NewCredential struct {
	Kind        string            `json:"kind"`
	Client      string            `json:"client"`
	Environment string            `json:"environment,omitempty"`
	Scopes      []string          `json:"scopes,omitempty"`
	Networks    []netip.Prefix    `json:"networks,omitempty"`
	Expires     time.Duration     `json:"expires,omitempty"` // from now, in nanoseconds; 0: never
	WarnAfter   time.Duration     `json:"warn_after,omitempty"`
	MaxAge      time.Duration     `json:"max_age,omitempty"`
	Import      string            `json:"import,omitempty"` // an existing secret
	Settings    map[string]string `json:"settings,omitempty"`
}

// Rotation asks for a successor.
type Rotation struct {
	Kind    string        `json:"kind,omitempty"` // empty: the only kind that has the id
	ID      string        `json:"id"`
	Overlap time.Duration `json:"overlap"` // in nanoseconds
}

// Revoke ends one thing: a credential by its id, all credentials of a client, or
// tokens of an issuer.
type Revoke struct {
	ID      string `json:"id,omitempty"`
	Kind    string `json:"kind,omitempty"` // of the credential; empty: of whatever kind has the id
	Only    bool   `json:"only,omitempty"` // of a certificate: without its renewals
	Client  string `json:"client,omitempty"`
	Issuer  string `json:"issuer,omitempty"`
	TokenID string `json:"token_id,omitempty"`
	Subject string `json:"subject,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Made is a credential that was made. Secret is shown this once.
type Made struct {
	Credential client.Credential `json:"credential"`
	Secret     string            `json:"secret,omitempty"`
}

// Owner is a client with its credentials.
type Owner struct {
	Client      client.Client       `json:"client"`
	Credentials []client.Credential `json:"credentials"`

	Registration *Registration `json:"registration,omitempty"` // at the authorization server; nil: none
}

// Done says in words what is different now.
type Done struct {
	Change string `json:"change"`
}

func (s *Service) clients(r *http.Request) (any, error) {
	clients, err := s.Registry.Clients(r.Context())
	if clients == nil {
		clients = []client.Client{}
	}
	return clients, err
}

func (s *Service) client(r *http.Request) (any, error) {
	c, err := s.Registry.Client(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	credentials, err := s.Registry.Credentials(r.Context(), c.ID, "")
	if credentials == nil {
		credentials = []client.Credential{}
	}
	if err != nil {
		return nil, err
	}
	registered, err := s.registrationIn(r.Context(), credentials)
	return Owner{c, credentials, registered}, err
}

func (s *Service) createClient(r *http.Request) (any, client.Change, error) {
	var n NewClient
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.CreateClient(r.Context(), client.Client{
		ID: n.ID, Tenant: n.Tenant, Contact: n.Contact, Scopes: n.Scopes, Attributes: n.Attributes,
	})
	if err != nil {
		return nil, client.Change{Action: "client.create", Target: n.ID}, err
	}
	c, err := s.Registry.Client(r.Context(), n.ID)
	return c, change, err
}

// ClientUpdate changes a client; what is nil stays as it is.
type ClientUpdate struct {
	Scopes  []string `json:"scopes"`
	Tenant  *string  `json:"tenant,omitempty"`
	Contact *string  `json:"contact,omitempty"`
}

func (s *Service) updateClient(r *http.Request) (any, client.Change, error) {
	var u ClientUpdate
	if err := decode(r, &u); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.UpdateClient(r.Context(), r.PathValue("id"), "update", func(c *client.Client) error {
		if u.Scopes != nil {
			c.Scopes = u.Scopes
		}
		if u.Tenant != nil {
			c.Tenant = *u.Tenant
		}
		if u.Contact != nil {
			c.Contact = *u.Contact
		}
		return nil
	})
	return Done{change.Text}, change, err
}

func (s *Service) disableClient(r *http.Request) (any, client.Change, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.DisableClient(r.Context(), r.PathValue("id"))
	return Done{change.Text}, change, err
}

func (s *Service) enableClient(r *http.Request) (any, client.Change, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.EnableClient(r.Context(), r.PathValue("id"))
	return Done{change.Text}, change, err
}

func (s *Service) credentials(r *http.Request) (any, error) {
	q := r.URL.Query()
	if id := q.Get("client"); id != "" {
		if _, err := s.Registry.Client(r.Context(), id); err != nil {
			return nil, err
		}
	}
	found, err := s.Registry.Credentials(r.Context(), q.Get("client"), q.Get("kind"))
	if found == nil {
		found = []client.Credential{}
	}
	return found, err
}

func (s *Service) createCredential(r *http.Request) (any, client.Change, error) {
	var n NewCredential
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change := client.Change{Action: "credential.create", Target: n.Client}
	if n.Import != "" {
		change.Action = "credential.import"
	}
	if _, err := s.Registry.Client(r.Context(), n.Client); err != nil {
		return nil, change, err // before the kind is asked: the name is what is most often wrong
	}
	issued, settings, err := s.issue(n.Kind, shield.IssueRequest{
		Client: n.Client, Environment: n.Environment, Import: n.Import, Settings: n.Settings,
	})
	if err != nil {
		return nil, change, err
	}
	c := client.Credential{
		Kind: n.Kind, Client: n.Client, Environment: n.Environment, Scopes: n.Scopes, Networks: n.Networks,
		WarnAfter: n.WarnAfter, MaxAge: n.MaxAge, Settings: settings,
	}
	if n.Expires < 0 {
		return nil, change, fmt.Errorf("it would expire %s ago", -n.Expires)
	}
	if n.Expires > 0 {
		c.Expires = s.Env.Now().UTC().Add(n.Expires)
	}
	kept, done, err := s.Registry.AddCredential(r.Context(), c, issued)
	if err != nil {
		return nil, change, err
	}
	done.Action = change.Action
	made := Made{Credential: kept, Secret: issued.Secret}
	if n.Import != "" {
		made.Secret = "" // whoever imported it has it
	}
	return made, done, nil
}

// issue has a kind make a credential. The settings that come back are those that
// the shield reads out of the record.
func (s *Service) issue(kind string, req shield.IssueRequest) (shield.Issued, map[string]string, error) {
	k, err := s.kind(kind)
	if err != nil {
		return shield.Issued{}, nil, err
	}
	if k.Issue == nil {
		return shield.Issued{}, nil, fmt.Errorf("a shield of kind %s has no credentials to give out", kind)
	}
	settings := map[string]string{}
	maps.Copy(settings, req.Settings)
	if _, ok := settings["environment"]; ok {
		return shield.Issued{}, nil, fmt.Errorf("the environment is named by itself, not among the settings")
	}
	issued, err := k.Issue(s.Env, req)
	if err != nil {
		return shield.Issued{}, nil, err
	}
	if req.Environment != "" {
		settings["environment"] = req.Environment
	}
	return issued, settings, nil
}

func (s *Service) rotate(r *http.Request) (any, client.Change, error) {
	var n Rotation
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change := client.Change{Action: "credential.rotate", Target: n.ID}
	old, err := s.find(r, n.Kind, n.ID)
	if err != nil {
		return nil, change, err
	}
	settings := maps.Clone(old.Settings)
	delete(settings, "environment")
	issued, _, err := s.issue(old.Kind, shield.IssueRequest{Client: old.Client, Environment: old.Environment, Settings: settings})
	if err != nil {
		return nil, change, err
	}
	if issued.Keep == shield.KeepNothing {
		return nil, change, fmt.Errorf("%s credential %s has no secret of ours to rotate; its authority renews it", old.Kind, old.ID)
	}
	fresh, done, err := s.Registry.Rotate(r.Context(), old.Kind, old.ID, issued, n.Overlap)
	if err != nil {
		return nil, change, err
	}
	return Made{Credential: fresh, Secret: issued.Secret}, done, nil
}

// find returns the credential with this id, of the kind if one is named.
func (s *Service) find(r *http.Request, kind, id string) (client.Credential, error) {
	known, err := s.Registry.Credentials(r.Context(), "", kind)
	if err != nil {
		return client.Credential{}, err
	}
	var found []client.Credential
	for _, c := range known {
		if c.ID == id {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return client.Credential{}, fmt.Errorf("credential %.80q: %w", id, client.ErrMissing)
	}
	return client.Credential{}, fmt.Errorf("credentials of several kinds have the id %.80q: name the kind", id)
}

func (s *Service) revoke(r *http.Request) (any, client.Change, error) {
	var n Revoke
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	var change client.Change
	var err error
	switch {
	case n.Only && !strings.HasPrefix(n.ID, client.CertificatePrefix):
		return nil, change, problem(http.StatusBadRequest, "malformed", "only certificates have renewals")
	case n.Kind != "" && n.ID == "":
		return nil, change, problem(http.StatusBadRequest, "malformed", "a kind is that of the credential with an id")
	case strings.HasPrefix(n.ID, client.CertificatePrefix) && (n.Kind == "" || n.Kind == client.CertificateKind) && !n.Only && n.Client == "" && n.Issuer == "":
		change, err = s.Registry.RevokeWithRenewals(r.Context(), n.ID, n.Reason)
	case n.ID != "" && n.Kind != "" && n.Client == "" && n.Issuer == "":
		change, err = s.Registry.RevokeKind(r.Context(), n.Kind, n.ID, n.Reason)
	case n.ID != "" && n.Client == "" && n.Issuer == "":
		change, err = s.Registry.Revoke(r.Context(), n.ID, n.Reason)
	case n.Client != "" && n.ID == "" && n.Issuer == "":
		change, err = s.Registry.RevokeClient(r.Context(), n.Client, n.Reason)
	case n.Issuer != "" && n.ID == "" && n.Client == "":
		change, err = s.Registry.RevokeTokens(r.Context(), client.Revocation{
			Issuer: n.Issuer, TokenID: n.TokenID, Subject: n.Subject, Reason: n.Reason,
		})
	default:
		return nil, change, problem(http.StatusBadRequest, "malformed", "name one: id, client, or issuer with token_id or subject")
	}
	return Done{change.Text}, change, err
}
