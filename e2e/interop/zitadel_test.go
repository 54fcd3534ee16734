package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const zitadelYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
fetch: {allow: ["%[1]s"]}
issuers:
  zitadel:
    url: "%[1]s/"
    audience: web
    may_grant: [custom_scope]
    types: [at+jwt, JWT]
    introspection: {client_id: web, client_secret_file: zitadel.secret}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    scopes: [custom_scope]
    endpoints:
      GET /v1/strict/{id}: {shield: {introspect: zitadel}}
      GET /v1/orders/{id}: {shield: {introspect: {issuer: zitadel, insecure_without_audience: it answers clients only about tokens for them}}}
      GET /v1/jwt/{id}: {shield: {jwt: zitadel}}
scopes: {custom_scope: Everything}
`

// zitadel is the example provider of zitadel/oidc: an issuer that nobody here wrote. Its
// access tokens are opaque.
type zitadel struct {
	*peer
	url string
	g   *harness.Gateway
}

const zitadelBack = "http://localhost:9/cb" // nobody is there: the browser stops before it

func startZitadel(t *testing.T) *zitadel {
	t.Helper()
	z := &zitadel{peer: &peer{t: t}}
	z.start(zitadelBack)
	z.g = harness.Start(t, harness.Config{YAML: fmt.Sprintf(zitadelYAML, z.url), Files: map[string]string{"zitadel.secret": "secret"}})
	return z
}

// start runs the provider, whose client web may be sent back to an address.
func (z *zitadel) start(back string) {
	z.t.Helper()
	t := z.t
	program := filepath.Join(t.TempDir(), "zitadel")
	build, err := command(t.Context(), nil, "go", "-C", "../..", "build", "-modfile=tools/go.mod", "-o", program, "github.com/zitadel/oidc/v3/example/server")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := build.CombinedOutput(); err != nil { // the first time takes longer than patience
		t.Fatalf("build the provider: %v\n%s", err, out)
	}
	address := free(t, 1)[0]
	port := address[strings.LastIndexByte(address, ':')+1:]
	z.url = "http://localhost:" + port
	z.peer = beside(t, []string{"PORT=" + port, "REDIRECT_URI=" + back}, program)
	z.until("time=") // it says so just before it listens
	z.answers()
}

// answers waits until the provider can be asked.
func (z *zitadel) answers() {
	z.t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for until := time.Now().Add(patience); time.Now().Before(until); <-again.C {
		answer, err := http.Get(z.url + "/.well-known/openid-configuration")
		if err == nil {
			_ = answer.Body.Close()
			return
		}
	}
	z.t.Fatal("the provider does not answer")
}

var requestID = regexp.MustCompile(`name="id" value="([^"]*)"`)

// tokens signs its test user in, as the client web.
func (z *zitadel) tokens() map[string]string {
	z.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		z.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), zitadelBack) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	query := url.Values{"client_id": {"web"}, "redirect_uri": {zitadelBack}, "response_type": {"code"}, "scope": {"openid custom_scope"}, "state": {"s"}}
	page := z.read(browser.Get(z.url + "/auth?" + query.Encode()))
	found := requestID.FindStringSubmatch(page)
	if found == nil {
		z.t.Fatalf("the provider shows no form: %s", page)
	}
	form := url.Values{"id": {found[1]}, "username": {"test-user@localhost"}, "password": {"verysecure"}}
	answer, err := browser.PostForm(z.url+"/login/username", form)
	if err != nil {
		z.t.Fatal(err)
	}
	_ = answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		z.t.Fatalf("the provider sends nobody back: %d", answer.StatusCode)
	}
	r, err := http.NewRequestWithContext(z.t.Context(), http.MethodPost, z.url+"/oauth/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {zitadelBack},
	}.Encode()))
	if err != nil {
		z.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", "secret")
	text := z.read(browser.Do(r))
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		z.t.Fatalf("%v: %s", err, text)
	}
	tokens := map[string]string{}
	for name, value := range all {
		tokens[name], _ = value.(string)
	}
	if tokens["access_token"] == "" || tokens["id_token"] == "" {
		z.t.Fatalf("the provider answers %s", text)
	}
	z.g.Plant(tokens["access_token"])
	z.g.Plant(tokens["id_token"])
	return tokens
}

func (z *zitadel) read(answer *http.Response, err error) string {
	z.t.Helper()
	if err != nil {
		z.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		z.t.Fatal(err)
	}
	return string(text)
}

func TestTheExampleProviderOfZitadel(t *testing.T) {
	attacktest.Rows(t, 36, 161)
	z := startZitadel(t)
	tokens := z.tokens()
	access := shield.Credential{Kind: "introspect", Secret: tokens["access_token"]}
	if e := z.g.Accepted(z.g.Send(access, "GET", "/v1/orders/7", "")); e.Client != "zitadel/web" || e.User == "" {
		t.Errorf("the event tells of client %q and user %q", e.Client, e.User)
	}
	// Its answers do not say for whom a token is.
	z.g.Refused(z.g.Send(access, "GET", "/v1/strict/7", ""), 401, shield.InvalidCredential)

	id := shield.Credential{Kind: "jwt", Secret: tokens["id_token"]}
	e := z.g.Refused(z.g.Send(id, "GET", "/v1/jwt/7", ""), 401, shield.InvalidCredential)
	if !strings.Contains(e.Detail, "not an access token") {
		t.Errorf("its ID token was refused for another reason: %s", e.Detail)
	}
	z.g.Refused(z.g.Send(id, "GET", "/v1/orders/7", ""), 401, shield.InvalidCredential)

	z.stop()
	z.g.Advance(11 * time.Second)
	z.g.Refused(z.g.Send(access, "GET", "/v1/orders/7", ""), 503, shield.Undecided)
}
