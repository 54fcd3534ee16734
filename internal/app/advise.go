package app

import (
	"cmp"
	"maps"
	"slices"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/introspect"
	"pavise.dev/pavise/shield/jwt"
)

// Advised is a configuration in the terms of advice, so that the two can be compared.
func Advised(f *config.File) (advise.InForce, error) {
	resolved, err := f.Resolve()
	if err != nil {
		return advise.InForce{}, err
	}
	c := advise.InForce{Detections: f.Alerts.Detections != "off"}
	for i := range resolved {
		c.Endpoints = append(c.Endpoints, advisedEndpoint(&resolved[i]))
	}
	return c, nil
}

func advisedEndpoint(e *config.Resolved) advise.Live {
	l := advise.Live{
		API: e.API, Pattern: e.Pattern, Where: e.Pos.String(), Ways: advisedWays(e.Shield), Scopes: e.Scopes, Limits: e.Limits,
		Contract: e.OpenAPI != nil || e.Schema != nil, Audit: e.Audit == "required", Trials: map[string]string{},
	}
	l.Undeclared = e.OpenAPI != nil && e.OpenAPI.Undeclared != "" || e.Schema != nil && e.Schema.Undeclared != ""
	for _, t := range e.Trials {
		if l.Trials[t.What] == "" {
			l.Trials[t.What] = t.Until // the endpoint's own comes first
		}
	}
	if e.Injection != nil {
		l.Injection = cmp.Or(e.Injection.Level, "default")
	}
	if e.Idempotency != nil {
		l.Idempotency = map[bool]string{true: "required", false: "optional"}[e.Idempotency.Required]
	}
	if r := e.Responses; r != nil {
		l.Detect, l.Answers = slices.Sorted(maps.Keys(r.Detect)), r.Contract
		if l.Answers == "" && e.OpenAPI != nil {
			l.Answers = "refuse"
		}
	}
	return l
}

// maxAdvisedWays bounds how many ways through a shield are held to the advice.
const maxAdvisedWays = 256

// advisedWays are the ways through a shield, in the terms of advice.
func advisedWays(s *config.Shield) (all []advise.Shield) {
	ways, _ := s.Ways(maxAdvisedWays)
	for _, way := range ways {
		var parts []advise.Shield
		for _, p := range way {
			part := advisedShield(p.Shield)
			part.Actor = p.Actor
			parts = append(parts, part)
		}
		if len(parts) == 1 {
			all = append(all, parts[0])
			continue
		}
		all = append(all, advise.Shield{Kind: advise.All, Parts: parts})
	}
	return all
}

// advisedShield is a shield that combines nothing, with those of its settings that bear on what
// it guarantees. A kind that advice does not know guarantees nothing that it speaks of.
func advisedShield(s *config.Shield) advise.Shield {
	out := advise.Shield{Kind: s.Kind}
	switch c := s.Config.(type) {
	case *jwt.Config:
		out.DPoP, out.CertOnly, out.MaxAge = c.DPoP == "require", c.Bound, c.MaxAge
	case *introspect.Config:
		out.DPoP, out.CertOnly, out.MaxAge = c.DPoP == "require", c.Bound, c.MaxAge
	}
	return out
}
