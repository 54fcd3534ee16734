package bearer

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// PlainJWT is the typ of issuers that do not mark their access tokens.
const PlainJWT = "jwt"

const (
	maxText     = 512 // bytes of a name in a token
	maxAudience = 64
	lastSecond  = 253402300799 // 9999-12-31T23:59:59Z
)

// Claims are what an issuer says of a token, in our words.
type Claims struct {
	CredentialID string    // for events: which token of which issuer
	Ends         time.Time // when it expires, and the tolerated difference of clocks

	typ           string
	subject, id   string
	audience      []string
	expires       time.Time
	issued        time.Time // zero: not said
	notBefore     time.Time
	client        string // the issuer's name for the client
	user, tenant  string
	scopes        shield.Scopes // already cut to what the issuer may grant
	attributes    map[string]any
	confirm       shield.Confirm
	otherBinding  bool           // bound to something that a bearer cannot show
	notAccess     string         // why it looks like another kind of token; empty: it does not
	all           map[string]any // as they were signed
	mapping       string         // id of the record that maps the client to one of ours
	foreignClient string         // name of a client that no record maps
}

// Read reads the claims that an issuer vouches for; typ is the type of a JWT in lower
// case without "application/", empty for what has none. What is malformed is refused, not
// ignored: whoever says what cannot be read cannot have meant it.
func Read(all map[string]any, typ string, issuer *Issuer) (*Claims, error) {
	r := &reader{all: all}
	c := r.claims(typ, issuer)
	if c.expires.IsZero() {
		r.fail("exp is missing")
	}
	return c, r.err
}

// ReadAnswer reads the members of an answer of introspection (RFC 7662 §2.2), which need
// not name an end: then it is good until the given moment, when the issuer is asked again;
// nor a subject: then it is the client's own.
func ReadAnswer(all map[string]any, until time.Time, issuer *Issuer) (*Claims, error) {
	r := &reader{all: all}
	if client, ok := all["client_id"]; ok && all["sub"] == nil {
		r.all = maps.Clone(all)
		r.all["sub"] = client // it acts for itself
	}
	c := r.claims("", issuer)
	if c.expires.IsZero() {
		c.expires, c.Ends = until, until
	}
	return c, r.err
}

func (r *reader) claims(typ string, issuer *Issuer) *Claims {
	c := &Claims{typ: typ, all: r.all}
	c.subject = r.text("sub", true)
	c.id = r.text("jti", false)
	c.audience = r.audience()
	c.expires = r.date("exp")
	c.notBefore = r.date("nbf")
	c.issued = r.date("iat")
	c.Ends = c.expires.Add(issuer.Leeway)
	c.client = r.client(issuer)
	c.user = r.user(issuer, c.subject, c.client)
	c.tenant = r.mapped(issuer, "tenant")
	scopes, hasScopes := r.scopes(issuer.ScopesFrom)
	c.scopes = scopes.Within(issuer.MayGrant)
	c.attributes = r.attributes(issuer.Claims)
	c.confirm, c.otherBinding = r.confirm()
	c.notAccess = r.notAccess(c, hasScopes)
	c.name(issuer.Name)
	return c
}

// name makes the names under which the rest of the program knows token and
// client. A token that names no client has neither mapping nor client.
func (c *Claims) name(issuer string) {
	c.CredentialID = issuer
	if c.client != "" {
		c.mapping = mappingID(issuer, c.client)
		c.foreignClient = issuer + "/" + c.client // no client of ours has a slash in its name
		c.CredentialID = c.mapping
	}
	if c.id != "" {
		c.CredentialID = issuer + ":" + c.id
	}
}

// mappingID is the id of a record that maps a client of an issuer.
func mappingID(issuer, client string) string { return issuer + "#" + client }

