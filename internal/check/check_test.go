package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/all"
)

func today() time.Time { return time.Now().UTC() }

// clean is a configuration at which nothing is wrong, not even a little.
const clean = `listen: {https: 127.0.0.1:8443}
hosts:
  api.acme.org:
    certificate: {cert: chain.pem, key: key.pem}
    client_certificates: ask
issuers:
  corp: {url: https://login.acme.org, audience: orders, may_grant: ["orders:*"], max_age: 1h}
oauth:
  issuer: https://api.acme.org
  sign_in: {min_password: 15}
apis:
  orders:
    host: api.acme.org
    upstream: {url: https://orders.internal:8443, ca: ca.pem}
    shield: {jwt: {issuer: [pavise, corp], dpop: require}}
    limit: 600/minute per client
    audit: required
    endpoints:
      GET /health: {shield: {public: load balancers ask whether we live}}
      GET /v1/orders/{id}: {scopes: [orders:read]}
      POST /v1/orders: {scopes: [orders:write], body_schema: order.json}
      GET /v1/reports: {shield: {mtls: {trust: ca.pem, allow: [{dns: a.acme.org}], revocation: {ask: [ocsp]}}}, scopes: [reports:read]}
log:
  sinks:
    siem: {syslog: {address: "tls://siem.acme.org:6514"}}
    hook: {webhook: {url: "https://hooks.acme.org/in", secret_file: hook.secret}}
honeypots: {common: true}
scopes:
  orders:read: See orders
  orders:write: Place orders
  reports:read: See reports
`

