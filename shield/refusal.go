package shield

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrStale says that the snapshot of credentials and revocations is older than
// the configured max_staleness. The guard answers 503 [StalePolicy].
var ErrStale = errors.New("credentials and revocations are too old to decide")

// ErrUnknown says that a [Lookup] has no such credential.
var ErrUnknown = errors.New("no such credential")

// Refusal is "no": a code for the caller and a detail for the operator.
type Refusal struct {
	Code      Code
	Status    int         // 0 means Code.Status()
	Challenge []string    // WWW-Authenticate values, in order
	Header    http.Header // further headers of the answer, e.g. Retry-After
	Detail    string      // for the operator's event; never holds any part of a secret

	// CredentialID names the credential for the event, where it is known.
	// Proved says that the caller held its secret: only then may codes tell
	// revoked from expired from unknown, and only then may lock-outs act on it.
	CredentialID string
	Client       string
	Proved       bool
	Exposed      bool // the credential must be taken for leaked

	// Fields say what of the input is wrong, for the caller. They hold names and rules,
	// never a value.
	Fields []Field

	// Of a combination: what became of each part, or in which one the search ended.
	tried []attempt
	ended attempt
}

// Field is a part of a request that breaks a rule of the API's description.
type Field struct {
	In      string // "path", "query", "header", "cookie" or "body"
	Pointer string // JSON pointer (RFC 6901) into it; of a parameter, its name comes first
	Rule    string // the keyword that it breaks: "required", "maximum", …
}

// Refuse makes a refusal; the rest is a format for the operator's detail.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error returns code and detail, for the operator.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Code)
	}
	return string(r.Code) + ": " + r.Detail
}

// HTTPStatus returns the status of the answer.
func (r *Refusal) HTTPStatus() int {
	if r.Status != 0 {
		return r.Status
	}
	return r.Code.Status()
}

// With returns a copy with the WWW-Authenticate challenges given.
func (r *Refusal) With(challenges ...string) *Refusal {
	c := *r
	c.Challenge = challenges
	return &c
}

// Of returns a copy that names the credential and says whether it was proved.
func (r *Refusal) Of(credentialID, client string, proved bool) *Refusal {
	c := *r
	c.CredentialID, c.Client, c.Proved = credentialID, client, proved
	return &c
}

// passes reports whether err lets another shield of an Any try, and how.
func passes(err error) (*Refusal, bool) {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || (refusal.Code != Absent && refusal.Code != Foreign) {
		return nil, false
	}
	return refusal, true
}

// Single returns the only value of a header. It is absent when the header is
// missing, and refused as [MalformedCredential] when it stands there twice.
func Single(h http.Header, name string) (string, error) {
	values := h[http.CanonicalHeaderKey(name)]
	switch len(values) {
	case 0:
		return "", &Refusal{Code: Absent}
	case 1:
		return values[0], nil
	}
	return "", Refuse(MalformedCredential, "header %s stands %d times", name, len(values))
}
