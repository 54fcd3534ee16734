package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// metadata is what a server says of itself (RFC 8414 §2), as far as callers need it.
type metadata struct {
	endpoints  map[string]string // by the names below; https, checked
	ways       []string          // token_endpoint_auth_methods_supported
	algorithms []string          // token_endpoint_auth_signing_alg_values_supported
	names      bool              // authorization_response_iss_parameter_supported (RFC 9207)
}

// Names of endpoints.
const (
	tokenEndpoint     = "token_endpoint"
	authorizeEndpoint = "authorization_endpoint"
	pushEndpoint      = "pushed_authorization_request_endpoint"
	deviceEndpoint    = "device_authorization_endpoint"
	revokeEndpoint    = "revocation_endpoint"
)

// errIssuer ends the search: somebody else answered.
var errIssuer = errors.New("it names another issuer; issuer must equal it byte for byte, a slash at the end included")

// metadata asks the server once.
func (c *Client) metadata(ctx context.Context) (*metadata, error) {
	c.mu.Lock()
	found := c.meta
	c.mu.Unlock()
	if found != nil {
		return found, nil
	}
	found, err := c.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s what it can do: %w", c.settings.Issuer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meta = found
	return found, nil
}

// discover tries RFC 8414 §3.1, then OpenID Connect Discovery 1.0 §4.
func (c *Client) discover(ctx context.Context) (*metadata, error) {
	var all error
	for _, address := range wellKnown(c.settings.Issuer) {
		found, err := c.describe(ctx, address)
		if err == nil || errors.Is(err, errIssuer) || ctx.Err() != nil {
			return found, err
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

func wellKnown(issuer string) []string {
	u, _ := url.Parse(issuer) // checked by New
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	return []string{
		u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + path,
		strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration",
	}
}

func (c *Client) describe(ctx context.Context, address string) (*metadata, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	a, err := c.do(r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", address, a.status)
	}
	found, err := c.read(a.object)
	if err != nil {
		return nil, fmt.Errorf("metadata at %s: %w", address, err)
	}
	return found, nil
}

func (c *Client) read(document map[string]any) (*metadata, error) {
	if document["issuer"] != c.settings.Issuer {
		return nil, errIssuer
	}
	m := &metadata{endpoints: map[string]string{}}
	aliases, _ := document["mtls_endpoint_aliases"].(map[string]any)
	for _, name := range []string{tokenEndpoint, authorizeEndpoint, pushEndpoint, deviceEndpoint, revokeEndpoint} {
		address, ok := document[name].(string)
		if alias, is := aliases[name].(string); is && c.settings.Certificate != nil && name != authorizeEndpoint {
			address, ok = alias, true // RFC 8705 §5
		}
		if !ok {
			continue
		}
		if _, err := secure(address); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.endpoints[name] = address
	}
	m.ways = words(document["token_endpoint_auth_methods_supported"])
	m.algorithms = words(document["token_endpoint_auth_signing_alg_values_supported"])
	m.names = document["authorization_response_iss_parameter_supported"] == true
	return m, nil
}

// endpoint returns an address, or says what the server lacks.
func (m *metadata) endpoint(name string) (string, error) {
	if address := m.endpoints[name]; address != "" {
		return address, nil
	}
	return "", fmt.Errorf("the authorization server has no %s", name)
}

func words(value any) []string {
	list, _ := value.([]any)
	var all []string
	for _, one := range list {
		if word, ok := one.(string); ok {
			all = append(all, word)
		}
	}
	return all
}
