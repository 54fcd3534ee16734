package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/finding"
)

// seed is a fault of a configuration that a rule has to name.
type seed struct {
	rule     string
	old, new string // what stands there instead
	mended   string // and what, where nothing is wrong; empty: as in the clean configuration
	files    func(t testing.TB, dir string)
}

func firstSeeds() []seed {
	log := func(rule, line string) seed { return seed{rule: rule, old: "log:\n", new: "log:\n  " + line + "\n"} }
	secret := func(rule, text string) seed {
		return seed{rule: rule, files: func(t testing.TB, dir string) { put(t, dir, "hook.secret", text) }}
	}
	open := func(rule, name string, mode os.FileMode) seed {
		return seed{rule: rule, files: func(t testing.TB, dir string) {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}}
	}
	return []seed{
		endpoint("user-data-behind-key", `GET /v1/users/{id}: {shield: api_key, scopes: [orders:read]}`, `GET /v1/users/{id}: {scopes: [orders:read]}`),
		endpoint("payment-by-bearer", `POST /v1/payments: {shield: api_key, scopes: [orders:write], idempotency: {}, body_schema: order.json}`, `POST /v1/payments: {shield: hmac, scopes: [orders:write], idempotency: {}, body_schema: order.json}`),
		endpoint("public-writing", `POST /v1/notes: {shield: {public: anybody may leave one}, body_schema: order.json, limit: 5/minute per address}`, `POST /v1/notes: {scopes: [orders:write], body_schema: order.json, limit: 5/minute per address}`),
		endpoint("admin-public", `GET /admin/users: {shield: {public: who would look there}}`, `GET /admin/users: {scopes: [reports:read], shield: {mtls: {trust: ca.pem, allow: [{dns: a.acme.org}], revocation: {ask: [ocsp]}}}}`),
		endpoint("admin-any-scope", `GET /internal/stats: {scopes: any}`, `GET /internal/stats: {scopes: [orders:read]}`),
		endpoint("admin-by-key", `GET /v1/admin: {shield: api_key, scopes: [reports:read]}`, `GET /v1/admin: {scopes: [orders:read]}`),
		endpoint("admin-scope-shared", `GET /v1/admin: {scopes: [orders:read]}`, `GET /v1/admin: {scopes: [orders:read], when: 'principal.tenant == "acme"'}`),
		endpoint("writing-any-scope", `POST /v1/things: {scopes: any, body_schema: order.json}`, `POST /v1/things: {scopes: [orders:write], body_schema: order.json}`),
		{rule: "scope-unused", old: "scopes:\n  orders:read", new: "scopes:\n  forgotten:read: Nothing\n  orders:read"},
		endpoint("scope-unobtainable", `GET /v1/archive: {shield: {jwt: {issuer: corp, dpop: require}}, scopes: [reports:read]}`, `GET /v1/archive: {shield: {jwt: {issuer: corp, dpop: require}}, scopes: [orders:read]}`),
		endpoint("weakest-of-any", `GET /v1/mixed: {shield: {any: [hmac, api_key]}, scopes: [orders:read]}`, `GET /v1/mixed: {shield: {all: [hmac, api_key]}, scopes: [orders:read]}`),
		endpoint("catch-all-weaker", `GET /{path...}: {shield: {public: everything else is harmless}, limit: 60/minute per address}`, `GET /{path...}: {scopes: [orders:read], limit: 60/minute per address}`),
		endpoint("pattern-twin", `GET /v1/Reports: {scopes: [reports:read]}`, `GET /v1/Results: {scopes: [reports:read]}`),
		{rule: "host-unused", old: "hosts:\n", new: "hosts:\n  127.0.0.1: {certificate: local}\n"},
		endpoint("hmac-window-wide", `GET /v1/signed: {shield: {hmac: {window: 15m}}, scopes: [orders:read]}`, `GET /v1/signed: {shield: {hmac: {window: 60s}}, scopes: [orders:read]}`),
		{rule: "key-from-browser", old: "    audit: required\n    endpoints:\n", new: "    audit: required\n    cors: [https://app.acme.org]\n    endpoints:\n      GET /v1/keyed: {shield: api_key, scopes: [orders:read]}\n"},
		{rule: "audience-shared", old: "log:\n", new: "  second:\n    host: api.acme.org\n    upstream: {url: https://second.internal:8443, ca: ca.pem}\n    shield: {jwt: {issuer: corp, dpop: require}}\n    limit: 60/minute per client\n    endpoints: {GET /v2/orders: {scopes: [orders:read]}}\nlog:\n"},
		{rule: "issuer-grants-all", old: `may_grant: ["orders:*"]`, new: `may_grant: ["*"]`},
		{rule: "issuer-grants-unknown", old: `may_grant: ["orders:*"]`, new: `may_grant: ["orders:*", "shop:*"]`},
		{rule: "issuer-unused", old: "issuers:\n", new: "issuers:\n  spare: {url: https://spare.acme.org}\n"},
		{rule: "token-life-long", old: "max_age: 1h", new: "max_age: 30d"},
		{rule: "token-types-open", old: "max_age: 1h", new: "max_age: 1h, types: [at+jwt, JWT]"},
		{rule: "keys-kept-long", old: "max_age: 1h", new: "max_age: 1h, keys_max_age: 30d"},
		{rule: "jwks-private", old: "max_age: 1h", new: "max_age: 1h, jwks: keys.json", files: func(t testing.TB, dir string) {
			put(t, dir, "keys.json", `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA","d":"AA"}]}`)
		}},
		{rule: "jwks-weak-key", old: "max_age: 1h", new: "max_age: 1h, jwks: keys.json", files: func(t testing.TB, dir string) {
			put(t, dir, "keys.json", `{"keys":[{"kty":"RSA","kid":"a","n":"`+strings.Repeat("q", 171)+`","e":"AQAB"}]}`)
		}},
		secret("secret-short", "abcdefgh12345678"),
		secret("secret-short", strings.Repeat("ab", 20)),
		secret("secret-short", strings.Repeat("aaaabbbb", 3)+"ab"),
		secret("secret-made-up", "changeme-Kq7RmZ8vTn4XcBw9JfHs3GdYp6"),
		open("secret-file-open", "hook.secret", 0o644),
		open("key-file-open", "key.pem", 0o644),
		open("config-writable", "pavise.yaml", 0o666),
		{rule: "state-open", files: func(t testing.TB, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "pavise-data"), 0o755); err != nil {
				t.Fatal(err)
			}
		}},
		{rule: "master-key-open", files: func(t testing.TB, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "pavise.key"), []byte("x"), 0o640); err != nil {
				t.Fatal(err)
			}
		}},
		ofHost("certificate-expired", func(c *x509.Certificate) { c.NotAfter = today().Add(-time.Minute) }),
		ofHost("certificate-expiring", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = today().AddDate(0, -3, 0), today().AddDate(0, 0, 9)
		}),
		ofHost("certificate-long-lived", func(c *x509.Certificate) { c.NotAfter = today().AddDate(3, 0, 0) }),
		ofHost("certificate-purpose", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		ofHost("certificate-self-signed", func(c *x509.Certificate) { c.Subject.CommonName = "self" }),
		ofHost("certificate-chain-incomplete", func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.acme.org/ca.der"} }),
		{rule: "certificate-chain-broken", files: func(t testing.TB, dir string) {
			text, err := os.ReadFile(filepath.Join(dir, "chain.pem"))
			if err != nil {
				t.Fatal(err)
			}
			other, _ := issued(t, newKey(t), asAuthority)
			put(t, dir, "chain.pem", string(text)+other)
		}},
		{rule: "trust-expired", files: func(t testing.TB, dir string) {
			ca, _ := issued(t, newKey(t), func(c *x509.Certificate) {
				asAuthority(c)
				c.NotBefore, c.NotAfter = today().AddDate(-1, 0, 0), today().AddDate(0, 0, 3)
			})
			put(t, dir, "ca.pem", ca)
		}},
		{rule: "trust-no-authority", files: func(t testing.TB, dir string) {
			leaf, _ := issued(t, newKey(t), func(c *x509.Certificate) { c.Subject.CommonName = "self" })
			put(t, dir, "ca.pem", leaf)
		}},
		{rule: "trust-public", old: "trust: ca.pem, allow: [{dns: a.acme.org}]", new: "trust: public.pem", files: func(t testing.TB, dir string) {
			ca, _ := issued(t, newKey(t), func(c *x509.Certificate) { asAuthority(c); c.Subject.Organization = []string{"Let's Encrypt"} })
			put(t, dir, "public.pem", ca)
		}},
		{rule: "mtls-unrevocable", old: ", revocation: {ask: [ocsp]}", new: ""},
		{rule: "upstream-plain", old: "{url: https://orders.internal:8443, ca: ca.pem}", new: "http://orders.internal:8080"},
		{rule: "upstream-plain-public", old: "{url: https://orders.internal:8443, ca: ca.pem}", new: "http://orders.acme.org:8080"},
		{rule: "upstream-unverified", old: "ca: ca.pem}", new: "insecure_skip_verify: {reason: the certificate has no name there}}"},
		{rule: "upstream-open", old: "    audit: required\n", new: "    audit: required\n    identity: {token: false}\n"},
		{rule: "identity-unverifiable", old: "    audit: required\n", new: "    audit: required\n    identity: {token: false, headers: {X-Client: client}}\n"},
		{rule: "banners-kept", old: "ca: ca.pem}", new: "ca: ca.pem, keep_banners: true}"},
		top("proxies-wide", "trusted_proxies: {addresses: [0.0.0.0/1]}", "trusted_proxies: {addresses: [10.0.0.0/24]}"),
		top("proxies-public", "trusted_proxies: {addresses: [203.0.0.0/16]}", "trusted_proxies: {addresses: [10.0.0.0/24]}"),
		{rule: "cors-plain", old: "    audit: required\n", new: "    audit: required\n    cors: [http://app.acme.org]\n"},
		{rule: "cors-local", old: "    audit: required\n", new: "    audit: required\n    cors: [http://localhost:3000]\n"},
		top("fetch-metadata", "fetch: {allow: [169.254.0.0/16]}", "fetch: {allow: [10.0.0.7/32]}"),
		top("fetch-wide", "fetch: {allow: [10.0.0.0/8]}", "fetch: {allow: [10.0.0.7/32]}"),
		{rule: "limit-missing", old: "    limit: 600/minute per client\n", new: ""},
		{rule: "limit-absurd", old: "600/minute per client", new: "1000000/second per client"},
		{rule: "limit-shared", old: "600/minute per client", new: "600/minute per endpoint"},
		endpoint("sensitive-flow-unlimited", `POST /v1/password/reset: {scopes: [orders:write], body_schema: order.json}`, `POST /v1/password/reset: {scopes: [orders:write], body_schema: order.json, limit: 5/minute per client}`),
		top("address-limit-loose", "limits: {address: 100000/second}", "limits: {address: 6000/minute}"),
		top("wrong-tries-many", "limits: {wrong_tries: 5000}", "limits: {wrong_tries: 20}"),
		top("connections-hogged", "limits: {connections: 100, connections_per_address: 90}", "limits: {connections: 100, connections_per_address: 9}"),
		top("header-slow", "limits: {header_timeout: 5m}", "limits: {header_timeout: 10s}"),
		top("header-huge", "limits: {header_bytes: 1MiB}", "limits: {header_bytes: 32KiB}"),
		{rule: "body-huge", old: "    audit: required\n", new: "    audit: required\n    max_body: 100GiB\n"},
		{rule: "timeout-long", old: "    audit: required\n", new: "    audit: required\n    timeout: 1h\n"},
		top("staleness-long", "state: {max_staleness: 1h}", "state: {max_staleness: 60s}"),
		endpoint("contract-missing", `POST /v1/things: {scopes: [orders:write]}`, `POST /v1/things: {scopes: [orders:write], body_schema: order.json}`),
		endpoint("idempotency-missing", `POST /v1/payments: {scopes: [orders:write], body_schema: order.json}`, `POST /v1/payments: {scopes: [orders:write], body_schema: order.json, idempotency: {}}`),
		endpoint("graphql-introspection", `POST /graphql: {scopes: [orders:read], graphql: {introspection: true, scopes: {"Mutation.*": [orders:write]}}}`, `POST /graphql: {scopes: [orders:read], graphql: {scopes: {"Mutation.*": [orders:write]}}}`),
		endpoint("graphql-loose", `POST /graphql: {scopes: [orders:read], graphql: {depth: 100, scopes: {"Mutation.*": [orders:write]}}}`, `POST /graphql: {scopes: [orders:read], graphql: {depth: 8, scopes: {"Mutation.*": [orders:write]}}}`),
		endpoint("graphql-unscoped", `POST /graphql: {scopes: [orders:read], graphql: {}}`, `POST /graphql: {scopes: [orders:read], graphql: {scopes: {"Mutation.*": [orders:write]}}}`),
		{rule: "sink-plain", old: `{syslog: {address: "tls://siem.acme.org:6514"}}`, new: `{syslog: {address: "tcp://10.0.0.7:601", insecure_plain: the network in between is our own}}`},
		{rule: "webhook-unsigned", old: ", secret_file: hook.secret", new: ""},
		log("retention-short", "keep: 24h"),
		log("log-small", "max_size: 16MiB"),
		{rule: "audit-required-filtered", old: `    siem: {syslog: {address: "tls://siem.acme.org:6514"}}
    hook: {webhook: {url: "https://hooks.acme.org/in", secret_file: hook.secret}}`, new: `    siem: {syslog: {address: "tls://siem.acme.org:6514"}, only: {decisions: [refused]}}`},
		{rule: "sinks-here", old: `    siem: {syslog: {address: "tls://siem.acme.org:6514"}}
    hook: {webhook: {url: "https://hooks.acme.org/in", secret_file: hook.secret}}`, new: `    here: {file: {path: events/all.jsonl}}`},
		{rule: "access-token-long", old: "  sign_in:", new: "  access_token: 12h\n  sign_in:"},
		{rule: "refresh-token-long", old: "  sign_in:", new: "  refresh_token: 365d\n  sign_in:"},
		{rule: "passwords-short", old: "min_password: 15", new: "min_password: 8"},
		{rule: "registration-open", old: "  sign_in:", new: "  registration: true\n  sign_in:"},
		{rule: "insecure-poor-reason", old: "ca: ca.pem}", new: "insecure_skip_verify: {reason: TODO make it work}}"},
		{rule: "insecure-stale", old: "ca: ca.pem}", new: "insecure_skip_verify: {reason: until the move of 2024 is done}}"},
		{rule: "trial-long", old: "    audit: required\n", new: "    audit: required\n    insecure_report_only:\n      - {what: contract, until: \"2099-01-31\", reason: the old app sends more}\n"},
		{rule: "trial-over", old: "    audit: required\n", new: "    audit: required\n    insecure_report_only:\n      - {what: contract, until: \"2024-01-31\", reason: the old app sends more}\n"},
		{rule: "door-open", old: "    audit: required\n", new: "    audit: required\n    insecure_allow:\n      - {what: encoded_slash, reason: names of files hold slashes}\n"},
		{rule: "undeclared-accepted", old: "body_schema: order.json", new: "body_schema: {file: order.json, insecure_undeclared: old clients send more}"},
		top("waiver-over", "waivers:\n  - {rule: limit-missing, reason: it was for a week only, until: \"2024-01-31\"}"),
		top("waiver-invalid", "waivers:\n  - {rule: no-such-rule, reason: it was for a week only, until: \"2099-01-31\"}"),
		top("waiver-long", "waivers:\n  - {rule: limit-missing, reason: it was for a week only, until: \"2099-01-31\"}"),
		{rule: "secret-in-config", old: "load balancers ask whether we live", new: "pvscs_" + "q7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1EuQoi is asked"},
	}
}

