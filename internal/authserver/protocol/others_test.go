package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/protocol"
)

func TestIntrospectionTellsNobodyOfOthersTokens(t *testing.T) {
	attacktest.Rows(t, 64)
	w := newWorld(t)
	for _, client := range []string{"shop", "opaque"} {
		token := w.post(client, "/token", w.redeeming(client, w.code(client))).token(t)
		ask := func(by, token string) answer { return w.post(by, "/introspect", url.Values{"token": {token}}) }
		for _, by := range []string{client, "orders"} {
			a := ask(by, token)
			if a.json["active"] != true || a.json["sub"] != "person-1" || a.json["scope"] != "orders:read" || a.json["client_id"] != client || a.json["iss"] != w.server.URL || a.json["exp"] == nil || a.json["aud"] == nil {
				t.Errorf("%s token, asked by %s: %s", client, by, a.text)
			}
		}
		for _, by := range []string{"other", "pay"} {
			if a := ask(by, token); a.status != http.StatusOK || len(a.json) != 1 || a.json["active"] != false {
				t.Errorf("%s token, asked by %s: %d %s", client, by, a.status, a.text)
			}
		}
		if a := ask(client, token+"x"); len(a.json) != 1 || a.json["active"] != false {
			t.Errorf("a changed token: %s", a.text)
		}
		ask("nobody", token).refused(t, "an unknown client", http.StatusUnauthorized, "invalid_client")
	}
}

