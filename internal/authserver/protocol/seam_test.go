package protocol_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/people"
)

// RFC 6749 §5.2: expired_token is registered for device codes alone (RFC 8628 §3.5).
func TestCodeOfARevokedGrantIsAnInvalidGrant(t *testing.T) {
	attacktest.Rows(t, 50)
	w := newWorld(t)
	form := w.redeeming("shop", w.code("shop"))
	wrong := w.redeeming("shop", form.Get("code"))
	wrong.Set("code_verifier", strings.Repeat("x", 43))
	w.post("shop", "/token", wrong).refused(t, "a wrong verifier", http.StatusBadRequest, "invalid_grant")
	w.post("shop", "/token", form).refused(t, "the right one afterwards", http.StatusBadRequest, "invalid_grant")
}

// RFC 9700 §4.1.3: addresses are compared as they are written.
func TestRedirectIsTheRegisteredTextOrALoopbackPort(t *testing.T) {
	attacktest.Rows(t, 48)
	w := newWorld(t)
	ask := func(client, redirect string) answer {
		query := w.asking(client)
		query.Set("redirect_uri", redirect)
		if pushed := w.post(client, "/par", query); pushed.status == http.StatusCreated != (w.get("/authorize", query).location != nil) {
			t.Errorf("%s at %s: pushed %d %s", client, redirect, pushed.status, pushed.text)
		}
		return w.get("/authorize", query)
	}
	for _, redirect := range []string{
		"https://shop.example/cb#", "HTTPS://shop.example/cb", "https://shop.example/cb?", "https://Shop.example/cb", "https://shop.example:443/cb", "https://shop.example/%63b",
	} {
		if a := ask("shop", redirect); a.status != http.StatusBadRequest || a.location != nil {
			t.Errorf("%s: %d to %v", redirect, a.status, a.location)
		}
	}
	for _, redirect := range []string{
		"http://127.0.0.1:49321/cb#", "HTTP://127.0.0.1:49321/cb", "http://127.0.0.1:x/cb", "http://127.0.0.2:49321/cb", "http://localhost:49321/cb", "http://[::1]:49321/cb",
		"http://a@127.0.0.1:49321/cb", "http://127.0.0.1:49321/other",
	} {
		if a := ask("app", redirect); a.status != http.StatusBadRequest || a.location != nil {
			t.Errorf("%s: %d to %v", redirect, a.status, a.location)
		}
	}
	for client, redirects := range map[string][]string{"shop": {"https://shop.example/cb"}, "app": {"http://127.0.0.1/cb", "http://127.0.0.1:49321/cb"}} {
		for _, redirect := range redirects {
			if a := ask(client, redirect); a.location == nil || a.location.Query().Get("code") == "" {
				t.Errorf("%s: %d to %v", redirect, a.status, a.location)
			}
		}
	}
}

func TestTokenAnswersHaveRegisteredMembers(t *testing.T) {
	w := newWorld(t)
	code := w.code("shop", func(v url.Values) { v.Set("resource", "orders") })
	a := w.post("shop", "/token", w.redeeming("shop", code))
	for name := range a.json {
		switch name {
		case "access_token", "token_type", "expires_in", "refresh_token", "scope":
		default:
			t.Errorf("member %s", name)
		}
	}
	document := w.get("/.well-known/oauth-authorization-server", nil).json
	if aliases, ok := document["mtls_endpoint_aliases"].(map[string]any); !ok || aliases["registration_endpoint"] != nil || aliases["token_endpoint"] == nil {
		t.Errorf("aliases %v", document["mtls_endpoint_aliases"])
	}
}

