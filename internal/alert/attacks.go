package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of attacks that a layer refuses one by one.
const (
	injectionsMost = 5 // an honest value looks like an attack now and then
	injectionsOver = 10 * time.Minute
	flowsMost      = 10 // a person with two tabs goes wrong once or twice
	flowsOver      = 10 * time.Minute
	protocolMost   = 20 // a client that joins paths badly sends some
	protocolOver   = 10 * time.Minute
)

// injections notices a caller who sends values that could become code.
func injections(t thresholds) Rule {
	return Rule{
		Name: "injection_burst", Severity: High,
		Means: "one caller sends value after value that would become SQL, a command or a script: a scanner, or somebody who looks for a hole by hand",
		Do:    "pavise block NETWORK, or pavise client disable NAME if it is a client of yours; if it is honest, waive the rule for that field",
		When:  When{Class: audit.Request, Codes: []string{"injection"}}, Per: perCaller,
		Most: t.of("injection_burst", injectionsMost), Over: injectionsOver, What: "values that could become code",
	}
}

// honeypots notices who asks for what only intruders ask for.
func honeypots(thresholds) Rule {
	return Rule{
		Name: "honeypot", Severity: Medium, Quiet: 6 * time.Hour,
		Means: "a network asked for a path that nobody has reason to know: a scanner",
		Do:    "pavise block NETWORK --for 24h, or let honeypots do it (honeypots: {block: 24h})",
		When:  When{Class: audit.Request, Codes: []string{"honeypot"}}, Per: PerNetwork,
		What: "asked for a honeypot",
	}
}

// flowAbuse notices who does not go through a flow as people do.
func flowAbuse(t thresholds) Rule {
	return Rule{
		Name: "flow_abuse", Severity: Medium,
		Means: "one caller takes the steps of a flow out of order, faster than people, or with used keys again and again: a bot buys, votes or tests cards (API6:2023)",
		Do:    "look what it got (pavise log search --client NAME); limit the flow, or pavise client disable NAME",
		When:  When{Class: audit.Request, Codes: []string{"out_of_order", "too_fast", "idempotency_key_reused"}}, Per: perCaller,
		Most: t.of("flow_abuse", flowsMost), Over: flowsOver, What: "steps that people do not take so",
	}
}

// protocolAbuse notices who sends what two servers would read differently.
func protocolAbuse(t thresholds) Rule {
	return Rule{
		Name: "protocol_abuse", Severity: Medium,
		Means: "a network sends requests that two servers would read differently, or floods of frames: somebody looks for a way past the gateway (request smuggling)",
		Do:    "pavise block NETWORK --for 24h; if it is a client of yours, its library is broken",
		When: When{Codes: []string{
			"bad_request_line", "bad_header", "bad_host", "bad_framing", "bad_coding", "bad_version", "refused_upgrade", "h2_stream", "h2_connection", "h2_flood",
			"invalid_path", "invalid_header", "invalid_query", "unknown_host", "misdirected",
		}},
		Per: PerNetwork, Most: t.of("protocol_abuse", protocolMost), Over: protocolOver, What: "requests that break the protocol",
	}
}
