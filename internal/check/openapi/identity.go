package openapi

import (
	"slices"
	"strconv"
	"strings"
)

// schemes looks at the schemes of security, and at the requirements of the document.
func (c *check) schemes() {
	components, _ := c.root["components"].(map[string]any)
	names, in := members(components, "securitySchemes")
	for _, name := range names {
		a, scheme := c.resolve(pointed("").to("components", "securitySchemes", name), in[name])
		c.scheme(a, name, scheme)
	}
	c.requirements(nil, c.root)
}

func (c *check) scheme(a *at, name string, s map[string]any) {
	switch textOf(s, "type") {
	case "apiKey":
		switch textOf(s, "in") {
		case "query":
			c.report("api-key-in-query", a, "the scheme %.80q takes its key from the query", name)
		case "cookie":
			c.report("api-key-in-cookie", a, "the scheme %.80q takes its key from a cookie", name)
		}
	case "http":
		switch scheme := strings.ToLower(textOf(s, "scheme")); scheme {
		case "basic":
			c.report("basic-auth", a, "the scheme %.80q is HTTP Basic", name)
		case "digest", "ntlm", "negotiate", "oauth", "hoba":
			c.report("legacy-http-auth", a, "the scheme %.80q is HTTP %s", name, scheme)
		}
	case "oauth2":
		c.flows(a, name, s)
	case "openIdConnect":
		c.plainURL(a, s, "openIdConnectUrl")
	}
}

func (c *check) flows(a *at, name string, s map[string]any) {
	kinds, flows := members(s, "flows")
	for _, kind := range kinds {
		flow, _ := flows[kind].(map[string]any)
		below := a.to("flows", kind)
		switch kind {
		case "implicit":
			c.report("oauth-implicit", below, "the scheme %.80q has the implicit flow", name)
		case "password":
			c.report("oauth-password", below, "the scheme %.80q has the password flow", name)
		}
		for _, url := range []string{"authorizationUrl", "tokenUrl", "refreshUrl"} {
			c.plainURL(below, flow, url)
		}
	}
}

func (c *check) plainURL(a *at, in map[string]any, name string) {
	if strings.HasPrefix(strings.ToLower(textOf(in, name)), "http://") {
		c.report("oauth-plain-url", a.to(name), "%s begins with http://", name)
	}
}

// security is what a document or an operation demands of callers.
type security struct {
	open   bool // nothing is demanded, or nothing of some
	scoped bool // every alternative demands a scope
}

// requirements judges the requirements that an object states; said is false where it is
// silent.
func (c *check) requirements(a *at, in map[string]any) (s security, said bool) {
	list, said := in["security"].([]any)
	s = security{open: len(list) == 0, scoped: len(list) > 0}
	for i, one := range list {
		demanded, _ := one.(map[string]any)
		place := a.to("security", strconv.Itoa(i))
		if len(demanded) == 0 {
			s.open, s.scoped = true, false
			c.report("optional-security", place, "a caller without any credential satisfies it")
		}
		scoped := false
		for name, scopes := range demanded {
			scoped = c.requirement(place.to(name), name, scopes) || scoped
		}
		s.scoped = s.scoped && scoped
	}
	return s, said
}

// requirement judges one scheme that is demanded, and reports whether a scope is.
func (c *check) requirement(a *at, name string, v any) (scoped bool) {
	components, _ := c.root["components"].(map[string]any)
	schemes, _ := components["securitySchemes"].(map[string]any)
	c.references.used["securitySchemes/"+name] = true
	_, scheme := c.resolve(nil, schemes[name])
	if scheme == nil {
		c.report("security-undefined", a, "no scheme is called %.80q", name)
		return false
	}
	scopes, _ := v.([]any)
	switch kind := textOf(scheme, "type"); {
	case kind != "oauth2" && kind != "openIdConnect":
	case len(scopes) == 0:
		c.report("security-without-scopes", a, "%.80q is demanded without a scope", name)
	case kind == "oauth2":
		known := declaredScopes(scheme)
		for _, one := range scopes {
			if scope, _ := one.(string); !slices.Contains(known, scope) {
				c.report("scope-undefined", a, "no flow of %.80q declares the scope %.80q", name, scope)
			}
		}
	}
	return len(scopes) > 0
}

func declaredScopes(scheme map[string]any) (all []string) {
	_, flows := members(scheme, "flows")
	for _, flow := range flows {
		object, _ := flow.(map[string]any)
		names, _ := members(object, "scopes")
		all = append(all, names...)
	}
	return all
}
