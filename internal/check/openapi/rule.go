package openapi

import (
	"slices"

	"pavise.dev/pavise/internal/finding"
)

// Severity says how bad a finding is.
type Severity = finding.Severity

// The severities. Info is a hint: a person has to look.
const (
	Info   = finding.Info
	Low    = finding.Low
	Medium = finding.Medium
	High   = finding.High
)

// Rule is something that a document should not say, or should.
type Rule = finding.Rule

// The ten risks of OWASP's list of 2023, by number.
const (
	api1  = finding.API1
	api2  = finding.API2
	api3  = finding.API3
	api4  = finding.API4
	api5  = finding.API5
	api6  = finding.API6
	api7  = finding.API7
	api8  = finding.API8
	api9  = finding.API9
	api10 = finding.API10
)

// Rules are all rules, in the order of what they are about.
func Rules() []Rule {
	return slices.Concat(rulesOfIdentity(), rulesOfTransport(), rulesOfInput(), rulesOfOutput(), rulesOfInventory(), rulesOfThisCheck())
}

// newRule is a rule with its places in what others demand.
func newRule(id string, severity Severity, risk, title, why, mend string) Rule {
	return Rule{ID: id, Severity: severity, Title: title, Why: why, Mend: mend, Standards: standards(id, risk)}
}

func rulesOfIdentity() []Rule {
	return []Rule{
		newRule("no-security", High, api2, "An operation that anybody may call", "Nobody is asked who is calling: neither the operation nor the document demands a credential.", "name a scheme of components.securitySchemes under security; where it is public on purpose, waive the rule there with a reason"),
		newRule("optional-security", High, api2, "A credential that may be left out", "An empty alternative ({}) stands among the requirements, so that no credential is as good as any.", "take {} away, or make a public operation of its own"),
		newRule("security-undefined", High, api2, "A requirement that nothing defines", "The requirement names a scheme that components.securitySchemes does not have: tools leave it out, and the operation is open.", "define the scheme, or mend the name"),
		newRule("security-without-scopes", Low, api5, "Any token will do", "The requirement of a token names no scope: a token that was issued for something else is good here too.", "list the scopes that the operation needs"),
		newRule("scope-undefined", Low, api5, "A scope that nothing declares", "No flow of the scheme declares the scope: nobody can be granted it, or everybody is.", "declare it in the scheme's flows, or mend the name"),
		newRule("admin-operation", Medium, api5, "An operation for operators that any caller's credential opens", "The path speaks of administration or of the inside, and no scope keeps ordinary callers out.", "demand a scope of its own, or keep it off this API"),
		newRule("api-key-in-query", High, api2, "An API key in the query", "URLs end up in logs, histories, caches and Referer headers, and the key with them.", "put the key in a header"),
		newRule("api-key-in-cookie", Medium, api2, "An API key in a cookie", "Browsers send cookies with requests that other sites make: the key authorizes what its owner never asked for.", "put the key in a header; a session cookie needs SameSite and a token against forgery"),
		newRule("basic-auth", Medium, api2, "A password with each request", "HTTP Basic sends a long-lived password each time; it is guessed, shared, and cannot be narrowed.", "use OAuth 2.0, mutual TLS, signatures, or API keys"),
		newRule("legacy-http-auth", Medium, api2, "A scheme that is not safe any more", "Digest, NTLM, Negotiate and OAuth 1 rest on broken digests, on connections, or on nothing.", "use bearer tokens, mutual TLS or signatures"),
		newRule("oauth-implicit", High, api2, "OAuth's implicit flow", "Tokens travel in URLs, where others read them, and cannot be bound to who asked (RFC 9700 §2.1.2).", "use the authorization code flow with PKCE"),
		newRule("oauth-password", High, api2, "OAuth's password flow", "The client sees the person's password, and no second factor is possible (RFC 9700 §2.4).", "use the authorization code flow with PKCE"),
		newRule("oauth-plain-url", High, api2, "An authorization server without TLS", "Codes, secrets and tokens pass in the clear, and whoever is in between may issue his own.", "write https:// in the scheme's URLs"),
		newRule("credential-as-parameter", Medium, api2, "A credential that is a mere parameter", "OpenAPI leaves an Authorization parameter out, and a key as a parameter is demanded by no security requirement: tools believe the operation is open.", "describe it in components.securitySchemes and name it under security"),
		newRule("secret-in-path", High, api2, "A secret in the path", "Paths are logged, cached and shown everywhere; whoever reads one has the secret.", "move it to a header or the body; make a link that may be followed once"),
		newRule("secret-in-query", High, api2, "A secret in the query", "URLs end up in logs, histories, caches and Referer headers, and the secret with them.", "move it to a header or the body"),
		newRule("personal-data-in-url", Medium, api8, "Personal data in a URL", "Names, numbers and addresses in paths and queries stand in the logs of everybody on the way.", "look people up by an opaque identifier, or search with POST"),
		newRule("sequential-id", Info, api1, "Objects that can be counted through", "A whole number in the path invites trying the next one. Each request needs the question whether this caller may see this object.", "use UUIDs ({type: string, format: uuid}), and have the service, or a condition, compare the owner"),
	}
}

