// Package registration is what the authorization server knows of a client: how it proves
// who it is, what it may ask for, and where its answers go.
//
// A registration is a credential of kind "oauth" of a client, made like any other:
//
//	pavise key create --kind oauth --client report --set grants=client_credentials
//	pavise key create --kind oauth --client app --set auth=none --set redirects=https://app.example.com/callback
//
// Its id is the client's own, so that a client has one registration, and "client_id" in
// tokens and events is the name that everything else has. A secret is kept as a keyed
// hash; keys and names of certificates are public.
package registration

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/shield"
)

// KindName is the kind of credentials that are registrations.
const KindName = "oauth"

// Kind says how registrations are made. It is no shield: no request carries one.
func Kind() shield.Kind {
	return shield.Kind{Name: KindName, Summary: "a registration at the authorization server", Issue: issue}
}

const secretPrefix = "pvscs_"

// settings are the names of what a registration holds; lists are separated by spaces.
func settings() []string {
	return []string{
		"auth", "grants", "redirects", "post_logout_redirects", "name", "policy", "native", "serves", "tokens", "dpop", "certificate_bound", "pushed", "jwks",
		"subject_dn", "subject_dns", "unreviewed",
	}
}

// issue checks a registration and makes its secret, if it has one.
func issue(env shield.Env, req shield.IssueRequest) (shield.Issued, error) {
	if req.Import != "" {
		return shield.Issued{}, errors.New("a registration's secret is made here; there is nothing to import")
	}
	for name := range req.Settings {
		if !slices.Contains(settings(), name) {
			return shield.Issued{}, fault(name, "setting %q is none; there are %s", name, strings.Join(settings(), ", "))
		}
	}
	c, err := read(req.Client, req.Settings)
	if err != nil {
		return shield.Issued{}, err
	}
	if err := check(c); err != nil {
		return shield.Issued{}, err
	}
	if c.Auth != protocol.AuthBasic && c.Auth != protocol.AuthPost {
		return shield.Issued{ID: req.Client, Keep: shield.KeepNothing}, nil
	}
	secret, err := newSecret(env.Rand)
	if err != nil {
		return shield.Issued{}, err
	}
	return shield.Issued{ID: req.Client, Secret: secret, Material: []byte(secret), Keep: shield.KeepHash}, nil
}

func newSecret(random io.Reader) (string, error) {
	text, err := Random(random)
	return secretPrefix + text, err
}

// read takes a registration out of its settings.
func read(id string, s map[string]string) (*protocol.Client, error) {
	c := &protocol.Client{
		ID: id, Name: s["name"], PolicyURI: s["policy"], Auth: s["auth"],
		Grants: strings.Fields(s["grants"]), Redirects: strings.Fields(s["redirects"]), PostLogout: strings.Fields(s["post_logout_redirects"]), APIs: strings.Fields(s["serves"]),
		SubjectDN: s["subject_dn"], SubjectDNS: s["subject_dns"],
	}
	if c.Name == "" {
		c.Name = id
	}
	if c.Auth == "" {
		c.Auth = protocol.AuthBasic
	}
	if len(c.Grants) == 0 && len(c.Redirects) > 0 {
		c.Grants = []string{protocol.AuthorizationCode, protocol.RefreshToken}
	}
	if len(c.Grants) == 0 {
		c.Grants = []string{protocol.ClientCredentials}
	}
	for i, grant := range c.Grants {
		if long, ok := shortGrants()[grant]; ok {
			c.Grants[i] = long
		}
	}
	var err error
	for name, into := range map[string]*bool{"native": &c.Native, "dpop": &c.DPoP, "certificate_bound": &c.Bound, "pushed": &c.Pushed, "unreviewed": &c.Unreviewed} {
		if *into, err = yes(name, s[name]); err != nil {
			return nil, err
		}
	}
	switch s["tokens"] {
	case "", "jwt":
	case "opaque":
		c.Opaque = true
	default:
		return nil, fault("tokens", "setting tokens is %q: want jwt or opaque", s["tokens"])
	}
	if s["jwks"] != "" {
		c.JWKS = []byte(s["jwks"])
	}
	return c, nil
}

// shortGrants are names that are shorter to write than the registered ones.
func shortGrants() map[string]string {
	return map[string]string{"device_code": protocol.DeviceCode, "token_exchange": protocol.TokenExchange}
}

func yes(name, text string) (bool, error) {
	switch text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, fault(name, "setting %s is %q: want true or false", name, text)
}

