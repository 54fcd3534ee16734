package own

import (
	"slices"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/finding"
)

// Rules are all that the cases ask.
func Rules() []finding.Rule {
	return slices.Concat(ofCallers(), ofRights(), ofDoor(), ofInput(), ofGateway())
}

func ofCallers() []finding.Rule {
	return []finding.Rule{
		attack.Rule("no-credential", finding.Critical, "The gateway lets a stranger pass",
			"Anybody who finds the address reads, or does, what the policy reserves for known callers.",
			"Compare the configuration in force with this file (pavise check --against), put it in force (pavise reload), and see pavise explain for the request.",
			finding.API2, "CWE-306", "8.3.1", "REC-API-11"),
		attack.Rule("forged-credential", finding.Critical, "The gateway takes a forged, altered or repeated credential",
			"Whoever has seen a request, or knows how credentials look, makes one that is accepted.",
			"Compare the configuration in force with this file; if they are the same, stop the gateway from serving this endpoint and report it (SECURITY.md).",
			finding.API2, "CWE-347", "9.1.1", "REC-API-12"),
		attack.Rule("incomplete-proof", finding.Critical, "One proof does where the policy wants several",
			"A second proof is there because one may be lost. Where it is not asked for, the first one is enough.",
			"Compare the shield of the endpoint in force with this file (pavise check --against).",
			finding.API2, "CWE-308", "6.3.4", "REC-API-11"),
		attack.Rule("mixed-identities", finding.High, "Proofs of different clients pass together",
			"Whoever has an own certificate adds the key of somebody else.",
			"Compare the shield of the endpoint in force with this file: all, without actor, wants one client.",
			finding.API2, "CWE-287", "6.3.4", "REC-API-11"),
		attack.Rule("ended-credential", finding.High, "A credential that has ended is accepted",
			"A credential that was lost is revoked, and stays good.",
			"See pavise status for faults of the store, and pavise key list for the credential.",
			finding.API2, "CWE-613", "9.2.1", "REC-API-12"),
		attack.Rule("wrong-network", finding.High, "A credential counts from where it should not",
			"A stolen credential is used from anywhere, or a header says from where.",
			"See trusted_proxies: only proxies of yours may say where a caller is.",
			finding.API2, "CWE-291", "8.3.1", "REC-API-11"),
	}
}

func ofRights() []finding.Rule {
	return []finding.Rule{
		attack.Rule("missing-scope", finding.Critical, "A caller without the scopes passes",
			"Every client may do what only some were given.",
			"Compare the scopes of the endpoint in force with this file (pavise check --against).",
			finding.API5, "CWE-285", "8.2.1", "REC-API-13"),
		attack.Rule("undeclared-endpoint", finding.Medium, "What the policy does not have is answered",
			"What nobody described nobody protects or watches.",
			"Compare the endpoints in force with this file (pavise check --against).",
			finding.API9, "CWE-1059", "13.4.5", "REC-API-4"),
		attack.Rule("foreign-origin", finding.Medium, "Scripts of foreign pages may call",
			"A page that somebody opens calls the API from their browser.",
			"Compare cors of the API in force with this file.",
			finding.API8, "CWE-942", "3.4.2", "REC-API-11"),
		attack.Rule("missing-limit", finding.High, "A limit of the policy does not hold",
			"One caller uses up what is there for all, or guesses for as long as it takes.",
			"Compare limit, max_body and limits in force with this file.",
			finding.API4, "CWE-770", "2.4.1", "REC-API-15"),
	}
}

func ofDoor() []finding.Rule {
	return []finding.Rule{
		attack.Rule("ambiguous-path", finding.High, "A path or query passes that two readers read differently",
			"The gateway decides on one endpoint, and the service answers for another.",
			"Compare insecure_allow of the API in force with this file: each exception there needs a reason.",
			finding.API8, "CWE-289", "8.3.1", "REC-API-11"),
		attack.Rule("ambiguous-header", finding.High, "A header or method passes that two readers read differently",
			"The service takes a header of the caller for one of the gateway's.",
			"Compare insecure_allow of the API in force with this file.",
			finding.API8, "CWE-436", "4.1.3", "REC-API-11"),
		attack.Rule("wrong-host", finding.High, "A request for one host passes on a connection for another",
			"The rules for certificates of one host are gone around by the name of another.",
			"Compare hosts in force with this file; if a proxy stands before the gateway, have it keep names apart.",
			finding.API8, "CWE-290", "4.2.1", "REC-API-11"),
		attack.Rule("framing", finding.High, "A message passes of which two readers see different ends",
			"What one takes for a body the other takes for the next request: a caller speaks for another (request smuggling).",
			"Have nothing between callers and the gateway that repairs messages; report it if nothing is (SECURITY.md).",
			finding.API8, "CWE-444", "4.2.1", "REC-API-11"),
		attack.Rule("http2", finding.High, "A malformed request of HTTP/2 passes",
			"Behind a reader of HTTP/2 stands one of HTTP/1.1, to which it says something else.",
			"As for framing.",
			finding.API8, "CWE-444", "4.2.1", "REC-API-11"),
		attack.Rule("http2-flood", finding.Medium, "A flood of frames keeps the gateway from serving others",
			"One connection costs more than it should.",
			"Bound limits.connections_per_address, and see the load of the machine (pavise status).",
			finding.API4, "CWE-770", "2.4.1", "REC-API-15"),
		attack.Rule("old-tls", finding.High, "An old version of TLS, or none, is spoken",
			"What is sent is read, or changed, on its way.",
			"Have nothing before the gateway end TLS for it, or set the proxy that does to TLS 1.2 and 1.3 with AEAD suites.",
			finding.API8, "CWE-327", "12.1.1", "REC-API-9"),
	}
}

func ofInput() []finding.Rule {
	return []finding.Rule{
		attack.Rule("contract", finding.Medium, "Input passes that the description does not allow",
			"The service gets what nobody thought of.",
			"Compare openapi, body_schema and insecure_report_only in force with this file.",
			finding.API8, "CWE-20", "2.2.1", "REC-API-5"),
		attack.Rule("injection-passes", finding.High, "A value passes that becomes code where it is used",
			"SQL, a command or a script of the caller's is carried out.",
			"Compare injection of the endpoint in force with this file.",
			finding.API8, "CWE-74", "1.2.4", "REC-API-5"),
	}
}

func ofGateway() []finding.Rule {
	return []finding.Rule{
		attack.Rule("upstream-open", finding.High, "A service answers who goes around the gateway",
			"Whoever reaches its address needs no credential: everything that the gateway asks is gone around.",
			"Let only the gateway reach it (a firewall, a network policy, an address of its own machine), and have it verify who calls: the token Pavise-Identity (upstream/), or mutual TLS (upstream.client_certificate).",
			finding.API8, "CWE-288", "8.3.1", "REC-API-11"),
		attack.Rule("unexpected-error", finding.Medium, "The gateway fails where it should decide",
			"What makes it fail may keep others from being served, and what it would decide is not known.",
			"See pavise explain for the request's ID, and pavise status.",
			finding.API8, "CWE-755", "16.5.1", "REC-API-23"),
		attack.Rule("other-refusal", finding.Low, "It is refused for another reason than the policy has",
			"A caller is told the wrong reason, and the policy in force may be another one.",
			"See pavise explain for the request's ID.",
			finding.API8, "CWE-393", "16.5.1", "REC-API-23"),
	}
}

// ruleOf finds a rule.
func ruleOf(id string) *finding.Rule { return attack.RuleOf(Rules(), id) }
