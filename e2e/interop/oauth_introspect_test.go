package interop

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/harness"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// Tokens of our own server that are no JWTs, at endpoints that ask it in-process.
func TestOwnOpaqueTokensAreAskedAboutAndEndAtOnce(t *testing.T) {
	attacktest.Rows(t, 162)
	s := startOAuth(t)
	s.Register("machine-opaque", map[string]string{"tokens": "opaque"})
	own := func(client string) shield.Credential {
		answer, status := s.Post("/token", client, url.Values{"grant_type": {"client_credentials"}})
		text, _ := answer["access_token"].(string)
		if text == "" {
			t.Fatalf("%d %v", status, answer)
		}
		s.Plant(text)
		return shield.Credential{Kind: "jwt", Secret: text}
	}
	token := own("machine-opaque")
	if !strings.HasPrefix(token.Secret, "pvsat_") {
		t.Fatal("the token is no opaque one of ours")
	}
	if e := s.Accepted(s.Send(token, "GET", "/v1/either/7", "")); e.Client != "machine-opaque" || e.Shield != "introspect" {
		t.Errorf("the event tells of client %q by %q", e.Client, e.Shield)
	}
	s.Refused(s.Send(token, "GET", "/v1/orders/7", ""), 401, shield.InvalidCredential) // jwt only
	if e := s.Accepted(s.Send(own("machine"), "GET", "/v1/either/7", "")); e.Shield != "jwt" {
		t.Errorf("a JWT was judged by %q", e.Shield)
	}
	made := token
	made.Secret = token.Secret[:len(token.Secret)-4] + "AAAA"
	s.Refused(s.Send(made, "GET", "/v1/either/7", ""), 401, shield.InvalidCredential)

	if _, status := s.Post("/revoke", "machine-opaque", url.Values{"token": {token.Secret}}); status != http.StatusOK {
		t.Fatalf("revoked: %d", status)
	}
	s.Refused(s.Send(token, "GET", "/v1/either/7", ""), 401, shield.RevokedCredential)
}

// What foreign resource servers are told of a client that was switched off.
func TestTokensOfADisabledClientAreNotActive(t *testing.T) {
	s := startOAuth(t)
	answer, _ := s.Post("/token", "machine", url.Values{"grant_type": {"client_credentials"}})
	token, _ := answer["access_token"].(string)
	s.Plant(token)
	asked := func() any {
		r, err := http.NewRequest(http.MethodPost, s.URL+"/introspect", strings.NewReader(url.Values{
			"token": {token}, "client_id": {"orders"}, "client_secret": {s.Secrets["orders"]},
		}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		told, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return harness.Decoded(t, told)["active"]
	}
	if asked() != true {
		t.Fatal("a good token is not active")
	}
	if _, err := s.App.State.Registry.DisableClient(t.Context(), "machine"); err != nil {
		t.Fatal(err)
	}
	if err := s.App.State.View.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked() != false {
		t.Error("a token of a disabled client is active")
	}
}
