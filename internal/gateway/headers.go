package gateway

import (
	"net/http"
	"strings"
)

// headerRules says which header fields do not pass. They are compiled once and
// only read afterwards.
type headerRules struct {
	request  map[string]bool // canonical name: removed from requests
	prefixes [26][]string    // canonical beginnings, likewise, by their first letter
	keep     map[string]bool // InsecureKeepHeaders
	response map[string]bool
}

// Hop-by-hop fields and what frames a message (RFC 9110 §7.6.1): each side of
// the gateway has its own.
func hopByHop() []string {
	return []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Content-Length", "Host",
	}
}

// fromOutside are the fields by which a service may be told who called, where
// from, and what he meant. Callers do not get to say any of it themselves. Products
// that sign people in put more names behind their own beginning with every release:
// fromOutsidePrefixes takes all of those.
func fromOutside() []string {
	return []string{
		// who: identity
		"X-User", "X-User-Id", "X-Userid", "X-Username", "X-User-Name", "X-User-Email", "X-User-Groups", "X-User-Roles", "X-User-Role",
		"X-Auth-User", "X-Auth-Userid", "X-Auth-Username", "X-Auth-Name", "X-Auth-Email", "X-Auth-Groups", "X-Auth-Roles",
		"X-Credential-Identifier", "X-Anonymous-Consumer", "X-Userinfo", "X-User-Info", "X-Endpoint-Api-Userinfo", "X-Jwt-Assertion",
		"X-Client-Verify", "X-Client-Dn", "X-Client-S-Dn", "X-Client-Subject-Dn", "X-Arr-Clientcert",
		// where from: addresses
		"Forwarded", "X-Forwarded", "X-Forward-For", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "Http-Client-Ip", "Proxy-Client-Ip", "Wl-Proxy-Client-Ip",
		"True-Client-Ip", "X-True-Client-Ip", "X-Cluster-Client-Ip", "X-Proxyuser-Ip", "X-Originating-Ip",
		"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Fastly-Client-Ip", "Fly-Client-Ip", "X-Nf-Client-Connection-Ip",
		"X-Host", "X-Http-Host-Override", "X-Request-Id",
		// what: another method or path than the one that was checked
		"X-Method-Override", "X-Override-Url",
		// libraries that read a header as a setting: httpoxy, early data (RFC 8470), files to send (Rack)
		"Proxy", "Early-Data", "X-Sendfile-Type", "X-Accel-Mapping",
	}
}

func fromOutsidePrefixes() []string {
	return []string{
		"Pavise-",
		// who, as proxies and providers say it: TLS, Authelia, Kubernetes, oauth2-proxy, Kong, Grafana, authentik, Pomerium,
		// Shibboleth, mod_auth_openidc, Google, Amazon, Microsoft, Cloudflare
		"Client-Cert", "X-Client-Cert", "X-Ssl-", "Ssl-Client-", "X-Tls-Client-", "Remote-", "X-Remote-", "Impersonate-", "X-Auth-Request-",
		"X-Authenticated-", "X-Consumer-", "X-Webauth-", "X-Authentik-", "X-Pomerium-", "Shib-", "X-Shib-", "Oidc-",
		"X-Goog-Authenticated-User-", "X-Goog-Iap-", "X-Appengine-", "X-Amzn-Oidc-", "X-Amzn-Mtls-", "X-Ms-Client-Principal", "X-Ms-Token-",
		"Cf-Access-",
		// where from
		"X-Forwarded-", "Forwarded-", "X-Azure-", "X-Vercel-Forwarded-",
		// what: Envoy's and Next.js's own words for requests that they have judged, and other paths and methods
		"X-Envoy-", "X-Middleware-", "X-Original-", "X-Rewrite-", "X-Http-Method",
	}
}

// Banners tell strangers which software runs behind the gateway. Alt-Svc would
// send callers around it, and an echoed Pavise-Identity would give them a token.
func banners() []string {
	return []string{
		"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Generator", "X-Runtime",
		"X-Drupal-Cache", "X-Varnish", "X-Backend-Server", "X-Served-By",
	}
}

