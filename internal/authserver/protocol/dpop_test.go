package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/dpop"
)

// proven sends a form of the public client "app" with a proof, and again with the nonce
// that the server offers.
func (w *world) proven(p *dpop.Prover, form url.Values) answer {
	w.t.Helper()
	form.Set("client_id", "app")
	var a answer
	for range 2 {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader(form.Encode()))
		must(w.t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		must(w.t, p.Sign(r, ""))
		a = w.do(r)
		if a.json["error"] != "use_dpop_nonce" || !p.Learn(r.URL, a.header) {
			return a
		}
	}
	return a
}

func (w *world) prover() *dpop.Prover {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	p, err := dpop.NewProver(key, "ES256", w.Now)
	must(w.t, err)
	return p
}

func TestTokensOfAPublicClientStayWithItsKey(t *testing.T) {
	w := newWorld(t)
	owner, thief := w.prover(), w.prover()
	first := w.proven(owner, w.redeeming("app", w.code("app")))
	got := claims(t, first.token(t))
	cnf, _ := got["cnf"].(map[string]any)
	if first.json["token_type"] != "DPoP" || cnf["jkt"] == nil || first.header.Get("DPoP-Nonce") == "" {
		t.Fatalf("%s %v", first.text, got)
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.json["refresh_token"].(string)}}
	if a := w.post("app", "/token", form); a.status == http.StatusOK {
		t.Error("a bound refresh token was taken without a proof")
	}
	if a := w.proven(thief, form); a.status == http.StatusOK {
		t.Error("a bound refresh token was taken with another key")
	}
	second := w.proven(owner, form)
	if cnf2, _ := claims(t, second.token(t))["cnf"].(map[string]any); cnf2["jkt"] != cnf["jkt"] {
		t.Errorf("%v", cnf2)
	}
}

func TestProofAtTheTokenEndpointIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	p := w.prover()
	send := func(proofs ...string) answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("shop", goodSecret)
		r.Header["Dpop"] = proofs
		return w.do(r)
	}
	make := func() string {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", nil)
		must(t, err)
		must(t, p.Sign(r, ""))
		return r.Header.Get("DPoP")
	}
	challenge := send(make())
	challenge.refused(t, "no nonce", http.StatusBadRequest, "use_dpop_nonce")
	at, err := url.Parse(w.server.URL)
	must(t, err)
	p.Learn(at, challenge.header)
	proof := make()
	if a := send(proof); a.status != http.StatusOK || a.json["token_type"] != "DPoP" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	send(proof).refused(t, "a second time", http.StatusBadRequest, "invalid_dpop_proof")
	send("x").refused(t, "rubbish", http.StatusBadRequest, "invalid_dpop_proof")
	send(make(), make()).refused(t, "two", http.StatusBadRequest, "invalid_dpop_proof")
}
