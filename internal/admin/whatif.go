package admin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// Prospect is what configuration and registry know of a request that is not sent, before any
// guard is asked.
type Prospect struct {
	Host, API, Endpoint string        // Endpoint empty: there is none; Host is then the one that would be asked
	Shield              config.Shield // of the endpoint
	Owner               client.Client
	Ways                [][]client.Credential // the credentials that would satisfy the shield, each way one
	Why                 string                // there is no way
	Refused             *Answer               // there is no endpoint
}

// Prospective finds the endpoint of a request that is not sent, and with which credentials of its
// client it could be.
func Prospective(ctx context.Context, f *config.File, registry *client.Registry, now time.Time, q WhatIf) (p Prospect, err error) {
	if p.Owner, err = registry.Client(ctx, q.Client); err != nil {
		return p, err
	}
	credentials, err := registry.Credentials(ctx, p.Owner.ID, "")
	if err != nil {
		return p, err
	}
	at, refused, err := locate(f, q)
	if err != nil {
		return p, err
	}
	p.Host, p.API, p.Endpoint, p.Refused = at.host, at.api, at.pattern, refused
	if refused != nil {
		return p, nil
	}
	api := f.APIs[p.API]
	s, _, _ := api.Effective(api.Endpoints[p.Endpoint])
	p.Shield = *s
	if s.Kind != "public" {
		p.Ways, p.Why = satisfied(*s, usable(credentials, q.Credential, now))
	}
	return p, nil
}

// Foresee answers what would happen to a request, out of the configuration and
// the registry, without sending it and without a guard. It follows its steps: route,
// shield, access. What depends on the request's bytes, on rates, or on a Cedar
// condition is named as unknown, never taken as granted.
func Foresee(ctx context.Context, f *config.File, registry *client.Registry, now time.Time, q WhatIf) (Answer, error) {
	p, err := Prospective(ctx, f, registry, now, q)
	if err != nil || p.Refused != nil {
		return deref(p.Refused), err
	}
	api := f.APIs[p.API]
	endpoint := api.Endpoints[p.Endpoint]
	_, scopes, anyScope := api.Effective(endpoint)
	a := Answer{API: p.API, Endpoint: p.Endpoint, Shield: describe(p.Shield)}
	if endpoint.When != "" || len(f.Policies) > 0 {
		a.Unknown = append(a.Unknown, "conditions, which may look at the request itself")
	}
	if len(endpoint.Limit)+len(api.Limit) > 0 {
		a.Unknown = append(a.Unknown, "rates, which depend on what was sent before")
	}
	if p.Shield.Kind == "public" {
		a.Allowed, a.Why = true, "anybody may call this endpoint"
		return a, nil
	}
	if p.Owner.Disabled {
		return a.Refuse("shield", shield.DisabledClient, "client "+p.Owner.ID+" is disabled"), nil
	}
	a.Unknown = append(a.Unknown, actors(p.Shield)...)
	if len(p.Ways) == 0 {
		return a.Refuse("shield", shield.MissingCredential, p.Why), nil
	}
	held := p.Ways[0]
	if !anyScope {
		enough := slices.IndexFunc(p.Ways, func(way []client.Credential) bool { return len(granted(p.Owner, way).Missing(scopes)) == 0 })
		if enough < 0 {
			missing := granted(p.Owner, held).Missing(scopes)
			return a.Refuse("access", shield.InsufficientScope, "scopes missing: "+strings.Join(missing, ", ")), nil
		}
		held = p.Ways[enough]
	}
	for _, c := range held {
		if len(c.Networks) > 0 {
			a.Unknown = append(a.Unknown, "that the caller's address is in the networks of "+c.ID)
		}
	}
	a.Allowed, a.Why = true, "with "+strings.Join(Names(held), " and ")
	a.Unknown = append(a.Unknown, "lock-outs, bodies and how many requests are under way")
	a.Unknown = append(a.Unknown, Proofs(p.Shield, held)...)
	return a, nil
}

// Proofs names what of the credentials only shows in the request itself.
func Proofs(s config.Shield, held []client.Credential) []string {
	unknown := append(actors(s), "that the credential is sent, and sent correctly")
	for _, c := range held {
		unknown = append(unknown, proofOf(c.Kind)...)
	}
	return unknown
}

func deref(a *Answer) Answer {
	if a == nil {
		return Answer{}
	}
	return *a
}

// Refuse is the answer of a step that refuses.
func (a Answer) Refuse(step string, code shield.Code, why string) Answer {
	a.Allowed, a.Step, a.Code, a.Status, a.Why, a.Remedy = false, step, string(code), code.Status(), why, Remedy(code)
	return a
}

type place struct{ host, api, pattern string }

