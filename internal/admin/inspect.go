package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
)

// Inspection asks what a token is, and what each endpoint would answer to it.
type Inspection struct {
	Token       string `json:"token"`
	Certificate string `json:"certificate,omitempty"` // PEM: as if the caller had presented it
	Address     string `json:"address,omitempty"`     // as if the caller had this one; empty: none in particular
}

// Inspected is what a token is. Nothing of it can be used as a token.
type Inspected struct {
	Digest    string          `json:"digest"`              // "sha256:…": its name in the event
	Form      string          `json:"form"`                // "jwt" or "opaque"
	Note      string          `json:"note,omitempty"`      // what is wrong with it as a whole
	Header    json.RawMessage `json:"header,omitempty"`    // of a JWT
	Claims    json.RawMessage `json:"claims,omitempty"`    // of a JWT, or what our own server says an opaque token stands for
	Signature *Signature      `json:"signature,omitempty"` // of a JWT
	Issuer    *TokenIssuer    `json:"issuer,omitempty"`    // nil: the token names none that is configured
	Active    *bool           `json:"active,omitempty"`    // whether our own server stands by it; nil: it is not ours
	Ended     string          `json:"ended,omitempty"`     // why it does not

	IssuedAt  time.Time `json:"issued_at,omitzero"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	Time      time.Time `json:"time"` // of the inspection

	BoundTo   string   `json:"bound_to,omitempty"` // "key …" (RFC 9449) or "certificate …" (RFC 8705), by thumbprint
	Endpoints []Judged `json:"endpoints"`
}

// Signature is whether a token was signed by whom it names.
type Signature struct {
	Good      bool   `json:"good"`
	Algorithm string `json:"alg,omitempty"`
	KeyID     string `json:"kid,omitempty"`
	KeyState  string `json:"key_state,omitempty"` // of our own key: current, previous, next
	Why       string `json:"why,omitempty"`       // it is not good, or could not be judged
}

// TokenIssuer is an authority that the configuration trusts.
type TokenIssuer struct {
	Name string `json:"name"` // in the configuration
	URL  string `json:"url"`
}

// Judged is what an endpoint would answer to a request with the token.
type Judged struct {
	Host     string `json:"host"`
	API      string `json:"api"`
	Endpoint string `json:"endpoint"`
	Shield   string `json:"shield"`

	// Answer is "accepted", "refused", or "needs more": with what Needs says, it would
	// be accepted, unless Missing holds a scope.
	Answer  string   `json:"answer"`
	Status  int      `json:"status"`            // of the answer to the token alone; 200: the upstream's own
	Code    string   `json:"code,omitempty"`    // as the caller would see it
	Why     string   `json:"why,omitempty"`     // for the operator
	Missing []string `json:"missing,omitempty"` // scopes that the token lacks
	Needs   []string `json:"needs,omitempty"`   // what else has to come with the token
	Client  string   `json:"client,omitempty"`  // who calls, as the endpoint sees it
	User    string   `json:"user,omitempty"`
	Remedy  string   `json:"remedy,omitempty"`
	Unknown []string `json:"unknown,omitempty"` // what cannot be judged without a request
}

// The answers of an endpoint.
const (
	AnswerAccepted = "accepted"
	AnswerRefused  = "refused"
	AnswerNeeds    = "needs more"
)

// maxInspected is the longest token that is inspected, in bytes: what a shield reads, and
// enough more to say that it is too long.
const maxInspected = 32 << 10

// inspect says what a token is. That it was asked leaves an event with the token's digest.
func (s *Service) inspect(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "token.inspect"}
	var q Inspection
	if err := decode(r, &q); err != nil {
		return nil, change, err
	}
	if q.Token == "" || len(q.Token) > maxInspected {
		return nil, change, problem(http.StatusBadRequest, "malformed", "want one token of at most %d bytes", maxInspected)
	}
	sum := sha256.Sum256([]byte(q.Token))
	change.Target = "sha256:" + hex.EncodeToString(sum[:])
	if s.Inspect == nil {
		return nil, change, problem(http.StatusConflict, "not_running", "nothing here can judge a token")
	}
	found, err := s.Inspect(r.Context(), q)
	if err != nil {
		return nil, change, err
	}
	found.Digest = change.Target
	return found, change, nil
}

// Describe names what a shield takes: "jwt", "any of jwt, api_key".
func Describe(s config.Shield) string { return describe(s) }

// Inspect says what a token is, and what each endpoint would answer to it.
func (c *Client) Inspect(ctx context.Context, q Inspection) (found Inspected, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/tokens/inspect", q, &found)
	return found, err
}
