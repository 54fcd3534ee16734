// Package introspect is the shield for access tokens that say nothing by themselves:
// their issuer is asked what each of them stands for (RFC 7662).
//
// A token is judged in this order, and the order is part of the security:
//
//	carried   one Authorization header, at most 16 KiB       internal/bearer
//	form      an opaque token; a JWT is somebody else's      introspect.go
//	answer    of the issuer: asked, or remembered            asking.go
//	kind      what the issuer says it is                     asking.go
//	claims    times, audience, scopes, binding, revocation,
//	          and the client: known here? usable?            internal/bearer
//
// An answer is remembered for a few seconds by the digest of the token, never the token
// itself, so that a busy caller costs its issuer one question in that time. What may
// change meanwhile here (expiry, revocation, the client) is asked on every use. See
// README.md for settings and limits, docs/decisions/0104-introspection.md for the choices.
package introspect

import (
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

const (
	kind            = "introspect"
	defaultCache    = 4096
	defaultRemember = 10 * time.Second
	maxRemember     = 5 * time.Minute
	minReason       = 8 // bytes
)

//go:embed README.md
var readme string

// Kind describes the shield to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "an opaque access token, whose issuer is asked what it stands for",
		Config:  func() shield.Config { return &Config{Cache: defaultCache, Remember: defaultRemember} },
		Client:  bearer.Caller,
		Attacks: attacks(),
		README:  readme,
	}
}

// Config is the settings of the shield. Written as one word, `introspect: corp`, it is
// the issuer's name.
type Config struct {
	Issuer   string            `yaml:"issuer" doc:"Name of the issuer, as under issuers, which must have introspection. Default: the authorization server of this installation (oauth)."`
	Audience []string          `yaml:"audience" doc:"Accepted values of aud, exact. Default: those of the issuer."`
	Require  map[string]string `yaml:"require" doc:"Members of the answer that must have exactly this value: a string, a number or true or false as it is written; dots go down."`
	JWT      bool              `yaml:"jwt" doc:"Ask about JWTs of the issuer, too, which are otherwise left to the shield jwt."`
	Remember time.Duration     `yaml:"remember" doc:"How long an answer is remembered, 0s to 5m: a revocation at the issuer may take so long to be felt. Our own issuer's revocations are felt at once. Default 10s."`
	Bound    bool              `yaml:"certificate_bound" doc:"Accept only tokens that are bound to the caller's client certificate (RFC 8705). The host must ask for certificates."`
	DPoP     string            `yaml:"dpop" doc:"accept: a token that is bound to a key comes with the scheme DPoP and a proof by that key (RFC 9449), others as Bearer. require: only bound ones." default:"accept" enum:"accept,require"`
	Nonce    bool              `yaml:"dpop_nonce" doc:"Demand a recent nonce of this installation in each proof, so that none can be made in advance (RFC 9449 §9). Callers learn it from the first answer."`
	ACR      []string          `yaml:"acr" doc:"Ways of signing in of which one is wanted, as in the member acr (RFC 9470)."`
	MaxAge   time.Duration     `yaml:"max_age" doc:"How long ago the person may have signed in, as in the member auth_time (RFC 9470). Default: any time."`
	Cache    int               `yaml:"cache" doc:"Tokens whose answer is remembered, 0 to 65536. Default 4096."`
	NoAud    string            `yaml:"insecure_without_audience" doc:"Accept answers that do not say for whom the token is, with the reason why the issuer tells us only about tokens for us."`
}

func (c *Config) wants() bearer.Wants {
	w := bearer.Wants{
		Audience: c.Audience, Require: c.Require, Certificate: c.Bound,
		DPoP: c.DPoP, Nonce: c.Nonce, ACR: c.ACR, MaxAge: c.MaxAge,
	}
	if c.Issuer != "" {
		w.Issuers = []string{c.Issuer}
	}
	return w
}

// Names says which issuers of the configuration the settings refer to.
func (c *Config) Names() map[string][]string {
	return map[string][]string{"issuer": c.wants().Names()}
}

// UsesCertificate says whether the host has to ask for client certificates.
func (c *Config) UsesCertificate() bool { return c.Bound }