// locate finds the endpoint, or says why there is none.
func locate(f *config.File, q WhatIf) (at place, refused *Answer, err error) {
	r, err := http.NewRequest(q.Method, q.Path, http.NoBody)
	if err != nil || !strings.HasPrefix(q.Path, "/") || q.Method == "" {
		return at, nil, problem(http.StatusBadRequest, "malformed", "want a method and a path that begins with /, not %.20q %.80q", q.Method, q.Path)
	}
	refusal := Answer{}.Refuse("route", shield.UnknownEndpoint, "no API has an endpoint for it")
	for _, host := range slices.Sorted(maps.Keys(f.Hosts)) {
		if q.Host != "" && q.Host != host {
			continue
		}
		if at.host == "" {
			at.host = host
		}
		found, err := match(f, host, r)
		var wrong *route.MethodError
		switch {
		case err == nil:
			return found, nil, nil
		case errors.As(err, &wrong):
			refusal, at.host = Answer{}.Refuse("route", shield.MethodNotAllowed, wrong.Error()), host
		case !errors.Is(err, route.ErrNotFound):
			return at, nil, err
		}
	}
	if _, ok := f.Hosts[q.Host]; q.Host != "" && !ok {
		at.host, refusal = q.Host, Answer{}.Refuse("door", shield.UnknownHost, "no host of this name is configured")
	}
	return at, &refusal, nil
}

func match(f *config.File, host string, r *http.Request) (place, error) {
	table := route.New[place]()
	for _, name := range slices.Sorted(maps.Keys(f.APIs)) {
		if !slices.Contains(f.APIs[name].Host, host) {
			continue
		}
		for _, pattern := range slices.Sorted(maps.Keys(f.APIs[name].Endpoints)) {
			if err := table.Add(pattern, place{host, name, pattern}); err != nil {
				return place{}, err
			}
		}
	}
	return table.Match(r)
}

// usable returns the credentials that are in force.
func usable(all []client.Credential, id string, now time.Time) []client.Credential {
	var found []client.Credential
	for _, c := range all {
		end := c.End()
		if (id == "" || c.ID == id) && c.Revoked.IsZero() && !now.Before(c.NotBefore) && (end.IsZero() || now.Before(end)) {
			found = append(found, c)
		}
	}
	return found
}

// maxWays bounds how many combinations of credentials are looked at.
const maxWays = 256

// satisfied returns the sets of credentials, each of which a shield would take, or
// why there is none.
func satisfied(s config.Shield, held []client.Credential) (ways [][]client.Credential, why string) {
	switch {
	case len(s.Any) > 0:
		for _, part := range s.Any {
			more, _ := satisfied(part, held)
			ways = append(ways, more...)
		}
		return ways, "the client has no credential in force for any of " + describe(s)
	case len(s.All) > 0:
		return together(s.All, held)
	}
	for _, c := range held {
		if c.Kind == s.Kind {
			ways = append(ways, []client.Credential{c})
		}
	}
	why = "the client has no " + s.Kind + " credential in force"
	if s.Kind == "jwt" {
		why += "; a token whose claims name the client would be taken all the same, but what the issuer writes is not known here"
	}
	return ways, why
}

// together combines what satisfies each part. An actor's part is left out: its
// client may be another one.
func together(parts []config.Part, held []client.Credential) ([][]client.Credential, string) {
	ways := [][]client.Credential{nil}
	for _, part := range parts {
		if part.Actor {
			continue
		}
		found, why := satisfied(part.Shield, held)
		if len(found) == 0 {
			return nil, why
		}
		var longer [][]client.Credential
		for _, way := range ways {
			for _, more := range found {
				if len(longer) < maxWays {
					longer = append(longer, slices.Concat(way, more))
				}
			}
		}
		ways = longer
	}
	return ways, ""
}

// actors are the parts of a shield that another client proves: whether he does is
// not this client's matter.
func actors(s config.Shield) (unknown []string) {
	for _, part := range s.Any {
		unknown = append(unknown, actors(part)...)
	}
	for _, part := range s.All {
		if part.Actor {
			unknown = append(unknown, "that whoever acts for the client proves himself by "+describe(part.Shield))
			continue
		}
		unknown = append(unknown, actors(part.Shield)...)
	}
	return unknown
}

// granted are the scopes that the client has with all of these credentials.
func granted(owner client.Client, held []client.Credential) shield.Scopes {
	scopes := owner.Scopes
	for _, c := range held {
		if len(c.Scopes) > 0 {
			scopes = slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return !slices.Contains(c.Scopes, scope) })
		}
	}
	return scopes
}

// proofOf says what of a kind's proof only shows in the request itself.
func proofOf(kind string) []string {
	switch kind {
	case "hmac":
		return []string{"that the signature covers the request, is of this minute and was not used before"}
	case "mtls":
		return []string{"that the certificate chains to the endpoint's authorities, meets its rules and is not on their lists"}
	case "jwt":
		return []string{"that the token is the issuer's, for this API, in force, and bound as the endpoint demands"}
	}
	return nil
}

// Names lists credentials by kind and id.
func Names(held []client.Credential) []string {
	var list []string
	for _, c := range held {
		list = append(list, c.Kind+" "+c.ID)
	}
	return list
}

func describe(s config.Shield) string {
	var parts []string
	for _, part := range s.Any {
		parts = append(parts, describe(part))
	}
	if parts != nil {
		return "any of " + strings.Join(parts, ", ")
	}
	for _, part := range s.All {
		parts = append(parts, describe(part.Shield))
	}
	if parts != nil {
		return "all of " + strings.Join(parts, ", ")
	}
	return s.Kind
}
