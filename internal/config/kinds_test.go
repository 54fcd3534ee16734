package config_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// kinds are toys with the shapes that real kinds have: the tests are about the
// file, and hold whatever the shields become.
func kinds() []shield.Kind {
	return []shield.Kind{
		{Name: "api_key", Config: func() shield.Config { return &keyConfig{Header: "X-API-Key"} }},
		{Name: "jwt", Config: func() shield.Config { return &tokenConfig{Cache: 4096} }},
		{Name: "hmac", Config: func() shield.Config { return &hmacConfig{Window: time.Minute, MaxBody: 1 << 20} }},
		{Name: "mtls", Config: func() shield.Config { return &certConfig{} }},
		{Name: "public", Config: func() shield.Config { return &publicConfig{} }},
	}
}

type toy struct{}

func (toy) Validate() []shield.Problem             { return nil }
func (toy) Open(shield.Env) (shield.Shield, error) { return toy{}, nil }
func (toy) Verify(*http.Request) (*shield.Identity, error) {
	return nil, fmt.Errorf("a toy verifies nothing")
}

type keyConfig struct {
	toy
	Header   string `yaml:"header" doc:"Header that carries the key."`
	Browsers string `yaml:"insecure_allow_browsers" doc:"Accept keys that a browser sends, with the reason."`
	Pepper   string `yaml:"pepper" doc:"A secret setting." secret:"yes"`
}

type tokenConfig struct {
	toy
	Issuer  []string          `yaml:"issuer" doc:"Name of the issuer, or several."`
	Require map[string]string `yaml:"require" doc:"Claims that must have this value."`
	Bound   bool              `yaml:"certificate_bound" doc:"Accept only bound tokens."`
	Cache   int               `yaml:"cache" doc:"Tokens that are remembered, 0 to 65536."`
}

func (c *tokenConfig) SetScalar(value string) error {
	c.Issuer = []string{value}
	return nil
}

func (c *tokenConfig) Validate() []shield.Problem {
	var problems []shield.Problem
	if len(c.Issuer) == 0 {
		problems = append(problems, shield.Problem{Path: "issuer", Message: "no issuer is named", Hint: "add the name of one of issuers"})
	}
	if c.Cache < 0 || c.Cache > 65536 {
		problems = append(problems, shield.Problem{Path: "cache", Message: fmt.Sprintf("%d is not between 0 and 65536", c.Cache)})
	}
	return problems
}

func (c *tokenConfig) Names() map[string][]string { return map[string][]string{"issuer": c.Issuer} }
func (c *tokenConfig) UsesCertificate() bool      { return c.Bound }

type hmacConfig struct {
	toy
	Window  time.Duration `yaml:"window" doc:"How old a signature may be."`
	Headers []string      `yaml:"headers" doc:"Headers that must be covered."`
	MaxBody int64         `yaml:"max_body" doc:"Longest body." unit:"bytes"`
}

func (c *hmacConfig) Validate() []shield.Problem {
	for i, name := range c.Headers {
		if strings.Contains(name, "_") {
			return []shield.Problem{{Path: fmt.Sprintf("headers.%d", i), Message: fmt.Sprintf("%q is no header name", name), Hint: "use -"}}
		}
	}
	if c.Window > 15*time.Minute {
		return []shield.Problem{{Path: "window", Message: c.Window.String() + " is too long"}}
	}
	return nil
}

type rule struct {
	DNS string `yaml:"dns" doc:"A name in the certificate."`
	URI string `yaml:"uri" doc:"A URI in the certificate."`
}

type certConfig struct {
	toy
	Trust []string `yaml:"trust" doc:"Files with CAs."`
	Rules []rule   `yaml:"rules" doc:"What the certificate must carry."`
}

func (c *certConfig) UsesCertificate() bool { return true }

type publicConfig struct {
	toy
	Reason string `yaml:"reason" doc:"Why anybody may call."`
}

func (c *publicConfig) SetScalar(value string) error {
	c.Reason = value
	return nil
}

func (c *publicConfig) Validate() []shield.Problem {
	if len(c.Reason) < 5 {
		return []shield.Problem{{Path: "reason", Message: "an endpoint that anybody may call needs a reason", Hint: "for example {public: load-balancer probe}"}}
	}
	return nil
}

// parse reads a text that names no files.
func parse(text string) (*config.File, error) {
	return config.Parse(config.Source{Name: "pavise.yaml", Text: []byte(text)}, kinds()...)
}

func mustParse(t testing.TB, text string) *config.File {
	t.Helper()
	f, err := parse(text)
	if err != nil {
		t.Fatalf("parse:\n%v", err)
	}
	return f
}

// write puts files into a new folder and returns the path of the first one.
func write(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}
