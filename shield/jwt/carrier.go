package jwt

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
)

const (
	scheme    = "Bearer"
	keyScheme = "DPoP"
	maxToken  = 16 << 10 // bytes
	inQuery   = "access_token"
)

// carried returns the bearer token of a request, from the only place where it may
// stand (RFC 6750 §2.1).
//
// proved says that it came with the scheme DPoP (RFC 9449 §7.1).
func (t *tokens) carried(r *http.Request) (token string, proved bool, err error) {
	if refusal := t.Exposed(r); refusal != nil {
		return "", false, refusal
	}
	values := r.Header["Authorization"]
	switch len(values) {
	case 0:
		return "", false, &shield.Refusal{Code: shield.Absent, Challenge: t.bare}
	case 1:
		if isScheme(values[0], keyScheme) {
			token, err = t.after(keyScheme, values[0])
			return token, true, err
		}
		token, err = t.after(scheme, values[0])
		return token, false, err
	}
	return "", false, shield.Refuse(shield.MalformedCredential, "header Authorization stands %d times", len(values)).With(t.malformed)
}

// Exposed implements [shield.Exposer]: no token may stand in the query.
func (t *tokens) Exposed(r *http.Request) *shield.Refusal {
	if !queryHolds(r.URL.RawQuery) {
		return nil
	}
	refusal := shield.Refuse(shield.ExposedCredential, "a token stands in the query parameter %s, where logs and proxies keep it", inQuery)
	refusal.Exposed = true
	return refusal.With(t.malformed)
}

// alone refuses a second token in a form, where the body is kept for other reasons
// (RFC 6750 §2: one method for each request).
func (t *tokens) alone(r *http.Request) error {
	if shield.FormOf(r).Has(inQuery) {
		return shield.Refuse(shield.MalformedCredential, "a second token stands in the form of the body").With(t.malformed)
	}
	return nil
}

// queryHolds looks for the parameter of RFC 6750 §2.3, however it is written.
func queryHolds(query string) bool {
	if query == "" || (!strings.Contains(query, inQuery) && !strings.Contains(query, "%")) {
		return false
	}
	values, _ := url.ParseQuery(query) // what can be parsed of a broken query counts
	return values.Has(inQuery)
}

func isScheme(value, scheme string) bool {
	return len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme)
}

// after takes the token out of the header: the scheme in any case, one space, and what
// follows.
func (t *tokens) after(scheme, value string) (string, error) {
	if !isScheme(value, scheme) {
		if value == "" {
			return "", shield.Refuse(shield.MalformedCredential, "header Authorization is empty").With(t.malformed)
		}
		return "", &shield.Refusal{Code: shield.Foreign, Challenge: t.bare, Detail: "header Authorization has another scheme than Bearer"}
	}
	token := value[len(scheme):]
	switch {
	case token == "" || token == " ":
		return "", shield.Refuse(shield.MalformedCredential, "scheme %s without a token", scheme).With(t.malformed)
	case token[0] == '\t' || token[0] == ' ' && (token[1] == ' ' || token[1] == '\t'):
		return "", shield.Refuse(shield.MalformedCredential, "between %s and the token stands something else than one space", scheme).With(t.malformed)
	case token[0] != ' ':
		return "", &shield.Refusal{Code: shield.Foreign, Challenge: t.bare, Detail: "header Authorization has another scheme than Bearer"}
	case len(token)-1 > maxToken:
		return "", shield.Refuse(shield.HeadersTooLarge, "the token has %d bytes, at most %d are read", len(token)-1, maxToken).With(t.malformed)
	}
	return token[1:], nil
}

// form tells a JWT from an opaque token, which is somebody else's: a JWT is three
// parts of base64url with dots between them (DESIGN §3). What could not be any
// bearer token (RFC 6750 §2.1, b64token) is wrong for everybody.
func (t *tokens) form(token string) error {
	dots, opaque := 0, false
	for _, c := range []byte(token) {
		switch {
		case isBase64URL(c):
		case c == '.':
			dots++
		case c == '~' || c == '+' || c == '/' || c == '=':
			opaque = true
		default:
			return t.refuse(shield.Refuse(shield.InvalidCredential, "the token holds a character that no token has"))
		}
	}
	if opaque || dots != 2 {
		return t.refuse(shield.Refuse(shield.Foreign, "the token is no JWT of three parts"))
	}
	return nil
}

func isBase64URL(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// challenges are the WWW-Authenticate values of RFC 6750 §3 and RFC 9449 §7.1, made once.
type challenges struct {
	bare      []string // nothing was sent: no error code
	invalid   []string // 401
	keyed     []string // 401 of a token that came with the scheme DPoP
	proof     []string // 401: the token may be good, its proof is not
	nonce     []string // 401: the proof has to hold the nonce
	malformed string   // 400
}

func newChallenges(issuers map[string]*trusted, names []string, all shield.Issuers, keyed bool) challenges {
	realm := "api"
	if first, err := all.Issuer(names[0]); err == nil && issuers[first.URL] != nil {
		if audience := issuers[first.URL].audience[0]; isVisible(audience) {
			realm = audience
		}
	}
	const invalid = `, error="invalid_token", error_description="the access token is not accepted"`
	algs := fmt.Sprintf(`, algs="%s"`, strings.Join(dpop.Algorithms(), " "))
	bearer, key := fmt.Sprintf(`%s realm="%s"`, scheme, realm), fmt.Sprintf(`%s realm="%s"`, keyScheme, realm)
	c := challenges{
		bare: []string{bearer}, invalid: []string{bearer + invalid}, keyed: []string{key + invalid + algs},
		proof:     []string{key + `, error="invalid_dpop_proof", error_description="the proof is not accepted"` + algs},
		nonce:     []string{key + `, error="use_dpop_nonce", error_description="make a proof with the nonce of this answer"` + algs},
		malformed: bearer + `, error="invalid_request", error_description="send one access token, in the Authorization header"`,
	}
	if keyed {
		c.bare, c.invalid = []string{key + algs}, c.keyed
	}
	return c
}

// refuse adds the challenge of a token that was sent and is not accepted. It is
// the same whatever the reason.
func (t *tokens) refuse(refusal *shield.Refusal) *shield.Refusal {
	refusal.Challenge = t.invalid
	return refusal
}

// challenged is refuse for an error that may be a refusal.
func (t *tokens) challenged(err error) error {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok {
		return err
	}
	if refusal.HTTPStatus() == http.StatusUnauthorized {
		return refusal.With(t.invalid...)
	}
	return refusal
}
