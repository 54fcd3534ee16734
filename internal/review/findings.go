package review

import (
	"pavise.dev/pavise/internal/finding"
)

func trialSafe() finding.Rule {
	return finding.Rule{
		ID: "trial-safe", Severity: finding.Low, Title: "A trial that can be enforced", Why: "What it would refuse gets through until somebody ends the trial.",
		Mend: "take insecure_report_only away, or adopt the candidate", Standards: finding.Standards{OWASP: finding.API8, ASVS: []string{"2.2.1"}, NIST: []string{"REC-API-13"}},
	}
}

func trialHits() finding.Rule {
	return finding.Rule{
		ID: "trial-would-refuse", Severity: finding.Medium, Title: "A trial that would refuse callers", Why: "On the day after the trial's last they are refused.",
		Mend: "pavise review --would-block shows whom and for what: mend the callers, or the contract", Standards: finding.Standards{OWASP: finding.API8, ASVS: []string{"2.2.1"}, NIST: []string{"REC-API-13"}},
	}
}

// TrialRules are those of [Summary.Findings].
func TrialRules() []finding.Rule { return []finding.Rule{trialSafe(), trialHits()} }

// Findings are the verdicts about which somebody should do something.
func (s *Summary) Findings() (all []finding.Finding) {
	for _, e := range s.Endpoints {
		for _, l := range e.Layers {
			where := finding.Place{Path: "apis." + e.API + ".endpoints." + e.Endpoint + " " + l.Layer}
			switch l.Verdict {
			case Safe:
				all = append(all, trialSafe().At(where, "%s", l.Why))
			case Hits:
				all = append(all, trialHits().At(where, "%s", l.Why))
			}
		}
	}
	return all
}
