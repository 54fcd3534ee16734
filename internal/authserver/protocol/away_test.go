package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/protocol"
)

func (w *world) stores(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

// DESIGN §7: what cannot be decided is answered so, and is as it was afterwards.
func TestStoreThatIsAwayIsNoBadCredential(t *testing.T) {
	w := newWorld(t)
	refresh, _ := w.post("shop", "/token", w.redeeming("shop", w.code("shop"))).json["refresh_token"].(string)
	opaque := w.post("opaque", "/token", w.redeeming("opaque", w.code("opaque", func(v url.Values) { v.Set("scope", "openid orders:read") }))).token(t)
	revoked := w.post("opaque", "/token", w.redeeming("opaque", w.code("opaque"))).token(t)
	device, _ := w.post("shop", "/device_authorization", url.Values{"scope": {"orders:read"}}).json["device_code"].(string)
	userinfo := func() answer {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+"/userinfo", nil)
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+opaque)
		return w.do(r)
	}
	code := w.code("shop")
	asks := map[string]struct {
		ask   func() answer
		after func(answer) bool // once it is back
	}{
		"a code": {func() answer { return w.post("shop", "/token", w.redeeming("shop", code)) }, func(a answer) bool { return a.status == http.StatusOK }},
		"a refresh token": {func() answer {
			return w.post("shop", "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
		}, func(a answer) bool { return a.status == http.StatusOK }},
		"a device code": {func() answer {
			w.mu.Lock()
			w.now = w.now.Add(6 * time.Second)
			w.mu.Unlock()
			return w.post("shop", "/token", url.Values{"grant_type": {protocol.DeviceCode}, "device_code": {device}})
		}, func(a answer) bool { return a.json["error"] == "authorization_pending" }},
		"introspection": {func() answer { return w.post("opaque", "/introspect", url.Values{"token": {opaque}}) }, func(a answer) bool { return a.json["active"] == true }},
		"revocation":    {func() answer { return w.post("opaque", "/revoke", url.Values{"token": {revoked}}) }, func(a answer) bool { return a.status == http.StatusOK }},
		"a push":        {func() answer { return w.post("shop", "/par", w.asking("shop")) }, func(a answer) bool { return a.status == http.StatusCreated }},
		"userinfo":      {userinfo, func(a answer) bool { return a.json["sub"] == "person-1" }},
	}
	w.stores(true)
	for what, it := range asks {
		it.ask().refused(t, what, http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	w.people.State = people.Pending
	for _, path := range []string{"/device?user_code=BCDF-GHJK", "/authorize/x", "/authorize?" + w.asking("shop").Encode(), "/device/x"} {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
		must(t, err)
		if a := w.do(r); a.status != http.StatusServiceUnavailable || a.text != "error page: temporarily_unavailable" {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	w.stores(false)
	for what, it := range asks {
		if a := it.ask(); !it.after(a) {
			t.Errorf("%s, afterwards: %d %s", what, a.status, a.text)
		}
	}
	for _, e := range w.events {
		if e.Action == "grant.reuse" {
			t.Errorf("event %+v", e)
		}
	}
}

func TestAssertionThatCouldNotBeUsedUpIsNoWrongTry(t *testing.T) {
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	must(t, err)
	w.clients["bank"] = &protocol.Client{ID: "bank", Auth: protocol.AuthKey, JWKS: jwks, Grants: []string{protocol.ClientCredentials}, Scopes: []string{"orders:read"}}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	must(t, err)
	now := time.Now().Unix()
	assertion, err := jwt.Signed(signer).Claims(map[string]any{"iss": "bank", "sub": "bank", "aud": w.server.URL, "jti": random(), "iat": now, "exp": now + 60}).Serialize()
	must(t, err)
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	w.stores(true)
	for range 50 {
		w.post("bank", "/token", form).refused(t, "while it is away", http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	w.stores(false)
	if wait := w.tries.Blocked("bank", netip.MustParseAddr("127.0.0.1")); wait != 0 {
		t.Errorf("held back for %s", wait)
	}
	if a := w.post("bank", "/token", form); a.status != http.StatusOK || !strings.Contains(a.text, "access_token") {
		t.Errorf("afterwards: %d %s", a.status, a.text)
	}
}
