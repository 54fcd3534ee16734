package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of scans.
const (
	probesMost = 5 // different endpoints that an identity may not use
	probesOver = 10 * time.Minute
	scansMost  = 20 // different paths without an endpoint
	scansOver  = 10 * time.Minute
	scansTable = 100_000
)

// scopeProbing notices an identity that tries what it may do.
func scopeProbing(t thresholds) Rule {
	return Rule{
		Name: "scope_probing", Severity: Medium,
		Means: "one identity is refused at many different endpoints for want of rights: it tries what its credential opens (API5:2023), as somebody does who has stolen one",
		Do:    "ask its owner whether that was he (pavise log search --client NAME --code insufficient_scope); if not, pavise client disable NAME",
		When:  When{Class: audit.Request, Codes: []string{"insufficient_scope", "denied", "forbidden_network", "mixed_identities"}}, Per: perIdentity, Different: Endpoints,
		Most: t.of("scope_probing", probesMost), Over: probesOver, What: "endpoints without the right to them",
	}
}

// endpointScan notices a network that looks for endpoints. Nobody is known there yet: which
// endpoint it is is decided first.
func endpointScan(t thresholds) Rule {
	return Rule{
		Name: "endpoint_scan", Severity: Medium, Table: scansTable,
		Means: "a network asks for many different paths or methods that there are not: a scanner looks for forgotten endpoints (API9:2023)",
		Do:    "pavise block NETWORK --for 24h, unless it is your own scanner",
		When:  When{Class: audit.Request, Codes: []string{"unknown_endpoint", "method_not_allowed", "endpoint_sunset"}}, Per: PerNetwork, Different: Paths,
		Most: t.of("endpoint_scan", scansMost), Over: scansOver, What: "paths without an endpoint",
	}
}
