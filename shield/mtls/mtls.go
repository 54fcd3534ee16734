// Package mtls is the shield for mutual TLS: the caller is who a certificate
// authority of yours says it is, and proved in the handshake that it holds the
// certificate's key.
//
// A request is judged in this order, and the order is part of the security:
//
//	presented   a certificate at all? at most 10, at most 64 KiB     verify.go
//	chain       to a CA of the bundle, for clients, strong keys      chain.go
//	names       plain ones only, and one of the rules of allow       names.go, rules.go
//	time        every certificate of the chain is in force           verify.go
//	revoked?    by the CAs' lists from files, or by whom is asked    revoked.go, crl.go
//	client      known here? usable? revoked here?                    verify.go
//
// The first three answers depend on nothing but the bytes and the bundle, so that
// they are remembered by the digest of what was presented. The others are asked
// for every request: a kept or resumed connection loses access at once.
//
// The handshake itself judges nothing (docs/decisions/0004-client-certificates.md).
// For gateways behind a TLS terminator, terminator.go reads the headers of
// RFC 9440. See README.md for settings and limits, docs/decisions/0090-mtls.md
// for the choices.
package mtls

import (
	_ "embed"
	"fmt"
	"strings"

	"pavise.dev/pavise/shield"
)

const kind = "mtls"

//go:embed README.md
var readme string

// Kind describes the shield to the rest of the program.
func Kind() shield.Kind {
	return shield.Kind{
		Name:    kind,
		Summary: "a client certificate of an authority of yours, for services and partners",
		Config:  func() shield.Config { return &Config{} },
		Client:  client,
		Issue:   issue,
		Attacks: attacks(),
		README:  readme,
	}
}

// Config is the settings of the shield. Written as one word, `mtls: partners.pem`,
// it is the bundle; `mtls` alone trusts the installation's own authority (own.go).
type Config struct {
	Trust []string `yaml:"trust" doc:"PEM file, or several, with the authorities whose certificates are accepted, read again when it changes; or own: the authority that 'pavise ca init' made. Default: own."`
	Allow []Rule   `yaml:"allow" doc:"Which of their certificates are accepted: those that meet every part of one of these rules. Default: all."`
	CRL   []string `yaml:"crl" doc:"Files with revocation lists, PEM or DER. Every authority of a caller's chain then needs one that is in force. Read again when they change."`

	Revocation *Revocation `yaml:"revocation" doc:"Ask others whether certificates are revoked. Lists from crl count first, where there is one of the authority. Default: nobody is asked."`
}

// SetScalar takes the short form.
func (c *Config) SetScalar(value string) error {
	if value == "" {
		return fmt.Errorf("write the name of a PEM file: mtls: partners.pem")
	}
	c.Trust = []string{value}
	return nil
}

// Calling says which authorities a caller's certificate may be of: files, or own.
func (c *Config) Calling() map[string]string {
	trust := strings.Join(c.Trust, " ")
	if trust == "" {
		trust = own
	}
	return map[string]string{"trust": trust}
}

// Validate returns what cannot work.
func (c *Config) Validate() []shield.Problem {
	var problems []shield.Problem
	for path, files := range map[string][]string{"trust": c.Trust, "crl": c.CRL} {
		for i, name := range files {
			if name == "" {
				problems = append(problems, shield.Problem{Path: fmt.Sprintf("%s.%d", path, i), Message: "the name of the file is empty"})
			}
		}
	}
	problems = append(problems, c.Revocation.problems()...)
	for i, rule := range c.Allow {
		for _, p := range rule.problems() {
			p.Path = fmt.Sprintf("allow.%d.%s", i, p.Path)
			problems = append(problems, p)
		}
	}
	return problems
}

// Open reads the files and returns the shield.
func (c *Config) Open(env shield.Env) (shield.Shield, error) {
	switch {
	case env.Now == nil || env.Files == nil || env.Credentials == nil:
		return nil, fmt.Errorf("mtls needs files, credentials and a clock")
	}
	if problems := c.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("mtls: %s: %s", problems[0].Path, problems[0].Message)
	}
	s := &certificates{
		now: env.Now, credentials: env.Credentials, files: env.Files,
		authority: env.Authority, trust: c.Trust, crl: c.CRL, allow: compile(c.Allow),
	}
	if len(s.trust) == 0 {
		s.trust = []string{own}
	}
	var err error
	if s.online, err = c.Revocation.open(env); err != nil {
		return nil, fmt.Errorf("mtls: %w", err)
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("mtls: %w", err)
	}
	return s, nil
}

// UsesCertificate says that the host has to ask for client certificates.
func (c *Config) UsesCertificate() bool { return true }
