package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

// base is accepted; each refusal below changes one thing of it.
const base = `hosts:
  api.example.com: {certificate: local}
  mutual.example.com: {certificate: local, client_certificates: ask}
issuers:
  corp: {url: https://login.example.com}
apis:
  orders:
    host: api.example.com
    upstream: http://127.0.0.1:9000
    shield: api_key
    endpoints:
      GET /v1/orders/{id}: {scopes: orders:read}
      POST /v1/orders: {scopes: [orders:write]}
  partners:
    host: mutual.example.com
    upstream: {url: "https://127.0.0.1:9001"}
    shield: mtls
    scopes: any
    endpoints:
      GET /v1/partners: {}
scopes:
  orders:read: See orders
  orders:write: Place orders
`

func TestTheBaseOfTheRefusalsIsAccepted(t *testing.T) { mustParse(t, base) }

// change is an edit of base and the problem that it must make.
type change struct {
	name     string
	old, new string
	at       string // line:column
	want     string // in the message
	hint     string // in the hint
}

func changes() []change {
	return []change{
		// Who called, for services. Found on 2026-11-30: ann of one issuer was ann of the other.
		{
			"a user of several issuers",
			"  corp: {url: https://login.example.com}\napis:\n  orders:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n    shield: api_key\n",
			"  corp: {url: https://login.example.com}\n  other: {url: https://login.example.net}\napis:\n  orders:\n    host: api.example.com\n    upstream: http://127.0.0.1:9000\n" +
				"    identity: {headers: {X-User: user}}\n    shield: {any: [{jwt: {issuer: corp}}, {jwt: {issuer: other}}]}\n",
			"11:34", "user means somebody else with each of corp, other", "X-Issuer: issuer",
		},
		{"a subject of an issuer or of ours", "    shield: api_key\n    endpoints:\n", "    identity: {headers: {X-Sub: subject}}\n    shield: {any: [{jwt: {issuer: corp}}, api_key]}\n    endpoints:\n", "10:33", "each of corp and the clients here", "X-Issuer: issuer"},

		// The language.
		{"an unknown key", "    host: api", "    hots: api", "8:5", `unknown setting "hots"`, "did you mean host?"},
		{"a key of elsewhere", "hosts:\n", "sheild: x\nhosts:\n", "1:1", `unknown setting "sheild"`, "known: listen"},
		{"a word of another gateway", "    shield: api_key", "    rate-limit: 5/minute\n    shield: api_key", "10:5", `unknown setting "rate-limit"`, "it is called limit here"},
		{"routes of another gateway", "    endpoints:\n      GET /v1/orders/{id}", "    routes:\n      GET /v1/orders/{id}", "11:5", `unknown setting "routes"`, "it is called endpoints here"},
		{"every method", "GET /v1/orders/{id}:", "ANY /v1/orders/{id}:", "12:7", `a pattern names one method, and "ANY" is none or several`, "GET /v1/orders/{id}, POST /v1/orders/{id}"},
		{"two methods", "GET /v1/orders/{id}:", "GET,POST /v1/orders/{id}:", "12:7", "names one method", "one such line for each method"},
		{"no blank after a colon", "    host: api", "    host:api", "8:9", "a blank is missing after the colon", "write host: api.example.com"},
		{"an unknown key of a kind", "shield: api_key", "shield: {api_key: {heeder: X}}", "10:24", `unknown setting "heeder"`, "did you mean header?"},
		{"a key twice", "    shield: api_key\n", "    shield: api_key\n    shield: api_key\n", "11:5", `"shield" stands twice`, "line 10"},
		{"an endpoint twice", "      POST /v1/orders:", "      GET /v1/orders/{id}: {scopes: any}\n      POST /v1/orders:", "13:7", "stands twice", "line 12"},
		{"a list for settings", "certificate: local}", "certificate: [local]}", "2:34", "want settings, not a list", "its settings are source, cert, "},
		{"settings for a word", "upstream: http://127.0.0.1:9000", "audit: {local: yes}\n    upstream: http://127.0.0.1:9000", "9:12", "want one value", ""},
		{"settings for a list of words", "host: api.example.com", "host: api.example.com\n    cors: {origins: [https://app.example.com]}", "9:11", "want one value or a list, not settings", "[first, second]"},
		{"a list of settings for words", "host: api.example.com", "host: [{a: b}]", "8:12", "want one value, not settings", ""},
		{"a number for text", "orders:read: See orders", "orders:read: 5", "22:16", "want text; 5 is read as int", `"5"`},
		{"a truth for text", "orders:read: See orders", "orders:read: true", "22:16", "want text; true is read as bool", "quotes"},
		{"a number as a name", "  orders:read: See orders", "  orders:read: See orders\n  5: five", "23:3", "the name 5 is read as int", "quotes"},
		{"nothing", "upstream: http://127.0.0.1:9000", "upstream:", "9:14", "nothing stands here", "remove the setting"},
		{"null", "shield: api_key", "shield: ~", "10:13", "nothing stands here", ""},
		{"an endpoint with nothing", "GET /v1/partners: {}", "GET /v1/partners:", "20:24", "nothing stands here", "{}"},
		{"an empty list", "host: api.example.com", "host: []", "8:11", "the list is empty", ""},
		{"a word twice", "host: api.example.com", "host: [api.example.com, api.example.com]", "8:29", "stands twice", ""},
		{"an anchor", "shield: api_key", "shield: &s api_key", "10:13", "anchors (&s)", ""},
		{"an alias", "    host: api.example.com", "    host: &h api.example.com\n    cors: *h", "9:11", "aliases (*h)", ""},
		{"a merge key", "    host: api.example.com", "    host: api.example.com\n    <<: {audit: local}", "9:5", "merge keys", ""},
		{"a tag", "shield: api_key", "shield: !!str api_key", "10:13", "tags (!!str)", ""},
		{"a tag of a key", "    shield: api_key", "    !!str shield: api_key", "10:5", "tags", ""},
		{"a list as a name", "    shield: api_key", "    ? [shield]\n    : api_key", "10:7", "a name must be one word", ""},
		{"two documents", "apis:\n", "---\napis:\n", "6:1", "more than one document", "---"},
		{"a tab", "    shield: api_key", "\tshield: api_key", "10:1", "a tab cannot indent", "spaces"},
		{"a control character", "See orders", "See \x1b[31morders", "22:20", "control character U+001B", ""},
		{"text that reads otherwise", "See orders", "See \u202eorders", "22:20", "invisible character U+202E", ""},
		{"no UTF-8", "See orders", "See \xff", "22:20", "not UTF-8", ""},
		{"a NUL", "See orders", "See \x00", "22:20", "control character U+0000", ""},
		{"a second colon", "orders:read: See orders", "orders:read: See: orders", "22:19", `a second ":"`, "quotes"},
		{"wrong indentation", "    upstream: http://127.0.0.1:9000", "   upstream: http://127.0.0.1:9000", "9:4", "does not fit", "indent"},
		{"a missing bracket", "scopes: [orders:write]}", "scopes: [orders:write}", "13:46", "bracket is missing", ""},
		{"a value that begins with @", "See orders", "@everybody", "22:16", "cannot begin", "quotes"},
		{"no line break at the end", "Place orders\n", "Place orders", "23:29", "in the middle of a line", "line break"},

		// Values.
		{"a wrong word", "client_certificates: ask", "client_certificates: asks", "3:65", `"asks" is not accepted here`, "did you mean ask?"},
		{"a wrong certificate", "api.example.com: {certificate: local}", "api.example.com: {certificate: locla}", "2:34", `"locla" is not accepted`, "did you mean local?"},
		{"no truth", "shield: mtls", "identity: {token: yes}\n    shield: mtls", "17:23", `"yes" is neither true nor false`, ""},
		{"no number", "shield: mtls", "concurrency: many\n    shield: mtls", "17:18", `"many" is no whole number`, "digits"},
		{"a number in another base", "shield: mtls", "concurrency: 0x10\n    shield: mtls", "17:18", "no whole number", ""},
		{"a number out of bounds", "shield: mtls", "concurrency: -1\n    shield: mtls", "17:18", "-1 is too small", "0 to 1000000"},
		{"a duration without unit", "shield: mtls", "timeout: 30\n    shield: mtls", "17:14", `"30" is no duration`, "30s"},
		{"a mixed duration", "shield: mtls", "timeout: 1m30s\n    shield: mtls", "17:14", "no duration", ""},
		{"a duration that is too long", "shield: mtls", "timeout: 2h\n    shield: mtls", "17:14", "2h is too large", "100ms to 1h"},
		{"a duration of nothing", "shield: mtls", "timeout: 0s\n    shield: mtls", "17:14", "0s is too small", ""},
		{"a duration that overflows", "shield: mtls", "timeout: 999999999d\n    shield: mtls", "17:14", "too long", ""},
		{"a size in decimal units", "shield: mtls", "max_body: 10MB\n    shield: mtls", "17:15", `"10MB" is no size`, "MiB"},
		{"a size of nothing", "shield: mtls", "max_body: 0\n    shield: mtls", "17:15", "0 is too small", ""},
		{"a size that overflows", "shield: mtls", "max_body: 99999999999GiB\n    shield: mtls", "17:15", "too large", ""},
		{"a limit for nobody", "shield: mtls", "limit: 600/minute\n    shield: mtls", "17:12", "does not say whom it counts for", "per client"},
		{"a limit per ip", "shield: mtls", "limit: [5/second per user, 600/minute per ip]\n    shield: mtls", "17:32", `nothing is counted per "ip"`, "did you mean address?"},
		{"a limit that is a number", "shield: mtls", "limit: 600\n    shield: mtls", "17:12", "not a number of requests per time", ""},
		{"a bad rate per address", "hosts:\n", "limits: {address: 600/fortnight}\nhosts:\n", "1:19", "is not a unit of time", ""},
		{"more connections of one than of all", "hosts:\n", "limits: {connections: 10, connections_per_address: 11}\nhosts:\n", "1:52", "more than the 10 of all", ""},
		{"algorithms that nobody may use", "https://login.example.com}", "https://login.example.com, algorithms: [RS256, none]}", "5:62", `"none" is not accepted`, ""},
		{"clocks that differ too much", "https://login.example.com}", "https://login.example.com, leeway: 5m}", "5:50", "5m is too large", "0s to 60s"},

		// Hosts.
		{"a resource elsewhere", "    host: api.example.com", "    resource: https://other.example.com\n    host: api.example.com", "8:15", "is none of the API's", "did you mean api.example.com?"},
		{"a resource with a query", "    host: api.example.com", "    resource: https://api.example.com?x\n    host: api.example.com", "8:15", "has not the form", "without a query"},
		{"one resource twice", "  partners:\n    host: mutual.example.com\n    upstream: {url: \"https://127.0.0.1:9001\"}\n    shield: mtls\n", "    resource: https://api.example.com\n  partners:\n    resource: https://api.example.com\n    host: api.example.com\n    upstream: {url: \"https://127.0.0.1:9001\"}\n    shield: api_key\n", "16:15", "is that of the API orders", "add a path"},
		{"the metadata's name", "  orders:\n    host", "  resource-metadata:\n    host", "8:5", "belongs to what tells clients", "another name"},
		{"a port for the fetcher", "hosts:\n", "fetch: {allow: [127.0.0.1:80]}\nhosts:\n", "1:17", "neither a host nor a network", "write a host"},
		{"a path for the fetcher", "hosts:\n", "fetch: {allow: [\"http://127.0.0.1/x\"]}\nhosts:\n", "1:17", "neither a host nor a network", "write a host"},
		{"others without TLS", "hosts:\n", "fetch: {allow: [\"http://10.0.0.1:80\"]}\nhosts:\n", "1:17", "plain HTTP", "use https"},
		{"idle for longer than at all", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {idle: 2h, longest: 1h}}\nhosts:\n", "1:60", "before it was idle", "longest"},
		{"nobody could sign in", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {passwords: false}}\nhosts:\n", "1:65", "nobody could sign in", "name providers"},
		{"a page without keys", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {url: \"https://a.example/s\"}}\nhosts:\n", "1:59", "public keys are missing", "keys: page.pem"},
		{"keys without a page", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {keys: k.pem}}\nhosts:\n", "1:60", "no page whose answers", "name the page"},
		{"ways to sign in of no page", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {acr: [urn:x]}}\nhosts:\n", "1:59", "url names none", "remove it"},
		{"a way to sign in with a space", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {url: \"https://a.example/s\", keys: k.pem, acr: [\"a b\"]}}\nhosts:\n", "1:100", "no name of a way", "urn:example"},
		{"a page and providers", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {url: \"https://a.example/s\", keys: k.pem, providers: {x: {issuer: \"https://x.example\", client_id: y}}}}\nhosts:\n", "1:106", "no providers beside it", "let your page"},
		{"a provider without an address", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {x: {client_id: y}}}}\nhosts:\n", "1:69", "where people are sent", "issuer: https://"},
		{"a provider over HTTP", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {x: {issuer: \"http://x.example\", client_id: y}}}}\nhosts:\n", "1:78", "no address over TLS", "https"},
		{"a provider's name", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {X_1: {issuer: \"https://x.example\", client_id: y}}}}\nhosts:\n", "1:71", "no name for a provider", "like google"},
		{"a provider without openid", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {x: {issuer: \"https://x.example\", client_id: y, scopes: [email]}}}}\nhosts:\n", "1:121", "needs the scope openid", "add openid"},
		{"half of plain OAuth 2.0", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {x: {client_id: y, authorize_url: \"https://x.example/a\", token_url: \"https://x.example/t\"}}}}\nhosts:\n", "1:69", "userinfo_url is missing", "all three"},
		{"fields of plain OAuth 2.0", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {x: {issuer: \"https://x.example\", client_id: y, subject_field: id}}}}\nhosts:\n", "1:128", "is for plain OAuth 2.0", "remove it"},
		{"one issuer twice", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {a: {issuer: \"https://x.example\", client_id: y}, b: {issuer: \"https://x.example\", client_id: z}}}}\nhosts:\n", "1:126", "taken for each other", "one entry"},
		{"no value is good", "hosts:\n", "oauth: {issuer: \"https://api.example.com\", sign_in: {providers: {a: {issuer: \"https://x.example\", client_id: y, require: {hd: []}}}}}\nhosts:\n", "1:127", "the list is empty", "remove the setting"},
		{"introspection without a secret", "corp: {url: https://login.example.com}", "corp: {url: https://login.example.com, introspection: {client_id: x}}", "5:42", "client_secret_file is missing", ""},
		{"an authority on no host", "hosts:\n", "pki: {host: pki.example.com}\nhosts:\n", "1:13", "is not named under hosts", "did you mean api.example.com?"},
		{"an authority whose host asks for no certificates", "hosts:\n", "pki: {host: api.example.com}\nhosts:\n", "1:13", "nobody could renew", "client_certificates: ask"},
		{"a profile that is none", "hosts:\n", "pki: {profiles: {root: {life: 1h}}}\nhosts:\n", "1:18", "root", "service, server, person and device"},
		{"a life beyond its limit", "hosts:\n", "pki: {profiles: {service: {life: 2d, max_life: 1d}}}\nhosts:\n", "1:34", "longer than they may", "at most max_life"},
		{"a life of years", "hosts:\n", "pki: {profiles: {device: {max_life: 3650d}}}\nhosts:\n", "1:37", "too large", "825d"},
		{"lists over TLS", "hosts:\n", "pki: {status: \"https://pki.example.com\"}\nhosts:\n", "1:15", "https://pki.example.com", "http://pki.example.com"},
		{"lists without a listener", "hosts:\n", "pki: {status: \"http://pki.example.com\"}\nhosts:\n", "1:15", "no plain listener", "listen"},
		{"no hosts", base[:strings.Index(base, "issuers:")], "", "1:1", "hosts is missing", ""},
		{"hosts of nothing", base[:strings.Index(base, "issuers:")], "hosts: {}\n", "1:8", "no host is named", ""},
		{"a host in upper case", "mutual.example.com: {", "Mutual.example.com: {", "3:3", "is no host name", "lower-case"},
		{"a host with port", "mutual.example.com: {", "mutual.example.com:443: {", "3:3", `"mutual.example.com:443" is no host name`, "without port"},
		{"a wildcard host", "mutual.example.com: {", `"*.example.com": {`, "3:3", "is no host name", "list every name"},
		{"an address in a long form", "mutual.example.com: {", `"0:0:0:0:0:0:0:1": {`, "3:3", "is no host name", ""},
		{"a host without certificate", "{certificate: local}", "{client_certificates: ask}", "2:3", "certificate is missing", "acme"},
		{"acme for an address of one's own", "api.example.com: {certificate: local}", "api.example.com: {certificate: local}\n  10.0.0.1: {certificate: acme}", "3:27", "no public authority certifies 10.0.0.1", "local"},
		{"a kept header that only we say", "upstream: http://127.0.0.1:9000", "upstream: {url: \"http://127.0.0.1:9000\", insecure_keep_headers: [{header: Client-Cert, reason: the old proxy says it}]}", "9:79", "callers may never send Client-Cert", "terminators"},
		{"more than there is required", "    upstream: http://127.0.0.1:9000", "    audit: required\n    upstream: http://127.0.0.1:9000", "9:12", "no other place to which events go", "remove it"},
		// Other places to which events go.
		{"a sink of no kind", "scopes:\n  orders:read", "log: {sinks: {siem: {format: ocsf}}}\nscopes:\n  orders:read", "21:15", "is none, or more than one", "syslog"},
		{"a sink of two kinds", "scopes:\n  orders:read", "log: {sinks: {siem: {stdout: true, file: {path: x}}}}\nscopes:\n  orders:read", "21:15", "is none, or more than one", ""},
		{"two sinks on one output", "scopes:\n  orders:read", "log: {sinks: {a: {stdout: true}, b: {stdout: true}}}\nscopes:\n  orders:read", "21:46", "writes to the standard output already", ""},
		{"two sinks in one file", "scopes:\n  orders:read", "log: {sinks: {a: {file: {path: x/e}}, b: {file: {path: ./x/e}}}}\nscopes:\n  orders:read", "21:56", "the sink a writes to this file already", ""},
		{"a sink in the log's folder", "scopes:\n  orders:read", "log: {folder: l, sinks: {a: {file: {path: l/events}}}}\nscopes:\n  orders:read", "21:43", "belongs to the event log", "elsewhere"},
		{"syslog without TLS", "scopes:\n  orders:read", "log: {sinks: {a: {syslog: {address: \"tcp://10.0.0.7:601\"}}}}\nscopes:\n  orders:read", "21:37", "without TLS", "tls://"},
		{"a reason without a need", "scopes:\n  orders:read", "log: {sinks: {a: {syslog: {address: \"tls://siem:6514\", insecure_plain: it is our own network}}}}\nscopes:\n  orders:read", "21:72", "there is TLS", "remove"},
		{"a webhook without TLS", "scopes:\n  orders:read", "log: {sinks: {a: {webhook: {url: \"http://hooks.example.com/x\"}}}}\nscopes:\n  orders:read", "21:34", "without TLS", "https://"},
		{"syslog over UDP", "scopes:\n  orders:read", "log: {sinks: {a: {syslog: {address: \"udp://siem:514\"}}}}\nscopes:\n  orders:read", "21:37", "has not the form", "tls://siem.example.com:6514"},
		{"a token's owner in an address", "scopes:\n  orders:read", "log: {sinks: {a: {webhook: {url: \"https://u:p@h/x\"}}}}\nscopes:\n  orders:read", "21:34", "has not the form", "without a user"},
		{"a password without a user's file", "scopes:\n  orders:read", "log: {sinks: {a: {elastic: {url: \"https://e:1\", user: x}}}}\nscopes:\n  orders:read", "21:55", "a user without a password", "key_file"},
		{"a document that is none", "scopes:\n  orders:read", "log: {sinks: {a: {elastic: {url: \"https://e:1\"}, format: cef}}}\nscopes:\n  orders:read", "21:58", "a document is JSON", ""},
		{"a format that is none", "scopes:\n  orders:read", "log: {sinks: {a: {stdout: true, format: leef}}}\nscopes:\n  orders:read", "21:41", "\"leef\" is not accepted", ""},
		{"events of an API that is none", "scopes:\n  orders:read", "log: {sinks: {a: {stdout: true, only: {apis: order}}}}\nscopes:\n  orders:read", "21:46", "there is no API", "did you mean orders?"},
		{"acme without a plain listener", "api.example.com: {certificate: local}", "api.example.com: {certificate: local}\n  b.example.com: {certificate: acme}", "3:32", "there is no plain listener", "http: \":80\""},
		{"acme for a short name", "api.example.com: {certificate: local}", "api.example.com: {certificate: local}\n  intern: {certificate: acme}", "3:25", "no public authority", ""},
		{"a certificate without key", "certificate: local}", "certificate: {cert: a.pem}}", "2:34", "key is missing", ""},
		{"a local certificate with files", "certificate: local}", "certificate: {source: local, cert: a.pem}}", "2:56", "cert has no meaning", ""},
		{"an API on a host that nobody names", "host: api.example.com", "host: api.exampel.com", "8:11", `host "api.exampel.com" is not named`, "did you mean api.example.com?"},
		{"an API without a host", "    host: api.example.com\n", "", "7:3", "host is missing", ""},

		{"no APIs", base[strings.Index(base, "apis:"):strings.Index(base, "scopes:\n  orders:read")], "", "1:1", "no API is described", "pavise init"},
		{"APIs of nothing", base[strings.Index(base, "apis:"):strings.Index(base, "scopes:\n  orders:read")], "apis: {}\n", "6:7", "no API is described", ""},

		// Listening.
		{"no address to listen on", "hosts:\n", "listen: {https: 8443}\nhosts:\n", "1:17", "want text", ""},
		{"an address without port", "hosts:\n", "listen: {https: localhost}\nhosts:\n", "1:17", "no address to listen on", ""},
		{"a port that does not exist", "hosts:\n", "listen: {https: \":70000\"}\nhosts:\n", "1:17", "no address to listen on", ""},
		{"one address for both", "hosts:\n", "listen: {http: \"127.0.0.1:8443\"}\nhosts:\n", "1:16", "address of the TLS listener", ""},
		{"every address as a proxy", "hosts:\n", "trusted_proxies: {addresses: [0.0.0.0/0]}\nhosts:\n", "1:31", "every caller could say", ""},
		{"a network with stray bits", "hosts:\n", "trusted_proxies: {addresses: 10.0.0.1/8}\nhosts:\n", "1:30", "did you mean 10.0.0.0/8", ""},
		{"a master key among the data", "hosts:\n", "state: {master_key: pavise-data/key}\nhosts:\n", "1:21", "lies in the data folder", "copies"},

		// Issuers.
		{"an issuer without address", "{url: https://login.example.com}", "{audience: orders}", "5:3", "url is missing", ""},
		{"an issuer that is no address", "url: https://login.example.com", "url: login", "5:15", "no issuer's address", "iss"},
		{"keys over plain HTTP", "url: https://login.example.com", "url: http://login.example.com", "5:15", "plain HTTP could be anybody's", "https"},
		{"keys over plain HTTP by name", "url: https://login.example.com", "url: \"https://l.example\", jwks: \"http://l.example/jwks\"", "5:42", "plain HTTP", ""},
		{"a ceiling in the middle", "https://login.example.com}", `https://login.example.com, may_grant: ["or*:read"]}`, "5:54", "no ceiling of scopes", "orders:*"},

		// APIs and upstreams.
		{"no endpoints", "    endpoints:\n      GET /v1/partners: {}\n", "    endpoints: {}\n", "19:16", "no endpoint", ""},
		{"no upstream", "    upstream: http://127.0.0.1:9000\n", "", "7:3", "upstream is missing", ""},
		{"an upstream without scheme", "upstream: http://127.0.0.1:9000", "upstream: 127.0.0.1:9000", "9:15", "is no upstream's address", "http://127.0.0.1:3000"},
		{"an upstream of another scheme", "upstream: http://127.0.0.1:9000", "upstream: ftp://127.0.0.1:9000", "9:15", "neither http:// nor https://", ""},
		{"an upstream with a path", "upstream: http://127.0.0.1:9000", "upstream: http://127.0.0.1:9000/v1", "9:15", "holds a path", ""},
		{"an upstream with a query", "upstream: http://127.0.0.1:9000", "upstream: http://127.0.0.1:9000?a=b", "9:15", "holds a query", ""},
		{"an upstream with a password", "upstream: http://127.0.0.1:9000", "upstream: http://me:secret@127.0.0.1:9000", "9:15", "user or password", ""},
		{"an upstream without host", "upstream: http://127.0.0.1:9000", "upstream: http://:9000", "9:15", "no host and port", ""},
		{"the second upstream of a list", "upstream: http://127.0.0.1:9000", "upstream: [\"http://a:1\", \"http://b:2/x\"]", "9:30", "holds a path", ""},
		{"mixed upstreams", "upstream: http://127.0.0.1:9000", "upstream: [\"http://a:1\", \"https://b:2\"]", "9:15", "both with and without TLS", ""},
		{"h2c over TLS", `url: "https://127.0.0.1:9001"`, `url: "https://127.0.0.1:9001", protocol: h2c`, "16:57", "h2c is HTTP/2 without TLS", ""},
		{"TLS settings without TLS", `url: "https://127.0.0.1:9001"`, `url: "http://127.0.0.1:9001", server_name: a`, "16:59", "server_name needs TLS", "https://"},
		{"every origin", "shield: mtls", `cors: ["*"]` + "\n    shield: mtls", "17:12", "scripts of every site", "list"},
		{"an origin with a path", "shield: mtls", "cors: https://a.example/\n    shield: mtls", "17:11", "is no origin", ""},
		{"an origin with a needless port", "shield: mtls", `cors: "https://a.example:443"` + "\n    shield: mtls", "17:11", "no browser sends", ""},
		{"an identity header of another meaning", "shield: mtls", "identity: {headers: {Host: client}}\n    shield: mtls", "17:32", "Host has another meaning", ""},
		{"an identity header of an unknown value", "shield: mtls", "identity: {headers: {X-Who: everybody}}\n    shield: mtls", "17:33", `"everybody" is not accepted`, ""},

		// What weakens.
		{"an allowance without reason", "shield: mtls", "insecure_allow: [{what: semicolon}]\n    shield: mtls", "17:22", "reason is missing", ""},
		{"an allowance with a short reason", "shield: mtls", "insecure_allow: [{what: semicolon, reason: because}]\n    shield: mtls", "17:48", "too short", "at least 10"},
		{"a reason of spaces", "shield: mtls", "insecure_allow: [{what: semicolon, reason: \"            \"}]\n    shield: mtls", "17:48", "the text is empty", ""},
		{"an allowance of what cannot be allowed", "shield: mtls", "insecure_allow: [{what: encoded_dot, reason: our upstream is old}]\n    shield: mtls", "17:29", `"encoded_dot" is not accepted`, ""},
		{"an allowance twice", "shield: mtls", "insecure_allow: [{what: trailers, reason: our upstream is old}, {what: trailers, reason: our upstream is old}]\n    shield: mtls", "17:69", "stands twice", ""},
		{"an unverified upstream without reason", `url: "https://127.0.0.1:9001"`, `url: "https://127.0.0.1:9001", insecure_skip_verify: {}`, "16:47", "reason is missing", ""},
		{"a weakened kind with a short reason", "shield: api_key", "shield: {api_key: {insecure_allow_browsers: because}}", "10:49", "insecure_allow_browsers needs a reason", "at least 10"},

		// Shields.
		{"an unknown kind", "shield: api_key", "shield: apikey", "10:13", `unknown kind of shield "apikey"`, "did you mean api_key?"},
		{"a kind that is like no other", "shield: api_key", "shield: basic", "10:13", "unknown kind", "known: api_key, jwt, hmac, mtls, public"},
		{"two kinds side by side", "shield: api_key", "shield: {api_key: {}, mtls: {}}", "10:27", "neither any nor all", "{all: [...]}"},
		{"a list of shields", "shield: api_key", "shield: [api_key, mtls]", "10:13", "want one shield, not a list", "any"},
		{"no shield in braces", "shield: api_key", "shield: {}", "10:13", "no shield stands here", ""},
		{"any of nothing", "shield: api_key", "shield: any", "10:13", "any of what?", ""},
		{"any of one", "shield: api_key", "shield: {any: [api_key]}", "10:19", "combines nothing", ""},
		{"all that is no list", "shield: api_key", "shield: {all: api_key}", "10:19", "want a list of shields", ""},
		{"actor outside an all", "shield: api_key", "shield: {any: [api_key, {hmac: {}, actor: true}]}", "10:40", "neither any nor all", ""},
		{"an actor that comes first", "shield: api_key", "shield: {all: [{api_key: {}, actor: true}, hmac]}", "10:41", "cannot be an actor", "first"},
		{"an actor that is no truth", "shield: api_key", "shield: {all: [hmac, {api_key: {}, actor: maybe}]}", "10:47", "neither true nor false", ""},
		{"combinations in combinations without end", "shield: api_key", "shield: " + strings.Repeat("{any: [api_key, ", 6) + "hmac" + strings.Repeat("]}", 6), "10:93", "more than 4 deep", ""},
		{"public before others", "shield: api_key", "shield: {any: [{public: for everybody}, api_key]}", "10:20", "never asked", "last"},
		{"public in an all", "shield: api_key", "shield: {all: [api_key, {public: for everybody}]}", "10:29", "proves nobody", ""},
		{"a public shield without reason", "shield: api_key", "shield: public", "10:13", "needs a reason", "load-balancer"},
		{"a public shield with a short reason", "shield: api_key", "shield: {public: yes}", "10:22", "needs a reason", ""},
		{"settings that the kind refuses", "shield: api_key", "shield: {hmac: {headers: [a, b_c]}}", "10:34", `"b_c" is no header name`, "use -"},
		{"a duration that the kind refuses", "shield: api_key", "shield: {hmac: {window: 1h}}", "10:29", "too long", ""},
		{"a kind without what it needs", "shield: api_key", "shield: jwt", "10:13", "no issuer is named", ""},
		{"a kind with a number for settings", "shield: api_key", "shield: {jwt: 5}", "10:19", "want settings", ""},
		{"a kind with nothing", "shield: api_key", "shield: {api_key: }", "10:23", "nothing stands here", ""},
		{"an issuer that nobody names", "shield: api_key", "shield: {jwt: {issuer: cord}}", "10:28", `issuer "cord" is not named`, "did you mean corp?"},
		{"the second issuer that nobody names", "shield: api_key", "shield: {jwt: {issuer: [corp, other]}}", "10:35", `issuer "other" is not named`, ""},
		{"certificates on a host that never asks", "shield: api_key", "shield: mtls", "10:13", "never asks for one", "client_certificates: ask"},
		{"bound tokens on a host that never asks", "shield: api_key", "shield: {any: [hmac, {jwt: {issuer: corp, certificate_bound: true}}]}", "10:32", "never asks for one", ""},

		// Access.
		{"no shield", "    shield: api_key\n", "", "11:7", "the endpoint has no shield", "public"},
		{"no scopes", "GET /v1/orders/{id}: {scopes: orders:read}", "GET /v1/orders/{id}: {}", "12:7", "which scopes are demanded is not stated", "any"},
		{"a scope that nobody describes", "scopes: orders:read", "scopes: orders:raed", "12:37", `scope "orders:raed" is not described`, "did you mean orders:read?"},
		{"a scope of the API that nobody describes", "scopes: any", "scopes: [partners:all]", "18:14", "is not described", ""},
		{"any beside scopes", "scopes: [orders:write]", "scopes: [any, orders:write]", "13:34", "any demands no scope", ""},
		{"scopes that a public endpoint demands", "{scopes: orders:read}", "{shield: {public: for everybody}, scopes: orders:read}", "12:70", "has no scopes", ""},
		{"a scope called any", "  orders:read: See orders", "  orders:read: See orders\n  any: All", "23:8", "any means that no scope", ""},
		{"a scope that is a pattern", "  orders:read: See orders", "  orders:read: See orders\n  \"a:*\": All", "23:10", "is no scope", ""},
		{"a scope with a space", "  orders:read: See orders", "  orders:read: See orders\n  a b: All", "23:3", "has not the form", ""},
		{"a scope without description", "orders:read: See orders", `orders:read: " "`, "22:16", "the text is empty", ""},
		{"a description that steers a terminal", "orders:read: See orders", `orders:read: "See \e[31morders"`, "22:16", "cannot be seen", ""},
		{"a name that steers a terminal", "  orders:read: See orders", "  orders:read: See orders\n  \"b\\e[31m\": red", "23:3", "cannot be seen", ""},
		{"a condition of nothing", "{scopes: orders:read}", "{scopes: orders:read, when: \"\"}", "12:56", "the text is empty", "remove"},

		// Flows and keys.
		{"a flow of one step", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\"], per: user}}\n", "11:24", "this one 1", "in their order"},
		{"a flow that is nobody's", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"]}}\n", "11:13", "per is missing", ""},
		{"a flow per endpoint", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"], per: endpoint}}\n", "11:73", "is not accepted", ""},
		{"a step that is no endpoint", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/order/{id}\"], per: user}}\n", "11:44", "is no endpoint of the API", "did you mean GET /v1/orders/{id}?"},
		{"a pace that leaves no time", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"], per: user, within: 1m, pace: 1m}}\n", "11:97", "have to come after 1m", "shorter"},
		{"a key of a flow that is nowhere", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"], per: user, by: {}}}\n", "11:79", "not said where", "write path"},
		{"a key that a step does not have", "    shield: api_key\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"], per: user, by: {path: id}}}\n", "11:25", "no parameter {id}", "add body or header"},
		{"a flow of strangers that is a client's", "    shield: api_key\n    endpoints:\n      GET /v1/orders/{id}: {scopes: orders:read}\n      POST /v1/orders: {scopes: [orders:write]}", "    shield: {public: for everybody}\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"], per: client}}\n    endpoints:\n      GET /v1/orders/{id}: {shield: api_key, scopes: orders:read}\n      POST /v1/orders: {}", "11:73", "is no client", "per: address"},
		{"a step of two flows", "    shield: api_key\n    endpoints:\n", "    shield: api_key\n    flows: {f: {steps: [\"POST /v1/orders\", \"GET /v1/orders/{id}\"], per: user}, g: {steps: [\"POST /v1/own\", \"GET /v1/orders/{id}\"], per: user}}\n    endpoints:\n      POST /v1/own: {scopes: [orders:write]}\n", "11:108", "a step of the flow f already", "one step of one flow"},
		{"a key for what may be repeated", "{scopes: orders:read}", "{scopes: orders:read, idempotency: {}}", "12:50", "GET may be repeated", "remove"},
		{"a key of strangers", "{scopes: [orders:write]}", "{shield: {any: [api_key, {public: for everybody}]}, scopes: any, idempotency: {}}", "13:89", "lets strangers in", "proves"},
		{"a key for bodies without end", "{scopes: [orders:write]}", "{scopes: [orders:write], max_body: 1GiB, idempotency: {}}", "13:65", "read whole", "64MiB"},
		{"a key that is forgotten at once", "{scopes: [orders:write]}", "{scopes: [orders:write], idempotency: {keep: 1s}}", "13:69", "too small", "1m"},

		// Patterns.
		{"a pattern without method", "GET /v1/orders/{id}:", "/v1/orders/{id}:", "12:7", "names no method", "GET /v1/orders/{id}"},
		{"a pattern in lower case", "GET /v1/orders/{id}:", "get /v1/orders/{id}:", "12:7", "upper case", "GET"},
		{"a method that nobody uses", "POST /v1/orders:", "PSOT /v1/orders:", "13:7", "no method that callers use", "did you mean POST?"},
		{"HEAD", "POST /v1/orders:", "HEAD /v1/orders:", "13:7", "HEAD follows GET", ""},
		{"OPTIONS", "POST /v1/orders:", "OPTIONS /v1/orders:", "13:7", "CORS", ""},
		{"TRACE", "POST /v1/orders:", "TRACE /v1/orders:", "13:7", "never served", ""},
		{"a pattern with a host", "POST /v1/orders:", "POST api.example.com/v1/orders:", "13:7", "does not begin with /", "host: api.example.com"},
		{"a pattern with two spaces", "POST /v1/orders:", "POST  /v1/orders:", "13:7", "one space", ""},
		{"a pattern with a query", "POST /v1/orders:", "POST /v1/orders?a=b:", "13:7", "not queries", ""},
		{"a pattern with a final slash", "POST /v1/orders:", "POST /v1/orders/:", "13:7", "a final slash", "{path...}"},
		{"a pattern with an empty segment", "POST /v1/orders:", "POST /v1//orders:", "13:7", "empty segment", ""},
		{"a pattern with dots", "POST /v1/orders:", "POST /v1/../orders:", "13:7", "refuses paths with ..", ""},
		{"a pattern of another router", "POST /v1/orders:", "POST /v1/:id:", "13:7", "matches nothing but itself", "{id}"},
		{"a star", "POST /v1/orders:", "POST /v1/*:", "13:7", "matches nothing but itself", "{name...}"},
		{"a placeholder in a segment", "POST /v1/orders:", "POST /v1/a{id}:", "13:7", "mixes text", ""},
		{"a placeholder without name", "POST /v1/orders:", "POST /v1/{}:", "13:7", "is no pattern", ""},
		{"a placeholder twice", "POST /v1/orders:", "POST /v1/{id}/{id}:", "13:7", "is no pattern", ""},
		{"a rest that is not at the end", "POST /v1/orders:", "POST /v1/{id...}/x:", "13:7", "is no pattern", ""},
		{"the same paths by other names", "POST /v1/orders:", "GET /v1/orders/{key}:", "13:7", "at pavise.yaml:12:7", "remove one"},
		{"paths of which neither is special", "POST /v1/orders:", "GET /v1/{what}/7:", "13:7", "at pavise.yaml:12:7 match the same paths", "more special"},
		{"an API that conflicts with another", "host: mutual.example.com\n    upstream: {url: \"https://127.0.0.1:9001\"}\n    shield: mtls\n    scopes: any\n    endpoints:\n      GET /v1/partners", "host: api.example.com\n    upstream: {url: \"https://127.0.0.1:9001\"}\n    shield: api_key\n    scopes: any\n    endpoints:\n      GET /v1/orders/{x}", "20:7", "on api.example.com as", ""},
		{"an include of a text in memory", "hosts:\n", "include: [a.yaml]\nhosts:\n", "1:11", "cannot include", ""},
	}
}

func TestEveryRefusalHasItsPlaceAndHint(t *testing.T) {
	for _, c := range slices.Concat(changes(), floodChanges(), scheduleChanges(), traceChanges()) {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.old) {
				t.Fatalf("the base does not hold %q", c.old)
			}
			f, err := parse(strings.Replace(base, c.old, c.new, 1))
			problems, ok := errors.AsType[config.Problems](err)
			if f != nil || !ok {
				t.Fatalf("file %v, error %v; want problems", f, err)
			}
			if len(problems) > 1 && c.name != "no endpoints" {
				t.Logf("%d problems:\n%v", len(problems), problems)
			}
			for _, p := range problems {
				if p.Pos.String() == "pavise.yaml:"+c.at && strings.Contains(p.Message, c.want) && strings.Contains(p.Hint, c.hint) {
					return
				}
			}
			for _, p := range problems {
				t.Errorf("%v (hint: %s)", p, p.Hint)
			}
			t.Errorf("want %s: …%s… (hint: …%s…)", c.at, c.want, c.hint)
		})
	}
}

func TestRefusalsStandAlone(t *testing.T) {
	// These mistakes have consequences elsewhere, which are told too.
	many := map[string]bool{
		"no shield": true, "no hosts": true, "hosts of nothing": true, "an alias": true, "a tag of a key": true, "a list as a name": true,
		"a host in upper case": true, "a host with port": true, "a wildcard host": true, "an address in a long form": true,
		"combinations in combinations without end": true, "a public shield without reason": true, "a public shield with a short reason": true, "routes of another gateway": true,
	}
	for _, c := range changes() {
		_, err := parse(strings.Replace(base, c.old, c.new, 1))
		problems, _ := errors.AsType[config.Problems](err)
		if len(problems) != 1 && !many[c.name] {
			t.Errorf("%s: %d problems for one mistake:\n%v", c.name, len(problems), problems)
		}
	}
}
