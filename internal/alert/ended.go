package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of credentials that have ended.
const (
	revokedMost = 2 // requests with a credential that was withdrawn
	revokedOver = time.Hour
	expiredMost = 500 // requests with one whose time is over
	expiredOver = 24 * time.Hour
)

func isProved(e *audit.Event) bool { return e.Proved }

// revoked notices the use of what was withdrawn: by him from whom it was withdrawn.
func revoked(t thresholds) Rule {
	return Rule{
		Name: "revoked_used", Severity: High, Quiet: 6 * time.Hour,
		Means: "somebody goes on using a credential that was revoked, or of a client that was disabled, and he holds its secret: the thief from whom you took it, or an owner whom nobody told",
		Do:    "compare the networks with the owner's (pavise log search --credential ID); what else came from there: pavise log search --address NETWORK",
		When:  When{Class: audit.Request, Codes: []string{"revoked_credential", "disabled_client"}, and: isProved}, Per: PerCredential,
		Most: t.of("revoked_used", revokedMost), Over: revokedOver, What: "requests with a credential that was withdrawn",
	}
}

// expired notices what goes on being used long after its end. Once or for some hours that is a
// client whose owner forgot it.
func expired(t thresholds) Rule {
	return Rule{
		Name: "expired_used", Severity: Low, Quiet: 24 * time.Hour,
		Means: "an expired credential goes on being used: nobody mends its client, or somebody uses a copy that he found",
		Do:    "renew it, or take it away from where it still is (pavise log search --credential ID shows from where)",
		When:  When{Class: audit.Request, Codes: []string{"expired_credential"}, and: isProved}, Per: PerCredential,
		Most: t.of("expired_used", expiredMost), Over: expiredOver, What: "requests with an expired credential",
	}
}
