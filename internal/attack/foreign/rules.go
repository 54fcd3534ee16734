package foreign

import (
	"slices"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/finding"
)

// Rules are all that the cases ask.
func Rules() []finding.Rule {
	return slices.Concat(whoCalls(), ofTokens(), ofObjects(), ofProperties(), ofInjection(), ofLimits(), ofErrors(), ofTransport(), ofInventory(), ofContent())
}

func whoCalls() []finding.Rule {
	return []finding.Rule{
		attack.Rule("no-authentication", finding.Critical, "It answers without a credential",
			"Anybody who finds the address reads, or does, what only known callers may.",
			"Demand the credential on every operation that the document protects, before anything else is done; deny where nothing is said.",
			finding.API2, "CWE-306", "8.3.1", "REC-API-11"),
		attack.Rule("wrong-credential", finding.Critical, "A wrong credential is as good as a right one",
			"A credential is looked for, but not verified: any text opens the door.",
			"Verify the credential itself, and refuse what is empty, malformed, of another scheme or unknown.",
			finding.API2, "CWE-287", "6.3.4", "REC-API-11"),
		attack.Rule("default-credentials", finding.Critical, "A well-known name and password are accepted",
			"They are the first that is tried, by everybody.",
			"Remove the account, or give it a password that is chosen at installation.",
			finding.API2, "CWE-1392", "6.3.2", "REC-API-11"),
		attack.Rule("authentication-by-method", finding.High, "Another method needs no credential",
			"The check stands before one method, and the handler answers others, too.",
			"Protect paths by default, and let through only declared methods.",
			finding.API2, "CWE-650", "4.1.4", "REC-API-11"),
		attack.Rule("authentication-by-path", finding.High, "Another spelling of the path needs no credential",
			"What checks and what answers read the path differently: a slash, a dot or a capital goes around the check.",
			"Normalise the path once, before it is checked, and pass on what was checked; refuse other spellings.",
			finding.API2, "CWE-289", "8.3.1", "REC-API-11"),
		attack.Rule("trusted-header", finding.High, "A header that anybody can send opens the door",
			"Whoever writes the address of a trusted machine, or a name, into a header is taken for it.",
			"Remove such headers from outside requests, and believe them only from proxies that are known.",
			finding.API2, "CWE-290", "8.3.1", "REC-API-11"),
		attack.Rule("credential-in-query", finding.Medium, "The credential is accepted in the query",
			"Addresses stand in logs, histories and Referer headers: whoever reads those has the credential.",
			"Accept it in its header only.",
			finding.API2, "CWE-598", "14.2.1", "REC-API-7"),
	}
}

func ofTokens() []finding.Rule {
	return []finding.Rule{
		attack.Rule("jwt-none", finding.Critical, "A token that nobody signed is accepted (alg: none)",
			"Anybody writes a token for any user.",
			"Accept only the algorithms that the issuer uses, from a list of yours; never read the choice from the token.",
			finding.API2, "CWE-347", "9.1.2", "REC-API-12"),
		attack.Rule("jwt-signature", finding.Critical, "The signature of tokens is not verified",
			"Anybody changes the claims of a token: another user, other rights.",
			"Verify the signature with the issuer's key before a claim is read.",
			finding.API2, "CWE-347", "9.1.1", "REC-API-12"),
		attack.Rule("jwt-key-of-the-caller", finding.Critical, "The key is taken from the token itself",
			"Anybody signs a token with an own key, and sends the key along (jwk, x5c).",
			"Take keys only from the issuer's configured key set; ignore jwk, jku, x5c and x5u.",
			finding.API2, "CWE-347", "9.1.3", "REC-API-12"),
		attack.Rule("jwt-key-address", finding.Critical, "The key is fetched from where the token says",
			"Anybody signs a token with an own key, and has the service fetch it (jku, x5u).",
			"Take keys only from the issuer's configured address; ignore jku and x5u, or hold them to a list of yours, whole.",
			finding.API2, "CWE-347", "9.1.3", "REC-API-12"),
		attack.Rule("jwt-kid", finding.Critical, "The name of the key leads elsewhere",
			"The kid is used as a path or in a query: with the key of a file that everybody knows, anybody signs.",
			"Look the kid up in the keys that are loaded, and nowhere else.",
			finding.API2, "CWE-73", "9.1.3", "REC-API-12"),
		attack.Rule("jwt-confusion", finding.Critical, "The public key is taken for a shared secret",
			"Anybody signs with the published key, as if it were an HMAC secret.",
			"Bind each key to one algorithm, and never mix symmetric and asymmetric ones in a list.",
			finding.API2, "CWE-347", "9.1.2", "REC-API-12"),
		attack.Rule("jwt-weak-secret", finding.Critical, "Tokens are signed with a secret that can be guessed",
			"Whoever has one token finds the secret without asking anybody, and writes tokens for any user.",
			"Sign with at least 256 random bits, or with an asymmetric key; replace the secret now.",
			finding.API2, "CWE-1391", "11.2.3", "REC-API-12"),
		attack.Rule("jwt-expired", finding.High, "An expired token is accepted",
			"A token that was lost stays good for ever.",
			"Refuse tokens after their exp, and those without one.",
			finding.API2, "CWE-613", "9.2.1", "REC-API-12"),
		attack.Rule("jwt-long-lived", finding.Low, "Tokens live long",
			"A token that is lost can be used until it ends: days, or for ever.",
			"Issue access tokens for minutes to an hour, and renew them.",
			finding.API2, "CWE-613", "9.2.1", "REC-API-12"),
	}
}