// endpoint adds one, and where nothing is wrong another.
func endpoint(rule, line, mended string) seed {
	add := func(line string) string { return "    endpoints:\n      " + line + "\n" }
	return seed{rule: rule, old: "    endpoints:\n", new: add(line), mended: add(mended)}
}

// top adds a setting of the whole file.
func top(rule, line string, mended ...string) seed {
	s := seed{rule: rule, old: "log:\n", new: line + "\nlog:\n"}
	for _, m := range mended {
		s.mended = m + "\nlog:\n"
	}
	return s
}

// ofHost has a host another certificate.
func ofHost(rule string, change func(*x509.Certificate)) seed {
	return seed{rule: rule, files: func(t testing.TB, dir string) { pair(t, dir, newKey(t), change) }}
}

func pair(t testing.TB, dir string, key any, change func(*x509.Certificate)) {
	t.Helper()
	cert, private := issued(t, key, change)
	put(t, dir, "chain.pem", cert)
	put(t, dir, "key.pem", private)
}

// weakKey is a key that can be computed.
func weakKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// aged has a file been written long ago.
func aged(t testing.TB, dir, name string) {
	t.Helper()
	then := today().AddDate(-2, 0, 0)
	if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil {
		t.Fatal(err)
	}
}

// list writes a revocation list that ends at a moment.
func list(t testing.TB, dir string, ends time.Time) {
	t.Helper()
	key := newKey(t)
	authority := &x509.Certificate{Subject: pkix.Name{CommonName: "an authority"}, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3, 4}}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: ends.AddDate(0, 0, -7), NextUpdate: ends}, authority, key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "list.pem", string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})))
}