func rulesOfTransport() []Rule {
	return []Rule{
		newRule("http-server", High, api8, "A server without TLS", "Requests and credentials pass in the clear.", "write https://"),
		newRule("internal-server", Low, api9, "A server of the inside", "The document, which others read, names a machine of the inside or of a test: it tells where to look, and clients may be built against it.", "take it out of the published document"),
		newRule("server-variable-open", Medium, api8, "A server that anybody may name", "A variable without enum makes up the host: who fills it in decides where credentials go.", "list the hosts in enum"),
		newRule("server-with-credentials", High, api8, "A password in a server's URL", "Everybody who reads the document has it.", "take it out, and change it"),
		newRule("callback-plain", Medium, api10, "Calls back without TLS", "What is sent to the callback, and what it answers, can be read and changed on the way.", "write https://"),
		newRule("method-trace", Medium, api8, "TRACE", "It sends back what it got, credentials too, to scripts that may not read them.", "take the operation out"),
		newRule("body-on-get", Low, api8, "A body where none belongs", "A body of GET, HEAD or DELETE has no meaning (RFC 9110 §9.3.1): proxies drop it, or take it for the next request.", "use the query, or POST"),
	}
}

func rulesOfInput() []Rule {
	return []Rule{
		newRule("string-unbounded", Medium, api4, "A text of any length", "Nothing bounds it: one request may fill memory, a disk, or a slow algorithm behind it; and more fits in than was meant.", "give maxLength, enum, a format of fixed form (uuid, date, ipv4…), or an anchored pattern of bounded length"),
		newRule("number-unbounded", Low, api4, "A number of any size", "Amounts, offsets and counts that nobody bounded overflow, or make the service work without end.", "give minimum and maximum, or format: int32"),
		newRule("page-size-unbounded", Medium, api4, "A page of any size", "The caller decides how many rows one request costs.", "give the parameter a maximum"),
		newRule("array-unbounded", Medium, api4, "A list of any length", "One request may ask for a million things.", "give maxItems"),
		newRule("map-unbounded", Low, api4, "A map of any number of entries", "The caller chooses the names, and how many.", "give maxProperties"),
		newRule("object-open", Medium, api3, "An object that takes anything", "Properties that nobody described reach the service, which may store or obey them: mass assignment is made of these.", "list its properties, and write additionalProperties: false"),
		newRule("value-free", Medium, api3, "A value about which nothing is said", "Text, number, list or object: whatever comes is let through to code that expected one of them.", "give it a type, and bounds"),
		newRule("pattern-unanchored", Medium, api8, "A pattern that is found anywhere", "A text fits if any part of it does: quotes, tags and line breaks around it pass.", "write ^ before and $ behind it"),
		newRule("pattern-catastrophic", Medium, api4, "A pattern that can keep a machine busy", "A repeated part that is itself repeated, or alternatives that begin alike in one: engines that backtrack (of most languages) take exponential time for a text made for it. Pavise's takes linear time; the service's may not.", "rewrite it so that each text fits in one way only; bound the length"),
		newRule("mass-assignment", Medium, api3, "A property that only the server should set", "Identifiers, owners, roles, balances and times that a caller may write are what he writes when he tries to be somebody else.", "mark it readOnly, or take it out of the request's schema"),
		newRule("upload-unbounded", Medium, api4, "A file of any size", "Nothing bounds the file: disks and memory fill up.", "give the file's schema a maxLength (bytes)"),
		newRule("upload-any-type", Low, api8, "A file of any type", "Pages, scripts and programs are stored, and perhaps served again.", "list the media types in encoding.NAME.contentType"),
		newRule("wildcard-media-type", Medium, api8, "A body of any media type", "What no reader expects cannot be checked; some readers guess.", "name the media types"),
		newRule("ssrf-candidate", Info, api7, "An address that the service may call", "If the service calls an address that a caller sent, he has it call what only the inside can reach.", "compare with a list of hosts, or send through a proxy that refuses private addresses; bound it with a pattern"),
	}
}

