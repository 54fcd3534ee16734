package pavise

import (
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/shield"
)

// The door refuses what two readers could read differently, or passes it
// unchanged: it never repairs (docs/decisions/0003-canonical-form.md).

// Longest path and query that are looked at, in bytes.
const (
	maxPath  = 8 << 10
	maxQuery = 16 << 10
)

// door: a known host, a canonical path, a parsable query, sane headers.
func (x *exchange) door() error {
	err := x.knownHost()
	x.event.Path = x.unroutedPath()
	if err != nil {
		return err
	}
	if err := x.resolveCaller(); err != nil {
		return err
	}
	r := x.request
	if err := checkMethod(r); err != nil {
		return err
	}
	if !x.isAsSent() {
		return shield.Refuse(shield.BadPath, "bytes of the path must be escaped")
	}
	if err := checkPath(x.path); err != nil {
		return err
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if err := x.checkLenient(x.host.lenient); err != nil {
		return err
	}
	return x.checkHeaders()
}

// knownHost finds the host, and refuses a name that is not the one that the
// connection was made for: its certificate rules may be others.
func (x *exchange) knownHost() error {
	r := x.request
	name, ok := shield.HostName(r.Host)
	if !ok {
		return shield.Refuse(shield.BadHeader, "host %q is no name or address with an optional port", clip(r.Host, 128))
	}
	x.host = x.guard.hosts[name]
	if x.host == nil {
		return shield.Refuse(shield.UnknownHost, "host %q is not configured", clip(r.Host, 128))
	}
	if r.TLS == nil || r.TLS.ServerName == name {
		return nil
	}
	if r.TLS.ServerName != "" || !isAddress(name) {
		return shield.Refuse(shield.Misdirected, "the connection was made for %q, the request names %q", clip(r.TLS.ServerName, 128), name)
	}
	return nil
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

func checkMethod(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return nil
	case http.MethodConnect, http.MethodTrace:
		return shield.Refuse(shield.MethodNotAllowed, "%s is never served", r.Method)
	}
	for i := range len(r.Method) {
		if c := r.Method[i]; c < 'A' || c > 'Z' {
			return shield.Refuse(shield.BadMethod, "a method is upper-case letters")
		}
	}
	return nil // a method of WebDAV or the like: the route decides
}

// checkPath refuses every path that is not in the one form that all readers
// read alike (RFC 3986 §6.2.2).
func checkPath(path string) error {
	switch {
	case len(path) > maxPath:
		return shield.Refuse(shield.PathTooLong, "the path has %d bytes, at most %d are read", len(path), maxPath)
	case path == "" || path[0] != '/':
		return shield.Refuse(shield.BadPath, "the path does not begin with a slash")
	}
	if isPlainPath(path) {
		return nil
	}
	return checkEscapedPath(path)
}

// isAsSent reports whether the path that is judged is the one in the request line:
// net/url escapes some bytes by itself. Handlers that were given another URL on
// purpose (http.StripPrefix) have a RequestURI that no longer counts.
func (x *exchange) isAsSent() bool {
	sent, _, _ := strings.Cut(x.request.RequestURI, "?")
	return sent == x.path || !strings.HasPrefix(sent, "/") || strings.HasSuffix(sent, x.path)
}

// isPlainPath is the short way for nearly all requests: no escape, dot segment,
// empty segment or unusual character.
func isPlainPath(path string) bool {
	for i := 1; i < len(path); i++ {
		c := path[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '~':
		case c == '/' && path[i-1] != '/':
		case c == '.' && path[i-1] != '/' && path[i-1] != '.':
		default:
			return false
		}
	}
	return true
}

// checkEscapedPath leaves escaped slashes and semicolons to checkLenient.
func checkEscapedPath(path string) error {
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "." || segment == ".." {
			return shield.Refuse(shield.BadPath, "dot segment")
		}
	}
	if strings.Contains(path, "//") {
		return shield.Refuse(shield.BadPath, "empty segment")
	}
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			if !isPathByte(c) {
				return shield.Refuse(shield.BadPath, "byte 0x%02x must be escaped", c)
			}
			decoded = append(decoded, c)
			continue
		}
		value, ok := unhex(path, i)
		if !ok {
			return shield.Refuse(shield.BadPath, "broken escape")
		}
		if why := badEscape(path, i, value); why != "" {
			return shield.Refuse(shield.BadPath, "%s", why)
		}
		decoded = append(decoded, value)
		i += 2
	}
	if !utf8.Valid(decoded) {
		return shield.Refuse(shield.BadPath, "escapes are not UTF-8")
	}
	return nil
}

func badEscape(path string, at int, value byte) string {
	switch {
	case value < 0x20 || value == 0x7f:
		return "escaped control character"
	case value == '.':
		return "escaped dot"
	case value == '\\':
		return "escaped backslash"
	case value == '-' || value == '_' || value == '~' || isAlphanumeric(value): // RFC 3986 §2.3
		return "escape of a character that needs none"
	case value == '%' && at+4 < len(path) && isHex(path[at+3]) && isHex(path[at+4]):
		return "doubly escaped"
	}
	return ""
}

// isPathByte reports whether c may stand unescaped in a path (RFC 3986 §3.3).
func isPathByte(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unhex reads the escape "%hh" at i.
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
		return 0, false
	}
	return nibble(s[i+1])<<4 | nibble(s[i+2]), true
}

