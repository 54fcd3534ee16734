package protocol

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// What a person was asked about and allowed is the ceiling of all that is issued under the
// grant: its scopes, and the APIs that the page named. Both are kept with the grant, and
// empty means nothing. The library takes an empty list for "no limit", so what a request
// asks for is held against the ceiling before the library sees the grant.

// apisKey is where a session and its grant carry the names of the APIs, between spaces.
const apisKey = "apis"

// reach are the APIs that tokens under a grant may be for. A client that acts for itself
// may ask for a token for any: what it may do there is a matter of its scopes.
func (s *Server) reach(g *goidc.Grant) []API {
	if g.Subject == g.ClientID {
		return s.options.APIs
	}
	names, _ := g.Store[apisKey].(string)
	return slices.DeleteFunc(slices.Clone(s.options.APIs), func(api API) bool { return !isWord(names, api.Name) })
}

// namesOf are the names of APIs, each once: an API has an entry for each of its resources.
func namesOf(apis []API) []string {
	names := make([]string, 0, len(apis))
	for _, api := range apis {
		if !slices.Contains(names, api.Name) {
			names = append(names, api.Name)
		}
	}
	return names
}

// within refuses what a client asks for at the token endpoint beyond its grant: scopes (RFC
// 6749 §6) and resources (RFC 8707 §2). Whoever presents what is another client's is the
// library's business.
func (s *Server) within(ctx context.Context, g *goidc.Grant) error {
	c := callOf(ctx)
	if c == nil || !isFor(c.request, pathToken) || c.client != g.ClientID || g.RevokedAt != 0 {
		return nil
	}
	for _, scope := range strings.Fields(c.request.PostForm.Get("scope")) {
		if !isWord(g.Scopes, scope) {
			return beyond("invalid_scope", "scope %q is not of the grant", scope)
		}
	}
	reach := s.reach(g)
	for _, resource := range c.request.PostForm["resource"] {
		if !slices.ContainsFunc(reach, func(api API) bool { return api.is(resource) }) {
			return beyond("invalid_target", "resource %q is not of the grant", resource)
		}
	}
	return nil
}

func beyond(code, format string, args ...any) error {
	f := refuse(http.StatusBadRequest, code, "more than was allowed is asked for")
	f.Detail = fmt.Sprintf(format, args...)
	return verdict{f}
}

// is reports whether a name of a request means the API.
func (a API) is(name string) bool { return name != "" && (name == a.Name || name == a.Resource) }
