// Package public is the shield of endpoints that anybody may call.
//
// It exists so that "nobody is asked" has to be written down, with a reason,
// where `pavise check` lists it: an endpoint without a shield does not exist.
package public

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"pavise.dev/pavise/shield"
)

const (
	kind      = "public"
	minReason = 5   // characters
	maxReason = 200 // bytes
)

//go:embed README.md
var readme string

// Kind describes public endpoints to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "anybody may call, for the reason that is given",
		Config:  func() shield.Config { return new(Config) },
		README:  readme,
	}
}

// Config is the settings of the shield, most often written as one word:
// `shield: {public: load-balancer probe}`.
type Config struct {
	Reason string `yaml:"reason" doc:"Why anybody may call this endpoint, in 5 to 200 characters. Listed by pavise check."`
}

// SetScalar takes the short form, which is the reason.
func (c *Config) SetScalar(value string) error {
	c.Reason = value
	return nil
}

// Validate returns what cannot work: a reason that says nothing.
func (c *Config) Validate() []shield.Problem {
	reason := strings.TrimSpace(c.Reason)
	letters := 0
	for _, r := range reason {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters++
		}
		if unicode.IsControl(r) {
			return []shield.Problem{{Path: "reason", Message: "the reason holds control characters", Hint: "write it on one line"}}
		}
	}
	if letters < minReason || len(reason) > maxReason {
		return []shield.Problem{{
			Path:    "reason",
			Message: fmt.Sprintf("an endpoint that anybody may call needs a reason of %d to %d characters", minReason, maxReason),
			Hint:    "for example {public: load-balancer probe}",
		}}
	}
	return nil
}

// Open returns the shield. It needs nothing of the world.
func (c *Config) Open(shield.Env) (shield.Shield, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("public: %s", problems[0].Message)
	}
	return anybody{id: &shield.Identity{Shield: kind, Scopes: shield.Scopes{}}}, nil
}

// anybody accepts every request as the same nobody.
type anybody struct {
	id *shield.Identity
}

// Verify accepts the request. The identity names no client and holds no scope:
// its Scopes are empty, not nil, so that it can only narrow what others prove.
func (a anybody) Verify(*http.Request) (*shield.Identity, error) { return a.id, nil }
