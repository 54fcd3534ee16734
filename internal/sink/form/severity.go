package form

import (
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/shield"
)

// Severity is how grave an event is, by the numbers of OCSF.
type Severity int

// The severities.
const (
	Informational Severity = 1 // as it should be
	Low           Severity = 2 // refused, as happens every day
	Medium        Severity = 3 // refused, and worth a look: wrong, revoked, replayed or too weak a credential, an attack's form
	High          Severity = 4 // a credential is exposed, or something could not do its work
	Critical      Severity = 5 // events or the proof of them were lost
)

// String is its name in OCSF.
func (s Severity) String() string {
	switch s {
	case Informational:
		return "Informational"
	case Low:
		return "Low"
	case Medium:
		return "Medium"
	case High:
		return "High"
	}
	return "Critical"
}

// SeverityOf judges an event by what was decided, and why.
func SeverityOf(e *audit.Event) Severity {
	switch {
	case e.Exposed:
		return High
	case e.Class == audit.System:
		return ofSystem(e.Code)
	case e.Class == Detection:
		return High
	case e.Class == audit.Grant && isAttack(e.Action):
		return Medium
	case e.Decision == audit.Failed:
		return High
	case e.Decision != audit.Refused:
		return Informational
	case e.Step == "harm" || e.Class == audit.Admin:
		return Medium
	}
	switch shield.Code(e.Code) {
	case shield.InvalidCredential, shield.RevokedCredential, shield.BadSignature, shield.BadDigest, shield.ReplayedRequest, shield.UnboundCredential,
		shield.MixedIdentities, shield.ForbiddenNetwork, shield.DisabledClient, shield.SuspendedCredential, shield.LockedOut, shield.InsufficientScope, shield.Denied,
		shield.BlockedNetwork, shield.MalformedCredential:
		return Medium
	}
	return Low
}

// Detection is the class of events that say that a rule over events has fired.
const Detection audit.Class = "detection"

func ofSystem(code string) Severity {
	switch code {
	case "sink_lost", "log_tail_lost", "log_begun_anew", "slot_damaged", "ring_missing":
		return Critical
	case "sink_failing", "sink_full", "sink_rejected", "state_unconfirmed":
		return High
	case "issuer_warning", "certificate_warning", "certificate_expiring", "restored", "log_repaired", "retention_held":
		return Medium
	}
	return Informational
}

// isAttack reports whether an act of the authorization server is a refusal that somebody
// caused on purpose, or by trying.
func isAttack(action string) bool {
	switch action {
	case "grant.reuse", "person.sign_in_failed", "person.held", "person.forged_form", "person.hand_over_rejected":
		return true
	}
	return false
}