const sinks = `  sinks:
    siem: {syslog: {address: "tls://siem.acme.org:6514"}}
    hook: {webhook: {url: "https://hooks.acme.org/in", secret_file: hook.secret}}
`

// seedsOfAccess are faults of who may call what.
func seedsOfAccess() []seed {
	second := func(pattern string) string {
		return "  second:\n    host: api.acme.org\n    upstream: {url: https://second.internal:8443, ca: ca.pem}\n    shield: {jwt: {dpop: require}}\n    limit: 60/minute per client\n    audit: required\n    endpoints:\n      " + pattern + ": {scopes: [orders:read]}\nlog:\n"
	}
	return []seed{
		endpoint("scope-reads-and-writes", `POST /v1/notes: {scopes: [orders:read], body_schema: order.json}`, `POST /v1/notes: {scopes: [orders:write], body_schema: order.json}`),
		endpoint("catch-all", `GET /files/{path...}: {scopes: [orders:read]}`, `GET /files/{name}: {scopes: [orders:read]}`),
		{rule: "pattern-shadowed", old: "log:\n", new: second("GET /v1/orders/special"), mended: second("GET /v2/special")},
		{rule: "certificate-asked-needlessly", old: "hosts:\n", new: "hosts:\n  127.0.0.1: {certificate: local, client_certificates: ask}\n", mended: "hosts:\n  127.0.0.1: {certificate: local}\n"},
		endpoint("test-keys-accepted", `GET /v1/keyed: {shield: api_key, scopes: [orders:read]}`, `GET /v1/keyed: {shield: {api_key: {environment: live}}, scopes: [orders:read]}`),
		endpoint("token-unbound", `GET /v1/tokens: {shield: jwt, scopes: [orders:read]}`, `GET /v1/tokens: {shield: {jwt: {dpop: require}}, scopes: [orders:read]}`),
		endpoint("sign-in-too-old", `POST /v1/payments: {scopes: [orders:write], idempotency: {}, body_schema: order.json}`, `POST /v1/payments: {shield: {jwt: {dpop: require, max_age: 15m}}, scopes: [orders:write], idempotency: {}, body_schema: order.json}`),
		endpoint("introspection-remembered", `GET /v1/asked: {shield: {introspect: {dpop: require, remember: 5m}}, scopes: [orders:read]}`, `GET /v1/asked: {shield: {introspect: {dpop: require, remember: 10s}}, scopes: [orders:read]}`),
		endpoint("keys-from-browsers", `GET /v1/keyed: {shield: {api_key: {environment: live, insecure_allow_browsers: everybody may read this key}}, scopes: [orders:read]}`, `GET /v1/keyed: {shield: {api_key: {environment: live}}, scopes: [orders:read]}`),
		{rule: "revocation-optional", old: "ask: [ocsp]", new: "ask: [ocsp], insecure_soft_fail: the responder is often away"},
		{rule: "headers-kept", old: "ca: ca.pem}", new: "ca: ca.pem, insecure_keep_headers: [{header: X-User-Id, reason: it is shown and nothing more}]}"},
		{rule: "insecure-in-force", old: "GET /health: {shield: {public: load balancers ask whether we live}}", new: "GET /health: {shield: {public: load balancers ask whether we live}}", mended: "GET /health: {scopes: [orders:read]}"},
	}
}