func rulesOfOutput() []Rule {
	return []Rule{
		newRule("response-without-schema", Low, api3, "An answer that nobody described", "Whatever the service returns is let out, more than the caller should see too.", "describe the content of the answer"),
		newRule("response-open-object", Low, api3, "An answer that may hold anything", "An object without properties lets every column of a table out.", "list the properties that are meant to be seen"),
		newRule("password-returned", High, api3, "A secret in an answer", "A password or a secret that comes back is read by caches, logs and scripts, and by whoever gets at an object that is not his.", "mark it writeOnly, or leave it out of the answer; a secret that is shown once gets an operation of its own, and a waiver"),
		newRule("write-only-returned", Low, api3, "A writeOnly property that only answers have", "It must not be in an answer, and no request takes it: one of the two is wrong.", "take it out, or take writeOnly away"),
		newRule("stack-trace-returned", Medium, api8, "Stack traces in an answer", "They tell an attacker the versions, paths and queries of the inside.", "log it, and answer with an identifier of the request"),
		newRule("secret-in-document", High, api8, "What looks like a real secret", "An example, a default or a text holds what looks like a key of a well-known form: if it is real, everybody who reads the document has it.", "revoke it, and write one that is plainly made up"),
		newRule("response-400-missing", Low, api8, "No answer for bad input", "The operation takes input, and does not say what it answers to bad input: it was perhaps not thought of, and what happens instead tells of the inside.", "describe 400 (or 422, 4XX, default)"),
		newRule("response-401-missing", Low, api2, "No answer for a missing credential", "The operation demands a credential, and does not say what it answers without one.", "describe 401 (or 4XX, default)"),
		newRule("response-403-missing", Low, api5, "No answer for who may not", "The operation demands a credential, and does not say what it answers to one that is not enough.", "describe 403 (or 4XX, default)"),
		newRule("response-429-missing", Low, api4, "No answer for too many requests", "Nothing says that callers are slowed down.", "describe 429 (or 4XX, default), and set a limit"),
		newRule("sensitive-flow", Medium, api6, "A sensitive flow that nobody slows down", "Signing in, resetting, paying or booking can be done by machines as often as they like.", "describe 429, and set a limit per client and per address"),
	}
}

func rulesOfInventory() []Rule {
	return []Rule{
		newRule("no-owner", Low, api9, "Nobody to ask", "When it is attacked, nobody knows whose it is: neither the operation, nor its tags, nor the document names anybody.", "give info.contact an email or a url, or x-owner to the document, a tag, a path or an operation"),
		newRule("no-operation-id", Info, api9, "An operation without a name", "Logs, clients and waivers have nothing to call it by that stays when the path changes.", "give it an operationId"),
		newRule("operation-id-twice", Low, api9, "One name for two operations", "Rules and clients that go by the name reach the other one.", "give each its own operationId"),
		newRule("deprecated-without-sunset", Low, api9, "Deprecated for ever", "Old operations that stay are those that nobody watches.", "say when it ends: x-sunset: 2027-06-30"),
		newRule("sunset-over", Medium, api9, "Past its end", "The operation should be gone.", "take it out, or give it another day"),
		newRule("unused-component", Info, api9, "A component that nothing uses", "It was forgotten, or an operation that uses it is not in the document.", "take it out"),
		newRule("reference-broken", Medium, api9, "A reference that leads nowhere", "What it should have said, bounds too, is left out.", "mend it; bundle the document into one file"),
		newRule("unusable", High, api9, "An operation that cannot be held to the document", "Pavise would not start with an endpoint that names it.", "mend what the finding says"),
	}
}

func rulesOfThisCheck() []Rule {
	return []Rule{
		newRule("waiver-invalid", High, api9, "A waiver that cannot be read", "It waives nothing.", "write {rule: NAME, reason: at least ten characters, until: 2027-01-31}"),
		newRule("waiver-over", Medium, api9, "A waiver that is over", "What it waived counts again.", "mend what was waived, or give a new day and say why"),
		newRule("waiver-unused", Info, api9, "A waiver that waives nothing", "What was waived is mended, or stands elsewhere.", "take it out"),
	}
}
