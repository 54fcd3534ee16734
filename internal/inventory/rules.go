package inventory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

func rule(id string, severity finding.Severity, title, why, mend string) finding.Rule {
	return finding.Rule{ID: id, Severity: severity, Title: title, Why: why, Mend: mend, Standards: finding.Standards{
		OWASP: finding.API9, ASVS: []string{"13.1.1"}, NIST: []string{"REC-API-4"},
	}}
}

func noOwner() finding.Rule {
	return rule("api-without-owner", finding.Low, "An API that nobody owns", "When something is found in it, nobody is asked, and nobody mends it.", "owner: at the API: a team, or an address")
}

func noContract() finding.Rule {
	return rule("api-without-contract", finding.Low, "An API that nothing describes", "Nobody knows what it should take, so that nobody notices what it should not.", "openapi: at the API; pavise init --learn begins one from the log")
}

func exposedWider() finding.Rule {
	return rule("api-exposed-wider", finding.High, "An API that is more open than it is meant to be", "What was built for a few is reached by many, with the care that was taken for a few.", "demand mtls or hmac at its endpoints, listen on a private address, or state the exposure that is meant")
}

func shadow() finding.Rule {
	return rule("api-undeclared", finding.Medium, "Traffic to an endpoint that there is not", "Clients know an endpoint that the gateway does not: an old version, or one that is served elsewhere without its shields.", "find out who asks (pavise log search --code unknown_endpoint); declare it, or tell its callers")
}

func wildcard() finding.Rule {
	return rule("api-behind-wildcard", finding.Medium, "A service that answers what nobody declared", "A catch-all endpoint lets every path through: whatever the service has, old versions and what is meant for its operators too, is reached with this endpoint's shield alone.", "declare the endpoints that are meant, and take the catch-all out (pavise init --learn begins with what was called); waive it where it serves files or pages")
}

func zombie() finding.Rule {
	return rule("endpoint-unused", finding.Info, "An endpoint that nobody calls", "What nobody uses nobody looks after, and it is open all the same.", "take it out of endpoints, or leave it if it is called rarely")
}

func unusedAPI() finding.Rule {
	return rule("api-unused", finding.Low, "An API that nobody calls", "What nobody uses nobody looks after, and it is open all the same.", "take the API out of the configuration, or leave it if it is called rarely")
}

func stillCalled() finding.Rule {
	return rule("deprecated-called", finding.Low, "A deprecated endpoint that clients still call", "On the day of its sunset they are refused.", "ask its callers to move (pavise log search --endpoint shows who they are)")
}

func pastSunset() finding.Rule {
	return rule("sunset-over", finding.Low, "An endpoint whose sunset is over", "It is refused with 410; its handler still runs behind it.", "take it out of the configuration and out of the service")
}

// Rules are all rules of an inventory.
func Rules() []finding.Rule {
	return []finding.Rule{noOwner(), noContract(), exposedWider(), wildcard(), shadow(), unusedAPI(), zombie(), stillCalled(), pastSunset()}
}

// maxUnknown is how many undeclared endpoints become findings.
const maxUnknown = 100

// Report says what is wrong with an inventory; nothing of it is waived yet.
func (v *Inventory) Report(f *config.File) *finding.Report {
	r := &finding.Report{Tool: "pavise apis", Subject: f.Where("").File, Time: v.Time, Rules: Rules(), Findings: []finding.Finding{}}
	r.About = fmt.Sprintf("%d APIs", len(v.APIs))
	if len(v.APIs) == 1 {
		r.About = "1 API"
	}
	for i := range v.APIs {
		v.judge(f, &v.APIs[i], r)
	}
	if v.uncovered {
		r.Notes = append(r.Notes, "the log reaches back less than 7 days: what nobody calls is not told")
	}
	if all := v.newOnes(); len(all) > 0 && !v.uncovered {
		r.Notes = append(r.Notes, "in the policy for less than 7 days, and not judged: "+few(all))
	}
	if v.Damage != "" {
		r.Partial = "not all of the log can be read: " + v.Damage
	}
	v.judgeWildcards(f, r)
	r.Sort()
	v.addUndeclared(r)
	return r
}

// addUndeclared adds what was asked for and is not there, in the order of the list: what matters most first.
func (v *Inventory) addUndeclared(r *finding.Report) {
	var all []finding.Finding
	for i := range v.Unknown {
		u := &v.Unknown[i]
		if u.Code == "" {
			continue // it is told of the endpoint that let it through
		}
		if len(all) == maxUnknown {
			r.Notes = append(r.Notes, fmt.Sprintf("undeclared endpoints beyond the first %d are in the list alone", maxUnknown))
			break
		}
		what := fmt.Sprintf("%d requests from %d networks on %d days; the last %s", u.Requests, u.Networks, u.Days, u.Sample)
		switch {
		case u.Callers > 0:
			what = fmt.Sprintf("%d requests from %d networks, %d of which call what is declared, too, on %d days; the last %s", u.Requests, u.Networks, u.Callers, u.Days, u.Sample)
		case u.Paths > 0:
			what = fmt.Sprintf("%d different paths that strangers alone asked for, %s", u.Paths, what)
		}
		all = append(all, shadow().At(finding.Place{Path: u.Method + " " + u.Host + u.Path}, "%s", what))
	}
	at := slices.IndexFunc(r.Findings, func(f finding.Finding) bool {
		return f.Severity < finding.Medium || f.Severity == finding.Medium && f.Rule > shadow().ID
	})
	if at < 0 {
		at = len(r.Findings)
	}
	r.Findings = slices.Insert(r.Findings, at, all...)
}

