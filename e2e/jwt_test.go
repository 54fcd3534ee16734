package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/shield"
)

const jwtYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
fetch: {allow: [127.0.0.1]}
issuers:
  corp: {url: "{{issuer}}", may_grant: ["orders:*"], ca: issuer-ca.pem, cool_down: 30s}
  other: {url: "{{other}}", may_grant: ["orders:*"], ca: other-ca.pem, cool_down: 30s}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {jwt: {issuer: corp}}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      GET /v1/admin: {scopes: [admin]}
      GET /v1/both: {shield: {any: [{jwt: {issuer: corp}}, api_key]}, scopes: [orders:read]}
scopes: {orders:read: See orders, admin: Everything}
`

// tokens starts a gateway before a test issuer.
func tokens(t *testing.T) (*harness.Gateway, *issuertest.Issuer, *issuertest.Issuer) {
	t.Helper()
	corp, other := issuertest.Start(t), issuertest.Start(t)
	yaml := strings.NewReplacer("{{issuer}}", corp.URL, "{{other}}", other.URL).Replace(jwtYAML)
	g := harness.Start(t, harness.Config{YAML: yaml, Files: map[string]string{"issuer-ca.pem": string(corp.CA()), "other-ca.pem": string(other.CA())}})
	return g, corp, other
}

func bearer(g *harness.Gateway, token string) shield.Credential {
	g.Plant(token)
	return shield.Credential{Kind: "jwt", Secret: token}
}

func TestTokenAttacksOverASocket(t *testing.T) {
	attacktest.Rows(t, 21, 22, 24, 25, 26, 28, 29, 37, 38, 39, 45, 46, 47)
	g, corp, _ := tokens(t)
	good := bearer(g, corp.Token(map[string]any{"scope": "orders:read"}))
	g.Accepted(g.Send(good, "GET", "/v1/orders/7", ""))
	fetched := corp.Fetches()
	tryAttacks(t, g, good, "GET", "/v1/orders/7", "", nil)
	if corp.Fetches() > fetched+1 {
		t.Errorf("the keys were fetched %d times more", corp.Fetches()-fetched)
	}
	if n := len(g.Upstream.Requests()); n != 1 {
		t.Errorf("%d requests reached the upstream, want only the good one", n)
	}
	lower := g.Request("GET", "/v1/orders/7", "")
	lower.Header.Set("Authorization", "bearer "+good.Secret)
	g.Accepted(g.Do(lower))
}

func TestTokensThatTheIssuerSignedAndTheEndpointRefuses(t *testing.T) {
	attacktest.Rows(t, 23, 27, 30, 31, 32, 33, 34, 35, 36, 44, 161, 163)
	g, corp, other := tokens(t)
	now := time.Now()
	tests := []struct {
		name   string
		token  string
		status int
		code   shield.Code
	}{
		{"expired beyond the skew", corp.Token(map[string]any{"exp": now.Add(-time.Minute).Unix(), "iat": now.Add(-10 * time.Minute).Unix()}), 401, shield.ExpiredCredential},
		{"no exp", corp.Token(map[string]any{"exp": nil}), 401, shield.InvalidCredential},
		{"exp as text", corp.Token(map[string]any{"exp": fmt.Sprint(now.Add(time.Hour).Unix())}), 401, shield.InvalidCredential},
		{"exp of 1e30", corp.Token(map[string]any{"exp": 1e30}), 401, shield.InvalidCredential},
		{"exp negative", corp.Token(map[string]any{"exp": -1}), 401, shield.InvalidCredential},
		{"not yet valid", corp.Token(map[string]any{"nbf": now.Add(time.Hour).Unix()}), 401, shield.ExpiredCredential},
		{"issued in the future", corp.Token(map[string]any{"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()}), 401, shield.ExpiredCredential},
		{"another audience", corp.Token(map[string]any{"aud": "orders.evil"}), 401, shield.InvalidCredential},
		{"no audience", corp.Token(map[string]any{"aud": nil}), 401, shield.InvalidCredential},
		{"another issuer's token", other.Token(map[string]any{"scope": "orders:read"}), 401, shield.InvalidCredential},
		{"our issuer's name under another's key", other.Token(map[string]any{"iss": corp.URL}), 401, shield.InvalidCredential},
		{"the issuer with a slash", corp.Token(map[string]any{"iss": corp.URL + "/"}), 401, shield.InvalidCredential},
		{"an ID token", corp.Sign(map[string]any{"typ": "JWT"}, corp.Claims(map[string]any{"nonce": "n"})), 401, shield.InvalidCredential},
		{"a logout token", corp.Sign(map[string]any{"typ": "logout+jwt"}, corp.Claims(nil)), 401, shield.InvalidCredential},
		{"an identity token of ours", corp.Sign(map[string]any{"typ": "pavise-identity+jwt"}, corp.Claims(nil)), 401, shield.InvalidCredential},
		{"an unknown kid", corp.Sign(map[string]any{"kid": "../../dev/null"}, corp.Claims(nil)), 401, shield.InvalidCredential},
		{"ES384 with a P-256 key", corp.Sign(map[string]any{"alg": "ES384"}, corp.Claims(nil)), 401, shield.InvalidCredential},
		{"PS256 with a P-256 key", corp.Sign(map[string]any{"alg": "PS256"}, corp.Claims(nil)), 401, shield.InvalidCredential},
		{"a scope that only begins like the one", corp.Token(map[string]any{"scope": "orders:rea orders:readall"}), 403, shield.InsufficientScope},
		{"scopes as a list inside a text", corp.Token(map[string]any{"scope": "orders:read:all"}), 403, shield.InsufficientScope},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g.T = t
			answer := g.Send(bearer(g, test.token), "GET", "/v1/orders/7", "")
			g.Refused(answer, test.status, test.code)
			if challenge := answer.Header.Get("Www-Authenticate"); !strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("challenge %q", challenge)
			}
		})
	}
	g.T = t
	beyond := corp.Token(map[string]any{"scope": "orders:read admin"})
	g.Accepted(g.Send(bearer(g, beyond), "GET", "/v1/orders/7", ""))
	g.Refused(g.Send(bearer(g, beyond), "GET", "/v1/admin", ""), 403, shield.InsufficientScope)
	if n := len(g.Upstream.Requests()); n != 1 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

func TestIssuersKeysRotateAndFail(t *testing.T) {
	attacktest.Rows(t, 41, 42)
	g, corp, _ := tokens(t)
	claims := map[string]any{"scope": "orders:read"}
	g.Accepted(g.Send(bearer(g, corp.Token(claims)), "GET", "/v1/orders/7", ""))
	corp.Rotate()
	g.Advance(31 * time.Second) // past the cool-down
	g.Accepted(g.Send(bearer(g, corp.Token(claims)), "GET", "/v1/orders/7", ""))

	before := corp.Fetches()
	for i := range 200 {
		token := corp.Sign(map[string]any{"kid": fmt.Sprint("made-up-", i)}, corp.Claims(claims))
		if a := g.Send(bearer(g, token), "GET", "/v1/orders/7", ""); a.Status < 400 {
			t.Fatalf("an unknown kid was accepted: %d", a.Status)
		}
	}
	if fetched := corp.Fetches() - before; fetched > 2 {
		t.Errorf("200 unknown kids caused %d fetches", fetched)
	}
	good := corp.Token(claims)
	for name, answer := range map[string]http.HandlerFunc{
		"HTML": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sorry</html>")) },
		"a flood": func(w http.ResponseWriter, _ *http.Request) {
			for range 1024 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		},
	} {
		corp.Answer(answer)
		g.Advance(31 * time.Second)
		if a := g.Send(bearer(g, good), "GET", "/v1/orders/7", ""); a.Status != 200 {
			t.Errorf("with %s for keys: %d, want the kept keys to serve", name, a.Status)
		}
	}
}

func TestRevokedTokensAreRefused(t *testing.T) {
	attacktest.Rows(t, 43, 162)
	g, corp, _ := tokens(t)
	token := bearer(g, corp.Token(map[string]any{"scope": "orders:read", "jti": "one"}))
	g.Accepted(g.Send(token, "GET", "/v1/orders/7", ""))
	if _, err := g.App.State.Registry.RevokeTokens(t.Context(), client.Revocation{Issuer: corp.URL, TokenID: "one"}); err != nil {
		t.Fatal(err)
	}
	g.Advance(0)
	g.Refused(g.Send(token, "GET", "/v1/orders/7", ""), 401, shield.RevokedCredential)
}

func TestUnverifiedCredentialBesideAGoodOneNeverReachesTheUpstream(t *testing.T) {
	attacktest.Rows(t, 157)
	g, corp, other := tokens(t)
	key := g.Issue("api_key", "shop", "orders:read")
	foreign := other.Token(map[string]any{"scope": "orders:read"})
	r := g.Request("GET", "/v1/both", "")
	r.Header.Set("Authorization", "Bearer "+foreign)
	r.Header.Set("X-API-Key", key.Secret)
	g.Plant(foreign)
	g.Accepted(g.Do(r))
	if g.Upstream.Saw(foreign) || g.Upstream.Saw(key.Secret) {
		t.Error("the upstream saw a credential")
	}
	forged := corp.Token(map[string]any{"scope": "orders:read"})
	forged = forged[:len(forged)-6] + "AAAAAA"
	r = g.Request("GET", "/v1/both", "")
	r.Header.Set("Authorization", "Bearer "+forged)
	r.Header.Set("X-API-Key", key.Secret)
	if a := g.Do(r); a.Status < 400 {
		t.Errorf("a forged token of ours beside a good key: %d", a.Status)
	}
	if n := len(g.Events(audit.Query{Decision: audit.Accepted})); n != 1 {
		t.Errorf("%d accepted events", n)
	}
}