func nibble(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// checkQuery refuses what query parsers read differently: semicolons, broken
// escapes, NUL, bytes that must be escaped, escapes that are not UTF-8.
func checkQuery(query string) error {
	if len(query) > maxQuery {
		return shield.Refuse(shield.PathTooLong, "the query has %d bytes, at most %d are read", len(query), maxQuery)
	}
	escaped := false
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case c == ';':
			return shield.Refuse(shield.BadQuery, "a semicolon separates for some readers and not for others")
		case c == '%':
			value, ok := unhex(query, i)
			if !ok {
				return shield.Refuse(shield.BadQuery, "broken escape")
			}
			if value == 0 {
				return shield.Refuse(shield.BadQuery, "escaped NUL")
			}
			escaped = escaped || value >= utf8.RuneSelf
			i += 2
		case !isPathByte(c) && c != '?' && c != '[' && c != ']':
			return shield.Refuse(shield.BadQuery, "byte 0x%02x must be escaped", c)
		}
	}
	if escaped && !utf8.Valid(unescape(query)) {
		return shield.Refuse(shield.BadQuery, "escapes are not UTF-8")
	}
	return nil
}

// unescape decodes the escapes of s, all of which are known to be whole.
func unescape(s string) []byte {
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if value, ok := unhex(s, i); ok && s[i] == '%' {
			decoded = append(decoded, value)
			i += 2
			continue
		}
		decoded = append(decoded, s[i])
	}
	return decoded
}

// checkLenient applies the rules that an API may relax: at the door with what any
// API of the host allows, after the route with what this one does.
func (x *exchange) checkLenient(lenient Lenient) error {
	r, path := x.request, x.path
	switch {
	case !lenient.InsecureSemicolon && hasSemicolon(path):
		return shield.Refuse(shield.BadPath, "semicolon in a segment")
	case !lenient.InsecureEncodedSlash && hasEscape(path, "2f", "2F"):
		return shield.Refuse(shield.BadPath, "escaped slash")
	case !lenient.InsecureMethodParameter && overridesQuery(r):
		return shield.Refuse(shield.BadQuery, "the parameter _method, which some services take for the method")
	case !lenient.InsecureTrailers && len(r.Trailer) > 0:
		return shield.Refuse(shield.BadHeader, "request trailers are not accepted here")
	}
	return x.checkFields(lenient)
}

// checkFields refuses names that readers confuse and values that they trim or do
// not, and notes whether there is a header that only we may set.
func (x *exchange) checkFields(lenient Lenient) error {
	for name, values := range x.request.Header {
		if !isPlainName(name) && !lenient.InsecureUnderscoreHeaders {
			return shield.Refuse(shield.BadHeader, "header name %q has characters outside A-Z, a-z, 0-9 and -", clip(name, 64))
		}
		for _, value := range values {
			if hasBlankEnd(value) {
				return shield.Refuse(shield.BadHeader, "the value of header %s begins or ends with a blank", clip(name, 64))
			}
		}
		x.claims = x.claims || isClaim(name)
	}
	return nil
}

// hasSemicolon looks for parameters of a segment, which some readers cut off before
// and some after they decode.
func hasSemicolon(path string) bool {
	return strings.IndexByte(path, ';') >= 0 || hasEscape(path, "3b", "3B")
}

// hasEscape looks for an escape in either of its spellings.
func hasEscape(path string, lower, upper string) bool {
	for rest := path; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			return false
		}
		if rest = rest[i+1:]; strings.HasPrefix(rest, lower) || strings.HasPrefix(rest, upper) {
			return true
		}
	}
}

// isPlainName reports whether intermediaries cannot confuse the name with
// another: CGI-like servers read X_User as X-User.
func isPlainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return name != ""
}

// checkHeaders refuses duplicates of headers that have one value, and what would
// take headers away on the way.
func (x *exchange) checkHeaders() error {
	h := x.request.Header
	for _, name := range singleHeaders() {
		if len(h[name]) > 1 {
			return shield.Refuse(shield.BadHeader, "header %s stands %d times", name, len(h[name]))
		}
	}
	for _, name := range x.guard.carriers {
		if len(h[name]) > 1 {
			return shield.Refuse(shield.MalformedCredential, "header %s stands %d times", name, len(h[name]))
		}
	}
	return checkConnection(h["Connection"])
}

// hasBlankEnd reports a blank that belongs to no value (RFC 9113 §8.2.1). HTTP/1.1
// has them trimmed before anybody looks; net/http's HTTP/2 passes them on, to an
// upstream that may trim them.
func hasBlankEnd(value string) bool {
	n := len(value)
	return n > 0 && (isBlank(value[0]) || isBlank(value[n-1]))
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// checkConnection refuses options that name other headers: whoever stands between
// the caller and us could have us remove what a shield has judged, after it was
// judged (RFC 9110 §7.6.1 has an intermediary remove what is named).
func checkConnection(values []string) error {
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			switch option = strings.Trim(option, " \t"); {
			case option == "", strings.EqualFold(option, "close"), strings.EqualFold(option, "keep-alive"),
				strings.EqualFold(option, "upgrade"), strings.EqualFold(option, "te"):
			default:
				return shield.Refuse(shield.BadHeader, "Connection names %q; only close, keep-alive, upgrade and te may stand there", clip(option, 64))
			}
		}
	}
	return nil
}

func singleHeaders() [9]string {
	return [...]string{
		"Content-Type", "Content-Length", "Origin", "Date", "Expect", "User-Agent",
		"Access-Control-Request-Method", "If-Unmodified-Since", "Range",
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
