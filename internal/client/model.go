package client

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// Tables of the store.
const (
	tableClient     = "client"
	tableCredential = "credential"
	tableRevocation = "revocation"
	tableBlock      = "block"
	tableHold       = "hold"
	tableHash       = "hash"   // keyed hash of a secret → the credential that has it: no secret is taken twice
	tableKey        = "key"    // wrapped data keys
	tableSecret     = "secret" // the installation's own
	tableUsage      = "usage"  // moments of last use
	tableTurn       = "turn"   // who attacks with the clients of `pavise attack`
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
	MaxAge      time.Duration     `json:"max_age,omitempty"`    // age from which it is refused; 0: no bound
	Revoked     time.Time         `json:"revoked,omitzero"`
	Reason      string            `json:"reason,omitempty"` // why it was revoked
	Replaces    string            `json:"replaces,omitempty"`
	ReplacedBy  string            `json:"replaced_by,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	LastUsed    time.Time         `json:"last_used,omitzero"` // kept apart, filled in when listed
}

// End returns the moment from which the credential is refused: the earlier of
// its expiry and its greatest age; zero if there is none.
func (c *Credential) End() time.Time {
	if c.MaxAge == 0 {
		return c.Expires
	}
	if old := c.Created.Add(c.MaxAge); c.Expires.IsZero() || old.Before(c.Expires) {
		return old
	}
	return c.Expires
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
	Until   time.Time `json:"until,omitzero"`     // when every such token has expired, and this may be forgotten; zero: never
	Reason  string    `json:"reason,omitempty"`
}

// Change describes an administrative act for the event log.
type Change struct {
	Action string // "client.create", "credential.revoke", …
	Target string
	Text   string // what is different now; never a secret

	Ended []string // credentials that a revocation has ended: "api_key 7K2Q9M4XWT"
}

var (
	clientID       = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	credentialKind = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	scopeToken     = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,128}$`) // RFC 6749 §3.3
)

// Bounds of what is kept. A row has at most 64 KiB.
const (
	maxScopes   = 256
	maxNetworks = 256
	maxSettings = 64
	maxText     = 256     // bytes of a name, a reason
	maxSetting  = 8 << 10 // bytes of a setting: a client's key set
	maxIssuer   = 2048
	maxAge      = 100 * 365 * 24 * time.Hour
)

// Validate refuses what no client may be.
func (c *Client) Validate() error {
	if !clientID.MatchString(c.ID) {
		return fmt.Errorf("client id %s: want 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit", quote(c.ID))
	}
	if len(c.Attributes) > maxSettings {
		return fmt.Errorf("client %s: %d attributes, at most %d", c.ID, len(c.Attributes), maxSettings)
	}
	texts := map[string]string{"tenant": c.Tenant, "contact": c.Contact}
	for name := range c.Attributes {
		texts["name of attribute "+quote(name)] = name
	}
	if err := checkTexts(texts); err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	if err := checkScopes(c.Scopes); err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	return nil
}

// quote shows a name that may be anything, shortened.
func quote(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// checkTexts refuses texts that are too long, or that a terminal would act on.
func checkTexts(texts map[string]string) error {
	for name, text := range texts {
		if err := checkText(name, text, maxText); err != nil {
			return err
		}
	}
	return nil
}

func checkText(name, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s has %d bytes, at most %d", name, len(text), most)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%s has characters that cannot be printed", name)
	}
	return nil
}

func checkScopes(scopes shield.Scopes) error {
	if len(scopes) > maxScopes {
		return fmt.Errorf("%d scopes, at most %d", len(scopes), maxScopes)
	}
	seen := map[string]bool{}
	for _, scope := range scopes {
		if !scopeToken.MatchString(scope) {
			return fmt.Errorf("scope %s: want 1 to 128 visible characters without quote and backslash", quote(scope))
		}
		if seen[scope] {
			return fmt.Errorf("scope %q stands twice", scope)
		}
		seen[scope] = true
	}
	return nil
}

// Validate refuses what no credential of its client may be.
func (c *Credential) Validate(owner *Client) error {
	if !credentialKind.MatchString(c.Kind) || c.ID == "" {
		return fmt.Errorf("kind %s, id %s: want a kind of a-z, 0-9 and '_', and an id", quote(c.Kind), quote(c.ID))
	}
	if err := checkScopes(c.Scopes); err != nil {
		return err
	}
	if missing := owner.Scopes.Missing(c.Scopes); len(missing) > 0 {
		return fmt.Errorf("scopes %v are not among those of client %s, which has %v; give them to the client first", missing, owner.ID, owner.Scopes)
	}
	texts := map[string]string{"id": c.ID, "environment": c.Environment, "reason": c.Reason, "replaced credential": c.Replaces}
	for name, value := range c.Settings {
		texts["name of setting "+quote(name)] = name
		if err := checkText("setting "+quote(name), value, maxSetting); err != nil {
			return err
		}
	}
	if err := checkTexts(texts); err != nil {
		return err
	}
	if IsTester(c.Client) {
		if err := c.checkTester(); err != nil {
			return err
		}
	}
	return c.checkBounds()
}

func (c *Credential) checkBounds() error {
	switch {
	case len(c.Networks) > maxNetworks:
		return fmt.Errorf("%d networks, at most %d", len(c.Networks), maxNetworks)
	case len(c.Settings) > maxSettings:
		return fmt.Errorf("%d settings, at most %d", len(c.Settings), maxSettings)
	case c.WarnAfter < 0 || c.MaxAge < 0 || c.WarnAfter > maxAge || c.MaxAge > maxAge:
		return fmt.Errorf("ages of %s and %s: want 0 to %s", c.WarnAfter, c.MaxAge, maxAge)
	case c.MaxAge > 0 && c.WarnAfter >= c.MaxAge:
		return fmt.Errorf("its use would be marked after %s, but it is refused after %s already", c.WarnAfter, c.MaxAge)
	case !c.Expires.IsZero() && !c.Expires.After(c.Created):
		return fmt.Errorf("it would have expired at %s, before it begins", c.Expires.UTC().Format(time.RFC3339))
	case !c.Expires.IsZero() && !c.Expires.After(c.NotBefore):
		return fmt.Errorf("it would expire at %s, before it is valid", c.Expires.UTC().Format(time.RFC3339))
	}
	for _, network := range c.Networks {
		if !network.IsValid() || network != network.Masked() {
			return fmt.Errorf("network %s: want a prefix without host bits, such as 192.0.2.0/24", network)
		}
	}
	return nil
}

// Validate refuses what cannot be revoked.
func (v *Revocation) Validate() error {
	switch {
	case v.Issuer == "" || (v.TokenID == "") == (v.Subject == ""):
		return fmt.Errorf("name the issuer, and either a token id or a subject")
	case len(v.Issuer) > maxIssuer || len(v.TokenID) > maxIssuer || len(v.Subject) > maxIssuer:
		return fmt.Errorf("issuer, token id and subject have at most %d bytes each", maxIssuer)
	case !v.Until.IsZero() && v.Until.Before(v.Since):
		return fmt.Errorf("it may not be forgotten at %s, before it begins", v.Until.UTC().Format(time.RFC3339))
	}
	return checkTexts(map[string]string{"reason": v.Reason})
}
