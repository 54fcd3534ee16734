package attack

import (
	"fmt"

	"pavise.dev/pavise/internal/finding"
)

// Rule is what is wrong, with its place in the standards: OWASP API Security, CWE, ASVS, NIST.
func Rule(id string, severity finding.Severity, title, why, mend, owasp, cwe, asvs, nist string) finding.Rule {
	return finding.Rule{
		ID: id, Severity: severity, Title: title, Why: why, Mend: mend,
		Standards: finding.Standards{OWASP: owasp, ASVS: []string{asvs}, NIST: []string{nist}, CWE: []string{cwe}},
	}
}

// RuleOf finds a rule among those of a plan.
func RuleOf(all []finding.Rule, id string) *finding.Rule {
	for i := range all {
		if all[i].ID == id {
			return &all[i]
		}
	}
	panic(fmt.Sprintf("attack: there is no rule %q", id))
}
