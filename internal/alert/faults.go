package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// endingCertificates passes on what is told of certificates.
func endingCertificates(thresholds) Rule {
	return Rule{
		Name: "certificate_ending", Severity: Medium, Quiet: 24 * time.Hour,
		Means: "a certificate ends soon, or could not be read or renewed; when it ends, every call that needs it fails",
		Do:    "renew it now (docs/guide/certificates.md, docs/guide/pki.md), and find out why that did not happen by itself",
		When:  When{Class: audit.System, Codes: []string{"certificate_expiring", "certificate_warning"}}, Per: PerTarget,
		What: "a certificate ends soon, or could not be renewed",
	}
}

// lostEvents notices that the record is not whole.
func lostEvents(thresholds) Rule {
	return Rule{
		Name: "audit_failure", Severity: Critical, Quiet: 24 * time.Hour,
		Means: "events were lost, or the proof that none is missing: records behind a stop of the machine, a log that was begun where one had been, a damaged slot, or what retention took before a sink had it",
		Do:    "pavise log verify, and keep the folder as evidence if it does not verify; then make room, or raise log.max_size",
		When:  When{Class: audit.System, Codes: []string{"log_tail_lost", "log_begun_anew", "slot_damaged", "ring_missing", "sink_lost"}}, Per: PerTarget,
		What: "events, or the proof of them, were lost",
	}
}

// failedSchedule notices that nobody looks where somebody was to.
func failedSchedule(thresholds) Rule {
	return Rule{
		Name: "schedule_failed", Severity: Medium, Quiet: 24 * time.Hour,
		Means: "a check, an attack or a review that was to run failed, took too long, or was not made when it was due: what it would have found nobody knows of",
		Do:    "pavise schedule --runs 5 says why; pavise schedule run TASK makes it up",
		When:  When{Class: audit.System, Codes: []string{"schedule_failed", "schedule_missed"}}, Per: PerTarget,
		What: "a run failed, or was missed",
	}
}

// staleState notices that it is not known what has been revoked.
func staleState(thresholds) Rule {
	return Rule{
		Name: "state_unconfirmed", Severity: High,
		Means: "the store does not answer, so that nobody knows whether something was revoked; after max_staleness every request is refused",
		Do:    "look at the database and the way to it: pavise status",
		When:  When{Class: audit.System, Codes: []string{"state_unconfirmed"}}, Per: PerTarget,
		Most: staleMost, Over: staleOver, What: "times it was not known what has been revoked",
	}
}

// Thresholds of a store that does not answer: a restart of it is told once or twice.
const (
	staleMost = 2
	staleOver = 10 * time.Minute
)