func TestRevocationEndsOnesOwnTokens(t *testing.T) {
	attacktest.Rows(t, 65)
	w := newWorld(t)
	active := func(client, token string) bool {
		return w.post(client, "/introspect", url.Values{"token": {token}}).json["active"] == true
	}
	for _, client := range []string{"shop", "opaque"} {
		for kind, get := range map[string]func() string{
			"of a person": func() string { return w.post(client, "/token", w.redeeming(client, w.code(client))).token(t) },
			"of its own": func() string {
				return w.post(client, "/token", url.Values{"grant_type": {"client_credentials"}}).token(t)
			},
		} {
			token := get()
			if a := w.post("other", "/revoke", url.Values{"token": {token}}); a.status != http.StatusOK || !active(client, token) {
				t.Errorf("%s %s, by another client: %d, active %t", client, kind, a.status, active(client, token))
			}
			if a := w.post(client, "/revoke", url.Values{"token": {token}}); a.status != http.StatusOK || active(client, token) {
				t.Errorf("%s %s, by itself: %d, active %t", client, kind, a.status, active(client, token))
			}
		}
	}
	if a := w.post("shop", "/revoke", url.Values{"token": {"unknown"}}); a.status != http.StatusOK {
		t.Errorf("an unknown token: %d", a.status)
	}
	first := w.post("shop", "/token", w.redeeming("shop", w.code("shop")))
	refresh := first.json["refresh_token"].(string)
	if a := w.post("shop", "/revoke", url.Values{"token": {refresh}}); a.status != http.StatusOK || active("shop", first.token(t)) {
		t.Errorf("a refresh token: %d; its access token is active: %t", a.status, active("shop", first.token(t)))
	}
	w.post("shop", "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}).refused(t, "what was revoked", http.StatusBadRequest, "invalid_grant")
}

func TestServiceExchangesATokenThatIsForItsAPI(t *testing.T) {
	w := newWorld(t)
	first := w.post("shop", "/token", w.redeeming("shop", w.code("shop"))).token(t)
	form := func(change ...func(url.Values)) url.Values {
		v := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {first}, "scope": {"orders:read"},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		}
		for _, c := range change {
			c(v)
		}
		return v
	}
	a := w.post("orders", "/token", form())
	got := claims(t, a.token(t))
	act, _ := got["act"].(map[string]any)
	if got["sub"] != "person-1" || got["client_id"] != "orders" || act["sub"] != "orders" || got["grant_id"] != claims(t, first)["grant_id"] || a.json["refresh_token"] != nil {
		t.Errorf("%v", got)
	}
	if got["exp"].(float64) > claims(t, first)["exp"].(float64) {
		t.Error("the new token outlives the one that it was made of")
	}
	w.post("pay", "/token", form()).refused(t, "for another API", http.StatusBadRequest, "invalid_request")
	w.post("shop", "/token", form()).refused(t, "without the grant", http.StatusBadRequest, "unauthorized_client")
	w.post("nobody", "/token", form()).refused(t, "without a client", http.StatusUnauthorized, "invalid_client")
	for what, change := range map[string]func(url.Values){
		"more scopes":      func(v url.Values) { v.Set("scope", "orders:read pay") },
		"no scopes":        func(v url.Values) { v.Del("scope") },
		"a changed token":  func(v url.Values) { v.Set("subject_token", first+"x") },
		"an ID token type": func(v url.Values) { v.Set("subject_token_type", "urn:ietf:params:oauth:token-type:id_token") },
		"an actor token": func(v url.Values) {
			v.Set("actor_token", first)
			v.Set("actor_token_type", v.Get("subject_token_type"))
		},
		"an API that asks for no scope": func(v url.Values) { v.Set("resource", "open") },
		"the same as audience":          func(v url.Values) { v.Set("audience", "open") },
		"an unknown audience":           func(v url.Values) { v.Set("audience", "nowhere") },
		"a refresh token":               func(v url.Values) { v.Set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token") },
	} {
		w.post("orders", "/token", form(change)).refused(t, what, http.StatusBadRequest, "invalid_request", "invalid_scope", "invalid_target")
	}
	for name, value := range map[string]string{"resource": "https://orders.example", "audience": "orders"} {
		a := w.post("orders", "/token", form(func(v url.Values) { v.Set(name, value) }))
		if got := claims(t, a.token(t)); got["aud"].([]any)[0] != "orders" {
			t.Errorf("%s %s: aud %v", name, value, got["aud"])
		}
	}
	must(t, w.grants.Revoke(t.Context(), got["grant_id"].(string), "by hand"))
	w.post("orders", "/token", form()).refused(t, "a revoked token", http.StatusBadRequest, "invalid_request")
}

func TestAssertionIsForThisServerAndGoodOnce(t *testing.T) {
	attacktest.Rows(t, 58)
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	must(t, err)
	w.clients["bank"] = &protocol.Client{ID: "bank", Auth: protocol.AuthKey, JWKS: jwks, Grants: []string{protocol.ClientCredentials}, Scopes: []string{"orders:read"}}
	sign := func(algorithm jose.SignatureAlgorithm, key any, change func(map[string]any)) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
		must(t, err)
		now := time.Now().Unix()
		all := map[string]any{"iss": "bank", "sub": "bank", "aud": w.server.URL, "jti": random(), "iat": now, "exp": now + 60}
		change(all)
		text, err := jwt.Signed(signer).Claims(all).Serialize()
		must(t, err)
		return text
	}
	send := func(assertion string) answer {
		return w.post("bank", "/token", url.Values{
			"grant_type": {"client_credentials"}, "client_assertion": {assertion},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})
	}
	good := sign(jose.ES256, key, func(map[string]any) {})
	if a := send(good); a.status != http.StatusOK {
		t.Fatalf("%d %s %+v", a.status, a.text, w.faults)
	}
	send(good).refused(t, "a second time", http.StatusUnauthorized, "invalid_client")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for what, bad := range map[string]string{
		"the token endpoint": sign(jose.ES256, key, func(c map[string]any) { c["aud"] = w.server.URL + "/token" }),
		"another server":     sign(jose.ES256, key, func(c map[string]any) { c["aud"] = "https://evil.example" }),
		"two audiences":      sign(jose.ES256, key, func(c map[string]any) { c["aud"] = []string{w.server.URL, "https://evil.example"} }),
		"no audience":        sign(jose.ES256, key, func(c map[string]any) { delete(c, "aud") }),
		"a day":              sign(jose.ES256, key, func(c map[string]any) { c["exp"] = time.Now().Unix() + 86400 }),
		"no end":             sign(jose.ES256, key, func(c map[string]any) { delete(c, "exp") }),
		"expired":            sign(jose.ES256, key, func(c map[string]any) { c["exp"] = time.Now().Unix() - 60 }),
		"no jti":             sign(jose.ES256, key, func(c map[string]any) { delete(c, "jti") }),
		"another subject":    sign(jose.ES256, key, func(c map[string]any) { c["sub"] = "shop" }),
		"another key":        sign(jose.ES256, other, func(map[string]any) {}),
		"HS256":              sign(jose.HS256, jwks[:64], func(map[string]any) {}),
		"none":               "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
		"rubbish":            "x",
	} {
		send(bad).refused(t, what, http.StatusUnauthorized, "invalid_client")
		w.tries.Right("bank", netip.MustParseAddr("127.0.0.1")) // this is about something else
	}
}

func TestGuessingASecretIsSlowedDownHereOnly(t *testing.T) {
	attacktest.Rows(t, 56)
	w := newWorld(t)
	guess := func() answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("shop", "wrong")
		return w.do(r)
	}
	held := false
	for range 200 {
		if a := guess(); a.status == http.StatusTooManyRequests {
			held = a.header.Get("Retry-After") != ""
			break
		}
	}
	if !held {
		t.Fatal("two hundred wrong secrets were not slowed down")
	}
	w.mu.Lock()
	w.now = w.now.Add(24 * time.Hour)
	w.mu.Unlock()
	if a := w.post("shop", "/token", url.Values{"grant_type": {"client_credentials"}}); a.status != http.StatusOK {
		t.Errorf("the client itself, later: %d %s", a.status, a.text)
	}
}

