package advise

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/limit"
)

// Layer is something that stands around the shield.
type Layer struct {
	Name    string `json:"layer"`
	Setting string `json:"setting"` // as the configuration writes it
	Rule    string `json:"rule"`
	Why     string `json:"why"`
	Source  string `json:"source"`
}

// The names of layers.
const (
	LayerTLS         = "tls"
	LayerScopes      = "scopes"
	LayerLimit       = "limit"
	LayerContract    = "openapi"
	LayerInjection   = "injection"
	LayerIdempotency = "idempotency"
	LayerResponses   = "responses"
	LayerAudit       = "audit"
	LayerDetections  = "detections"
)

// layerRule is a row of the table of layers: what is advised where all of its conditions hold. As
// with demands, there is no upper end. Of several rows with one name the last that holds counts.
type layerRule struct {
	Layer
	Data   Data
	Harm   Harm
	Either bool // one of data and harm is enough
	When   func(*Advice) bool
}

func layerRules() []layerRule {
	described := func(a *Advice) bool { return a.Facts.Described }
	known := func(a *Advice) bool { return !a.Public() }
	writes := func(a *Advice) bool { return known(a) && a.Method() != "GET" }
	answers := func(a *Advice) bool { return a.Facts.Described && a.Facts.Answers }
	return []layerRule{
		{Layer: Layer{LayerTLS, "", "tls-always", "whatever is shown or sent can otherwise be read on the way", "OWASP API8:2023; NIST SP 800-228"}},
		{Layer: Layer{LayerScopes, "", "least-privilege", "who may read need not be able to write, nor to pay", "OWASP API5:2023"}, When: known},
		{Layer: Layer{LayerLimit, "", "limit-each", "one caller must not use up what all share, nor try everything", "OWASP API4:2023; NIST SP 800-228"}},
		{Layer: Layer{LayerContract, "", "contract", "what the document does not describe is refused", "OWASP API3:2023; NIST SP 800-228"}, When: described},
		{Layer: Layer{LayerInjection, "on", "injection", "free text reaches a service that people's data or changes depend on", "OWASP API8:2023"}, Data: User, Harm: Change, Either: true},
		{Layer: Layer{LayerIdempotency, "{}", "idempotency", "callers send again what they got no answer to; it must be done once", "OWASP API6:2023"}, Harm: Money, When: writes},
		{Layer: Layer{LayerResponses, "{detect: [key, private_key, trace], contract: report}", "answers-watched", "secrets and traces in answers tell an attacker how to go on", "OWASP API3:2023"}, Data: User, When: described},
		{Layer: Layer{LayerResponses, "{detect: [key, private_key, trace]}", "answers-watched", "secrets and traces in answers tell an attacker how to go on", "OWASP API3:2023"}, Data: User, When: func(a *Advice) bool { return !described(a) }},
		{Layer: Layer{LayerResponses, "{detect: [card, key, private_key, trace], contract: strip}", "answers-held", "of payment and health data only what the document names may leave", "OWASP API3:2023"}, Data: Payment, When: answers},
		{Layer: Layer{LayerResponses, "{detect: [card, key, private_key, trace]}", "answers-held", "of payment and health data no card number may leave", "OWASP API3:2023"}, Data: Payment, When: func(a *Advice) bool { return !described(a) }},
		{Layer: Layer{LayerResponses, "{detect: [card, key, private_key, trace], contract: report}", "answers-held", "of payment and health data no card number may leave", "OWASP API3:2023"}, Data: Payment, When: func(a *Advice) bool { return described(a) && !answers(a) }},
		{Layer: Layer{LayerAudit, "required", "audit-required", "what cannot be shown afterwards must not happen: refuse while events cannot be kept elsewhere, too", "OWASP API8:2023; NIST SP 800-228"}, Data: Payment, Harm: Money, Either: true},
		{Layer: Layer{LayerDetections, "on", "watched", "guessing of credentials and mass reading show in the events", "OWASP API6:2023; NIST SP 800-228"}, Data: User, Harm: Money, Either: true},
	}
}

func (r *layerRule) applies(a *Advice) bool {
	data, harm := r.Data == "" || a.Answers.Data.level() >= r.Data.level(), r.Harm == "" || a.Answers.Harm.level() >= r.Harm.level()
	holds := data && harm
	if r.Either {
		holds = data || harm
	}
	return holds && (r.When == nil || r.When(a))
}

func layersOf(a *Advice) (all []Layer) {
	for _, r := range layerRules() {
		if !r.applies(a) {
			continue
		}
		if i := slices.IndexFunc(all, func(l Layer) bool { return l.Name == r.Name }); i >= 0 {
			all[i] = r.Layer
			continue
		}
		all = append(all, r.Layer)
	}
	return all
}

// usual is how often one caller may call where nobody said; the row of the harm counts.
func usual() map[Harm]string {
	return map[Harm]string{Read: "600/minute", Change: "120/minute", Money: "30/minute", Irreversible: "10/minute"}
}

// openRate is what one address may ask of an endpoint at which nobody is known.
const openRate = "120/minute"

func limitOf(a *Advice) string {
	rate := a.Answers.Rate
	switch {
	case rate == "" && a.Public():
		rate = openRate
	case rate == "":
		rate = usual()[a.Answers.Harm]
	}
	per := "client"
	switch {
	case a.Public():
		per = "address"
	case a.Demand.Has(Person):
		per = "user" // where there is no user the client counts
	}
	rate, burst, _ := strings.Cut(rate, " burst ")
	if burst != "" {
		burst = " burst " + burst
	}
	return rate + " per " + per + burst
}

func checkRate(rate string) error {
	if rate == "" {
		return nil
	}
	if _, err := limit.ParseRate(rate); err != nil {
		return fmt.Errorf("rate: %w", err)
	}
	return nil
}

// verbs name what a scope allows, by harm.
func verbs() map[Harm]string {
	return map[Harm]string{Read: "read", Change: "write", Money: "pay", Irreversible: "final"}
}

// scopesOf are those of the document, else one made of what the path is about and of the harm.
func scopesOf(a *Advice) []string {
	switch {
	case a.Public():
		return nil
	case len(a.Facts.Scopes) > 0:
		return a.Facts.Scopes
	}
	return []string{resource(a.Path()) + ":" + verbs()[a.Answers.Harm]}
}

// resource is the first word of a path that is no version and no parameter.
func resource(path string) string {
	for segment := range strings.SplitSeq(path, "/") {
		word := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
				return r
			}
			return -1
		}, strings.ToLower(segment))
		if strings.HasPrefix(segment, "{") || word == "" || isVersion(word) || slices.Contains([]string{"api", "rest"}, word) {
			continue
		}
		return word[:min(len(word), 48)]
	}
	return "api"
}

func isVersion(word string) bool {
	rest, ok := strings.CutPrefix(word, "v")
	return ok && rest != "" && strings.Trim(rest, "0123456789.") == ""
}

// perSecond is how often a rate lets somebody call in the long run.
func perSecond(r limit.Rate) float64 {
	return float64(r.Count) / (float64(r.Per) / float64(time.Second))
}
