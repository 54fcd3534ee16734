package check

import (
	"slices"
	"strings"

	"pavise.dev/pavise/internal/finding"
)

// rule is a rule with the function that looks.
type rule struct {
	finding.Rule

	look func(*look)
	held bool // it is about what the store holds
}

// Rules are all rules, in the order of what they are about.
func Rules() (all []finding.Rule) {
	for _, r := range table() {
		all = append(all, r.Rule)
	}
	return all
}

func table() []rule {
	return slices.Concat(
		rulesOfAccess(), rulesOfIssuers(), rulesOfSecrets(), rulesOfCertificates(), rulesOfTransport(), rulesOfLimits(), rulesOfInput(),
		rulesOfWatch(), rulesOfOAuth(), rulesOfExceptions(), rulesOfStore(),
	)
}

// isHeld reports whether a rule is about what the store holds.
func isHeld(id string) bool {
	return slices.ContainsFunc(rulesOfStore(), func(r rule) bool { return r.ID == id })
}

// The severities, for short lines.
const (
	info   = finding.Info
	low    = finding.Low
	medium = finding.Medium
	high   = finding.High
)

// says makes a rule of words: its severity, its places in the standards ("API2 ASVS-13.3.1
// REC-API-11"), its title, why it matters, and what mends it.
func says(id string, severity finding.Severity, places, title, why, mend string, look func(*look)) rule {
	r := rule{Rule: finding.Rule{ID: id, Severity: severity, Title: title, Why: why, Mend: mend}, look: look}
	for word := range strings.FieldsSeq(places) {
		switch {
		case strings.HasPrefix(word, "ASVS-"):
			r.ASVS = append(r.ASVS, strings.TrimPrefix(word, "ASVS-"))
		case strings.HasPrefix(word, "REC-"):
			r.NIST = append(r.NIST, word)
		case strings.HasPrefix(word, "CWE-"):
			r.CWE = append(r.CWE, word)
		default:
			r.OWASP = risks()[word]
		}
	}
	return r
}

func risks() map[string]string {
	all := map[string]string{}
	for _, risk := range []string{
		finding.API1, finding.API2, finding.API3, finding.API4, finding.API5, finding.API6, finding.API7, finding.API8, finding.API9, finding.API10,
	} {
		name, _, _ := strings.Cut(risk, ":")
		all[name] = risk
	}
	return all
}

// ofStore marks rules about what the store holds.
func ofStore(rules ...rule) []rule {
	for i := range rules {
		rules[i].held = true
	}
	return rules
}