func ofObjects() []finding.Rule {
	return []finding.Rule{
		attack.Rule("object-level", finding.Critical, "One user reads another's objects",
			"Whoever has an account reads everybody's data, by counting or collecting names.",
			"Ask on every access whether this caller may have this object; look objects up among the caller's own.",
			finding.API1, "CWE-639", "8.2.2", "REC-API-13"),
		attack.Rule("object-level-write", finding.Critical, "One user changes or removes another's objects",
			"Whoever has an account changes or destroys everybody's data.",
			"Ask on every access whether this caller may do this to this object.",
			finding.API1, "CWE-639", "8.2.2", "REC-API-13"),
		attack.Rule("object-level-body", finding.Critical, "A name in the body acts on another's objects",
			"The object that is acted on is named in the body, and nobody asks whose it is.",
			"Ask whose each object is that a request names, wherever its name stands.",
			finding.API1, "CWE-639", "8.2.2", "REC-API-13"),
		attack.Rule("list-of-others", finding.High, "A list shows other users' objects",
			"One request reads everybody's data.",
			"Restrict lists to what the caller may see, in the query that fetches them.",
			finding.API1, "CWE-639", "8.2.2", "REC-API-13"),
		attack.Rule("function-level", finding.Critical, "An ordinary user calls an operation of administrators",
			"Whoever has an account does what administrators do.",
			"Demand the role or scope on each operation of administrators; deny by default.",
			finding.API5, "CWE-285", "8.2.1", "REC-API-13"),
		attack.Rule("undeclared-method", finding.Medium, "A method that the document does not declare is carried out",
			"What nobody described nobody protects or watches.",
			"Answer 405 to all but the declared methods.",
			finding.API9, "CWE-650", "4.1.4", "REC-API-4"),
		attack.Rule("method-override", finding.Medium, "A header or parameter changes the method",
			"What filters requests by their method sees another one than is carried out.",
			"Switch the overriding off, or do it before anything decides on the method.",
			finding.API8, "CWE-650", "4.1.4", "REC-API-11"),
	}
}

func ofProperties() []finding.Rule {
	return []finding.Rule{
		attack.Rule("mass-assignment", finding.High, "Callers set properties that are not theirs to set",
			"A request with one property more makes an administrator, sets a balance, or takes an object over.",
			"Bind only the properties that callers may set, by name; refuse others.",
			finding.API3, "CWE-915", "15.3.3", "REC-API-5"),
		attack.Rule("sensitive-data", finding.High, "An answer holds what never should leave the service",
			"Hashes of passwords, secrets and numbers of cards reach whoever calls, and every log between.",
			"Answer with the properties that the caller needs, by name.",
			finding.API3, "CWE-200", "15.3.1", "REC-API-6"),
		attack.Rule("undeclared-data", finding.Low, "An answer holds properties that the document does not declare",
			"Nobody decided that they may leave; one of them will be the wrong one.",
			"Declare them, or leave them out.",
			finding.API3, "CWE-213", "15.3.1", "REC-API-6"),
	}
}

