// Package apikey is the shield for API keys: a long random word in a header that
// names a client.
//
// A key identifies an application, not a person, and whoever has it is its
// owner: it stops strangers, not thieves. See README.md for what it protects,
// its settings, and its limits.
package apikey

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

const (
	kind          = "api_key"
	defaultHeader = "X-API-Key"
	maxImported   = 512 // bytes of an imported key
	minImported   = 20
)

//go:embed README.md
var readme string

// Kind describes API keys to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "a long random word in a header that names an application",
		Config:  func() shield.Config { return &Config{Header: defaultHeader} },
		Client:  client,
		Issue:   issue,
		Attacks: attacks(),
		README:  readme,
	}
}

// Config is the settings of the shield. Written as one word, `api_key` takes the
// defaults.
type Config struct {
	Header        string `yaml:"header" doc:"Header that carries the key. Default X-API-Key."`
	Environment   string `yaml:"environment" doc:"Accept only keys of this environment, for example live. Default: any."`
	AllowBrowsers string `yaml:"insecure_allow_browsers" doc:"Accept keys that a browser sends (Origin or Sec-Fetch-Site header), with the reason why everybody may read the key."`
}

// Calling says what a caller's credential must be like: its header and its environment.
func (c *Config) Calling() map[string]string {
	return map[string]string{"header": c.Header, "environment": c.Environment}
}

// Validate returns what cannot work.
func (c *Config) Validate() []shield.Problem {
	var problems []shield.Problem
	if !isHeaderName(c.Header) {
		problems = append(problems, shield.Problem{
			Path: "header", Message: fmt.Sprintf("%q is no header name", c.Header), Hint: "use letters, digits and -, for example X-API-Key",
		})
	}
	switch textproto.CanonicalMIMEHeaderKey(c.Header) {
	case "Authorization", "Cookie", "Host", "Content-Type", "Content-Length", "Connection", "Transfer-Encoding":
		problems = append(problems, shield.Problem{
			Path: "header", Message: c.Header + " has another meaning", Hint: "use a header of its own, for example X-API-Key",
		})
	}
	if c.Environment != "" && !isEnvironment(c.Environment) {
		problems = append(problems, shield.Problem{
			Path: "environment", Message: fmt.Sprintf("%q: want 1 to %d lower-case letters and digits", c.Environment, maxEnvironment),
			Hint: "live and test are common",
		})
	}
	if c.AllowBrowsers != "" && len(c.AllowBrowsers) < 10 {
		problems = append(problems, shield.Problem{
			Path: "insecure_allow_browsers", Message: "the reason is too short", Hint: "say in a sentence why everybody may read this key",
		})
	}
	return problems
}

// Open returns the shield.
func (c *Config) Open(env shield.Env) (shield.Shield, error) {
	if env.Credentials == nil || env.Now == nil {
		return nil, fmt.Errorf("api_key needs credentials and a clock")
	}
	return &keys{
		header: textproto.CanonicalMIMEHeaderKey(c.Header), environment: c.Environment,
		browsers: c.AllowBrowsers != "", credentials: env.Credentials, now: env.Now,
		challenge: fmt.Sprintf("ApiKey realm=%q", c.Header),
	}, nil
}

func isHeaderName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// keys is the opened shield.
type keys struct {
	header, environment string
	browsers            bool
	credentials         shield.Lookup
	now                 func() time.Time
	challenge           string
}

// Needs says that the key's header is removed before the upstream.
func (k *keys) Needs() shield.Needs {
	return shield.Needs{Carries: []string{k.header}, Accepts: []string{"an API key in " + k.header}}
}

// Verify finds the client of the key. Nothing is looked up for a key whose form
// or checksum is wrong.
func (k *keys) Verify(r *http.Request) (*shield.Identity, error) {
	key, err := k.carried(r)
	if err != nil {
		return nil, err
	}
	record, err := k.find(key)
	if err != nil {
		return nil, err
	}
	now := k.now()
	if err := k.usable(record, r, now); err != nil {
		return nil, err
	}
	return record.Identity(now), nil
}

// Exposed implements [shield.Exposer]: no key may stand in the query.
func (k *keys) Exposed(r *http.Request) *shield.Refusal {
	name := inQuery(r.URL.RawQuery, k.header)
	if name == "" {
		return nil
	}
	refusal := shield.Refuse(shield.ExposedCredential, "a key stands in the query (%s), where logs and proxies keep it", name)
	refusal.Exposed = true
	return refusal
}

