// Package bearer is what the shields for access tokens have in common: how a token is
// carried, what its claims mean, and whether it is for this endpoint, now, in the hands
// of whoever sent it. How a shield comes to believe the claims is its own: shield/jwt by
// a signature, shield/introspect by asking the issuer.
//
//	carried    one Authorization header, at most 16 KiB            carrier.go
//	claims     what the token says, in our words                   claims.go
//	fit        kind, times, audience, required claims, binding     fit.go
//	identity   revoked? which client is it, is that one usable?    identity.go
//	possession the proof of a token that is bound to a key         possession.go
//	step-up    how, and how long ago, the person signed in         stepup.go
//
// Everything here is asked on every use of a token.
package bearer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
)

// OwnIssuer is the name of the authorization server of the installation itself.
const OwnIssuer = "pavise"

// MaxLeeway is the largest difference of clocks that is tolerated.
const MaxLeeway = 60 * time.Second

// Wants are the settings that every shield for access tokens has.
type Wants struct {
	Issuers     []string          // names; none: [OwnIssuer]
	Audience    []string          // none: the issuer's, or the API's
	Require     map[string]string // claim → exact value
	Certificate bool              // only tokens that are bound to a certificate
	DPoP        string            // "accept" or "require"
	Nonce       bool              // proofs hold a nonce of ours
	ACR         []string
	MaxAge      time.Duration
}

const requireKey = "require" // the value of dpop that accepts bound tokens only

// Names are the issuers that w names; where it names none, our own.
func (w Wants) Names() []string {
	if len(w.Issuers) == 0 {
		return []string{OwnIssuer}
	}
	return w.Issuers
}