func ofInjection() []finding.Rule {
	return []finding.Rule{
		attack.Rule("sql-injection", finding.Critical, "A value becomes part of an SQL query",
			"Whoever calls reads and changes the whole database.",
			"Bind values as parameters; never put them into the text of a query.",
			finding.API8, "CWE-89", "1.2.4", "REC-API-5"),
		attack.Rule("nosql-injection", finding.Critical, "A value becomes an operator of the query",
			"{\"$ne\": …} in the place of a value matches everything: passwords, other users' objects.",
			"Accept only the type that is declared, and build queries of texts alone.",
			finding.API8, "CWE-943", "1.2.4", "REC-API-5"),
		attack.Rule("command-injection", finding.Critical, "A value is carried out as a command",
			"Whoever calls has the machine.",
			"Start programs with a list of arguments and without a shell, or not at all.",
			finding.API8, "CWE-78", "1.2.5", "REC-API-5"),
		attack.Rule("template-injection", finding.Critical, "A value is evaluated as a template",
			"Template engines run code: whoever calls has the machine.",
			"Give values to templates as data; never build a template of them.",
			finding.API8, "CWE-1336", "1.3.7", "REC-API-5"),
		attack.Rule("path-traversal", finding.Critical, "A value leads to files outside",
			"Whoever calls reads the machine's files: keys, passwords, code.",
			"Look files up by a name of your own, or open them within a root that cannot be left.",
			finding.API8, "CWE-22", "5.3.2", "REC-API-5"),
		attack.Rule("reflected-script", finding.Medium, "A value is repeated in a page as it is",
			"A link runs a script of somebody else's in the name of this site.",
			"Escape for the place where the value stands, and answer data as application/json with nosniff.",
			finding.API8, "CWE-79", "1.2.1", "REC-API-5"),
		attack.Rule("header-injection", finding.High, "A value ends a line of the answer's head",
			"Whoever makes somebody follow a link sets headers and cookies, or poisons a cache.",
			"Refuse values with line breaks before they reach a header.",
			finding.API8, "CWE-113", "1.2.1", "REC-API-5"),
		attack.Rule("xxe", finding.Critical, "An XML document reads files and addresses",
			"Whoever calls reads the machine's files, and what only the service can reach.",
			"Switch document types and external entities off in the parser (disallow-doctype-decl, resolve_entities=False, XmlResolver = null).",
			finding.API8, "CWE-611", "1.5.1", "REC-API-5"),
		attack.Rule("xml-entities", finding.Medium, "Entities of an XML document are expanded",
			"A document of some hundred bytes becomes gigabytes in memory, and the parser is not set up for what strangers send.",
			"Refuse documents with a document type.",
			finding.API4, "CWE-776", "1.5.1", "REC-API-5"),
		attack.Rule("ssrf", finding.High, "The service fetches an address that the caller names",
			"Whoever calls reaches what only the service can: other services, and what clouds tell their machines.",
			"Choose addresses from a list of yours; if they must be free, resolve them once and refuse private ones.",
			finding.API7, "CWE-918", "1.3.6", "REC-API-5"),
		attack.Rule("open-redirect", finding.Low, "It redirects to wherever the caller says",
			"A link that begins with this name leads to somebody else's page.",
			"Redirect to paths of your own, or to addresses from a list.",
			finding.API8, "CWE-601", "3.7.2", "REC-API-5"),
	}
}