// carried returns the key, from the only place where it may stand.
func (k *keys) carried(r *http.Request) (string, error) {
	if refusal := k.Exposed(r); refusal != nil {
		return "", refusal
	}
	switch values := r.Header[k.header]; len(values) {
	case 0:
		return "", &shield.Refusal{Code: shield.Absent, Challenge: []string{k.challenge}}
	case 1:
		if strings.TrimSpace(values[0]) == "" {
			return "", k.refuse(shield.Refuse(shield.InvalidCredential, "header %s is empty", k.header))
		}
		return values[0], nil
	default:
		return "", shield.Refuse(shield.MalformedCredential, "header %s stands %d times", k.header, len(values))
	}
}

// find returns the record whose secret the key is.
func (k *keys) find(key string) (*shield.Record, error) {
	if strings.HasPrefix(key, prefix) {
		return k.findOurs(key)
	}
	if !isForeignKey(key) {
		return nil, k.refuse(shield.Refuse(shield.InvalidCredential, "neither one of our keys nor one that could have been imported"))
	}
	sum := sha256.Sum256([]byte(key))
	record, err := k.credentials.Holder(kind, sum[:])
	if errors.Is(err, shield.ErrUnknown) {
		return nil, k.refuse(shield.Refuse(shield.InvalidCredential, "no such imported key"))
	}
	return record, err
}

// findOurs looks a key up by the id in it. An unknown id and a wrong secret are
// one answer and take the same work.
func (k *keys) findOurs(key string) (*shield.Record, error) {
	p, err := parse(key)
	if err != nil {
		return nil, k.refuse(shield.Refuse(shield.InvalidCredential, "%v", err))
	}
	record, err := k.credentials.Credential(kind, p.id)
	if errors.Is(err, shield.ErrUnknown) {
		_, _ = k.credentials.Holder(kind, []byte(key)) // the work of a comparison, so that time does not tell ids apart
		return nil, k.refuse(shield.Refuse(shield.InvalidCredential, "no key has the id %s", p.id).Of(p.id, "", false))
	}
	if err != nil {
		return nil, fmt.Errorf("look up key %s: %w", p.id, err)
	}
	if !record.Match([]byte(key)) {
		return nil, k.refuse(shield.Refuse(shield.InvalidCredential, "the secret of key %s is wrong", p.id).Of(p.id, "", false))
	}
	return record, nil
}

// usable asks what only the holder of the secret may learn.
func (k *keys) usable(record *shield.Record, r *http.Request, now time.Time) error {
	if err := record.Usable(now, r); err != nil {
		return err
	}
	if k.environment != "" && record.Settings["environment"] != k.environment {
		return k.refuse(shield.Refuse(shield.InvalidCredential, "the key is of environment %q, this endpoint takes %q",
			record.Settings["environment"], k.environment).Of(record.ID, record.Client.ID, true))
	}
	if !k.browsers && sentByBrowser(r.Header) {
		refusal := shield.Refuse(shield.ExposedCredential, "a browser sent the key: everybody who uses that page can read it").
			Of(record.ID, record.Client.ID, true)
		refusal.Exposed = true
		return refusal
	}
	return nil
}

func (k *keys) refuse(r *shield.Refusal) *shield.Refusal { return r.With(k.challenge) }

// sentByBrowser reports whether the request carries what only browsers send
// (Fetch metadata) or what scripts of other origins send.
func sentByBrowser(h http.Header) bool {
	return len(h["Sec-Fetch-Site"]) > 0 || len(h["Origin"]) > 0
}

// inQuery says where a query looks like it carries a key, or nothing; however it is
// escaped: one of the usual names, the header's name, or anything with our prefix.
func inQuery(query, header string) string {
	if query == "" {
		return ""
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescaped(name), unescaped(value)
		if strings.HasPrefix(value, prefix) && len(value) >= tailLength {
			return "a value with our prefix" // its name may hold anything
		}
		switch base := strings.ToLower(strings.TrimSuffix(name, "[]")); base {
		case "api_key", "apikey", "api-key", "x-api-key", "access_key", strings.ToLower(header):
			return "parameter " + base
		}
		if strings.HasPrefix(name, prefix) && len(name) >= tailLength {
			return "a name with our prefix"
		}
	}
	return ""
}

func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}