// judgeWildcards tells of what services answer through endpoints that let every path through.
func (v *Inventory) judgeWildcards(f *config.File, r *finding.Report) {
	for i := range v.APIs {
		for n := range v.APIs[i].Endpoints {
			api, e := &v.APIs[i], &v.APIs[i].Endpoints[n]
			var names []string
			for _, u := range v.Unknown {
				if u.API == api.Name && u.Through == e.Pattern && u.Answered > 0 {
					names = append(names, fmt.Sprintf("%s %s (%d)", u.Method, u.Path, u.Answered))
				}
			}
			if len(names) == 0 {
				continue
			}
			path := "apis." + api.Name + ".endpoints." + e.Pattern
			pos := f.Where(path)
			r.Findings = append(r.Findings, wildcard().At(finding.Place{File: pos.File, Line: pos.Line, Column: pos.Column, Path: path}, "answered with 2xx: %s", few(names)))
		}
	}
}

func (v *Inventory) judge(f *config.File, api *API, r *finding.Report) {
	path := "apis." + api.Name
	found := func(rule finding.Rule, path, format string, args ...any) {
		pos := f.Where(path)
		r.Findings = append(r.Findings, rule.At(finding.Place{File: pos.File, Line: pos.Line, Column: pos.Column, Path: path}, format, args...))
	}
	if api.Owner == "" {
		found(noOwner(), path, "%s has no owner", api.Name)
	}
	if !slices.ContainsFunc(api.Endpoints, func(e Endpoint) bool { return e.Contract != "" }) {
		found(noContract(), path, "no endpoint of %s has a contract", api.Name)
	}
	if api.Stated != "" && wider(api.Exposure, api.Stated) {
		found(exposedWider(), path, "stated is %s, but it is %s: %s", api.Stated, api.Exposure, api.Why)
	}
	if !slices.ContainsFunc(api.Endpoints, func(e Endpoint) bool { return e.Calls > 0 || v.isNew(&e) }) && v.Damage == "" && !v.uncovered {
		found(unusedAPI(), path, "not called since %s", v.watched(api.Endpoints).UTC().Format(time.DateOnly))
	}
	for i := range api.Endpoints {
		v.judgeEndpoint(api, &api.Endpoints[i], found)
	}
}

func (v *Inventory) judgeEndpoint(api *API, e *Endpoint, found func(finding.Rule, string, string, ...any)) {
	path := "apis." + api.Name + ".endpoints." + e.Pattern
	switch {
	case !e.Sunset.IsZero() && v.Time.After(e.Sunset):
		found(pastSunset(), path, "its sunset was %s", e.Sunset.UTC().Format(time.DateOnly))
	case (e.Deprecated != "" || !e.Sunset.IsZero()) && e.Calls > 0:
		found(stillCalled(), path, "%s", calledText(e))
	case e.Calls == 0 && api.Calls > 0 && v.Damage == "" && !v.uncovered && !v.isNew(e):
		found(zombie(), path, "not called since %s", v.watched([]Endpoint{*e}).UTC().Format(time.DateOnly))
	}
}

// isNew reports whether an endpoint is in the policy for too short a time to say that nobody calls it.
func (v *Inventory) isNew(e *Endpoint) bool { return v.Time.Sub(e.InPolicy) < coverage }

// watched is since when calls of endpoints could have been seen: since the log begins, or since the first of
// them was put into the policy.
func (v *Inventory) watched(all []Endpoint) time.Time {
	first := v.Time
	for _, e := range all {
		if e.InPolicy.Before(first) {
			first = e.InPolicy
		}
	}
	if first.Before(v.Begins) {
		return v.Begins
	}
	return first
}

// newOnes are the endpoints that nobody called, and that are too new to say so.
func (v *Inventory) newOnes() (names []string) {
	for _, api := range v.APIs {
		for _, e := range api.Endpoints {
			if e.Calls == 0 && !e.InPolicy.IsZero() && v.isNew(&e) {
				names = append(names, api.Name+" "+e.Pattern)
			}
		}
	}
	return names
}

func calledText(e *Endpoint) string {
	text := []string{fmt.Sprintf("%d calls of %d clients", e.Calls, e.Clients)}
	if !e.Sunset.IsZero() {
		text = append(text, "its sunset is "+e.Sunset.UTC().Format(time.DateOnly))
	}
	return strings.Join(text, "; ")
}

// few names some, and counts the rest.
func few(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
