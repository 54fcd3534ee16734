package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Client is an application that is registered.
type Client struct {
	ID, Name, Contact, PolicyURI string

	Auth   string                   // how it proves who it is: none, client_secret_basic, …
	Verify func(secret string) bool // compares in constant time; for client_secret_…
	JWKS   []byte                   // its public keys, for private_key_jwt and self_signed_tls_client_auth
	// A name of its certificate, for tls_client_auth (RFC 8705 §2.1.2): one of them.
	SubjectDN, SubjectDNS string

	Grants     []string // grant types that it may use
	Redirects  []string // exact
	PostLogout []string // where people may be sent after signing out, exact
	Native     bool     // a loopback redirect may have any port (RFC 8252 §7.3)
	Scopes     []string // that it can be granted
	APIs       []string // that it serves: it may introspect and exchange tokens for them

	Opaque     bool // its access tokens are references
	DPoP       bool // its tokens are bound to a key
	Bound      bool // its tokens are bound to its certificate
	Pushed     bool // it must push its requests
	Unreviewed bool // it registered itself
}

// Grant types.
const (
	ClientCredentials = "client_credentials"
	AuthorizationCode = "authorization_code"
	RefreshToken      = "refresh_token"
	DeviceCode        = string(goidc.GrantDeviceCode)
	TokenExchange     = string(goidc.GrantTokenExchange)
)

// Ways in which a client proves who it is.
const (
	AuthNone       = "none"
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthKey        = "private_key_jwt"
	AuthTLS        = "tls_client_auth"
	AuthSelfSigned = "self_signed_tls_client_auth"
)

// clientManager finds clients for the library. Nothing is registered through it.
type clientManager struct{ server *Server }

var errReadOnly = errors.New("clients are not registered this way")

func (clientManager) SaveClient(context.Context, *goidc.Client) error { return errReadOnly }
func (clientManager) DeleteClient(context.Context, string) error      { return errReadOnly }

// Client implements goidc.DCRManager. What was decided for the client that a request names
// (its tries, its certificate, the space of its assertions) holds for no other: if the
// library reads another name in the same request, there is none.
func (m clientManager) Client(ctx context.Context, id string) (*goidc.Client, error) {
	if c := callOf(ctx); c != nil && c.identified && c.client != id {
		return nil, verdict{&Fault{
			Status: http.StatusUnauthorized, Code: "invalid_client", Description: "invalid client", Detail: "the request names two clients",
		}}
	}
	known, err := m.server.client(ctx, id)
	if errors.Is(err, ErrNoClient) {
		return nil, goidc.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return m.server.forLibrary(known)
}

func (s *Server) client(ctx context.Context, id string) (*Client, error) {
	c := callOf(ctx)
	if c == nil {
		return nil, ErrNoClient
	}
	known, err := s.options.Clients.Client(ctx, id, c.from)
	if err != nil && !errors.Is(err, ErrNoClient) {
		return nil, away(ctx, err)
	}
	return known, err
}

// forLibrary says in the library's words what is registered.
func (s *Server) forLibrary(known *Client) (*goidc.Client, error) {
	_, algorithm, _ := s.options.Keys.Current()
	c := &goidc.Client{ID: known.ID, Secret: known.ID} // verifySecret looks the secret up by the id
	c.Name, c.PolicyURI, c.RedirectURIs = known.Name, known.PolicyURI, anyPort(known)
	c.TokenAuthnMethod = goidc.AuthnMethod(known.Auth)
	c.ScopeIDs = strings.Join(s.grantable(known), " ")
	c.IDTokenSigAlg = goidc.SignatureAlgorithm(algorithm)
	c.DPoPTokenBindingIsRequired, c.TLSTokenBindingIsRequired, c.PARIsRequired = known.DPoP, known.Bound, known.Pushed
	c.TLSSubjectDistinguishedName, c.TLSSubjectAlternativeName = known.SubjectDN, known.SubjectDNS
	c.ApplicationType = goidc.ApplicationTypeWeb
	if known.Native {
		c.ApplicationType = goidc.ApplicationTypeNative
	}
	for _, grant := range known.Grants {
		c.GrantTypes = append(c.GrantTypes, goidc.GrantType(grant))
	}
	if slices.Contains(known.Grants, AuthorizationCode) {
		c.ResponseTypes = []goidc.ResponseType{goidc.ResponseTypeCode}
	}
	if len(known.JWKS) == 0 {
		return c, nil
	}
	c.JWKS = &goidc.JSONWebKeySet{}
	if err := json.Unmarshal(known.JWKS, c.JWKS); err != nil {
		return nil, fmt.Errorf("keys of client %s: %w", known.ID, err)
	}
	return c, nil
}

// isRegistered reports whether people may be sent back to an address: one that stands in
// the registration, byte for byte (RFC 9700 §4.1.3), or for a program on people's machines
// a registered loopback address with another port (RFC 8252 §7.3). The library compares
// what it has read, to which several texts can lead.
func (c *Client) isRegistered(redirect string) bool {
	if slices.Contains(c.Redirects, redirect) {
		return true
	}
	plain, ok := withoutPort(redirect)
	return c.Native && ok && slices.ContainsFunc(c.Redirects, func(known string) bool {
		other, loopback := withoutPort(known)
		return loopback && other == plain
	})
}

// withoutPort is a loopback address without its port, and otherwise as it is written; false
// if it is none.
func withoutPort(redirect string) (string, bool) {
	rest, ok := strings.CutPrefix(redirect, "http://")
	end := strings.IndexAny(rest, "/?#")
	if !ok || end < 0 {
		end = len(rest)
	}
	host, port := rest[:end], ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host, port = host[:i], host[i+1:]
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if !ok || err != nil || !addr.IsLoopback() || addr.Is6() != strings.HasPrefix(host, "[") || strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	return "http://" + host + rest[end:], true
}

// anyPort are a client's redirect addresses as the library compares them: loopback ones of
// programs on people's machines without a port, whichever they are registered with (RFC
// 8252 §7.3).
func anyPort(known *Client) []string {
	if !known.Native {
		return known.Redirects
	}
	all := slices.Clone(known.Redirects)
	for i, redirect := range all {
		u, err := url.Parse(redirect)
		if err != nil || u.Scheme != "http" || u.Port() == "" {
			continue
		}
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
		all[i] = u.String()
	}
	return all
}

// grantable are the scopes that a client can be granted: its own, and those of OpenID
// Connect where people sign in for it.
func (s *Server) grantable(known *Client) []string {
	scopes := slices.Clone(known.Scopes)
	if slices.Contains(known.Grants, AuthorizationCode) || slices.Contains(known.Grants, DeviceCode) {
		scopes = append(scopes, "openid", "profile", "email")
	}
	if slices.Contains(known.Grants, RefreshToken) {
		scopes = append(scopes, "offline_access")
	}
	return scopes
}

// verifySecret compares what was presented with what is kept as a keyed hash.
func (s *Server) verifySecret(ctx context.Context, id, presented string) error {
	known, err := s.client(ctx, id)
	if err != nil {
		return err
	}
	if known.Verify == nil || !known.Verify(presented) {
		return errors.New("the client's secret is wrong")
	}
	if c := callOf(ctx); c != nil && s.options.Tries != nil {
		s.options.Tries.Right(id, c.from)
	}
	return nil
}

// redirectHost is shown to the person who is asked.
func redirectHost(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Host
}

// isFor reports whether the request is for an endpoint.
func isFor(r *http.Request, endpoint string) bool { return r.URL.Path == endpoint }
