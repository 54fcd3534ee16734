package shield

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise/internal/secret"
)

// Client owns credentials: an application, service, partner or device.
type Client struct {
	ID         string
	Tenant     string
	Contact    string // a person to ask
	Scopes     Scopes
	Attributes map[string]any
	Disabled   bool
}

// Record is what the gateway knows of one credential. It comes out of a
// [Lookup], is shared between requests, and must not be changed.
type Record struct {
	Kind, ID   string
	Client     *Client
	Scopes     Scopes // within those of the client
	Attributes map[string]any
	Networks   Networks
	Created    time.Time
	NotBefore  time.Time
	Expires    time.Time     // zero: never
	Revoked    time.Time     // zero: not revoked
	WarnAfter  time.Duration // age from which uses are marked "credential_old"; 0: never
	Settings   map[string]string

	match     func([]byte) bool
	secret    secret.Value
	withdrawn func() bool
}

// Keep returns the record with its secret half: match compares material with the
// keyed hash in constant time (nil: nothing matches), sealed is the secret that
// can be read back (nil: none), withdrawn reports whether the credential has
// meanwhile been revoked or has ended (nil: it cannot be).
func (r Record) Keep(match func([]byte) bool, sealed []byte, withdrawn func() bool) *Record {
	r.match, r.secret, r.withdrawn = match, secret.New(sealed), withdrawn
	return &r
}

// Match reports, in constant time, whether material is the secret kept as a hash.
func (r *Record) Match(material []byte) bool { return r.match != nil && r.match(material) }

// Secret returns the secret that was kept sealed; it must not be changed.
func (r *Record) Secret() []byte { return r.secret.Reveal() }

// Format prints the record without its secret, whatever the verb.
func (r *Record) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s %s", r.Kind, r.ID)
}

// Usable refuses a proved credential that may not be used now and from addr.
// Call it only after the caller proved that he holds the secret.
func (r *Record) Usable(now time.Time, req *http.Request) error {
	if err := r.InForce(now); err != nil {
		return err
	}
	if len(r.Networks) > 0 && !r.Networks.Allow(RemoteAddr(req)) {
		return r.refuse(ForbiddenNetwork, "address %s is not in the credential's networks", RemoteAddr(req))
	}
	return nil
}

// InForce is Usable wherever the caller is: for a credential that is not the caller's own.
func (r *Record) InForce(now time.Time) error {
	refuse := r.refuse
	switch {
	case r.Client == nil:
		return refuse(DisabledClient, "credential %s has no client", r.ID)
	case !r.Revoked.IsZero():
		return refuse(RevokedCredential, "revoked at %s", r.Revoked.UTC().Format(time.RFC3339))
	case now.Before(r.NotBefore):
		return refuse(ExpiredCredential, "not valid before %s", r.NotBefore.UTC().Format(time.RFC3339))
	case !r.Expires.IsZero() && !now.Before(r.Expires):
		return refuse(ExpiredCredential, "expired at %s", r.Expires.UTC().Format(time.RFC3339))
	case r.Client.Disabled:
		return refuse(DisabledClient, "client %s is disabled", r.Client.ID)
	}
	return nil
}

func (r *Record) refuse(code Code, format string, args ...any) error {
	client := ""
	if r.Client != nil {
		client = r.Client.ID
	}
	return Refuse(code, format, args...).Of(r.ID, client, true)
}

// Identity returns what the record proves; the kind fills in the rest.
func (r *Record) Identity(now time.Time) *Identity {
	id := &Identity{
		Shield: r.Kind, CredentialID: r.ID, Issuer: "pavise", Subject: r.Client.ID,
		Client: r.Client.ID, Tenant: r.Client.Tenant, Scopes: r.Scopes,
		Attributes: r.Attributes, Expires: r.Expires, Revocation: r.withdrawn,
	}
	if r.WarnAfter > 0 && now.Sub(r.Created) > r.WarnAfter {
		id.Warnings = []string{"credential_old"}
	}
	return id
}

// RemoteAddr returns the caller's address; the zero Addr if it cannot be read.
func RemoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