// reader reads claims and keeps the first error.
type reader struct {
	all map[string]any
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// at returns a claim by name, or by a path of names with dots; a name that holds
// dots itself goes first.
func at(all map[string]any, path string) (any, bool) {
	if v, ok := all[path]; ok {
		return v, true
	}
	name, rest, ok := strings.Cut(path, ".")
	if !ok {
		return nil, false
	}
	inner, ok := all[name].(map[string]any)
	if !ok {
		return nil, false
	}
	return at(inner, rest)
}

// text returns a claim that must be a short string of characters that can be
// seen; empty if it is not there.
func (r *reader) text(path string, required bool) string {
	v, ok := at(r.all, path)
	if !ok {
		if required {
			r.fail("%s is missing", path)
		}
		return ""
	}
	text, ok := v.(string)
	if !ok || !isText(text) {
		r.fail("%s is not a string of 1 to %d bytes without control characters", path, maxText)
	}
	return text
}

func isText(s string) bool {
	for _, c := range s {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}

// isVisible reports whether s can stand in a quoted string of a header.
func isVisible(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}

// audience is a string or an array of strings (RFC 7519 §4.1.3).
func (r *reader) audience() []string {
	switch v := r.all["aud"].(type) {
	case string:
		return []string{v}
	case []any:
		list, ok := textsOf(v)
		if ok && len(list) > 0 && len(list) <= maxAudience {
			return list
		}
	}
	r.fail("aud is missing, or neither a string nor an array of 1 to %d strings", maxAudience)
	return nil
}

func textsOf(list []any) ([]string, bool) {
	texts := make([]string, 0, len(list))
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// date reads a NumericDate in whole seconds; zero if it is not there. Fractions
// and exponents, which RFC 7519 §2 would allow, are refused: readers round them
// differently.
func (r *reader) date(name string) time.Time {
	v, ok := r.all[name]
	if !ok {
		return time.Time{}
	}
	number, ok := v.(strictjson.Number)
	seconds, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil || seconds < 0 || seconds > lastSecond {
		r.fail("%s is not a date in whole seconds", name)
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// client is the claim that the settings name, or the first of client_id (RFC
// 9068 §2.2) and azp (OpenID Connect); empty if there is none. It is never sub: a
// person whose sub is a client's id would be taken for that client (RFC 9068 §5).
func (r *reader) client(issuer *Issuer) string {
	if path := issuer.Claims["client"]; path != "" {
		return r.text(path, true)
	}
	for _, name := range []string{"client_id", "azp"} {
		if client := r.text(name, false); client != "" {
			return client
		}
	}
	return ""
}

// user is the claim that the settings name, or the subject where that is not the
// client itself.
func (r *reader) user(issuer *Issuer, subject, client string) string {
	if issuer.Claims["user"] != "" {
		return r.mapped(issuer, "user")
	}
	if subject == client {
		return ""
	}
	return subject
}

func (r *reader) mapped(issuer *Issuer, name string) string {
	if path := issuer.Claims[name]; path != "" {
		return r.text(path, false)
	}
	return ""
}

// scopes reads the claim that the settings name, or scope (RFC 9068 §2.2.3), or
// scp. It is a string of words between single spaces, or an array of words.
func (r *reader) scopes(from string) (scopes shield.Scopes, stated bool) {
	v, ok := at(r.all, from)
	if from == "" {
		if v, ok = r.all["scope"]; !ok {
			v, ok = r.all["scp"]
		}
	}
	if !ok {
		return nil, false
	}
	switch v := v.(type) {
	case string:
		if v != "" {
			scopes = strings.Split(v, " ")
		}
	case []any:
		if scopes, ok = textsOf(v); !ok {
			r.fail("the scopes are not all strings")
		}
	default:
		r.fail("the scopes are neither a string nor an array")
	}
	for _, scope := range scopes {
		if !isScope(scope) {
			r.fail("a scope is empty or holds a character that no scope has")
		}
	}
	return scopes, true
}

// isScope is the scope-token of RFC 6749 §3.3.
func isScope(s string) bool {
	for _, c := range []byte(s) {
		if c < '!' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}

// attributes takes over what the settings name.
func (r *reader) attributes(mapping map[string]string) map[string]any {
	var attributes map[string]any
	for name, path := range mapping {
		if name == "client" || name == "user" || name == "tenant" {
			continue
		}
		v, ok := at(r.all, path)
		if !ok {
			continue
		}
		if attributes == nil {
			attributes = map[string]any{}
		}
		attributes[name] = value(v)
	}
	return attributes
}

// value turns numbers into int64 where they are whole, into float64 otherwise,
// and leaves the rest as it is.
func value(v any) any {
	switch v := v.(type) {
	case strictjson.Number:
		if whole, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return whole
		}
		number, err := v.Float()
		if err != nil {
			return string(v)
		}
		return number
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = value(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name := range v {
			object[name] = value(v[name])
		}
		return object
	}
	return v
}

// confirm reads cnf (RFC 7800). A binding to a certificate is compared by the
// guard; any other makes the token worthless to a bearer, even one that we do not
// know: whoever bound it wanted a proof that we cannot ask for.
func (r *reader) confirm() (confirm shield.Confirm, other bool) {
	v, ok := r.all["cnf"]
	if !ok {
		return confirm, false
	}
	members, ok := v.(map[string]any)
	if !ok || len(members) == 0 {
		r.fail("cnf is not an object with a member")
		return confirm, false
	}
	for name, member := range members {
		into := map[string]*string{"x5t#S256": &confirm.Certificate, "jkt": &confirm.Key}[name]
		if into == nil {
			other = true
			continue
		}
		print, ok := member.(string)
		if sum, err := base64.RawURLEncoding.Strict().DecodeString(print); !ok || err != nil || len(sum) != 32 {
			r.fail("cnf.%s is not a SHA-256 digest in base64url", name)
		}
		*into = print
	}
	return confirm, other
}

// notAccess says what makes a token of the plain type look like an ID token, a
// logout token or a refresh token (RFC 8725 §2.8, §3.12: kinds of tokens must not
// be mistaken for each other).
func (r *reader) notAccess(c *Claims, hasScopes bool) string {
	if c.typ != "" && c.typ != PlainJWT {
		return ""
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events", "auth_req_id"} {
		if _, ok := r.all[name]; ok {
			return "it has the claim " + name
		}
	}
	for _, name := range []string{"typ", "token_use", "token_type", "use"} { // as Keycloak, Cognito and others mark kinds
		if kind, ok := r.all[name].(string); ok && isOtherKind(kind) {
			return "its claim " + name + " names another kind"
		}
	}
	if !hasScopes && slices.Contains(c.audience, c.client) && c.client != c.subject {
		return "its audience is the client itself, and it carries no scopes"
	}
	return ""
}

func isOtherKind(kind string) bool {
	switch strings.ToLower(kind) {
	case "id", "id_token", "refresh", "refresh_token", "offline", "logout", "logout_token", "serialized-id":
		return true
	}
	return false
}