// issued is a certificate for the tests, with its key.
func issued(t testing.TB, key any, change func(*x509.Certificate)) (cert, private string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "api.acme.org"}, DNSNames: []string{"api.acme.org"}, NotBefore: today().Add(-time.Hour), NotAfter: today().Add(90 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	change(template)
	parent := *template
	parent.Subject = pkix.Name{CommonName: "an authority"}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var public any
	switch k := key.(type) {
	case *rsa.PrivateKey:
		public = k.Public()
	case *ecdsa.PrivateKey:
		public = k.Public()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, public, signer)
	if template.Subject.CommonName == "self" {
		der, err = x509.CreateCertificate(rand.Reader, template, template, public, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func asAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	c.Subject.CommonName = "self"
	c.NotAfter = today().AddDate(5, 0, 0)
}

// folder holds the clean configuration with all that it names.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := issued(t, newKey(t), func(*x509.Certificate) {})
	ca, _ := issued(t, newKey(t), asAuthority)
	for name, text := range map[string]string{
		"chain.pem": cert, "key.pem": key, "ca.pem": ca, "hook.secret": "q7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1E\n",
		"order.json": `{"type": "object", "properties": {"item": {"type": "string", "maxLength": 20}}}`,
	} {
		put(t, dir, name, text)
	}
	return dir
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func audit(t testing.TB, dir, text string, held *check.Held) *finding.Report {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	put(t, dir, "pavise.yaml", text)
	f, err := config.Load(name, all.Kinds())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r, err := check.Run(check.Subject{File: f, Held: held, Now: today()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rulesIn(r *finding.Report, least finding.Severity) (found []string) {
	for _, f := range r.Findings {
		if f.Severity >= least && f.Waived == nil && !slices.Contains(found, f.Rule) {
			found = append(found, f.Rule)
		}
	}
	slices.Sort(found)
	return found
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	if r := audit(t, folder(t), clean, &check.Held{}); r.At(finding.Low) > 0 {
		t.Errorf("%+v", rulesIn(r, finding.Low))
	}
}

// seed is a fault of a configuration that a rule has to name.
type seed struct {
	rule     string
	old, new string
	files    func(t testing.TB, dir string)
}

func seeds() []seed {
	endpoint := func(rule, line string) seed {
		return seed{rule: rule, old: "    endpoints:\n", new: "    endpoints:\n      " + line + "\n"}
	}
	top := func(rule, line string) seed { return seed{rule: rule, old: "log:\n", new: line + "\nlog:\n"} }
	log := func(rule, line string) seed { return seed{rule: rule, old: "log:\n", new: "log:\n  " + line + "\n"} }
	hosts := func(rule string, change func(*x509.Certificate)) seed {
		return seed{rule: rule, files: func(t testing.TB, dir string) {
			cert, key := issued(t, newKey(t), change)
			put(t, dir, "chain.pem", cert)
			put(t, dir, "key.pem", key)
		}}
	}
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
		endpoint("user-data-behind-key", `GET /v1/users/{id}: {shield: api_key, scopes: [orders:read]}`),
		endpoint("payment-by-bearer", `POST /v1/payments: {shield: api_key, scopes: [orders:write], idempotency: {}, body_schema: order.json}`),
		endpoint("public-writing", `POST /v1/notes: {shield: {public: anybody may leave one}, body_schema: order.json, limit: 5/minute per address}`),
		endpoint("admin-public", `GET /admin/users: {shield: {public: who would look there}}`),
		endpoint("admin-any-scope", `GET /internal/stats: {scopes: any}`),
		endpoint("admin-by-key", `GET /v1/admin: {shield: api_key, scopes: [reports:read]}`),
		endpoint("admin-scope-shared", `GET /v1/admin: {scopes: [orders:read]}`),
		endpoint("writing-any-scope", `POST /v1/things: {scopes: any, body_schema: order.json}`),
		{rule: "scope-unused", old: "scopes:\n  orders:read", new: "scopes:\n  forgotten:read: Nothing\n  orders:read"},
		endpoint("scope-unobtainable", `GET /v1/archive: {shield: {jwt: {issuer: corp, dpop: require}}, scopes: [reports:read]}`),
		endpoint("weakest-of-any", `GET /v1/mixed: {shield: {any: [hmac, api_key]}, scopes: [orders:read]}`),
		endpoint("catch-all-weaker", `GET /{path...}: {shield: {public: everything else is harmless}, limit: 60/minute per address}`),
		endpoint("pattern-twin", `GET /v1/Reports: {scopes: [reports:read]}`),
		{rule: "host-unused", old: "hosts:\n", new: "hosts:\n  127.0.0.1: {certificate: local}\n"},
		endpoint("hmac-window-wide", `GET /v1/signed: {shield: {hmac: {window: 15m}}, scopes: [orders:read]}`),
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
		hosts("certificate-expired", func(c *x509.Certificate) { c.NotAfter = today().Add(-time.Minute) }),
		hosts("certificate-expiring", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = today().AddDate(0, -3, 0), today().AddDate(0, 0, 9)
		}),
		hosts("certificate-long-lived", func(c *x509.Certificate) { c.NotAfter = today().AddDate(3, 0, 0) }),
		hosts("certificate-purpose", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		hosts("certificate-self-signed", func(c *x509.Certificate) { c.Subject.CommonName = "self" }),
		hosts("certificate-chain-incomplete", func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.acme.org/ca.der"} }),
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
		top("proxies-wide", "trusted_proxies: {addresses: [0.0.0.0/1]}"),
		top("proxies-public", "trusted_proxies: {addresses: [203.0.0.0/16]}"),
		{rule: "cors-plain", old: "    audit: required\n", new: "    audit: required\n    cors: [http://app.acme.org]\n"},
		{rule: "cors-local", old: "    audit: required\n", new: "    audit: required\n    cors: [http://localhost:3000]\n"},
		top("fetch-metadata", "fetch: {allow: [169.254.0.0/16]}"),
		top("fetch-wide", "fetch: {allow: [10.0.0.0/8]}"),
		{rule: "limit-missing", old: "    limit: 600/minute per client\n", new: ""},
		{rule: "limit-absurd", old: "600/minute per client", new: "1000000/second per client"},
		{rule: "limit-shared", old: "600/minute per client", new: "600/minute per endpoint"},
		endpoint("sensitive-flow-unlimited", `POST /v1/password/reset: {scopes: [orders:write], body_schema: order.json}`),
		top("address-limit-loose", "limits: {address: 100000/second}"),
		top("wrong-tries-many", "limits: {wrong_tries: 5000}"),
		top("connections-hogged", "limits: {connections: 100, connections_per_address: 90}"),
		top("header-slow", "limits: {header_timeout: 5m}"),
		top("header-huge", "limits: {header_bytes: 1MiB}"),
		{rule: "body-huge", old: "    audit: required\n", new: "    audit: required\n    max_body: 100GiB\n"},
		{rule: "timeout-long", old: "    audit: required\n", new: "    audit: required\n    timeout: 1h\n"},
		top("staleness-long", "state: {max_staleness: 1h}"),
		endpoint("contract-missing", `POST /v1/things: {scopes: [orders:write]}`),
		endpoint("idempotency-missing", `POST /v1/payments: {scopes: [orders:write], body_schema: order.json}`),
		endpoint("graphql-introspection", `POST /graphql: {scopes: [orders:read], graphql: {introspection: true, scopes: {"Mutation.*": [orders:write]}}}`),
		endpoint("graphql-loose", `POST /graphql: {scopes: [orders:read], graphql: {depth: 100, scopes: {"Mutation.*": [orders:write]}}}`),
		endpoint("graphql-unscoped", `POST /graphql: {scopes: [orders:read], graphql: {}}`),
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

// Each seeded fault is named by its rule.
func TestSeededFaultsAreNamed(t *testing.T) {
	for i, s := range seeds() {
		t.Run(fmt.Sprintf("%s %d", s.rule, i), func(t *testing.T) {
			dir := folder(t)
			text := strings.Replace(clean, s.old, s.new, 1)
			if s.old != "" && text == clean {
				t.Fatalf("the seed changes nothing: %q", s.old)
			}
			put(t, dir, "pavise.yaml", text)
			if s.files != nil {
				s.files(t, dir)
			}
			r := audit(t, dir, text, nil)
			for _, f := range r.Findings {
				if f.Rule == s.rule {
					if f.What == "" || f.Mend == "" || f.Where.File == "" {
						t.Errorf("%+v", f)
					}
					return
				}
			}
			t.Errorf("found %v", rulesIn(r, finding.Info))
		})
	}
	named := map[string]bool{}
	for _, s := range seeds() {
		named[s.rule] = true
	}
	if len(named) < 40 {
		t.Errorf("only %d kinds of faults are seeded", len(named))
	}
}

// What the store holds is looked at, too.
func TestTheStoreIsLookedAt(t *testing.T) {
	const day = 24 * time.Hour
	now := today()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	good := client.Credential{Kind: "api_key", ID: "k1", Client: "shop", Environment: "live", Created: ago(40 * day), Expires: now.Add(200 * day), LastUsed: ago(day), Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	shop := client.Client{ID: "shop", Contact: "shop@acme.org", Scopes: shield.Scopes{"orders:read"}, Created: ago(400 * day)}
	text := strings.Replace(clean, "    endpoints:\n", "    endpoints:\n      GET /v1/keyed: {shield: api_key, scopes: [orders:read]}\n", 1)
	for rule, change := range map[string]func(h *check.Held){
		"":                     func(*check.Held) {},
		"client-without-owner": func(h *check.Held) { h.Clients[0].Contact = "" },
		"client-idle": func(h *check.Held) {
			h.Credentials[0].LastUsed = ago(300 * day)
			h.Credentials[0].Created = ago(300 * day)
		},
		"grant-dead":                  func(h *check.Held) { h.Clients[0].Scopes = shield.Scopes{"orders:read", "orders:drop"} },
		"credential-old":              func(h *check.Held) { h.Credentials[0].Created = ago(500 * day) },
		"credential-endless":          func(h *check.Held) { h.Credentials[0].Expires = time.Time{} },
		"credential-never-used":       func(h *check.Held) { h.Credentials[0].Created, h.Credentials[0].LastUsed = ago(100*day), time.Time{} },
		"credential-idle":             func(h *check.Held) { h.Credentials[0].LastUsed = ago(200 * day) },
		"credential-expiring":         func(h *check.Held) { h.Credentials[0].Expires = now.Add(2 * day) },
		"credential-expired":          func(h *check.Held) { h.Credentials[0].Expires = ago(40 * day) },
		"credential-useless":          func(h *check.Held) { h.Credentials[0].Kind = "hmac" },
		"credential-anywhere":         func(h *check.Held) { h.Credentials[0].Networks = nil },
		"disabled-client-credentials": func(h *check.Held) { h.Clients[0].Disabled = true },
		"rotation-unfinished": func(h *check.Held) {
			next := h.Credentials[0]
			next.ID, next.Created = "k2", ago(35*day)
			h.Credentials[0].ReplacedBy = "k2"
			h.Credentials = append(h.Credentials, next)
		},
		"credentials-many": func(h *check.Held) {
			for i := range 6 {
				next := h.Credentials[0]
				next.ID = fmt.Sprintf("m%d", i)
				h.Credentials = append(h.Credentials, next)
			}
		},
		"test-credential-live": func(h *check.Held) {
			next := h.Credentials[0]
			next.ID, next.Environment = "t1", "test"
			h.Credentials = append(h.Credentials, next)
		},
		"authority-expiring": func(h *check.Held) {
			h.Authority = []check.Authority{{Subject: "root", Role: "root", Active: true, NotBefore: ago(3000 * day), NotAfter: now.Add(20 * day)}}
		},
		"authority-root-online": func(h *check.Held) {
			h.Authority = []check.Authority{{Subject: "root", Role: "root", Active: true, NotBefore: ago(day), NotAfter: now.Add(3000 * day)}}
		},
	} {
		t.Run(rule, func(t *testing.T) {
			h := &check.Held{Clients: []client.Client{shop}, Credentials: []client.Credential{good}}
			change(h)
			r := audit(t, folder(t), text, h)
			found := rulesIn(r, finding.Info)
			if rule == "" {
				if r.At(finding.Low) > 0 {
					t.Errorf("found %v", rulesIn(r, finding.Low))
				}
				return
			}
			if !slices.Contains(found, rule) {
				t.Errorf("found %v", found)
			}
		})
	}
}

func TestFindingsAreWaivedForAReasonAndATime(t *testing.T) {
	const fault = "      GET /v1/users/{id}: {shield: api_key, scopes: [orders:read]}\n"
	broken := strings.Replace(clean, "    endpoints:\n", "    endpoints:\n"+fault, 1)
	for name, c := range map[string]struct {
		waiver string
		waived bool
		also   string
	}{
		"none":       {"", false, ""},
		"everywhere": {`{rule: user-data-behind-key, reason: the users are machines, until: "UNTIL"}`, true, ""},
		"there":      {`{rule: user-data-behind-key, where: apis.orders, reason: the users are machines, until: "UNTIL"}`, true, ""},
		"elsewhere":  {`{rule: user-data-behind-key, where: apis.order, reason: the users are machines, until: "UNTIL"}`, false, "waiver-unused"},
		"over":       {`{rule: user-data-behind-key, reason: the users are machines, until: "2024-02-01"}`, false, "waiver-over"},
	} {
		t.Run(name, func(t *testing.T) {
			text := broken
			if c.waiver != "" {
				text = strings.Replace(text, "log:\n", "waivers:\n  - "+strings.Replace(c.waiver, "UNTIL", today().AddDate(0, 1, 0).Format(time.DateOnly), 1)+"\nlog:\n", 1)
			}
			r := audit(t, folder(t), text, nil)
			waived, also := false, c.also == ""
			for _, f := range r.Findings {
				if f.Rule == "user-data-behind-key" {
					waived = f.Waived != nil && f.Waived.Inside
				}
				also = also || f.Rule == c.also
			}
			if waived != c.waived || !also {
				t.Errorf("waived %t, found %v", waived, rulesIn(r, finding.Info))
			}
		})
	}
}

// Every rule says why, what mends it, and where others demand it; no two have one name.
func TestRulesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range check.Rules() {
		if seen[r.ID] || !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`).MatchString(r.ID) || r.Title == "" || len(r.Why) < 15 || r.Mend == "" || r.OWASP == "" || len(r.ASVS) == 0 || len(r.NIST) == 0 {
			t.Errorf("%+v", r)
		}
		seen[r.ID] = true
	}
	if len(seen) < 90 {
		t.Errorf("only %d rules", len(seen))
	}
}

var update = flag.Bool("update", false, "write the table of rules in docs/guide/check.md anew")

func TestRulesPageTellsOfEveryRule(t *testing.T) {
	const page = "../../docs/guide/check.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "<!-- rules -->\n")
	_, after, ok := strings.Cut(rest, "<!-- end -->")
	if !ok {
		t.Fatal("the page has no place for the rules")
	}
	var b strings.Builder
	b.WriteString(before + "<!-- rules -->\n\n| rule | severity | OWASP | ASVS 5.0 | SP 800-228 | why | what mends it |\n|---|---|---|---|---|---|---|\n")
	for _, r := range check.Rules() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", r.ID, r.Severity, r.Risk(), strings.Join(r.ASVS, ", "), strings.ReplaceAll(strings.Join(r.NIST, ", "), "REC-API-", ""), r.Why, strings.ReplaceAll(r.Mend, "|", `\|`))
	}
	b.WriteString("\n<!-- end -->" + after)
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if b.String() != string(text) {
		t.Errorf("%s is not what the program says; run go test ./internal/check -run TestRulesPage -update", page)
	}
}

// thousand is a configuration with a thousand endpoints.
func thousand() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "      GET /v1/things-%d/{id}: {scopes: [orders:read]}\n", i)
	}
	return strings.Replace(clean, "    endpoints:\n", "    endpoints:\n"+b.String(), 1)
}

func BenchmarkAThousandEndpoints(b *testing.B) {
	dir := folder(b)
	put(b, dir, "pavise.yaml", thousand())
	f, err := config.Load(filepath.Join(dir, "pavise.yaml"), all.Kinds())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := check.Run(check.Subject{File: f, Now: today()}); err != nil {
			b.Fatal(err)
		}
	}
}
