package oauth

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const (
	pageHost    = "page.example"
	pageAddress = "https://" + pageHost + "/sign-in"
	pageYAML    = `
listen: {https: "%[1]s"}
hosts: {127.0.0.1: {certificate: local}}
oauth: {issuer: "https://%[1]s", sign_in: {url: "` + pageAddress + `", keys: page.pem, accounts: create, theme: theme}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See your orders}
`
)

// page is a sign-in page of the operator's own: what a day's work by its specification is.
type page struct {
	*world
	key ed25519.PrivateKey
}

func startPage(t *testing.T) *page {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	address := harness.Free(t)
	p := &page{&world{t: t}, key}
	p.Issuer = harness.StartIssuer(t, address, harness.Config{
		YAML:    fmt.Sprintf(pageYAML, address),
		Clients: []client.Client{{ID: "web", Scopes: shield.Scopes{"orders:read"}}},
		Files: map[string]string{
			"page.pem":        string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
			"theme/theme.css": ":root { --accent: #7a1f5c; }",
		},
	})
	p.Register("web", map[string]string{"redirects": person.Back, "name": "Web Shop"})
	return p
}

// asked begins an authorization and returns what the page is asked.
func (p *page) asked(who *person.Person) map[string]any {
	p.t.Helper()
	follow := who.HTTP.CheckRedirect
	who.HTTP.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host == pageHost {
			return http.ErrUseLastResponse
		}
		return follow(r, via)
	}
	if err := who.Open(p.URL + "/authorize?" + person.Asking("web", "openid profile orders:read").Encode()); err != nil {
		p.t.Fatal(err)
	}
	sent, err := url.Parse(who.Header.Get("Location"))
	if err != nil || sent.Host != pageHost || who.Status != http.StatusSeeOther {
		p.t.Fatalf("%d to %v: %v", who.Status, sent, err)
	}
	token, err := jose.ParseSignedCompact(sent.Query().Get("request"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		p.t.Fatal(err)
	}
	var keys jose.JSONWebKeySet
	published, err := json.Marshal(p.document("/jwks"))
	if err == nil {
		err = json.Unmarshal(published, &keys)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := token.Verify(keys.Key(token.Signatures[0].Header.KeyID)[0].Key)
	if err != nil || token.Signatures[0].Header.ExtraHeaders[jose.HeaderType] != "pavise-sign-in-request+jwt" {
		p.t.Fatalf("the request's signature: %v", err)
	}
	request := map[string]any{}
	decode(p.t, text, &request)
	if request["iss"] != p.URL || request["aud"] != pageAddress || request["client_name"] != "Web Shop" {
		p.t.Errorf("the page is asked %v", request)
	}
	return request
}

// answer sends the person back with an answer of the page's.
func (p *page) answer(who *person.Person, request map[string]any, change func(map[string]any)) {
	p.t.Helper()
	now := p.Clock.Now().Unix()
	claims := map[string]any{
		"iss": pageAddress, "aud": p.URL, "jti": fmt.Sprint("answer-", time.Now().UnixNano()), "request": request["jti"],
		"iat": now, "exp": now + 60, "sub": "person-7", "name": "Ann of the page",
	}
	change(claims)
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: p.key}, (&jose.SignerOptions{}).WithType("pavise-sign-in-answer+jwt"))
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	back, _ := request["return_to"].(string)
	if err := who.Open(back + "?" + url.Values{"answer": {token}}.Encode()); err != nil {
		p.t.Fatal(err)
	}
}

func TestPeopleSignInAtThePageOfTheOperator(t *testing.T) {
	attacktest.Rows(t, 62)
	p := startPage(t)
	who := person.New(p.Client().Transport)
	p.answer(who, p.asked(who), func(map[string]any) {})
	if !strings.Contains(who.Page, "See your orders") || !strings.Contains(who.Page, "Ann of the page") {
		t.Fatalf("no consent is asked: %d %s", who.Status, who.Page)
	}
	if err := who.Allow(); err != nil {
		t.Fatal(err)
	}
	tokens := p.tokens("web", person.Redeeming(who.Sent.Get("code")))
	if got := p.Call("/v1/orders/7", tokens["access_token"]); got != http.StatusOK {
		t.Errorf("the application's call: %d", got)
	}
	for what, change := range map[string]func(map[string]any){
		"another issuer":         func(c map[string]any) { c["iss"] = "https://evil.example" },
		"for somebody else":      func(c map[string]any) { c["aud"] = "https://evil.example" },
		"to another request":     func(c map[string]any) { c["request"] = "x" },
		"about nobody":           func(c map[string]any) { delete(c, "sub") },
		"of an hour ago":         func(c map[string]any) { c["iat"], c["exp"] = p.Clock.Now().Unix()-3600, p.Clock.Now().Unix()-3540 },
		"that is good for hours": func(c map[string]any) { c["exp"] = p.Clock.Now().Unix() + 7200 },
	} {
		who := person.New(p.Client().Transport)
		p.answer(who, p.asked(who), change)
		if who.Sent != nil || strings.Contains(who.Page, "See your orders") || who.Status < 400 || who.Status >= 500 {
			t.Errorf("an answer %s: %d %s", what, who.Status, who.Page)
		}
	}
	mine, victim := person.New(p.Client().Transport), person.New(p.Client().Transport)
	p.asked(victim)
	p.answer(victim, p.asked(mine), func(map[string]any) {})
	if victim.Sent != nil || strings.Contains(victim.Page, "See your orders") {
		t.Errorf("an answer to a request of another browser: %d %s", victim.Status, victim.Page)
	}
	rejected := 0
	for _, e := range p.Events(audit.Query{Class: audit.Grant}) {
		if strings.HasSuffix(e.Action, "hand_over_rejected") {
			rejected++
		}
	}
	if rejected < 6 {
		t.Errorf("%d events tell of rejected answers", rejected)
	}
}

// What the operator's theme says is what people see.
func TestThemeChangesThePages(t *testing.T) {
	p := startPage(t)
	who := person.New(p.Client().Transport)
	p.answer(who, p.asked(who), func(map[string]any) {})
	_, after, found := strings.Cut(who.Page, `rel="stylesheet" href="`)
	sheet, _, _ := strings.Cut(after, `"`)
	if !found {
		t.Fatalf("no style sheet: %s", who.Page)
	}
	if err := who.Open(p.URL + sheet); err != nil || !strings.Contains(who.Page, "#7a1f5c") {
		t.Errorf("%s: %d %v", sheet, who.Status, err)
	}
	p.WriteFile("theme/unknown.html", "{{")
	if err := p.Reload(); err == nil || !strings.Contains(err.Error(), "unknown.html") {
		t.Errorf("a file that no page reads: %v", err)
	}
	if err := who.Open(p.URL + "/account"); err != nil || who.Status != http.StatusOK {
		t.Errorf("after a reload that was refused: %d %v", who.Status, err)
	}
}
