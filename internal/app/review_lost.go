package app

import (
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/review"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/jwt"
)

// Lost says what whoever has a credential reaches with it, through every combination of shields.
func Lost(f *config.File, c *client.Credential, owner *client.Client, known []client.Credential, now time.Time) (*review.Lost, error) {
	resolved, err := f.Resolve()
	if err != nil {
		return nil, err
	}
	l := review.Describe(c, owner, now)
	l.Derived = derived(c, known)
	if !l.InForce {
		return l, nil
	}
	tokens := registeredBy(c, owner, known, now)
	for i := range resolved {
		r, ok := reach(f, &resolved[i], c, tokens, l.Scopes)
		if tokens != nil && (!ok || !r.Opens()) {
			scopes := owner.Scopes
			if len(tokens.Scopes) > 0 {
				scopes = scopes.Within(tokens.Scopes)
			}
			if by, does := reach(f, &resolved[i], tokens, c, scopes); does && (!ok || by.Opens()) {
				r, ok = by, true
			}
		}
		if ok {
			l.Reach = append(l.Reach, r)
		}
	}
	return l, nil
}

// registeredBy is the registration for which a certificate stands at the authorization server: whoever has
// the certificate gets its tokens (RFC 8705 §2). nil: there is none.
func registeredBy(c *client.Credential, owner *client.Client, known []client.Credential, now time.Time) *client.Credential {
	if c.Kind != client.CertificateKind {
		return nil
	}
	for i := range known {
		r := &known[i]
		byCertificate := r.Settings["auth"] == protocol.AuthTLS || r.Settings["auth"] == protocol.AuthSelfSigned
		if r.Kind == registration.KindName && r.Client == owner.ID && byCertificate && r.Revoked.IsZero() && (r.End().IsZero() || now.Before(r.End())) {
			return r
		}
	}
	return nil
}

// reach is whether, and with what beside it, a credential opens an endpoint; also is had with it, nil:
// nothing is. Of several ways the one that needs least.
func reach(f *config.File, e *config.Resolved, c, also *client.Credential, scopes []string) (r review.Reach, ok bool) {
	best := -1
	ways, _ := e.Shield.Ways(maxReachWays)
	for _, way := range ways {
		at := slices.IndexFunc(way, func(p config.Proof) bool { return takesCredential(*p.Shield, c) })
		if at < 0 {
			continue
		}
		var with []string
		for i, p := range way {
			if i == at || also != nil && !p.Actor && takesCredential(*p.Shield, also) {
				continue
			}
			name := p.Kind
			if p.Actor {
				name += " of an actor"
			}
			with = append(with, name)
		}
		if best >= 0 && len(with) >= best {
			continue
		}
		best = len(with)
		r = review.Reach{API: e.API, Endpoint: e.Pattern, Hosts: e.Hosts, With: with, Asks: asks(f, e, *way[at].Shield)}
	}
	if best < 0 {
		return r, false
	}
	if !e.Any {
		for _, scope := range e.Scopes {
			if !slices.Contains(scopes, scope) && !(c.Kind == registration.KindName && covered(scopes, scope)) {
				r.Lacks = append(r.Lacks, scope)
			}
		}
	}
	return r, true
}

// covered reports whether an entry that ends in a star stands for a scope.
func covered(scopes []string, scope string) bool {
	return slices.ContainsFunc(scopes, func(entry string) bool {
		prefix, star := strings.CutSuffix(entry, "*")
		return star && strings.HasPrefix(scope, prefix)
	})
}

// maxReachWays bounds the combinations that are looked at.
const maxReachWays = 256

// takesCredential reports whether a shield takes a credential, or the tokens that are got by it.
func takesCredential(s config.Shield, c *client.Credential) bool {
	switch c.Kind {
	case registration.KindName:
		return takesOwn(s)
	case "jwt":
		return takesFrom(s, c.Settings["issuer"])
	}
	if s.Kind != c.Kind {
		return false
	}
	if settings, ok := s.Config.(*apikey.Config); ok && settings.Environment != "" {
		return settings.Environment == c.Environment
	}
	return true
}

func takesOwn(s config.Shield) bool {
	if settings, ok := s.Config.(*jwt.Config); ok {
		return len(settings.Issuer) == 0 || slices.Contains(settings.Issuer, config.OwnIssuer)
	}
	return s.Kind == "introspect"
}

func takesFrom(s config.Shield, issuer string) bool {
	if settings, ok := s.Config.(*jwt.Config); ok {
		return slices.Contains(settings.Issuer, issuer)
	}
	return s.Kind == "introspect"
}

// asks is what only a request shows.
func asks(f *config.File, e *config.Resolved, s config.Shield) (all []string) {
	if e.When != "" {
		all = append(all, "its condition")
	}
	if len(f.Policies) > 0 {
		all = append(all, "policies")
	}
	switch s.Kind {
	case "mtls":
		all = append(all, "that the certificate chains to the endpoint's authorities and meets its rules")
	case "jwt", "introspect":
		all = append(all, "what the token says")
	}
	return all
}

// derived is what came of a credential, as far as the store tells: certificates by renewal. What the
// authorization server gave out it tells itself.
func derived(c *client.Credential, known []client.Credential) []review.Derived {
	all := []review.Derived{}
	if c.Kind != client.CertificateKind || c.Settings[client.SettingCA] == "" {
		return all
	}
	for _, name := range client.Renewals(known, c.ID) {
		all = append(all, review.Derived{What: "certificate", ID: name, About: "by renewal"})
	}
	return all
}