// seedsOfKeys are faults of certificates, keys and secrets.
func seedsOfKeys() []seed {
	return []seed{
		{rule: "certificate-weak-key", files: func(t testing.TB, dir string) { pair(t, dir, weakKey(t), func(*x509.Certificate) {}) }},
		{rule: "certificate-rsa-2048", files: func(t testing.TB, dir string) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			pair(t, dir, key, func(*x509.Certificate) {})
		}},
		ofHost("certificate-weak-signature", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }),
		{rule: "certificate-local", old: "hosts:\n", new: "hosts:\n  b.acme.org: {certificate: local}\n"},
		ofHost("certificate-wildcard", func(c *x509.Certificate) { c.DNSNames = []string{"*.acme.org"} }),
		{rule: "trust-weak", files: func(t testing.TB, dir string) {
			ca, _ := issued(t, weakKey(t), asAuthority)
			put(t, dir, "ca.pem", ca)
		}},
		{rule: "trust-many", old: "trust: ca.pem, allow: [{dns: a.acme.org}]", new: "trust: many.pem", mended: "trust: many.pem, allow: [{dns: a.acme.org}]", files: func(t testing.TB, dir string) {
			var many strings.Builder
			for range 9 {
				ca, _ := issued(t, newKey(t), asAuthority)
				many.WriteString(ca)
			}
			put(t, dir, "many.pem", many.String())
		}},
		{rule: "crl-stale", old: "trust: ca.pem", new: "trust: ca.pem, crl: [list.pem]", files: func(t testing.TB, dir string) { list(t, dir, today().Add(-time.Hour)) }},
		{rule: "secret-reused", old: sinks, new: sinks + `    other: {webhook: {url: "https://other.acme.org/in", secret_file: same.secret}}` + "\n", files: func(t testing.TB, dir string) {
			put(t, dir, "same.secret", "q7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1E\n")
		}},
		{rule: "secret-old", files: func(t testing.TB, dir string) { aged(t, dir, "hook.secret") }},
		{rule: "jwks-stale", old: "max_age: 1h", new: "max_age: 1h, jwks: keys.json", files: func(t testing.TB, dir string) {
			put(t, dir, "keys.json", `{"keys": []}`)
			aged(t, dir, "keys.json")
		}},
		{rule: "master-key-near-data", old: "log:\n", new: "log:\n", mended: "state: {master_key: /etc/pavise/master.key}\nlog:\n"},
		{rule: "log-open", files: func(t testing.TB, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "pavise-data", "log"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, "pavise-data", "log"), 0o755); err != nil { //nolint:gosec // it is the fault
				t.Fatal(err)
			}
		}},
	}
}

