package bearer

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"pavise.dev/pavise/shield"
)

// Scheme is the authentication scheme of tokens that whoever holds them may use.
const Scheme = "Bearer"

// MaxToken is the longest token that is read, in bytes.
const MaxToken = 16 << 10

const (
	keyScheme = "DPoP"
	inQuery   = "access_token"
)

// Presented is a token as a request carried it. Nothing of it is believed.
type Presented struct {
	Token string

	proved bool // it came with the scheme DPoP (RFC 9449 §7.1)
	judge  *Judge
}

// Carried returns the token of a request, from the only place where it may stand (RFC
// 6750 §2.1).
func (j *Judge) Carried(r *http.Request) (Presented, error) {
	if refusal := j.Exposed(r); refusal != nil {
		return Presented{}, refusal
	}
	values := r.Header["Authorization"]
	switch len(values) {
	case 0:
		return Presented{}, &shield.Refusal{Code: shield.Absent, Challenge: j.bare}
	case 1:
		proved := isScheme(values[0], keyScheme)
		scheme := Scheme
		if proved {
			scheme = keyScheme
		}
		token, err := j.after(scheme, values[0])
		return Presented{Token: token, proved: proved, judge: j}, err
	}
	return Presented{}, shield.Refuse(shield.MalformedCredential, "header Authorization stands %d times", len(values)).With(j.malformed)
}

// Refuse adds the challenge of a token that was sent and is not accepted. It is the same
// whatever the reason.
func (p Presented) Refuse(refusal *shield.Refusal) *shield.Refusal {
	refusal.Challenge = p.judge.invalid
	if p.proved {
		refusal.Challenge = p.judge.keyed
	}
	return refusal
}

// Challenged is Refuse for an error that may be a refusal.
func (p Presented) Challenged(err error) error {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok {
		return err
	}
	if refusal.HTTPStatus() == http.StatusUnauthorized {
		return p.Refuse(refusal.With())
	}
	return refusal
}

// Form is what a token looks like.
type Form int

// The forms of tokens (DESIGN §3: a JWT is three parts of base64url with dots between
// them, any other token is opaque).
const (
	NoToken Form = iota // it could not be any bearer token (RFC 6750 §2.1, b64token)
	JWT
	Opaque
)

// Form says which kind of token p is. What follows an equals sign is none.
func (p Presented) Form() Form {
	dots, opaque := 0, false
	for _, c := range []byte(p.Token) {
		switch {
		case IsBase64URL(c):
		case c == '.':
			dots++
		case c == '~' || c == '+' || c == '/' || c == '=':
			opaque = true
		default:
			return NoToken
		}
	}
	if opaque || dots != 2 {
		return Opaque
	}
	return JWT
}

// IsBase64URL reports whether c is a character of base64url (RFC 4648 §5).
func IsBase64URL(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// Exposed implements [shield.Exposer]: no token may stand in the query.
func (j *Judge) Exposed(r *http.Request) *shield.Refusal {
	if !queryHolds(r.URL.RawQuery) {
		return nil
	}
	refusal := shield.Refuse(shield.ExposedCredential, "a token stands in the query parameter %s, where logs and proxies keep it", inQuery)
	refusal.Exposed = true
	return refusal.With(j.malformed)
}

// Alone refuses a second token in a form, where the body is kept for other reasons
// (RFC 6750 §2: one method for each request).
func (j *Judge) Alone(r *http.Request) error {
	if shield.FormOf(r).Has(inQuery) {
		return shield.Refuse(shield.MalformedCredential, "a second token stands in the form of the body").With(j.malformed)
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
func (j *Judge) after(scheme, value string) (string, error) {
	if !isScheme(value, scheme) {
		if value == "" {
			return "", shield.Refuse(shield.MalformedCredential, "header Authorization is empty").With(j.malformed)
		}
		return "", &shield.Refusal{Code: shield.Foreign, Challenge: j.bare, Detail: "header Authorization has another scheme than Bearer or DPoP"}
	}
	token := value[len(scheme):]
	switch {
	case token == "" || token == " ":
		return "", shield.Refuse(shield.MalformedCredential, "scheme %s without a token", scheme).With(j.malformed)
	case token[0] == '\t' || token[0] == ' ' && (token[1] == ' ' || token[1] == '\t'):
		return "", shield.Refuse(shield.MalformedCredential, "between %s and the token stands something else than one space", scheme).With(j.malformed)
	case token[0] != ' ':
		return "", &shield.Refusal{Code: shield.Foreign, Challenge: j.bare, Detail: "header Authorization has another scheme than Bearer or DPoP"}
	case len(token)-1 > MaxToken:
		return "", shield.Refuse(shield.HeadersTooLarge, "the token has %d bytes, at most %d are read", len(token)-1, MaxToken).With(j.malformed)
	}
	return token[1:], nil
}
