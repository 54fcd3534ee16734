package client

import (
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// Tables of the store.
const (
	tableClient     = "client"
	tableCredential = "credential"
	tableRevocation = "revocation"
	tableKey        = "key"
	tableUsage      = "usage"
)

// Client is an application, service, partner or device that may call.
type Client struct {
	ID         string         `json:"id"`
	Tenant     string         `json:"tenant,omitempty"`
	Contact    string         `json:"contact,omitempty"` // a person to ask
	Scopes     shield.Scopes  `json:"scopes,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Disabled   bool           `json:"disabled,omitempty"`
	Created    time.Time      `json:"created"`
}

// Credential is what a client holds, without its secret.
type Credential struct {
	Kind        string            `json:"kind"`
	ID          string            `json:"id"`
	Client      string            `json:"client"`
	Environment string            `json:"environment,omitempty"`
	Scopes      shield.Scopes     `json:"scopes,omitempty"` // within the client's; empty: all of them
	Networks    []netip.Prefix    `json:"networks,omitempty"`
	Created     time.Time         `json:"created"`
	NotBefore   time.Time         `json:"not_before,omitzero"`
	Expires     time.Time         `json:"expires,omitzero"`
	WarnAfter   time.Duration     `json:"warn_after,omitempty"` // age from which its use is marked
	Revoked     time.Time         `json:"revoked,omitzero"`
	Reason      string            `json:"reason,omitempty"` // why it was revoked
	Replaces    string            `json:"replaces,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	LastUsed    time.Time         `json:"last_used,omitzero"` // kept apart, filled in when listed
}

// stored is a credential as its row holds it.
type stored struct {
	Credential
	Hash   *seal.Digest `json:"hash,omitempty"`
	Sealed []byte       `json:"sealed,omitempty"`
}

// Revocation ends tokens of an issuer before their time.
type Revocation struct {
	Issuer  string    `json:"issuer"`
	TokenID string    `json:"token_id,omitempty"` // either this token …
	Subject string    `json:"subject,omitempty"`  // … or every token of this subject …
	Since   time.Time `json:"since"`              // … issued at or before this moment
	Reason  string    `json:"reason,omitempty"`
}

// Change describes an administrative act for the event log.
type Change struct {
	Action string // "client.create", "credential.revoke", …
	Target string
	Text   string // what is different now; never a secret
}

var (
	clientID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	scopeRE  = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,128}$`) // scope-token, RFC 6749 §3.3
)

const (
	maxScopes   = 256
	maxText     = 256
	maxNetworks = 256
	maxSettings = 64
)

// Validate refuses what no client may be.
func (c *Client) Validate() error {
	switch {
	case !clientID.MatchString(c.ID):
		return fmt.Errorf("client id %q: want 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit", c.ID)
	case len(c.Tenant) > maxText || len(c.Contact) > maxText:
		return fmt.Errorf("client %s: tenant and contact have at most %d characters", c.ID, maxText)
	case len(c.Attributes) > maxSettings:
		return fmt.Errorf("client %s: at most %d attributes", c.ID, maxSettings)
	}
	return checkScopes(c.Scopes)
}

func checkScopes(scopes shield.Scopes) error {
	if len(scopes) > maxScopes {
		return fmt.Errorf("%d scopes, at most %d", len(scopes), maxScopes)
	}
	for _, scope := range scopes {
		if !scopeRE.MatchString(scope) {
			return fmt.Errorf("scope %q: want 1 to 128 visible characters without quote and backslash", scope)
		}
	}
	return nil
}

// validate refuses what no credential of its client may be.
func (c *Credential) validate(owner *Client) error {
	if err := checkScopes(c.Scopes); err != nil {
		return err
	}
	for _, scope := range c.Scopes {
		if !owner.Scopes.Has(scope) {
			return fmt.Errorf("scope %q is not one of client %s, which has %v; give it to the client first", scope, owner.ID, owner.Scopes)
		}
	}
	switch {
	case len(c.Networks) > maxNetworks:
		return fmt.Errorf("%d networks, at most %d", len(c.Networks), maxNetworks)
	case len(c.Settings) > maxSettings:
		return fmt.Errorf("%d settings, at most %d", len(c.Settings), maxSettings)
	case !c.Expires.IsZero() && !c.Expires.After(c.Created):
		return fmt.Errorf("it would have expired at %s, before it begins", c.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}