// Problems returns what cannot work, by the names of the settings.
func (w Wants) Problems() []shield.Problem {
	var problems []shield.Problem
	problem := func(path, message, hint string) {
		problems = append(problems, shield.Problem{Path: path, Message: message, Hint: hint})
	}
	if slices.Contains(w.Issuers, "") {
		problem("issuer", "no issuer is named", "add the name of one of issuers")
	}
	for _, audience := range w.Audience {
		if !isVisible(audience) {
			problem("audience", fmt.Sprintf("%q is empty, longer than %d bytes, or holds a quote, a backslash or a character that cannot be seen", audience, maxText), "")
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(w.Require)) {
		switch claim {
		case "":
			problem("require", "a claim without a name", "")
		case "iss", "aud", "exp", "nbf", "iat", "active":
			problem("require", claim+" is always checked", "use issuer, audience, or the issuer's settings")
		}
	}
	for _, acr := range w.ACR {
		if !isVisible(acr) || strings.Contains(acr, " ") {
			problem("acr", fmt.Sprintf("%q is no value of the claim acr", acr), "")
		}
	}
	if w.MaxAge < 0 || w.MaxAge > 0 && w.MaxAge < time.Second {
		problem("max_age", "is shorter than a second", "")
	}
	if w.DPoP != "" && w.DPoP != "accept" && w.DPoP != requireKey {
		problem("dpop", fmt.Sprintf("%q is neither accept nor require", w.DPoP), "")
	}
	return problems
}

// Judge decides about tokens whose claims are believed, for one endpoint. It is safe for
// concurrent use.
type Judge struct {
	kind        string
	now         func() time.Time
	revoked     shield.Revoked
	credentials shield.Lookup
	issuers     []*Issuer
	certificate bool
	keyOnly     bool
	require     []requirement
	proofs      *dpop.Verifier
	wanted      stepUp
	challenges
}

// Issuer is an issuer with what this endpoint wants of its tokens.
type Issuer struct {
	*shield.Issuer
	audience []string
}

// Expected is the first of the audiences of which a token must name one.
func (i *Issuer) Expected() string { return i.audience[0] }

type requirement struct{ claim, value string }

// Open returns a judge for a kind of shield, or an error that says what is missing.
func Open(kind string, w Wants, env shield.Env) (*Judge, error) {
	switch {
	case env.Now == nil || env.Issuers == nil:
		return nil, errors.New("issuers and a clock are needed")
	case env.Revoked == nil || env.Credentials == nil:
		return nil, errors.New("revocations and credentials are needed")
	}
	j := &Judge{
		kind: kind, now: env.Now, revoked: env.Revoked, credentials: env.Credentials,
		certificate: w.Certificate, keyOnly: w.DPoP == requireKey, wanted: newStepUp(w.ACR, w.MaxAge),
		proofs: &dpop.Verifier{Now: env.Now, Ports: env.API.Ports},
	}
	for _, claim := range slices.Sorted(maps.Keys(w.Require)) {
		j.require = append(j.require, requirement{claim, w.Require[claim]})
	}
	if err := j.demandNonces(w, env); err != nil {
		return nil, err
	}
	for _, name := range w.Names() {
		if err := j.trust(name, w, env); err != nil {
			return nil, err
		}
	}
	j.challenges = newChallenges(j.issuers[0].audience[0], j.keyOnly)
	return j, nil
}

func (j *Judge) demandNonces(w Wants, env shield.Env) error {
	if !w.Nonce {
		return nil
	}
	if env.Key == nil {
		return errors.New("dpop_nonce needs a key of the installation's own, and there is none here")
	}
	key, err := env.Key("dpop-nonces")
	if err != nil {
		return fmt.Errorf("dpop_nonce: %w", err)
	}
	j.proofs.Nonces = dpop.NewNonces(key, "resource")
	return nil
}

// trust adds an issuer.
func (j *Judge) trust(name string, w Wants, env shield.Env) error {
	issuer, err := env.Issuers.Issuer(name)
	if err != nil {
		return err
	}
	known := &Issuer{Issuer: issuer, audience: audienceOf(w, issuer, env.API)}
	switch {
	case j.Issuer(issuer.URL) != nil:
		return fmt.Errorf("two issuers have the URL %s and could not be told apart", issuer.URL)
	case issuer.URL == "":
		return fmt.Errorf("issuer %s: it has no URL", name)
	case len(known.audience) == 0 || slices.Contains(known.audience, ""):
		return fmt.Errorf("issuer %s: no audience is configured, neither for the endpoint nor for the issuer", name)
	case issuer.Leeway < 0 || issuer.Leeway > MaxLeeway:
		return fmt.Errorf("issuer %s: its leeway is not between 0 and %s", name, MaxLeeway)
	}
	j.issuers = append(j.issuers, known)
	return nil
}

// audienceOf is what the endpoint says, else the issuer, else the API's own names.
func audienceOf(w Wants, issuer *shield.Issuer, api shield.API) []string {
	switch {
	case len(w.Audience) > 0:
		return w.Audience
	case len(issuer.Audience) > 0:
		return issuer.Audience
	case api.Name == "":
		return nil
	case api.Resource != "":
		return []string{api.Name, api.Resource}
	}
	return []string{api.Name}
}

// Issuer returns the trusted issuer with this URL; nil if there is none.
func (j *Judge) Issuer(url string) *Issuer {
	for _, issuer := range j.issuers {
		if issuer.URL == url {
			return issuer
		}
	}
	return nil
}

// Issuers are all trusted issuers, in the order of the settings.
func (j *Judge) Issuers() []*Issuer { return j.issuers }

// Needs are what every shield for access tokens wants of the core; accepts says how its
// tokens of an issuer are told from others.
func (j *Judge) Needs(accepts func(url string) string) shield.Needs {
	needs := shield.Needs{
		Carries: []string{"Authorization", "Dpop"}, ClientCert: j.certificate,
		Tokens: &shield.Tokens{CertificateBound: j.certificate, KeyBound: j.keyOnly, ProofAlgorithms: dpop.Algorithms()},
	}
	for _, issuer := range j.issuers {
		needs.Accepts = append(needs.Accepts, accepts(issuer.URL))
		needs.Tokens.Issuers = append(needs.Tokens.Issuers, issuer.URL)
	}
	slices.Sort(needs.Accepts)
	return needs
}
