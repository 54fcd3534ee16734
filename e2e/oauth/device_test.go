package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
)

// O19: a device is told to wait, and connected by the person who types its code.
func TestDeviceIsConnectedByThePersonWhoTypesItsCode(t *testing.T) {
	attacktest.Rows(t, 63)
	w := newWorld(t)
	begun := w.post("/device_authorization", "", url.Values{"client_id": {"tv"}, "scope": {"orders:read"}})
	told := map[string]any{}
	if decode(t, begun.Body, &told); begun.Status != http.StatusOK {
		t.Fatalf("%d %s", begun.Status, begun.Body)
	}
	device, _ := told["device_code"].(string)
	code, _ := told["user_code"].(string)
	w.Plant(device)
	if letters := strings.ReplaceAll(code, "-", ""); len(letters) < 8 || strings.ContainsAny(letters, "AEIOU01") {
		t.Errorf("the code to type is %s", code)
	}
	poll := func() seen {
		w.Clock.Add(6_000_000_000)
		return w.post("/token", "", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device}, "client_id": {"tv"}})
	}
	w.refuses("before", poll(), http.StatusBadRequest, "authorization_pending")
	w.Clock.Add(-6_000_000_000)
	w.refuses("too soon", poll(), http.StatusBadRequest, "slow_down")

	p := person.New(w.Client().Transport)
	for _, step := range []func() error{
		func() error { return p.Open(w.URL + "/device") },
		func() error { return p.Submit(url.Values{"user_code": {"BCDF-GHJK"}}) },
		func() error { return p.Submit(url.Values{"user_code": {strings.ToLower(code)}}) },
		func() error { return p.SignIn(ann, password) },
		p.Allow,
	} {
		if err := step(); err != nil {
			t.Fatalf("%v at %s: %s", err, p.At, p.Page)
		}
		if p.Status >= 500 || strings.Contains(p.Page, device) {
			t.Fatalf("%d at %s: %s", p.Status, p.At, p.Page)
		}
	}
	got := poll()
	decode(t, got.Body, &told)
	if got.Status != http.StatusOK || w.Call("/v1/orders/7", told["access_token"]) != http.StatusOK {
		t.Errorf("afterwards: %d %s; the person saw %s", got.Status, got.Body, p.Page)
	}
	w.refuses("a second time", poll(), http.StatusBadRequest, "invalid_grant")
}