// seedsOfLayers are faults of bounds, input and what is seen.
func seedsOfLayers() []seed {
	var origins []string
	for i := range 21 {
		origins = append(origins, fmt.Sprintf("https://app-%d.acme.org", i))
	}
	flow := func(within string) string {
		return "    flows: {checkout: {steps: [POST /v1/carts, POST /v1/orders], per: client, within: " + within + "}}\n    endpoints:\n      POST /v1/carts: {scopes: [orders:write], body_schema: order.json}\n"
	}
	cors := func(origins []string) string {
		return "    audit: required\n    cors: [" + strings.Join(origins, ", ") + "]\n"
	}
	pays := func(audit string) string {
		return audit + "    endpoints:\n      POST /v1/payments: {shield: {jwt: {dpop: require, max_age: 15m}}, scopes: [orders:write], idempotency: {}, body_schema: order.json}\n"
	}
	waiver := func(rule string) string {
		return fmt.Sprintf("waivers:\n  - {rule: %s, reason: it was for a week only, until: %q}", rule, today().AddDate(0, 1, 0).Format(time.DateOnly))
	}
	return []seed{
		endpoint("injection-unwatched", `POST /v1/notes: {scopes: [orders:write]}`, `POST /v1/notes: {scopes: [orders:write], injection: on}`),
		endpoint("answers-unjudged", `GET /v1/users/{id}: {scopes: [orders:read]}`, `GET /v1/users/{id}: {scopes: [orders:read], responses: {detect: [card, key, trace]}}`),
		{rule: "large-integers", old: "body_schema: order.json", new: "body_schema: {file: order.json, large_integers: true}"},
		{rule: "flow-slow", old: "    endpoints:\n", new: flow("3d"), mended: flow("30m")},
		endpoint("injection-lax", `POST /v1/notes: {scopes: [orders:write], injection: {insecure_except: [{field: body /text, reason: it is shown as it is}]}}`, `POST /v1/notes: {scopes: [orders:write], injection: {insecure_except: [{field: body /text, detectors: [sql], reason: it is shown as it is}]}}`),
		endpoint("quota-absurd", `GET /v1/counted: {scopes: [orders:read], quota: 1000000000/day per client}`, `GET /v1/counted: {scopes: [orders:read], quota: 1000/day per client}`),
		{rule: "signing-key-long", old: "  sign_in:", new: "  rotate_keys: 365d\n  sign_in:", mended: "  rotate_keys: 30d\n  sign_in:"},
		{rule: "sign-in-long", old: "{min_password: 15}", new: "{min_password: 15, longest: 30d}", mended: "{min_password: 15, longest: 24h}"},
		{rule: "accounts-created", old: "{min_password: 15}", new: "{min_password: 15, providers: {google: {title: Google, issuer: https://accounts.google.com, client_id: pavise, client_secret_file: google.secret, accounts: create}}}", mended: "{min_password: 15, providers: {google: {title: Google, issuer: https://accounts.google.com, client_id: pavise, client_secret_file: google.secret, accounts: create, require: {hd: [acme.org]}}}}", files: func(t testing.TB, dir string) {
			put(t, dir, "google.secret", "Wq7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1\n")
		}},
		{rule: "token-limit-loose", old: "  sign_in:", new: "  limit: 10000/second\n  sign_in:", mended: "  limit: 3000/minute\n  sign_in:"},
		{rule: "oauth-rsa", old: "  sign_in:", new: "  algorithm: RS256\n  sign_in:", mended: "  algorithm: ES256\n  sign_in:"},
		top("certificate-life-long", "pki: {profiles: {service: {life: 100d, max_life: 365d}}}", "pki: {profiles: {service: {life: 7d, max_life: 30d}}}"),
		{rule: "total-time-long", old: "ca: ca.pem}", new: "ca: ca.pem, total_timeout: 12h}", mended: "ca: ca.pem, total_timeout: 15m}"},
		{rule: "cors-many", old: "    audit: required\n", new: cors(origins), mended: cors(origins[:3])},
		top("tls-host-unlimited", "limits: {handshakes: 100000/second}", "limits: {handshakes: 600/minute}"),
		{rule: "sinks-missing", old: "    audit: required\n", new: "", mended: "    audit: required\n"},
		{rule: "audit-not-required", old: "    audit: required\n    endpoints:\n", new: pays(""), mended: pays("    audit: required\n")},
		{rule: "sampling-blind", old: sinks, new: "  sinks: {siem: {syslog: {address: \"tls://siem.acme.org:6514\"}, only: {accepted_one_in: 100}}}\n", mended: "  sinks: {siem: {syslog: {address: \"tls://siem.acme.org:6514\"}, only: {accepted_one_in: 5}}}\n"},
		{rule: "checkpoints-missing", old: "log:\n", new: "log:\n", mended: "log:\n  checkpoints: kept\n"},
		top("waiver-unused", waiver("limit-shared"), waiver("checkpoints-missing")),
		top("detections-off", "alerts: {detections: off}"),
		{rule: "honeypots-absent", old: "honeypots: {common: true}\n", new: ""},
	}
}

