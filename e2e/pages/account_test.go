package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const accountYAML = `
listen: {https: "%[1]s"}
limits: {wrong_tries: 100000}
hosts: {localhost: {certificate: local}}
oauth: {issuer: "https://localhost:%[2]s"}
apis:
  orders:
    host: localhost
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See your orders}
`

const (
	ann      = "ann"
	password = "planted-finch-lantern-61"
)

// home is an authorization server, and an app on the person's own machine that shows the
// code that it is sent.
type home struct {
	*harness.Issuer
	t   *testing.T
	app *httptest.Server
}

func startHome(t *testing.T) *home {
	t.Helper()
	address := harness.Free(t)
	_, port, _ := strings.Cut(address, ":")
	clients := []client.Client{{ID: "app", Scopes: shield.Scopes{"orders:read"}}, {ID: "tv", Scopes: shield.Scopes{"orders:read"}}}
	h := &home{t: t, Issuer: harness.StartIssuer(t, address, harness.Config{YAML: fmt.Sprintf(accountYAML, address, port), Clients: clients})}
	h.URL = "https://localhost:" + port
	h.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<p>back: <span id="code">%s%s</span></p>`, r.URL.Query().Get("code"), r.URL.Query().Get("error"))
	}))
	t.Cleanup(h.app.Close)
	h.Register("app", map[string]string{"auth": "none", "native": "true", "redirects": "http://127.0.0.1/cb", "name": "Order Watch"})
	h.Register("tv", map[string]string{"auth": "none", "grants": "device_code refresh_token", "name": "Living Room TV"})
	h.AddPerson(ann, "Ann", password)
	return h
}

func (h *home) asking() string {
	query := person.Asking("app", "openid orders:read")
	query.Set("redirect_uri", h.app.URL+"/cb")
	return h.URL + "/authorize?" + query.Encode()
}

// tokens redeems a code.
func (h *home) tokens(code string) map[string]any {
	h.t.Helper()
	form := person.Redeeming(code)
	form.Set("redirect_uri", h.app.URL+"/cb")
	form.Set("client_id", "app")
	all, status := h.Post("/token", "", form)
	if status != http.StatusOK {
		h.t.Fatalf("%d %v", status, all)
	}
	return all
}

// showing is the text of an element.
func (b *browser) showing(selector string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q).innerText", selector)))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *browser) confirm(key string, now time.Time) {
	b.t.Helper()
	code, err := person.TOTP(key, now)
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(chromedp.SendKeys(chromedp.CSS("#code"), code), press("Confirm"))
}

// With the keyboard alone somebody signs in and allows; then sets up a second factor,
// takes back what was allowed, which the API feels at once, and signs out.
func TestAPersonLooksAfterTheirAccount(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	h := startHome(t)
	b := newBrowser(t)

	tab, enter := chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)
	b.run(chromedp.Navigate(h.asking()), reads("Sign in"), chromedp.KeyEvent(ann), tab, chromedp.KeyEvent(password), enter, reads("See your orders"))
	for range 10 {
		b.run(tab)
		if b.focused() == "allow" {
			break
		}
	}
	b.run(enter, reads("back:"))
	tokens := h.tokens(b.showing("#code"))
	if got := h.Call("/v1/orders/7", tokens["access_token"]); got != http.StatusOK {
		t.Fatalf("the app's call: %d", got)
	}

	b.run(chromedp.Navigate(h.URL+"/account"), reads("Order Watch"), chromedp.Click(`//a[@href[contains(., "totp")]]`), reads("Set up an authenticator app"))
	key := b.showing(".key code")
	h.Plant(strings.ReplaceAll(key, " ", ""))
	b.confirm(key, h.Clock.Now())
	b.run(reads("Your recovery codes"), press("I have kept them"), reads("Your account"))

	b.run(press("Withdraw"), reads("None."))
	if got := h.Call("/v1/orders/7", tokens["access_token"]); got != http.StatusUnauthorized {
		t.Errorf("what was taken back is still good: %d", got)
	}

	b.run(press("Sign out…"), reads("Sign out?"), chromedp.Click(`//button[contains(., "Sign out")]`), reads("Signed out"))
	h.Advance(time.Minute) // a code of an authenticator is good once
	b.run(chromedp.Navigate(h.asking()))
	b.signIn(ann, password)
	b.run(reads("Confirm that it is you"))
	b.confirm(key, h.Clock.Now())
	b.run(reads("See your orders"), press("Refuse"), reads("access_denied"))
}

func (b *browser) focused() string {
	b.t.Helper()
	name, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(e => e.value || e.id || e.textContent)(document.activeElement)`))
	if err != nil {
		b.t.Fatal(err)
	}
	return name
}

func TestAPersonConnectsADevice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	h := startHome(t)
	b := newBrowser(t)
	told, status := h.Post("/device_authorization", "", url.Values{"client_id": {"tv"}, "scope": {"orders:read"}})
	code, _ := told["user_code"].(string)
	if status != http.StatusOK || code == "" {
		t.Fatalf("%d %v", status, told)
	}
	device, _ := told["device_code"].(string)
	h.Plant(device)
	b.run(chromedp.Navigate(h.URL+"/device"), reads("Connect a device"), chromedp.SendKeys(chromedp.CSS("#user_code"), code), press("Go on"))
	b.signIn(ann, password)
	b.run(reads("Living Room TV"), press("Allow"), reads("Connected"))
	got, status := h.Post("/token", "", url.Values{
		"client_id": {"tv"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device},
	})
	if status != http.StatusOK || h.Call("/v1/orders/7", got["access_token"]) != http.StatusOK {
		t.Errorf("the device got %d %v", status, got)
	}
}
