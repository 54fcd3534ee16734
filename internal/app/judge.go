package app

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// judge says what an endpoint would answer to the token.
func (i *inspector) judge(ctx context.Context, t *presentedToken, e config.Resolved) admin.Judged {
	host := e.Hosts[0] // the answer is the same on all of them
	j := admin.Judged{Host: host, API: e.API, Endpoint: e.Pattern, Shield: admin.Describe(*e.Shield)}
	v, err := i.verdict(ctx, t, e, host)
	if err != nil {
		j.Answer, j.Why = admin.AnswerRefused, err.Error()
		return j
	}
	j.Missing = v.Missing
	if v.Identity != nil {
		j.Client, j.User = v.Identity.Client, v.Identity.User
	}
	if v.Refusal == nil {
		j.Answer, j.Status, j.Unknown = admin.AnswerAccepted, http.StatusOK, i.unknown(e)
		if e.Shield.Kind == "public" {
			j.Why = "anybody may call it"
		}
		return j
	}
	j.Answer, j.Status, j.Code = admin.AnswerRefused, v.Refusal.HTTPStatus(), string(v.Refusal.Code)
	j.Why, j.Remedy = v.Refusal.Detail, admin.Remedy(v.Refusal.Code)
	i.explain(&j, t, e, v)
	if len(j.Needs) > 0 && len(j.Missing) == 0 {
		j.Answer, j.Unknown = admin.AnswerNeeds, i.unknown(e)
	}
	return j
}

// verdict asks the guard about a request to the endpoint. Where another endpoint is more
// special than the first path that comes to mind, another path is tried.
func (i *inspector) verdict(ctx context.Context, t *presentedToken, e config.Resolved, host string) (pavise.Verdict, error) {
	for _, suffix := range []string{"", "-1", "-of-nothing-else"} {
		r, err := t.request(ctx, host, cmp.Or(e.Method, http.MethodGet), pathOf(e.Path, suffix))
		if err != nil {
			return pavise.Verdict{}, err
		}
		if v := i.guard.Dry(r); v.Endpoint == e.Pattern || v.Refusal != nil && v.Step == "door" {
			return v, nil
		}
	}
	return pavise.Verdict{}, fmt.Errorf("no path was found that this endpoint answers for, and no other")
}

var wildcard = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}|\{\$\}`)

// pathOf is a path that a pattern matches: wildcards stand for themselves.
func pathOf(pattern, suffix string) string {
	return wildcard.ReplaceAllStringFunc(pattern, func(found string) string {
		if found == "{$}" {
			return ""
		}
		return strings.TrimSuffix(strings.Trim(found, "{}"), "...") + suffix
	})
}

// explain says what has to come with a token, where that is all that it was refused for.
func (i *inspector) explain(j *admin.Judged, t *presentedToken, e config.Resolved, v pavise.Verdict) {
	code := v.Refusal.Code
	for _, way := range v.Lacks {
		j.Needs = append(j.Needs, admin.Describe(at(*e.Shield, way)))
	}
	switch {
	case len(v.Lacks) > 0:
		j.Why = "another proof of its shield is missing: " + strings.Join(j.Needs, ", ")
		j.Remedy = "send the other proof with it; both must be of one client, unless one is an actor"
	case !takesTokens(*e.Shield):
		j.Why, j.Remedy = "it takes no access tokens: its shield is "+admin.Describe(*e.Shield), "send what the shield reads: pavise help shield KIND"
	case code == shield.MissingCredential:
		j.Why = "its shield, " + admin.Describe(*e.Shield) + ", takes other tokens or other credentials"
	case code == shield.UnboundCredential && v.Identity != nil && len(t.chain) == 0:
		j.Needs = append(j.Needs, "the client certificate "+t.confirm("x5t#S256"))
	case code == shield.UnboundCredential && v.Identity == nil && t.confirm("jkt") != "" && (t.confirm("x5t#S256") != "" || !wantsCertificate(*e.Shield)):
		j.Needs = append(j.Needs, "a DPoP proof by the key "+t.confirm("jkt"))
		j.Missing = t.scopes().Missing(e.Scopes)
	case code == shield.ForbiddenNetwork && !t.from.IsValid():
		j.Why = "the client's credential is good in some networks only, and no address was named"
		j.Needs = append(j.Needs, "a call from one of the credential's networks")
	}
}

// unknown is what can only be judged of a request that is made.
func (i *inspector) unknown(e config.Resolved) (unknown []string) {
	if e.When != "" || len(i.file.Policies) > 0 {
		unknown = append(unknown, "conditions, which may look at the request itself")
	}
	if len(e.Limits) > 0 {
		unknown = append(unknown, "rates, which depend on what was sent before")
	}
	return unknown
}

// at is the part of a shield to which the way leads.
func at(s config.Shield, way []int) config.Shield {
	for _, step := range way {
		switch {
		case step < len(s.Any):
			s = s.Any[step]
		case step < len(s.All):
			s = s.All[step].Shield
		}
	}
	return s
}

// some reports whether any shield of a combination is as wanted.
func some(s config.Shield, wanted func(config.Shield) bool) bool {
	if slices.ContainsFunc(s.Any, func(part config.Shield) bool { return some(part, wanted) }) {
		return true
	}
	if slices.ContainsFunc(s.All, func(part config.Part) bool { return some(part.Shield, wanted) }) {
		return true
	}
	return len(s.Any)+len(s.All) == 0 && wanted(s)
}

func takesTokens(s config.Shield) bool {
	return some(s, func(one config.Shield) bool { return one.Kind == "jwt" || one.Kind == "introspect" })
}

func wantsCertificate(s config.Shield) bool {
	return some(s, func(one config.Shield) bool {
		user, ok := one.Config.(interface{ UsesCertificate() bool })
		return ok && user.UsesCertificate()
	})
}