func newHeaderRules(s *Settings) *headerRules {
	rules := &headerRules{request: map[string]bool{}, keep: map[string]bool{}, response: map[string]bool{}}
	for _, name := range s.InsecureKeepHeaders {
		rules.keep[http.CanonicalHeaderKey(name)] = true
	}
	removed := hopByHop()
	if !s.Verbatim {
		removed = append(removed, fromOutside()...)
		for _, prefix := range fromOutsidePrefixes() {
			at := prefix[0] - 'A'
			rules.prefixes[at] = append(rules.prefixes[at], prefix)
		}
	}
	for _, name := range removed {
		rules.request[name] = true
	}
	for name := range s.PlainHeaders {
		rules.request[http.CanonicalHeaderKey(name)] = true
	}
	for _, name := range hopByHop() {
		rules.response[name] = true
	}
	rules.response["Alt-Svc"] = true
	if !s.KeepBanners {
		for _, name := range banners() {
			rules.response[name] = true
		}
	}
	return rules
}

// dropsRequest reports whether a request's field does not pass. Servers that
// speak CGI's language read X_User_Id as X-User-Id, so every odd character
// counts as a hyphen here.
func (rules *headerRules) dropsRequest(name string) bool {
	if !isPlain(name) {
		name = plainName(name)
	}
	if rules.request[name] {
		return !rules.keep[name] || isHop(name)
	}
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	for _, prefix := range rules.prefixes[name[0]-'A'] {
		if strings.HasPrefix(name, prefix) {
			return !rules.keep[name] || prefix == "Pavise-"
		}
	}
	return false
}

func (rules *headerRules) dropsResponse(name string) bool {
	return rules.response[name] || strings.HasPrefix(name, "Pavise-")
}

// dropsTrailer reports whether a trailer field does not pass: what is removed
// from the head, and what must stand there (RFC 9110 §6.5.1).
func dropsTrailer(name string) bool {
	switch name {
	case "Authorization", "Cache-Control", "Content-Encoding", "Content-Type", "Content-Range", "Cookie", "Expect",
		"Max-Forwards", "Range", "Set-Cookie", "Www-Authenticate", "Date", "Location", "Age", "Expires", "Vary",
		"Retry-After", "Pragma", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range":
		return true
	}
	return false
}

// ownCookies is how the names of the cookies begin by which Pavise's own pages know who is signed
// in. An API may be on the same host, and browsers send a host's cookies with every request.
const ownCookies = "__Host-pavise-"

// othersCookies returns a Cookie without those of Pavise's own pages; "" if nothing is left.
func othersCookies(value string) string {
	if !strings.Contains(value, ownCookies) {
		return value
	}
	var others []string
	for one := range strings.SplitSeq(value, ";") {
		if one = strings.Trim(one, " \t"); one != "" && !strings.HasPrefix(one, ownCookies) {
			others = append(others, one)
		}
	}
	return strings.Join(others, "; ")
}

// setsOwnCookie reports whether a field of an answer would put something else into the place of
// such a cookie; also without a name, as browsers send its value like one with (RFC 6265bis §5.7).
func setsOwnCookie(name, value string) bool {
	return name == "Set-Cookie" && strings.HasPrefix(strings.TrimLeft(value, "= \t"), ownCookies)
}

func isHop(name string) bool {
	for _, hop := range hopByHop() {
		if name == hop {
			return true
		}
	}
	return false
}

func isPlain(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

func plainName(name string) string {
	return http.CanonicalHeaderKey(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, name))
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return true
}

func isTokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// connectionNames returns the field names that Connection lists, beyond the
// options that are no names. They end here (RFC 9110 §7.6.1).
func connectionNames(values []string) []string {
	var names []string
	for _, value := range values {
		for token := range strings.SplitSeq(value, ",") {
			token = strings.TrimSpace(token)
			switch {
			case token == "", strings.EqualFold(token, "close"), strings.EqualFold(token, "keep-alive"),
				strings.EqualFold(token, "upgrade"), strings.EqualFold(token, "te"):
			default:
				names = append(names, http.CanonicalHeaderKey(token))
			}
		}
	}
	return names
}

// hasToken reports whether the comma-separated values hold the token.
func hasToken(values []string, want string) bool {
	for _, value := range values {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), want) {
				return true
			}
		}
	}
	return false
}

// unsafeUpgrade reports whether the protocol is HTTP again, whose requests
// nobody would check.
func unsafeUpgrade(protocol string) bool {
	lower := strings.ToLower(protocol)
	return lower == "" || lower == "*" || strings.HasPrefix(lower, "h2") || strings.HasPrefix(lower, "http") || strings.HasPrefix(lower, "tls")
}