// check refuses what cannot work or would not be safe.
func check(c *protocol.Client) error {
	known := []string{protocol.ClientCredentials, protocol.AuthorizationCode, protocol.RefreshToken, protocol.DeviceCode, protocol.TokenExchange}
	for _, grant := range c.Grants {
		if !slices.Contains(known, grant) {
			return fault("grants", "grant type %q is none; there are client_credentials, authorization_code, refresh_token, device_code and token_exchange", grant)
		}
	}
	uses := func(grant string) bool { return slices.Contains(c.Grants, grant) }
	switch {
	case uses(protocol.AuthorizationCode) && len(c.Redirects) == 0:
		return fault("redirects", "a client that signs in people needs redirects: the exact addresses to which they are sent back")
	case !uses(protocol.AuthorizationCode) && len(c.Redirects) > 0:
		return fault("redirects", "redirects are for clients with the grant authorization_code")
	case c.Auth == protocol.AuthNone && (uses(protocol.ClientCredentials) || uses(protocol.TokenExchange)):
		return fault("grants", "a client that proves nothing (auth=none) gets tokens only with a person: not by client_credentials or token_exchange")
	}
	for _, redirect := range c.Redirects {
		if err := checkRedirect("redirects", redirect, c.Native); err != nil {
			return err
		}
	}
	if len(c.PostLogout) > 0 && !uses(protocol.AuthorizationCode) {
		return fault("post_logout_redirects", "post_logout_redirects are for clients with the grant authorization_code")
	}
	for _, redirect := range c.PostLogout {
		if err := checkRedirect("post_logout_redirects", redirect, c.Native); err != nil {
			return err
		}
	}
	return checkAuth(c)
}

func checkAuth(c *protocol.Client) error {
	switch c.Auth {
	case protocol.AuthNone, protocol.AuthBasic, protocol.AuthPost:
		return nil
	case protocol.AuthKey, protocol.AuthSelfSigned:
		return checkKeys(c)
	case protocol.AuthTLS:
		if (c.SubjectDN == "") == (c.SubjectDNS == "") {
			return fault("subject_dn", "tls_client_auth needs one of subject_dn and subject_dns (RFC 8705 §2.1.2)")
		}
		return nil
	}
	return fault("auth", "auth %q is none; there are none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth and self_signed_tls_client_auth", c.Auth)
}

// minRSA is the least size of an RSA key, in bits.
const minRSA = 2048

func checkKeys(c *protocol.Client) error {
	var set jose.JSONWebKeySet
	strict := json.NewDecoder(bytes.NewReader(c.JWKS))
	if err := strict.Decode(&set); err != nil || len(set.Keys) == 0 {
		return fault("jwks", "%s needs jwks: a JSON Web Key Set with the client's public keys", c.Auth)
	}
	for _, key := range set.Keys {
		if !key.Valid() || !key.IsPublic() {
			return fault("jwks", "key %q of jwks is no valid public key; never hand out a private one", key.KeyID)
		}
		if key, ok := key.Key.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			return fault("jwks", "an RSA key of jwks has %d bits: want at least %d (RFC 7518 §3.3)", key.N.BitLen(), minRSA)
		}
	}
	return nil
}

// checkRedirect refuses addresses to which no code may be sent (RFC 9700 §2.1, RFC 8252).
func checkRedirect(setting, text string, native bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Fragment != "" || strings.Contains(text, "#") || u.User != nil || strings.ContainsAny(text, "*\\") {
		return fault(setting, "redirect %q: want an exact address without fragment, user or wildcard", text)
	}
	if strings.Contains(u.EscapedPath(), "..") {
		return fault(setting, "redirect %q: want a path without two dots", text)
	}
	switch {
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && native && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fault(setting, "redirect %q: want https; http only for native=true on 127.0.0.1 or [::1] (RFC 8252 §7.3)", text)
	case native && strings.Contains(u.Scheme, ".") && u.Host == "":
		return nil
	}
	return fault(setting, "redirect %q: want https, or for native=true a scheme like com.example.app:/callback (RFC 8252 §7.1)", text)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Clients finds registrations in the snapshot that the request path reads.
type Clients struct {
	Lookup shield.Lookup
	Now    func() time.Time
}

// Client implements protocol.Clients.
func (k Clients) Client(_ context.Context, id string, from netip.Addr) (*protocol.Client, error) {
	record, err := k.Lookup.Credential(KindName, id)
	if errors.Is(err, shield.ErrUnknown) {
		return nil, protocol.ErrNoClient
	}
	if err != nil {
		return nil, fmt.Errorf("look up client: %w", err)
	}
	if !k.stands(record) || !record.Networks.Allow(from) {
		return nil, protocol.ErrNoClient
	}
	c, err := read(id, record.Settings)
	if err != nil {
		return nil, fmt.Errorf("registration of client %s: %w", id, err)
	}
	c.Contact, c.Scopes = record.Client.Contact, record.Scopes
	c.Verify = func(secret string) bool { return record.Match([]byte(secret)) }
	return c, nil
}

// Stands implements protocol.Clients.
func (k Clients) Stands(_ context.Context, id string) (bool, error) {
	record, err := k.Lookup.Credential(KindName, id)
	if errors.Is(err, shield.ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up client: %w", err)
	}
	return k.stands(record), nil
}

// stands reports whether a registration is in force.
func (k Clients) stands(record *shield.Record) bool {
	now := k.Now()
	return record.Client != nil && !record.Client.Disabled && record.Revoked.IsZero() &&
		!now.Before(record.NotBefore) && (record.Expires.IsZero() || now.Before(record.Expires))
}