// SetScalar takes the short form.
func (c *Config) SetScalar(value string) error {
	if value == "" {
		return errors.New("write the name of an issuer: introspect: corp")
	}
	c.Issuer = value
	return nil
}

// Validate returns what cannot work.
func (c *Config) Validate() []shield.Problem {
	problems := c.wants().Problems()
	if c.Cache < 0 || c.Cache > bearer.MaxCache {
		problems = append(problems, shield.Problem{Path: "cache", Message: fmt.Sprintf("%d is not between 0 and %d", c.Cache, bearer.MaxCache)})
	}
	if c.NoAud != "" && len(c.NoAud) < minReason {
		problems = append(problems, shield.Problem{
			Path: "insecure_without_audience", Message: "the reason is too short", Hint: "say in a sentence why the issuer tells us only about tokens for us",
		})
	}
	if c.Remember < 0 || c.Remember > maxRemember {
		problems = append(problems, shield.Problem{Path: "remember", Message: fmt.Sprintf("%s is not between 0s and %s", c.Remember, maxRemember)})
	}
	return problems
}

// Open returns the shield.
func (c *Config) Open(env shield.Env) (shield.Shield, error) {
	judge, err := bearer.Open(kind, c.wants(), env)
	if err != nil {
		return nil, fmt.Errorf("introspect: %w", err)
	}
	issuer := judge.Issuers()[0]
	if issuer.Introspect == nil {
		return nil, fmt.Errorf("introspect: issuer %s cannot be asked: give it introspection, with a client_id and a client_secret_file", issuer.Name)
	}
	return &tokens{judge: judge, issuer: issuer, jwt: c.JWT, asking: newAsking(judge, c, env.Now)}, nil
}

// tokens is the opened shield.
type tokens struct {
	judge  *bearer.Judge
	issuer *bearer.Issuer
	jwt    bool
	asking *asking
}

// Needs says that the token is removed before the upstream, and by what its tokens are
// told apart: opaque ones are all alike, whoever issued them.
func (t *tokens) Needs() shield.Needs {
	needs := t.judge.Needs(func(string) string { return "an opaque token in Authorization" })
	if t.jwt {
		needs.Accepts = append(needs.Accepts, "a JWT of "+t.issuer.URL+" in Authorization")
	}
	return needs
}

// Exposed implements [shield.Exposer]: no token may stand in the query.
func (t *tokens) Exposed(r *http.Request) *shield.Refusal { return t.judge.Exposed(r) }

// Verify finds the caller by the token that he carries.
func (t *tokens) Verify(r *http.Request) (*shield.Identity, error) {
	p, err := t.judge.Carried(r)
	if err != nil {
		return nil, err
	}
	if err := t.form(p); err != nil {
		return nil, err
	}
	known, err := t.asking.about(r.Context(), p)
	if err != nil {
		return nil, err
	}
	if known.token == nil {
		return nil, p.Refuse(shield.Refuse(shield.InvalidCredential, "issuer %s: %s", t.issuer.Name, known.why))
	}
	id, err := t.judge.Decide(r, p, known.token)
	if err != nil {
		return nil, err
	}
	if err := t.judge.Alone(r); err != nil {
		return nil, err
	}
	return id, nil
}

// form leaves to others what is not ours, without asking anybody.
func (t *tokens) form(p bearer.Presented) error {
	switch p.Form() {
	case bearer.NoToken:
		return p.Refuse(shield.Refuse(shield.InvalidCredential, "the token holds a character that no token has"))
	case bearer.JWT:
		if !t.jwt || issuerOf(p.Token) != t.issuer.URL {
			return p.Refuse(shield.Refuse(shield.Foreign, "the token is a JWT that is not asked about here"))
		}
	}
	return nil
}

// issuerOf is who issued a JWT, as it says itself.
func issuerOf(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return ""
	}
	claims, err := strictjson.Object(text)
	if err != nil {
		return ""
	}
	issuer, _ := claims["iss"].(string) // no issuer has no name
	return issuer
}

// isAccessType reports whether a token_type is that of an access token (RFC 7662 §2.2,
// RFC 6749 §7.1), in any case.
func isAccessType(typ any) bool {
	text, ok := typ.(string)
	return ok && (strings.EqualFold(text, bearer.Scheme) || strings.EqualFold(text, "DPoP") || strings.EqualFold(text, "access_token"))
}
