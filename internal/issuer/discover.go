package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Members of an issuer's metadata that name addresses.
const (
	keysMember       = "jwks_uri"
	introspectMember = "introspection_endpoint"
)

// discover finds an address in an issuer's metadata: that of OpenID Connect Discovery
// 1.0 §4 first, that of RFC 8414 §3 otherwise. Either must name exactly the issuer that
// was asked for.
func discover(ctx context.Context, fetch shield.Fetcher, issuer, member string) (string, error) {
	var all error
	for _, address := range metadataAddresses(issuer) {
		document, _, err := fetch.Get(ctx, address, MaxDocument)
		if err == nil {
			var found string
			if found, err = memberOf(document, issuer, member); err == nil {
				return found, nil
			}
			err = fmt.Errorf("metadata at %s: %w", address, err)
		}
		all = errors.Join(all, err)
	}
	return "", all
}

func metadataAddresses(issuer string) []string {
	openID := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	u, err := url.Parse(issuer)
	if err != nil {
		return []string{openID}
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	return []string{openID, u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + path}
}

func memberOf(document []byte, issuer, member string) (string, error) {
	metadata, err := strictjson.Object(document)
	if err != nil {
		return "", err
	}
	if metadata["issuer"] != issuer {
		return "", errors.New("it names another issuer; url must equal it byte for byte, a slash at the end included")
	}
	address, ok := metadata[member].(string)
	if !ok || address == "" {
		return "", fmt.Errorf("it names no %s", member)
	}
	return address, nil
}
