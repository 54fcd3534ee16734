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

// A configuration that asks for the own authority is not served before there is one: `pavise check`
// called it valid and said nothing.
func TestAnAuthorityThatIsAskedForHasToBeThere(t *testing.T) {
	made := []check.Authority{{Subject: "root", Role: "root", Active: true, NotBefore: today(), NotAfter: today().AddDate(9, 0, 0)}}
	asks := "    endpoints:\n      GET /v1/machines: {shield: mtls, scopes: [orders:read]}\n"
	shows := "{url: https://orders.internal:8443, client_certificate: own, ca: ca.pem}"
	for name, c := range map[string]struct {
		old, new string
		made     []check.Authority
		found    bool
	}{
		"a shield trusts it":             {"    endpoints:\n", asks, nil, true},
		"a shield trusts it, and it is":  {"    endpoints:\n", asks, made, false},
		"an upstream is shown it":        {"{url: https://orders.internal:8443, ca: ca.pem}", shows, nil, true},
		"an upstream is shown it, it is": {"{url: https://orders.internal:8443, ca: ca.pem}", shows, made, false},
		"a host shows it":                {"certificate: {cert: chain.pem, key: key.pem}", "certificate: own", nil, true},
		"another authority is trusted":   {"    endpoints:\n", strings.Replace(asks, "shield: mtls", "shield: {mtls: {trust: ca.pem}}", 1), nil, false},
		"nothing has to do with it":      {"", "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(clean, c.old, c.new, 1)
			if c.old != "" && text == clean {
				t.Fatalf("the configuration has no %q", c.old)
			}
			found := rulesIn(audit(t, folder(t), text, &check.Held{Authority: c.made}), finding.High)
			if slices.Contains(found, "authority-missing") != c.found {
				t.Errorf("found %v", found)
			}
		})
	}
}

// What the store holds is looked at, too.
func TestTheStoreIsLookedAt(t *testing.T) {
	const day = 24 * time.Hour
	now := today()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	good := client.Credential{Kind: "api_key", ID: "k1", Client: "shop", Environment: "live", Created: ago(40 * day), Expires: now.Add(200 * day), LastUsed: ago(day), Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	shop := client.Client{ID: "shop", Contact: "shop@acme.org", Scopes: shield.Scopes{"orders:read", "reports:read"}, Created: ago(400 * day)}
	text := strings.Replace(clean, "    endpoints:\n", "    endpoints:\n      GET /v1/keyed: {shield: api_key, scopes: [orders:read]}\n", 1)
	for i := range 6 { // so many are not soon all needed
		text = strings.Replace(text, "\nscopes:\n", fmt.Sprintf("\nscopes:\n  more:%d: More\n", i), 1)
		text = strings.Replace(text, "    endpoints:\n", fmt.Sprintf("    endpoints:\n      GET /v1/more-%d: {shield: {jwt: {dpop: require}}, scopes: [more:%d]}\n", i, i), 1)
	}
	silent := rulesIn(audit(t, folder(t), text, &check.Held{Clients: []client.Client{shop}, Credentials: []client.Credential{good}}), finding.Info)
	for rule, change := range map[string]func(h *check.Held){
		"":                     func(*check.Held) {},
		"client-without-owner": func(h *check.Held) { h.Clients[0].Contact = "" },
		"client-all-scopes": func(h *check.Held) {
			h.Clients[0].Scopes = append(shield.Scopes{"orders:write"}, h.Clients[0].Scopes...)
			for i := range 6 {
				h.Clients[0].Scopes = append(h.Clients[0].Scopes, fmt.Sprintf("more:%d", i))
			}
		},
		"scope-unheld": func(h *check.Held) { h.Clients[0].Scopes = shield.Scopes{"orders:read"} },
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
			if !slices.Contains(found, rule) || slices.Contains(silent, rule) {
				t.Errorf("found %v, and without the fault %v", found, silent)
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
