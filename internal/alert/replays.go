package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of replays. A client that sends a signed request again after a timeout is refused
// once or twice.
const (
	replaysMost = 5 // requests of one caller that were sent before
	replaysOver = 10 * time.Minute
)

// replays notices signed requests and proofs that are sent again.
func replays(t thresholds) Rule {
	return Rule{
		Name: "replay", Severity: High,
		Means: "signed requests or proofs come a second time: somebody has recorded them, or a client repeats bytes that it has to sign anew",
		Do:    "compare the networks of the first and of the repeated requests (pavise log search --credential ID); if they differ, revoke the credential and look for who can read the traffic",
		When:  When{Class: audit.Request, Codes: []string{"replayed_request"}}, Per: perCaller,
		Most: t.of("replay", replaysMost), Over: replaysOver, What: "replayed requests",
	}
}
