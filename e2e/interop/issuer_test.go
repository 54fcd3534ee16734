package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const issuerYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
fetch: {allow: [127.0.0.1]}
issuers:
  corp: {url: "{{issuer}}", audience: orders, may_grant: ["orders:*"], ca: peer-ca.pem, cool_down: 30s, keys_max_age: 1h, introspection: {client_id: gateway, client_secret_file: gateway.secret}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    endpoints:
      GET /v1/orders/{id}: {shield: {jwt: {issuer: corp}}, scopes: [orders:read]}
      GET /v1/admin: {shield: {jwt: {issuer: corp}}, scopes: [admin]}
      GET /v1/asked/{id}: {shield: {introspect: corp}, scopes: [orders:read]}
      GET /v1/either/{id}: {shield: {any: [{jwt: corp}, {introspect: corp}]}, scopes: [orders:read]}
      GET /v1/both/{id}: {shield: {all: [{jwt: corp}, {introspect: {issuer: corp, jwt: true, remember: 0s}}]}, scopes: [orders:read]}
scopes: {orders:read: See orders, admin: Everything}
`

// provider is oidc-provider, and a gateway that trusts it.
type provider struct {
	*peer
	url    string
	client *http.Client
	secret string
	g      *harness.Gateway
}

func provided(t *testing.T) *provider {
	t.Helper()
	ca, cert, key := identify(t)
	p := &provider{secret: "a-secret-of-the-client-of-the-issuer"}
	var port string
	p.peer, port = ready(t, []string{"CLIENT_SECRET=" + p.secret, "GATEWAY_SECRET=" + gatewaySecret}, "node", "issuer.mjs", cert, key)
	p.url = "https://127.0.0.1:" + port
	p.client = trusting(t, ca.Pool())
	p.g = harness.Start(t, harness.Config{
		YAML: strings.ReplaceAll(issuerYAML, "{{issuer}}", p.url), Files: map[string]string{"peer-ca.pem": string(ca.PEM()), "gateway.secret": gatewaySecret + "\n"},
	})
	p.g.Plant(gatewaySecret)
	return p
}

const gatewaySecret = "a secret of the gateway: 100% odd+strange/"

// token asks the issuer for a token as its client does, and plants it.
func (p *provider) token(resource, scope string) shield.Credential {
	p.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {scope}}
	var answer struct {
		Token string `json:"access_token"`
	}
	text := p.post("/token", form)
	if err := json.Unmarshal(text, &answer); err != nil || answer.Token == "" {
		p.t.Fatalf("the issuer answers %s (%v)", text, err)
	}
	p.g.Plant(answer.Token)
	return shield.Credential{Kind: "jwt", Secret: answer.Token}
}

// post sends a form to the issuer as its client does.
func (p *provider) post(path string, form url.Values) []byte {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), "POST", p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", p.secret)
	response, err := p.client.Do(r)
	if err != nil {
		p.t.Fatalf("ask the issuer: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatalf("the issuer answers %d: %s (%v)", response.StatusCode, text, err)
	}
	return text
}

func (p *provider) send(token shield.Credential) harness.Answer {
	p.t.Helper()
	return p.g.Send(token, "GET", "/v1/orders/7", "")
}

func (p *provider) fetches() int {
	p.t.Helper()
	p.write("fetches\n")
	n, err := strconv.Atoi(p.until("fetches "))
	if err != nil {
		p.t.Fatalf("count fetches: %v", err)
	}
	return n
}

// change tells the issuer to rotate or to withdraw keys.
func (p *provider) change(what string) {
	p.t.Helper()
	p.write(what + "\n")
	p.until("done ")
}

func TestTokensOfAnIssuerThatNobodyHereWrote(t *testing.T) {
	attacktest.Rows(t, 36)
	p := provided(t)
	for _, alg := range []string{"RS256", "ES256"} {
		token := p.token("urn:orders:"+alg, "orders:read")
		if e := p.g.Accepted(p.send(token)); e.Client != "corp/web" || e.Shield != "jwt" {
			t.Errorf("%s: the event tells of client %q by %q", alg, e.Client, e.Shield)
		}
		p.g.Refused(p.g.Send(token, "GET", "/v1/admin", ""), 403, shield.InsufficientScope)
		forged := token
		forged.Secret = token.Secret[:len(token.Secret)-8] + "AAAAAAAA"
		p.g.Refused(p.send(forged), 401, shield.InvalidCredential)
	}
	p.g.Refused(p.send(p.token("urn:orders:RS256", "orders:write")), 403, shield.InsufficientScope)
	e := p.g.Refused(p.send(p.token("urn:orders:id", "orders:read")), 401, shield.InvalidCredential)
	if !strings.Contains(e.Detail, "typ") {
		t.Errorf("the token with an ID token's typ was refused for another reason: %s", e.Detail)
	}
	p.g.Refused(p.g.Send(shield.Credential{}, "GET", "/v1/orders/7", ""), 401, shield.MissingCredential)
	if n := p.fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

func TestIssuerThatNobodyHereWroteIsAskedAboutOpaqueTokens(t *testing.T) {
	attacktest.Rows(t, 36, 162)
	p := provided(t)
	opaque, jwt := p.token("urn:orders:opaque", "orders:read"), p.token("urn:orders:ES256", "orders:read")
	if strings.Contains(opaque.Secret, ".") {
		t.Fatal("the issuer's token is a JWT")
	}
	for _, path := range []string{"/v1/asked/7", "/v1/either/7"} {
		if e := p.g.Accepted(p.g.Send(opaque, "GET", path, "")); e.Client != "corp/web" || e.Shield != "introspect" {
			t.Errorf("%s: the event tells of client %q by %q", path, e.Client, e.Shield)
		}
	}
	p.g.Accepted(p.g.Send(jwt, "GET", "/v1/either/7", ""))
	p.g.Refused(p.g.Send(jwt, "GET", "/v1/asked/7", ""), 401, shield.InvalidCredential)
	p.g.Refused(p.g.Send(opaque, "GET", "/v1/orders/7", ""), 401, shield.InvalidCredential)
	p.g.Refused(p.g.Send(p.token("urn:orders:opaque", "orders:write"), "GET", "/v1/asked/7", ""), 403, shield.InsufficientScope)
	forged := opaque
	forged.Secret = opaque.Secret[:len(opaque.Secret)-4] + "AAAA"
	p.g.Refused(p.g.Send(forged, "GET", "/v1/asked/7", ""), 401, shield.InvalidCredential)

	p.g.Accepted(p.g.Send(opaque, "GET", "/v1/asked/7", ""))
	p.post("/token/revocation", url.Values{"token": {opaque.Secret}})
	p.g.Advance(11 * time.Second) // past what is remembered
	p.g.Refused(p.g.Send(opaque, "GET", "/v1/asked/7", ""), 401, shield.InvalidCredential)

	p.stop()
	p.g.Refused(p.g.Send(opaque, "GET", "/v1/asked/8", ""), 401, shield.InvalidCredential) // as it was said
	p.g.Advance(11 * time.Second)
	p.g.Refused(p.g.Send(opaque, "GET", "/v1/asked/7", ""), 503, shield.Undecided)
}

func TestIssuerThatNobodyHereWroteRotatesItsKeys(t *testing.T) {
	attacktest.Rows(t, 41)
	p := provided(t)
	before := p.token("urn:orders:RS256", "orders:read")
	p.g.Accepted(p.send(before))

	p.change("rotate")
	p.g.Advance(31 * time.Second) // past the cool-down
	known := p.fetches()
	for _, alg := range []string{"RS256", "ES256", "RS256"} {
		p.g.Accepted(p.send(p.token("urn:orders:"+alg, "orders:read")))
	}
	if n := p.fetches() - known; n != 1 {
		t.Errorf("the new keys were fetched %d times, want once", n)
	}
	p.g.Accepted(p.send(before)) // its key is still in the set

	p.change("rotate")
	fresh := p.token("urn:orders:ES256", "orders:read")
	p.g.Refused(p.send(fresh), 401, shield.InvalidCredential) // in the cool-down nobody asks
	if n := p.fetches() - known; n != 1 {
		t.Errorf("in the cool-down the keys were fetched %d times more", n-1)
	}
	p.change("withdraw")
	p.g.Advance(31 * time.Second)
	p.g.Accepted(p.send(fresh))
	p.g.Refused(p.send(before), 401, shield.InvalidCredential) // its key was withdrawn
	if n := p.fetches() - known; n != 2 {
		t.Errorf("the keys were fetched %d times, want twice", n)
	}
}

func TestIssuerThatNobodyHereWroteIsDown(t *testing.T) {
	attacktest.Rows(t, 42)
	p := provided(t)
	token := p.token("urn:orders:ES256", "orders:read")
	p.g.Accepted(p.send(token))
	p.stop()
	p.g.Advance(59 * time.Minute)
	p.g.Accepted(p.send(token)) // kept keys serve
	p.g.Advance(2 * time.Minute)
	p.g.Refused(p.send(token), 503, shield.Undecided)
	if len(p.g.Events(audit.Query{Code: "issuer_warning"})) == 0 {
		t.Error("no event tells that the issuer is away")
	}
	if n := len(p.g.Upstream.Requests()); n != 2 {
		t.Errorf("%d requests reached the upstream, want 2", n)
	}
}
