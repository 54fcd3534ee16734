package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

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

// RFC 8628 §5.1: whoever guesses codes waits longer and longer, and then a right one helps
// no more than a wrong one; who else is in the network feels nothing of it.
func TestGuessingDeviceCodesIsSlowedDown(t *testing.T) {
	attacktest.Rows(t, 63)
	w := worldOf(t, strings.Replace(worldYAML, "wrong_tries: 100000, ", "", 1))
	told, _ := w.Post("/device_authorization", "", url.Values{"client_id": {"tv"}, "scope": {"orders:read"}})
	code, _ := told["user_code"].(string)
	p := person.New(w.Client().Transport)
	if err := p.Open(w.URL + "/device"); err != nil {
		t.Fatal(err)
	}
	action, form, err := p.Form()
	if err != nil {
		t.Fatal(err)
	}
	guess := func(code string) int {
		form.Set("user_code", code)
		if err := p.Send(action, form); err != nil {
			t.Fatal(err)
		}
		return p.Status
	}
	wrong := 0
	for range 100 {
		switch got := guess("BCDF-GHJK"); got {
		case http.StatusUnprocessableEntity:
			wrong++
		case http.StatusTooManyRequests:
			if p.Header.Get("Retry-After") == "" {
				t.Fatal("nothing says for how long")
			}
		default:
			t.Fatalf("%d at %s: %s", got, p.At, p.Page)
		}
	}
	if wrong == 0 || wrong > 10 {
		t.Errorf("of a hundred guesses %d were looked up", wrong)
	}
	if got := guess(code); got != http.StatusTooManyRequests {
		t.Errorf("a right one in between: %d", got)
	}
	if got := w.get("/device", url.Values{"user_code": {code}}); got.Status != http.StatusTooManyRequests {
		t.Errorf("in the address: %d", got.Status)
	}
	w.tokens("machine", url.Values{"grant_type": {"client_credentials"}})
	w.code("web", "orders:read")
	w.Advance(time.Minute)
	told, status := w.Post("/device_authorization", "", url.Values{"client_id": {"tv"}, "scope": {"orders:read"}})
	if status != http.StatusOK {
		t.Fatalf("a device, later: %d %v", status, told)
	}
	code, _ = told["user_code"].(string)
	if got := guess(code); got != http.StatusOK || !strings.Contains(p.Page, `name="password"`) {
		t.Errorf("later: %d %s", got, p.Page)
	}
}
