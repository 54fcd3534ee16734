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

// Foresee answers what would happen to a request, out of the configuration and
// the registry, without sending it. It follows the steps of the guard: route,
// shield, access. What depends on the request's bytes, on rates, or on a Cedar
// condition is named as unknown, never taken as granted.
func Foresee(ctx context.Context, f *config.File, registry *client.Registry, now time.Time, q WhatIf) (Answer, error) {
	owner, err := registry.Client(ctx, q.Client)
	if err != nil {
		return Answer{}, err
	}
	credentials, err := registry.Credentials(ctx, owner.ID, "")
	if err != nil {
		return Answer{}, err
	}
	name, pattern, refused, err := locate(f, q)
	if err != nil || refused != nil {
		return deref(refused), err
	}
	api := f.APIs[name]
	endpoint := api.Endpoints[pattern]
	s, scopes, anyScope := api.Effective(endpoint)
	a := Answer{API: name, Endpoint: pattern, Shield: describe(*s)}
	if endpoint.When != "" || len(f.Policies) > 0 {
		a.Unknown = append(a.Unknown, "conditions, which may look at the request itself")
	}
	if len(endpoint.Limit)+len(api.Limit) > 0 {
		a.Unknown = append(a.Unknown, "rates, which depend on what was sent before")
	}
	if s.Kind == "public" {
		a.Allowed, a.Why = true, "anybody may call this endpoint"
		return a, nil
	}
	if owner.Disabled {
		return a.refuse("shield", shield.DisabledClient, "client "+owner.ID+" is disabled"), nil
	}
	a.Unknown = append(a.Unknown, actors(*s)...)
	ways, why := satisfied(*s, usable(credentials, q.Credential, now))
	if len(ways) == 0 {
		return a.refuse("shield", shield.MissingCredential, why), nil
	}
	held := ways[0]
	if !anyScope {
		enough := slices.IndexFunc(ways, func(way []client.Credential) bool { return len(granted(owner, way).Missing(scopes)) == 0 })
		if enough < 0 {
			missing := granted(owner, held).Missing(scopes)
			return a.refuse("access", shield.InsufficientScope, "scopes missing: "+strings.Join(missing, ", ")), nil
		}
		held = ways[enough]
	}
	for _, c := range held {
		if len(c.Networks) > 0 {
			a.Unknown = append(a.Unknown, "that the caller's address is in the networks of "+c.ID)
		}
	}
	a.Allowed, a.Why = true, "with "+strings.Join(names(held), " and ")
	a.Unknown = append(a.Unknown, "that the credential is sent, and sent correctly")
	for _, c := range held {
		a.Unknown = append(a.Unknown, proofOf(c.Kind)...)
	}
	a.Unknown = append(a.Unknown, "lock-outs, bodies and how many requests are under way")
	return a, nil
}

func deref(a *Answer) Answer {
	if a == nil {
		return Answer{}
	}
	return *a
}

func (a Answer) refuse(step string, code shield.Code, why string) Answer {
	a.Allowed, a.Step, a.Code, a.Status, a.Why, a.Remedy = false, step, string(code), code.Status(), why, Remedy(code)
	return a
}

type place struct{ api, pattern string }

// locate finds the endpoint, or says why there is none.
func locate(f *config.File, q WhatIf) (api, pattern string, refused *Answer, err error) {
	r, err := http.NewRequest(q.Method, q.Path, http.NoBody)
	if err != nil || !strings.HasPrefix(q.Path, "/") || q.Method == "" {
		return "", "", nil, problem(http.StatusBadRequest, "malformed", "want a method and a path that begins with /, not %.20q %.80q", q.Method, q.Path)
	}
	refusal := Answer{}.refuse("route", shield.UnknownEndpoint, "no API has an endpoint for it")
	for _, host := range slices.Sorted(maps.Keys(f.Hosts)) {
		if q.Host != "" && q.Host != host {
			continue
		}
		at, err := match(f, host, r)
		var wrong *route.MethodError
		switch {
		case err == nil:
			return at.api, at.pattern, nil, nil
		case errors.As(err, &wrong):
			refusal = Answer{}.refuse("route", shield.MethodNotAllowed, wrong.Error())
		case !errors.Is(err, route.ErrNotFound):
			return "", "", nil, err
		}
	}
	if _, ok := f.Hosts[q.Host]; q.Host != "" && !ok {
		refusal = Answer{}.refuse("door", shield.UnknownHost, "no host of this name is configured")
	}
	return "", "", &refusal, nil
}

func match(f *config.File, host string, r *http.Request) (place, error) {
	table := route.New[place]()
	for _, name := range slices.Sorted(maps.Keys(f.APIs)) {
		if !slices.Contains(f.APIs[name].Host, host) {
			continue
		}
		for _, pattern := range slices.Sorted(maps.Keys(f.APIs[name].Endpoints)) {
			if err := table.Add(pattern, place{name, pattern}); err != nil {
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

func names(held []client.Credential) []string {
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