func ofLimits() []finding.Rule {
	return []finding.Rule{
		attack.Rule("no-rate-limit", finding.Medium, "Requests are not limited",
			"One caller takes all there is: the others wait, or somebody pays.",
			"Limit requests for each caller and address, and answer 429 with Retry-After.",
			finding.API4, "CWE-770", "2.4.1", "REC-API-15"),
		attack.Rule("no-guess-limit", finding.High, "Passwords may be guessed without end",
			"Lists of stolen passwords are tried until one fits.",
			"Slow down and lock (account, network) pairs after few wrong tries.",
			finding.API2, "CWE-307", "6.3.1", "REC-API-15"),
		attack.Rule("page-size", finding.Medium, "A page may be as large as the caller wants",
			"One small request makes the service gather everything.",
			"Bound the size of a page, and refuse more.",
			finding.API4, "CWE-770", "2.4.1", "REC-API-14"),
		attack.Rule("deep-json", finding.Low, "JSON nested thousands deep is accepted",
			"Parsers and whatever walks the value use stack and time by its depth.",
			"Bound depth and size before parsing.",
			finding.API4, "CWE-674", "15.2.2", "REC-API-14"),
		attack.Rule("body-size", finding.Medium, "A body may be as large as the caller wants",
			"A few large requests fill memory or disk.",
			"Bound bodies to what the operation needs, and answer 413.",
			finding.API4, "CWE-770", "5.2.1", "REC-API-14"),
		attack.Rule("graphql-unbounded", finding.Medium, "One request in GraphQL asks for as much as it likes",
			"A few thousand bytes make the service fetch everything, nested or a thousand times under other names; passwords are tried in one request.",
			"Bound depth, aliases, cost and batches, and count a batch as its requests (pavise: graphql: {}).",
			finding.API4, "CWE-770", "4.3.1", "REC-API-14"),
		attack.Rule("no-idempotency", finding.Medium, "A repeated request is done twice",
			"A retry after a lost answer pays, orders or books again.",
			"Keep the answer of each Idempotency-Key, and give it again.",
			finding.API6, "CWE-837", "2.3.4", "REC-API-10"),
	}
}

func ofErrors() []finding.Rule {
	return []finding.Rule{
		attack.Rule("stack-trace", finding.Medium, "An error tells of the service's inside",
			"Names of files, versions and lines tell an attacker where to look.",
			"Answer errors with a general text and an id; keep the detail in the log.",
			finding.API8, "CWE-209", "16.5.1", "REC-API-23"),
		attack.Rule("database-error", finding.Medium, "An error of the database reaches the caller",
			"It tells which database and query there are, and that values reach it unchecked.",
			"Answer errors with a general text and an id; check values before they reach the database.",
			finding.API8, "CWE-209", "16.5.1", "REC-API-23"),
		attack.Rule("server-error", finding.Low, "Input makes the service fail",
			"What was not foreseen is not defended; it can often be made worse.",
			"Check input first, and answer 400.",
			finding.API8, "CWE-20", "2.2.1", "REC-API-5"),
		attack.Rule("version-told", finding.Info, "It tells the version of its software",
			"Whoever looks for machines with a known hole finds this one.",
			"Leave versions out of headers.",
			finding.API8, "CWE-200", "13.4.6", "REC-API-23"),
	}
}

func ofTransport() []finding.Rule {
	return []finding.Rule{
		attack.Rule("plain-http", finding.High, "It answers without TLS",
			"Whoever is on the way reads and changes requests and answers.",
			"Answer plain HTTP with a redirect to https alone, or not at all.",
			finding.API8, "CWE-319", "12.2.1", "REC-API-9"),
		attack.Rule("tls-version", finding.Medium, "An old version of TLS is spoken",
			"TLS 1.0 and 1.1 have known weaknesses, and rest on SHA-1 and MD5.",
			"Speak TLS 1.2 and 1.3 only.",
			finding.API8, "CWE-327", "12.1.1", "REC-API-9"),
		attack.Rule("tls-suite", finding.Medium, "A weak cipher suite is accepted",
			"RC4 and 3DES can be attacked; without forward secrecy what was recorded is read when the key is lost.",
			"Offer ECDHE with AES-GCM or ChaCha20-Poly1305 only.",
			finding.API8, "CWE-327", "12.1.2", "REC-API-9"),
		attack.Rule("tls-certificate", finding.High, "The certificate cannot be trusted",
			"Callers must switch verification off, and then anybody on the way is the service.",
			"Use a certificate of an authority that callers know, for this name, and renew it in time.",
			finding.API8, "CWE-295", "12.2.2", "REC-API-9"),
		attack.Rule("tls-certificate-ends", finding.Low, "The certificate ends soon, or is weak",
			"When it ends callers fail, or learn to ignore it.",
			"Renew it by a program, two thirds into its life.",
			finding.API8, "CWE-298", "12.2.2", "REC-API-9"),
		attack.Rule("no-hsts", finding.Low, "Strict-Transport-Security is not sent",
			"A browser's first request goes out plain, and can be kept there.",
			"Send Strict-Transport-Security: max-age=31536000; includeSubDomains.",
			finding.API8, "CWE-319", "3.4.1", "REC-API-9"),
		attack.Rule("cors-any-origin", finding.High, "Any page may call with the user's credentials",
			"A page that the user visits reads the answers in the user's name.",
			"Allow origins from a list, never by repeating what was sent.",
			finding.API8, "CWE-942", "3.4.2", "REC-API-11"),
		attack.Rule("private-answer-cached", finding.Medium, "Private answers may be kept by caches",
			"A cache on the way gives one user's answer to another.",
			"Send Cache-Control: no-store with what is private.",
			finding.API8, "CWE-525", "14.3.2", "REC-API-6"),
		attack.Rule("content-type", finding.Medium, "An answer says that it is a page, or nothing, and is data",
			"Browsers guess: data that a user wrote is shown, and run, as a page.",
			"Answer with the right Content-Type, and X-Content-Type-Options: nosniff.",
			finding.API8, "CWE-430", "4.1.1", "REC-API-5"),
		attack.Rule("cookie-flags", finding.Medium, "A session's cookie is not kept from scripts, or from plain HTTP",
			"A script, another site or whoever listens uses the session.",
			"Set Secure, HttpOnly and SameSite.",
			finding.API8, "CWE-1004", "3.3.4", "REC-API-11"),
	}
}