func TestMetadataSaysWhatThereIs(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		a := w.get(path, nil)
		if a.status != http.StatusOK || a.json["issuer"] != w.server.URL || a.json["authorization_response_iss_parameter_supported"] != true || a.json["registration_endpoint"] != nil {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
		if methods, ok := a.json["code_challenge_methods_supported"].([]any); !ok || len(methods) != 1 || methods[0] != "S256" {
			t.Errorf("%s: PKCE %v", path, a.json["code_challenge_methods_supported"])
		}
		for _, grant := range a.json["grant_types_supported"].([]any) {
			if grant == "implicit" || grant == "password" {
				t.Errorf("%s: grant %v", path, grant)
			}
		}
	}
	keys := w.get("/jwks", nil)
	for _, key := range keys.json["keys"].([]any) {
		if key.(map[string]any)["d"] != nil {
			t.Error("a private key is published")
		}
	}
	if len(keys.json["keys"].([]any)) != 2 {
		t.Errorf("keys: %s", keys.text)
	}
}

func TestUserInfoTellsWhatTheScopesAllow(t *testing.T) {
	w := newWorld(t)
	get := func(authorization string) answer {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+"/userinfo", nil)
		must(t, err)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		return w.do(r)
	}
	code := w.code("shop", func(v url.Values) { v.Set("scope", "openid profile"); v.Set("nonce", "n1") })
	a := w.post("shop", "/token", w.redeeming("shop", code))
	id := claims(t, a.json["id_token"].(string))
	if id["nonce"] != "n1" || id["aud"] != "shop" || id["sub"] != "person-1" || id["name"] != "Ann" || id["auth_time"] == nil || id["email"] != nil {
		t.Errorf("ID token %v", id)
	}
	if a.json["refresh_token"] != nil {
		t.Error("a refresh token without offline_access")
	}
	if info := get("Bearer " + a.token(t)); info.json["sub"] != "person-1" || info.json["name"] != "Ann" || info.json["email"] != nil {
		t.Errorf("%d %s", info.status, info.text)
	}
	without := w.post("shop", "/token", w.redeeming("shop", w.code("shop"))).token(t)
	for what, test := range map[string]struct {
		authorization string
		status        int
	}{
		"nothing": {"", 401}, "rubbish": {"Bearer x", 401}, "the ID token": {"Bearer " + a.json["id_token"].(string), 401}, "no openid": {"Bearer " + without, 403},
	} {
		if got := get(test.authorization); got.status != test.status || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", what, got.status, got.text)
		}
	}
}

// Who a client is, is read once and in one way: what a lenient reader would take for its
// name is not (RFC 7519 §4: claim names are compared as they are).
func TestAssertionNamesOneClientInOneWay(t *testing.T) {
	attacktest.Rows(t, 58)
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	must(t, err)
	w.clients["evil"] = &protocol.Client{ID: "evil", Auth: protocol.AuthKey, JWKS: jwks, Grants: []string{protocol.TokenExchange}, Scopes: []string{"orders:read"}}
	subject := w.post("shop", "/token", w.redeeming("shop", w.code("shop"))).token(t)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	must(t, err)
	exchange := func(extra string) answer {
		now := time.Now().Unix()
		payload := fmt.Sprintf(`{"iss":"evil","sub":"evil","aud":%q,"jti":%q,"iat":%d,"exp":%d%s}`, w.server.URL, random(), now, now+60, extra)
		signed, err := signer.Sign([]byte(payload))
		must(t, err)
		assertion, err := signed.CompactSerialize()
		must(t, err)
		return w.post("", "/token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {subject}, "scope": {"orders:read"},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			"client_assertion":   {assertion}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})
	}
	exchange("").refused(t, "as itself", http.StatusBadRequest, "invalid_request") // it serves no API that the token is for
	for _, extra := range []string{`,"iſs":"orders"`, `,"ISS":"orders"`} {
		exchange(extra).refused(t, "with "+extra, http.StatusBadRequest, "invalid_request")
	}
	exchange(`,"iss":"orders"`).refused(t, "with two names", http.StatusUnauthorized, "invalid_client")
}

func TestAttestationHeaderNamesNobody(t *testing.T) {
	w := newWorld(t)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=refresh_token&refresh_token=x"))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("OAuth-Client-Attestation", part(`{"alg":"ES256"}`)+"."+part(`{"sub":"app"}`)+"."+part(strings.Repeat("x", 64)))
	w.do(r).refused(t, "a client that only a header names", http.StatusUnauthorized, "invalid_client")
}

func TestBasicNamesOneClient(t *testing.T) {
	w := newWorld(t)
	w.clients["shop:x"] = &protocol.Client{ID: "shop:x", Auth: protocol.AuthBasic, Verify: func(string) bool { return true }, Grants: []string{protocol.ClientCredentials}}
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=client_credentials"))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("shop%3Ax", goodSecret) // decoded, the library would read shop, and the secret "x:…"
	w.do(r).refused(t, "a name with a colon", http.StatusUnauthorized, "invalid_client")
	for _, f := range w.faults {
		if !strings.Contains(f.Detail, "two clients") {
			t.Errorf("refused because %s", f.Detail)
		}
	}
}
