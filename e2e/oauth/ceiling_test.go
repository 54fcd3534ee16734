package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// device lets ann connect the television, and returns the form that fetches its tokens.
func (w *world) device(scope string) url.Values {
	w.t.Helper()
	told, status := w.Post("/device_authorization", "", url.Values{"client_id": {"tv"}, "scope": {scope}})
	device, _ := told["device_code"].(string)
	code, _ := told["user_code"].(string)
	if status != http.StatusOK {
		w.t.Fatalf("%d %v", status, told)
	}
	p := person.New(w.Client().Transport)
	for _, step := range []func() error{
		func() error { return p.Open(w.URL + "/device") },
		func() error { return p.Submit(url.Values{"user_code": {code}}) },
		func() error { return p.SignIn(ann, password) },
		p.Allow,
	} {
		if err := step(); err != nil {
			w.t.Fatalf("%v at %s: %s", err, p.At, p.Page)
		}
	}
	return url.Values{"grant_type": {deviceGrant}, "device_code": {device}, "client_id": {"tv"}}
}

func with(form url.Values, name string, values ...string) url.Values {
	changed := url.Values(http.Header(form).Clone())
	changed[name] = values
	return changed
}

// RFC 8707 §2: the page named orders, and no token under its grant is for anything else.
func TestTokensAreForTheAPIsThatThePersonWasAskedAbout(t *testing.T) {
	attacktest.Rows(t, 34, 53)
	w := newWorld(t)
	p := person.New(w.Client().Transport)
	if err := p.Open(w.URL + "/authorize?" + person.Asking("web", "orders:read").Encode()); err != nil {
		t.Fatal(err)
	}
	if err := p.SignIn(ann, password); err != nil || !strings.Contains(p.Page, "orders") || strings.Contains(p.Page, "stock") {
		t.Fatalf("%v: asked with %s", err, p.Page)
	}
	if err := p.Allow(); err != nil {
		t.Fatal(err)
	}
	ways := map[string]struct {
		as   string
		form url.Values
	}{
		"a code":        {"web", person.Redeeming(p.Sent.Get("code"))},
		"a device code": {"", w.device("orders:read")},
	}
	for what, way := range ways {
		for _, resource := range []string{"stock", "https://stock.example"} {
			w.refuses(what, w.post("/token", way.as, with(way.form, "resource", resource)), http.StatusBadRequest, "invalid_target")
			w.Clock.Add(6_000_000_000) // a device may not ask too often
		}
		w.refuses(what, w.post("/token", way.as, with(way.form, "resource", "orders", "stock")), http.StatusBadRequest, "invalid_target")
		w.Clock.Add(6_000_000_000)
		got := w.tokens(way.as, with(way.form, "resource", "orders"))
		refresh, _ := got["refresh_token"].(string)
		w.Plant(refresh)
		again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
		if way.as == "" {
			again.Set("client_id", "tv")
		}
		w.refuses(what+", refreshed", w.post("/token", way.as, with(again, "resource", "stock")), http.StatusBadRequest, "invalid_target")
		for _, token := range []any{got["access_token"], w.tokens(way.as, again)["access_token"]} {
			if orders, stock := w.Call("/v1/orders/7", token), w.Call("/v1/stock/7", token); orders != http.StatusOK || stock != http.StatusUnauthorized {
				t.Errorf("%s: orders %d, stock %d", what, orders, stock)
			}
		}
	}
}

// A service that is called for a person can call no API that the person was not asked about.
func TestExchangedTokensAreForTheAPIsThatThePersonWasAskedAbout(t *testing.T) {
	w := newWorld(t)
	asking := person.Asking("web", "orders:read")
	asking.Set("resource", "orders")
	code, err := person.New(w.Client().Transport).Code(w.URL+"/authorize?"+asking.Encode(), ann, password)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := w.tokens("web", person.Redeeming(code))["access_token"].(string)
	w.Plant(token)
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token}, "scope": {"orders:read"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
	w.refuses("another API", w.post("/token", "orders", with(form, "resource", "archive")), http.StatusBadRequest, "invalid_target")
	got := w.tokens("orders", form)["access_token"]
	if orders, archive := w.Call("/v1/orders/7", got), w.Call("/v1/archive/7", got); orders != http.StatusOK || archive != http.StatusUnauthorized {
		t.Errorf("orders %d, archive %d", orders, archive)
	}
}

// A grant of which nothing is left is no grant of everything.
func TestEmptyGrantIsNothing(t *testing.T) {
	attacktest.Rows(t, 53)
	w := newWorld(t)
	code := w.code("web", "orders:read")
	refresh, _ := w.tokens("web", person.Redeeming(code))["refresh_token"].(string)
	w.Plant(refresh)
	w.scopes("web", "orders:write")
	again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	for _, scope := range []string{"orders:write", "orders:read", "openid profile email"} {
		w.refuses("a refresh with "+scope, w.post("/token", "web", with(again, "scope", scope)), http.StatusBadRequest, "invalid_scope")
	}
	if got := w.tokens("web", again); got["scope"] != nil || w.Call("/v1/orders/7", got["access_token"]) == http.StatusOK {
		t.Errorf("a refresh of nothing gives %v", got["scope"])
	}
	w.scopes("web")
	form := person.Redeeming(w.code("web", ""))
	w.refuses("a code with openid", w.post("/token", "web", with(form, "scope", "openid profile email")), http.StatusBadRequest, "invalid_scope")
	w.refuses("a client for itself", w.post("/token", "machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}), http.StatusBadRequest, "invalid_scope")
}

// scopes says what a client may have from now on.
func (w *world) scopes(id string, scopes ...string) {
	w.t.Helper()
	_, err := w.App.State.Registry.UpdateClient(w.t.Context(), id, "narrow", func(c *client.Client) error {
		c.Scopes = shield.Scopes(slices.Clone(scopes))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Advance(0)
}