func ofInventory() []finding.Rule {
	return []finding.Rule{
		attack.Rule("exposed-endpoint", finding.Medium, "An endpoint that nobody declared tells of the service's inside",
			"Metrics, profiles, settings and code are a map for attackers; some hold secrets.",
			"Serve such endpoints on an address of their own that the outside cannot reach.",
			finding.API9, "CWE-497", "13.4.5", "REC-API-4"),
		attack.Rule("exposed-source", finding.Critical, "Source or settings can be fetched",
			"They hold secrets, and tell how everything works.",
			"Take them out of what is served, and replace every secret in them.",
			finding.API9, "CWE-538", "13.4.1", "REC-API-4"),
		attack.Rule("introspection", finding.Low, "The description of the API is open to everybody",
			"It lists every operation, those that nobody should find included.",
			"Switch GraphQL's introspection and documents of the API off outside development, or ask for a credential.",
			finding.API9, "CWE-497", "4.3.2", "REC-API-4"),
		attack.Rule("old-version", finding.Medium, "Another version of the API answers",
			"Old and unborn versions lack the protection of the one that is watched.",
			"Switch off what is not in the inventory.",
			finding.API9, "CWE-1059", "15.2.3", "REC-API-4"),
		attack.Rule("deprecated", finding.Info, "An operation that is deprecated still answers",
			"What nobody looks after any more is attacked first.",
			"Set a day, tell callers (Sunset), and switch it off.",
			finding.API9, "CWE-477", "15.2.3", "REC-API-4"),
		attack.Rule("graphql-suggestions", finding.Info, "Errors of GraphQL tell the names of fields",
			"\"Did you mean …?\" tells the schema, name by name, where introspection is switched off.",
			"Switch suggestions off where introspection is.",
			finding.API9, "CWE-209", "4.3.2", "REC-API-23"),
		attack.Rule("trace-method", finding.Low, "TRACE is answered",
			"It repeats a request with the headers that proxies added.",
			"Refuse TRACE.",
			finding.API8, "CWE-693", "13.4.4", "REC-API-4"),
	}
}

func ofContent() []finding.Rule {
	return []finding.Rule{
		attack.Rule("wrong-content-type", finding.Low, "A body is read whatever its type is said to be",
			"A form on somebody else's page sends text/plain without asking first, and the body is taken for JSON.",
			"Refuse bodies of other types with 415.",
			finding.API8, "CWE-436", "4.1.1", "REC-API-5"),
		attack.Rule("graphql-csrf", finding.Medium, "A page of somebody else's can send mutations",
			"Mutations by GET, or in a form, are sent by browsers without asking first, with the user's cookies.",
			"Take mutations by POST alone, and as application/json alone.",
			finding.API8, "CWE-352", "3.5.2", "REC-API-11"),
	}
}

// ruleOf finds a rule.
func ruleOf(id string) *finding.Rule { return attack.RuleOf(Rules(), id) }