func seeds() []seed {
	return slices.Concat(firstSeeds(), seedsOfAccess(), seedsOfKeys(), seedsOfLayers())
}

// planted writes a configuration with a fault, or its mended twin.
func (s seed) planted(t testing.TB, dir string, isMended bool) string {
	t.Helper()
	text := clean
	switch {
	case s.old == "":
	case !strings.Contains(clean, s.old):
		t.Fatalf("the seed changes nothing: %q", s.old)
	case !isMended:
		text = strings.Replace(text, s.old, s.new, 1)
	default:
		text = strings.Replace(text, s.old, s.mended, 1)
	}
	if s.rule == "sinks-missing" && !isMended {
		text = strings.Replace(text, sinks, "  keep: 90d\n", 1)
	}
	put(t, dir, "pavise.yaml", text)
	if s.files != nil {
		s.files(t, dir)
	}
	return text
}

// Each seeded fault is named by its rule, and its mended twin is not.
func TestSeededFaultsAreNamed(t *testing.T) {
	nothing := audit(t, folder(t), clean, nil)
	for i, s := range seeds() {
		t.Run(fmt.Sprintf("%s %d", s.rule, i), func(t *testing.T) {
			dir := folder(t)
			r := audit(t, dir, s.planted(t, dir, false), nil)
			at := slices.IndexFunc(r.Findings, func(f finding.Finding) bool { return f.Rule == s.rule })
			if at < 0 {
				t.Errorf("found %v", rulesIn(r, finding.Info))
			} else if f := r.Findings[at]; f.What == "" || f.Mend == "" || f.Where.File == "" {
				t.Errorf("%+v", f)
			}
			twin := nothing
			if s.mended != "" {
				dir = folder(t)
				twin = audit(t, dir, s.planted(t, dir, true), nil)
			}
			for _, f := range twin.Findings {
				if f.Rule == s.rule {
					t.Errorf("where nothing is wrong: %s: %s", f.Where.Path, f.What)
				}
			}
		})
	}
}

// Every rule about what is written has a fault that it names; those about the store are in TestTheStoreIsLookedAt.
func TestEveryRuleHasASeed(t *testing.T) {
	named := map[string]bool{}
	for _, s := range seeds() {
		named[s.rule] = true
	}
	store := []string{"client-", "credential-", "credentials-", "grant-dead", "scope-unheld", "rotation-unfinished", "test-credential-live", "disabled-client-credentials", "authority-"}
	for _, r := range check.Rules() {
		if !named[r.ID] && !slices.ContainsFunc(store, func(prefix string) bool { return strings.HasPrefix(r.ID, prefix) }) {
			t.Errorf("%s has no seed", r.ID)
		}
		delete(named, r.ID)
	}
	for rule := range named {
		t.Errorf("a seed for %s, which is no rule", rule)
	}
}
