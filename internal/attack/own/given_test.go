package own_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/secret"
)

const ofOthers = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local}}
issuers:
  corp: {url: "https://login.example.com", jwks: keys.json, audience: orders, may_grant: ["orders:*"], claims: {client: client_id}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    injection: on
    limit: 60000/minute per client
    shield: {jwt: {issuer: corp}}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      POST /v1/orders: {scopes: [orders:write]}
scopes: {orders:read: See orders, orders:write: Place orders}
`

// issuer signs for corp.
type issuer struct{ key *ecdsa.PrivateKey }

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key}
}

func encoded(bytes []byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }

// keys is the JWK Set (RFC 7517).
func (s *issuer) keys(t *testing.T) string {
	t.Helper()
	point, err := s.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig", "x": encoded(point[1:33]), "y": encoded(point[33:]),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *issuer) token(t *testing.T, client string) string {
	t.Helper()
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": "https://login.example.com", "aud": "orders", "sub": client, "client_id": client, "scope": "orders:read orders:write",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	input := encoded([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"k1"}`)) + "." + encoded(claims)
	sum := sha256.Sum256([]byte(input))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	a.FillBytes(signature[:32])
	b.FillBytes(signature[32:])
	return input + "." + encoded(signature)
}

func held(outcomes map[string]attack.Outcome) (n int) {
	for _, outcome := range outcomes {
		if outcome == attack.Held {
			n++
		}
	}
	return n
}

// TestATokenOfAnotherIssuerIsTheGoodProof: with one that somebody gave, the cases at its endpoints come to a
// verdict; it stands in no report and no journal.
func TestATokenOfAnotherIssuerIsTheGoodProof(t *testing.T) {
	corp := newIssuer(t)
	i := install(t, ofOthers, map[string]string{"keys.json": corp.keys(t)})
	without, before := i.attack(t, "pavise.yaml", 0, nil)
	const good = "unexpected-error GET /v1/orders/{id}, jwt of corp: a good request"
	if before[good] != attack.Unsure || !slices.ContainsFunc(without.Notes, func(n string) bool { return strings.Contains(n, "--token corp=FILE") }) {
		t.Errorf("without a token: %s, %q", before[good], without.Notes)
	}
	if asked := i.asked(); len(asked) > 0 {
		t.Errorf("the service was asked %q", asked)
	}
	token := corp.token(t, "partner")
	give := func(allowed attack.Demand) func(*own.Gateway) {
		return func(g *own.Gateway) {
			g.Allowed, g.Tokens = allowed, map[string][]secret.Value{"corp": {secret.New([]byte(token))}}
		}
	}
	report, after := i.attack(t, "pavise.yaml", 0, give(0))
	if after[good] != attack.Held || len(report.Findings) > 0 || held(after) < held(before)+10 {
		show(t, report)
		t.Errorf("with a token: %s, %d cases held, and %d without", after[good], held(after), held(before))
	}
	if said := "of limits that all callers share (orders-client) the test uses a tenth"; strings.Contains(strings.Join(without.Notes, " "), said) || !strings.Contains(strings.Join(report.Notes, " "), said) {
		t.Errorf("a caller whose token was given is not spared: %q", report.Notes)
	}
	if asked := i.asked(); len(asked) == 0 || slices.ContainsFunc(asked, func(r string) bool { return !strings.HasPrefix(r, "GET ") }) {
		t.Errorf("the service was asked %q", asked)
	}
	const write = "unexpected-error POST /v1/orders, jwt of corp: a good request"
	if after[write] != attack.Unsure {
		t.Errorf("a good request that writes: %s", after[write])
	}
	if _, writes := i.attack(t, "pavise.yaml", attack.Writes, give(attack.Writes)); writes[write] != attack.Held {
		t.Errorf("a good request that may write: %s", writes[write])
	}
}

// TestAGivenTokenIsShownNowhere: not by a gateway that lets everything pass, which is where it is in most findings.
func TestAGivenTokenIsShownNowhere(t *testing.T) {
	corp := newIssuer(t)
	i := install(t, ofOthers, map[string]string{"keys.json": corp.keys(t)})
	i.write(t, "policy.yaml", i.read(t, "pavise.yaml"))
	i.write(t, "pavise.yaml", strings.NewReplacer("{jwt: {issuer: corp}}", "{public: somebody was careless}", "{scopes: [orders:read]}", "{}", "{scopes: [orders:write]}", "{}").Replace(i.read(t, "policy.yaml")))
	if err := i.running.App().Reload(i.load(t, "pavise.yaml")); err != nil {
		t.Fatal(err)
	}
	token := corp.token(t, "partner")
	f := i.load(t, "policy.yaml")
	run, err := own.Open(t.Context(), own.Gateway{
		File: f, Kinds: app.Kinds(), Admin: i.admin, Roots: localCA(t, f), PerSecond: 5000, Tokens: map[string][]secret.Value{"corp": {secret.New([]byte(token))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "journal")
	journal, err := attack.OpenJournal(name, "https://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	report, err := attack.Run(t.Context(), run.Prober(), run.Plan(), attack.Options{Journal: journal})
	for _, fault := range []error{err, journal.Close(), run.Close(t.Context())} {
		if fault != nil {
			t.Fatal(fault)
		}
	}
	run.Complete(report)
	if len(report.Findings) < 10 {
		show(t, report)
		t.Errorf("%d findings", len(report.Findings))
	}
	kept, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"the journal": string(kept)}
	for _, form := range finding.Forms() {
		var text bytes.Buffer
		if err := finding.Write(&text, form, finding.Style{All: true}, report); err != nil {
			t.Fatal(err)
		}
		texts[form] = text.String()
	}
	parts := strings.Split(token, ".")
	for where, text := range texts {
		for what, part := range map[string]string{"the token": token, "its claims": parts[1], "its signature": parts[2]} {
			if strings.Contains(text, part) {
				t.Errorf("%s has %s", where, what)
			}
		}
	}
}
