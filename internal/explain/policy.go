package explain

import (
	"fmt"
	"strings"

	"pavise.dev/pavise/internal/config"
)

// Policy says in words what holds for an endpoint.
func Policy(f *config.File, r *config.Resolved) []Fact {
	var facts []Fact
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, Fact{name, text})
		}
	}
	add("hosts", strings.Join(r.Hosts, ", "))
	add("shield", Describe(*r.Shield))
	add("scopes", wanted(r))
	add("limits", rates(r))
	add("body", fmt.Sprintf("at most %d bytes", r.MaxBody))
	add("contract", contract(r))
	add("condition", condition(f, r))
	if r.Injection != nil {
		add("injection", "level "+fmt.Sprint(r.Injection.Level))
	}
	add("flow", sequence(r))
	if r.Responses != nil {
		add("answers", "judged before they leave")
	}
	for _, t := range r.Trials {
		add("on trial", t.What+" until "+t.Until)
	}
	if r.Candidate != nil {
		add("candidate", "until "+r.Candidate.Until)
	}
	if r.Pos.File != "" {
		add("written in", fmt.Sprintf("%s:%d", r.Pos.File, r.Pos.Line))
	}
	return facts
}

// Describe names what a shield takes: "any of jwt, api_key".
func Describe(s config.Shield) string {
	var parts []string
	for _, part := range s.Any {
		parts = append(parts, nested(part))
	}
	if parts != nil {
		return "any of " + strings.Join(parts, ", ")
	}
	for _, part := range s.All {
		text := nested(part.Shield)
		if part.Actor {
			text += " (of whoever acts)"
		}
		parts = append(parts, text)
	}
	if parts != nil {
		return "all of " + strings.Join(parts, ", ")
	}
	return s.Kind
}

func nested(s config.Shield) string {
	if s.Kind != "" {
		return s.Kind
	}
	return "(" + Describe(s) + ")"
}

func wanted(r *config.Resolved) string {
	if r.Any {
		return "any"
	}
	return strings.Join(r.Scopes, " ")
}

func rates(r *config.Resolved) string {
	var all []string
	for _, l := range r.Limits {
		all = append(all, fmt.Sprintf("%d in %s per %s", l.Rate.Count, l.Rate.Per, l.Per))
	}
	for _, q := range r.Quotas {
		all = append(all, fmt.Sprintf("%d in a %s per %s", q.Count, q.Period, q.Per))
	}
	if n := r.Concurrency; n > 0 {
		all = append(all, fmt.Sprintf("%d at once of one client of the API", n))
	}
	if n := r.Own.Client; n > 0 {
		all = append(all, fmt.Sprintf("%d at once of one client", n))
	}
	if n := r.Own.All; n > 0 {
		all = append(all, fmt.Sprintf("%d at once of all", n))
	}
	return strings.Join(all, "; ")
}

func contract(r *config.Resolved) string {
	var all []string
	if r.OpenAPI != nil {
		all = append(all, r.OpenAPI.File)
	}
	if r.Schema != nil {
		all = append(all, "the schema "+r.Schema.File)
	}
	if r.GraphQL != nil {
		all = append(all, "bounds of GraphQL")
	}
	return strings.Join(all, ", ")
}

func condition(f *config.File, r *config.Resolved) string {
	var all []string
	if r.When != "" {
		all = append(all, r.When)
	}
	if f != nil && len(f.Policies) > 0 {
		all = append(all, "the policies of "+strings.Join(f.Policies, ", "))
	}
	return strings.Join(all, "; and ")
}

func sequence(r *config.Resolved) string {
	var all []string
	if r.Idempotency != nil {
		all = append(all, "retries by Idempotency-Key")
	}
	if r.Step != nil {
		all = append(all, fmt.Sprintf("step %d of flow %s", r.Step.Index+1, r.Step.Name))
	}
	return strings.Join(all, "; ")
}

// signs reports whether some proof of a shield may be used once.
func signs(s config.Shield) bool {
	for _, part := range s.Any {
		if signs(part) {
			return true
		}
	}
	for _, part := range s.All {
		if signs(part.Shield) {
			return true
		}
	}
	return s.Kind == "hmac" || s.Kind == "jwt" || s.Kind == "introspect"
}
