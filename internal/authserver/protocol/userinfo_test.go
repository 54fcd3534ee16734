package protocol_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/dpop"
)

func (w *world) userInfo(authorization string) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.server.URL+"/userinfo", nil)
	must(w.t, err)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return w.do(r)
}

// What a client is told follows the scopes of the token, not of what it could have.
func TestUserInfoFollowsTheTokensScopes(t *testing.T) {
	w := newWorld(t)
	for _, client := range []string{"shop", "opaque"} {
		first := w.post(client, "/token", w.redeeming(client, w.code(client, func(v url.Values) { v.Set("scope", "openid profile email offline_access") })))
		if got := w.userInfo("Bearer " + first.token(t)); got.json["email"] != "ann@example.com" || got.json["name"] != "Ann" {
			t.Errorf("%s: with all scopes: %s", client, got.text)
		}
		refresh, _ := first.json["refresh_token"].(string)
		narrow := w.post(client, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"openid"}})
		if got := w.userInfo("Bearer " + narrow.token(t)); len(got.json) != 1 || got.json["sub"] != "person-1" {
			t.Errorf("%s: with openid alone: %s", client, got.text)
		}
		if id := claims(t, narrow.json["id_token"].(string)); id["email"] != nil || id["name"] != nil {
			t.Errorf("%s: the ID token with openid alone: %v", client, id)
		}
	}
}

// A refresh token is for its own client at the token endpoint, and nothing elsewhere.
func TestRefreshTokenIsNoAccessToken(t *testing.T) {
	attacktest.Rows(t, 36, 64)
	w := newWorld(t)
	code := w.code("shop", func(v url.Values) {
		v.Set("scope", "openid offline_access orders:read")
		v.Set("resource", "orders")
	})
	refresh, _ := w.post("shop", "/token", w.redeeming("shop", code)).json["refresh_token"].(string)
	if a := w.userInfo("Bearer " + refresh); a.status != http.StatusUnauthorized || a.json["error"] != "invalid_token" {
		t.Errorf("at userinfo: %d %s", a.status, a.text)
	}
	if a := w.post("orders", "/introspect", url.Values{"token": {refresh}}); len(a.json) != 1 || a.json["active"] != false {
		t.Errorf("the service of the API is told %s", a.text)
	}
	if a := w.post("shop", "/introspect", url.Values{"token": {refresh}}); a.json["active"] != true {
		t.Errorf("its own client is told %s", a.text)
	}
	w.post("orders", "/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {refresh}, "scope": {"orders:read"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}).refused(t, "exchanged", http.StatusBadRequest, "invalid_request")
}

// RFC 9449 §7: a token that is bound to a key comes with its scheme and its proof.
func TestUserInfoWantsBoundTokensAsBoundOnes(t *testing.T) {
	w := newWorld(t)
	owner, thief := w.prover(), w.prover()
	bound := w.proven(owner, w.redeeming("app", w.code("app", func(v url.Values) { v.Set("scope", "openid") }))).token(t)
	plain := w.post("shop", "/token", w.redeeming("shop", w.code("shop", func(v url.Values) { v.Set("scope", "openid") }))).token(t)
	ask := func(scheme, token string, by *dpop.Prover) answer {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+"/userinfo", nil)
		must(t, err)
		r.Header.Set("Authorization", scheme+" "+token)
		var a answer
		for range 2 {
			if by != nil {
				r.Header.Del("DPoP")
				must(t, by.Sign(r, token))
			}
			if a = w.do(r); by == nil || a.json["error"] != "use_dpop_nonce" || !by.Learn(r.URL, a.header) {
				return a
			}
		}
		return a
	}
	if a := ask("DPoP", bound, owner); a.status != http.StatusOK || a.json["sub"] != "person-1" {
		t.Errorf("by its owner: %d %s", a.status, a.text)
	}
	if a := ask("bearer", plain, nil); a.status != http.StatusOK {
		t.Errorf("a plain one: %d %s", a.status, a.text)
	}
	for what, a := range map[string]answer{
		"as Bearer with a proof": ask("Bearer", bound, owner),
		"as Bearer":              ask("Bearer", bound, nil),
		"without a proof":        ask("DPoP", bound, nil),
		"by another key":         ask("DPoP", bound, thief),
		"with another's proof":   ask("DPoP", plain, owner),
	} {
		challenge := a.header.Get("WWW-Authenticate")
		if a.status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, `error="invalid_token"`) || !strings.Contains(challenge, `algs="ES256 `) {
			t.Errorf("%s: %d %s, %s", what, a.status, a.text, challenge)
		}
	}
	if r := w.userInfo("Basic x"); r.status != http.StatusUnauthorized {
		t.Errorf("another scheme: %d", r.status)
	}
}