// Nobody uses up a client's proof by sending it along with a wrong secret.
func TestProofIsUsedUpByWhoAuthenticates(t *testing.T) {
	w := newWorld(t)
	p := w.prover()
	send := func(secret, proof string) answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("shop", secret)
		r.Header.Set("DPoP", proof)
		return w.do(r)
	}
	proof := func() string {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", nil)
		must(t, err)
		must(t, p.Sign(r, ""))
		return r.Header.Get("DPoP")
	}
	at, err := url.Parse(w.server.URL)
	must(t, err)
	p.Learn(at, send(goodSecret, proof()).header)
	one := proof()
	send("wrong", one).refused(t, "a wrong secret", http.StatusUnauthorized, "invalid_client")
	if a := send(goodSecret, one); a.status != http.StatusOK || a.json["token_type"] != "DPoP" {
		t.Errorf("its owner: %d %s", a.status, a.text)
	}
	send(goodSecret, one).refused(t, "a second time", http.StatusBadRequest, "invalid_dpop_proof")
}

func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// An assertion beside another way to authenticate does not stand in for the proof that is
// to be used up.
func TestProofIsUsedUpBesideAnAssertionOfNoUse(t *testing.T) {
	w := newWorld(t)
	p := w.prover()
	forged := "eyJhbGciOiJFUzI1NiJ9." + part(`{"iss":"app","sub":"app","aud":"`+w.server.URL+`","jti":"j","exp":9999999999}`) + "." + part(strings.Repeat("x", 64))
	form := w.redeeming("app", w.code("app"))
	form.Set("client_assertion", forged)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	if a := w.proven(p, form); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.text)
	}
	again := w.redeeming("app", w.code("app"))
	again.Set("client_assertion", forged)
	again.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	again.Set("client_id", "app")
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", nil)
	must(t, err)
	must(t, p.Sign(r, ""))
	proof := r.Header.Get("DPoP")
	for i, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if i > 0 {
			again.Set("code", w.code("app"))
		}
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader(again.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("DPoP", proof)
		if a := w.do(r); a.status != want {
			t.Errorf("time %d: %d %s", i+1, a.status, a.text)
		}
	}
}

// OpenID Connect Core §3.1.2.1: an application that names a person gets no tokens of another.
func TestHintOfAnotherPersonIsNotAnswered(t *testing.T) {
	w := newWorld(t)
	hint, _ := w.post("shop", "/token", w.redeeming("shop", w.code("shop", func(v url.Values) { v.Set("scope", "openid") }))).json["id_token"].(string)
	query := w.asking("shop")
	query.Set("id_token_hint", hint)
	if a := w.get("/authorize", query); a.location == nil || a.location.Query().Get("code") == "" {
		t.Errorf("the same person: %d to %v", a.status, a.location)
	}
	w.people.Person.Subject = "person-2"
	if a := w.get("/authorize", query); a.location == nil || a.location.Query().Get("error") != "login_required" {
		t.Errorf("another one: %d to %v", a.status, a.location)
	}
}

// A request of a device is decided for the device, and one of a browser in the browser: a
// code that a device had asked for would have no PKCE.
func TestRequestOfADeviceDoesNotGoOnAsOneOfABrowser(t *testing.T) {
	w := newWorld(t)
	w.people.State = people.Pending
	told := w.post("shop", "/device_authorization", url.Values{"scope": {"orders:read"}, "response_type": {"code"}, "redirect_uri": {"https://shop.example/cb"}})
	code, _ := told.json["user_code"].(string)
	page := w.get("/device", url.Values{"user_code": {code}})
	_, id, ok := strings.Cut(page.text, "page /device/")
	if !ok {
		t.Fatalf("%d %s", page.status, page.text)
	}
	w.people.State = people.Granted
	if a := w.get("/authorize/"+id, nil); a.status != http.StatusBadRequest || a.location != nil {
		t.Errorf("a device's in a browser: %d to %v, %s", a.status, a.location, a.text)
	}
	w.people.State = people.Pending
	page = w.get("/authorize", w.asking("shop"))
	_, id, _ = strings.Cut(page.text, "page /authorize/")
	w.people.State = people.Granted
	if a := w.get("/device/"+id, nil); a.status != http.StatusBadRequest {
		t.Errorf("a browser's for a device: %d %s", a.status, a.text)
	}
}
