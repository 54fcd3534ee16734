package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
)

// holder has a key, and tokens that are bound to it.
type holder struct {
	key    *ecdsa.PrivateKey
	print  string
	prover *dpop.Prover
}

func newHolder(t *testing.T, w *world) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(5) // crypto.SHA256
	if err != nil {
		t.Fatal(err)
	}
	prover, err := dpop.NewProver(key, "ES256", w.Now)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{key, base64.RawURLEncoding.EncodeToString(sum), prover}
}

func (h *holder) bound(w *world) string {
	return w.corp.Token(map[string]any{"cnf": map[string]any{"jkt": h.print}})
}

// proved is a good request with a bound token and its proof.
func (h *holder) proved(t *testing.T, token string) *http.Request {
	t.Helper()
	r := request("DPoP " + token)
	r.URL.Scheme, r.URL.Host = "https", r.Host
	if err := h.prover.Sign(r, token); err != nil {
		t.Fatal(err)
	}
	return r
}

// forge signs any header and claims.
func (h *holder) forge(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestBoundTokenNeedsAProofByItsKey(t *testing.T) {
	w := newWorld(t, nil)
	h, thief := newHolder(t, w), newHolder(t, w)
	token := h.bound(w)
	id, err := w.shield.Verify(h.proved(t, token))
	if err != nil || id.Confirm.Key != h.print || len(id.Once) != 1 || id.Scheme != "DPoP" {
		t.Fatalf("%+v, %v", id, err)
	}
	again, err := w.shield.Verify(h.proved(t, token))
	if err != nil || again.Once[0] == id.Once[0] {
		t.Errorf("the next proof of a remembered token: %v", err)
	}
	for name, test := range map[string]struct {
		change func(r *http.Request)
		code   shield.Code
	}{
		"as Bearer":         {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, shield.UnboundCredential},
		"without a proof":   {func(r *http.Request) { r.Header.Del("DPoP") }, shield.UnboundCredential},
		"another's proof":   {func(r *http.Request) { r.Header["Dpop"] = thief.proved(t, token).Header["Dpop"] }, shield.UnboundCredential},
		"another token's":   {func(r *http.Request) { r.Header["Dpop"] = h.proved(t, h.bound(w)+"x").Header["Dpop"] }, shield.InvalidCredential},
		"two proofs":        {func(r *http.Request) { r.Header.Add("DPoP", r.Header.Get("DPoP")) }, shield.MalformedCredential},
		"two in one header": {func(r *http.Request) { r.Header.Set("DPoP", r.Header.Get("DPoP")+", x") }, shield.MalformedCredential},
		"another method":    {func(r *http.Request) { r.Method = http.MethodPost }, shield.InvalidCredential},
		"another path":      {func(r *http.Request) { r.URL.Path += "/x" }, shield.InvalidCredential},
		"another host":      {func(r *http.Request) { r.Host = "other.example.com" }, shield.InvalidCredential},
		"rubbish":           {func(r *http.Request) { r.Header.Set("DPoP", "x") }, shield.InvalidCredential},
	} {
		r := h.proved(t, token)
		test.change(r)
		_, err := w.shield.Verify(r)
		if refusal := wantCode(t, name, err, test.code); len(refusal.Challenge) == 0 || strings.Contains(refusal.Error(), token) {
			t.Errorf("%s: %+v", name, refusal)
		}
	}
	query := h.proved(t, token)
	query.URL.RawQuery = "a=b"
	if _, err := w.shield.Verify(query); err != nil {
		t.Errorf("a query, which no proof covers: %v", err)
	}
	if _, err := w.shield.Verify(request("DPoP " + w.corp.Token(nil))); err == nil {
		t.Error("an unbound token was taken with the scheme DPoP")
	}
}

func TestForgedProofsAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t, w)
	token := h.bound(w)
	sum := sha256.Sum256([]byte(token))
	r := request("DPoP " + token)
	public := jose.JSONWebKey{Key: h.key.Public()}
	private := jose.JSONWebKey{Key: h.key}
	header := func(change func(map[string]any)) map[string]any {
		all := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
		change(all)
		return all
	}
	claims := func(change func(map[string]any)) map[string]any {
		all := map[string]any{
			"jti": "j1", "htm": r.Method, "htu": "https://" + r.Host + r.URL.Path, "iat": w.Now().Unix(),
			"ath": base64.RawURLEncoding.EncodeToString(sum[:]),
		}
		change(all)
		return all
	}
	same := func(map[string]any) {}
	send := func(proof string) error {
		r := request("DPoP " + token)
		r.Header.Set("DPoP", proof)
		_, err := w.shield.Verify(r)
		return err
	}
	if err := send(h.forge(t, header(same), claims(same))); err != nil {
		t.Fatalf("a good proof: %v", err)
	}
	for _, htu := range []string{"HTTPS://" + strings.ToUpper(r.Host) + r.URL.Path, "https://" + r.Host + ":443" + r.URL.Path + "?a=b#c"} {
		if err := send(h.forge(t, header(same), claims(func(c map[string]any) { c["htu"] = htu }))); err != nil {
			t.Errorf("htu %s: %v", htu, err)
		}
	}
	for name, proof := range map[string]string{
		"another typ":      h.forge(t, header(func(h map[string]any) { h["typ"] = "JWT" }), claims(same)),
		"no typ":           h.forge(t, header(func(h map[string]any) { delete(h, "typ") }), claims(same)),
		"none":             h.forge(t, header(func(h map[string]any) { h["alg"] = "none" }), claims(same)),
		"HS256":            h.forge(t, header(func(h map[string]any) { h["alg"] = "HS256" }), claims(same)),
		"es256":            h.forge(t, header(func(h map[string]any) { h["alg"] = "es256" }), claims(same)),
		"a private key":    h.forge(t, header(func(h map[string]any) { h["jwk"] = private }), claims(same)),
		"no key":           h.forge(t, header(func(h map[string]any) { delete(h, "jwk") }), claims(same)),
		"crit":             h.forge(t, header(func(h map[string]any) { h["crit"] = []string{"x"} }), claims(same)),
		"no jti":           h.forge(t, header(same), claims(func(c map[string]any) { delete(c, "jti") })),
		"a long jti":       h.forge(t, header(same), claims(func(c map[string]any) { c["jti"] = strings.Repeat("x", 257) })),
		"no iat":           h.forge(t, header(same), claims(func(c map[string]any) { delete(c, "iat") })),
		"iat as text":      h.forge(t, header(same), claims(func(c map[string]any) { c["iat"] = "1" })),
		"stale":            h.forge(t, header(same), claims(func(c map[string]any) { c["iat"] = w.Now().Add(-61 * time.Second).Unix() })),
		"from the future":  h.forge(t, header(same), claims(func(c map[string]any) { c["iat"] = w.Now().Add(12 * time.Second).Unix() })),
		"no ath":           h.forge(t, header(same), claims(func(c map[string]any) { delete(c, "ath") })),
		"http":             h.forge(t, header(same), claims(func(c map[string]any) { c["htu"] = "http://" + r.Host + r.URL.Path })),
		"a method in case": h.forge(t, header(same), claims(func(c map[string]any) { c["htm"] = strings.ToLower(r.Method) })),
		"a user's name":    h.forge(t, header(same), claims(func(c map[string]any) { c["htu"] = "https://ann@" + r.Host + r.URL.Path })),
		"another port":     h.forge(t, header(same), claims(func(c map[string]any) { c["htu"] = "https://" + r.Host + ":8443" + r.URL.Path })),
		"jti a number":     h.forge(t, header(same), claims(func(c map[string]any) { c["jti"] = 1 })),
		"stray bits":       strayBits(h.forge(t, header(same), claims(same))),
		"another curve":    h.forge(t, header(func(h map[string]any) { h["alg"] = "ES384" }), claims(same)),
		"a small RSA key":  h.forge(t, header(func(h map[string]any) { h["alg"], h["jwk"] = "RS256", jose.JSONWebKey{Key: smallRSA(t)} }), claims(same)),
		"cut off":          strings.TrimSuffix(h.forge(t, header(same), claims(same)), "A") + "!",
	} {
		refusal, ok := errors.AsType[*shield.Refusal](send(proof))
		if !ok || refusal.HTTPStatus() != http.StatusUnauthorized || !strings.HasPrefix(refusal.Challenge[0], "DPoP ") {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

// strayBits changes the bits behind the end of the signature, which no decoder needs.
func strayBits(compact string) string {
	at := strings.LastIndexByte(compact, '.') + 1
	return compact[:at] + otherLastBits(compact[at:])
}

// smallRSA is a public key that is too short to be trusted.
func smallRSA(t *testing.T) *rsa.PublicKey {
	t.Helper()
	modulus, ok := new(big.Int).SetString(strings.Repeat("c3", 128), 16) // 1024 bits; nobody has its private half
	if !ok {
		t.Fatal("no number")
	}
	return &rsa.PublicKey{N: modulus, E: 65537}
}

func TestProofsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t, w)
	token := h.bound(w)
	r := h.proved(t, token)
	r.Header.Set("DPoP", r.Header.Get("DPoP")+strings.Repeat("A", 8<<10))
	_, err := w.shield.Verify(r)
	wantCode(t, "more than 8 KiB", err, shield.MalformedCredential)
}

func TestAProofSentToAnotherPortIsNotOurs(t *testing.T) {
	w := newWorld(t, nil)
	h := newHolder(t, w)
	env := w.Env()
	env.API.Ports = []string{"443", "8443"}
	opened, err := w.config.Open(env)
	if err != nil {
		t.Fatal(err)
	}
	for host, ours := range map[string]bool{
		"api.example.com": true, "api.example.com:443": true, "api.example.com:8443": true, "api.example.com:9443": false, "api.example.com:": true,
	} {
		token := h.bound(w)
		r := request("DPoP " + token)
		r.Host, r.URL.Scheme, r.URL.Host = host, "https", host
		if err := h.prover.Sign(r, token); err != nil {
			t.Fatal(err)
		}
		if _, err := opened.Verify(r); (err == nil) != ours {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTokensThatCameWithTheSchemeDPoPAreChallengedSo(t *testing.T) {
	w := newWorld(t, nil)
	for name, token := range map[string]string{
		"unbound": w.corp.Token(nil), "ended": w.corp.Token(map[string]any{"exp": 1}), "forged": otherLastBits(w.corp.Token(nil)),
	} {
		_, err := w.shield.Verify(request("DPoP " + token))
		refusal, ok := errors.AsType[*shield.Refusal](err)
		if !ok || len(refusal.Challenge) != 1 || !strings.HasPrefix(refusal.Challenge[0], `DPoP realm="orders", error="invalid_token"`) {
			t.Errorf("%s: %+v", name, refusal)
		}
	}
}

func TestNonceIsDemandedAndLearned(t *testing.T) {
	w := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Nonce = true })
	h := newHolder(t, w)
	token := h.bound(w)
	r := h.proved(t, token)
	_, err := w.shield.Verify(r)
	refusal := wantCode(t, "no nonce", err, shield.NonceRequired)
	if !strings.Contains(refusal.Challenge[0], `error="use_dpop_nonce"`) || !h.prover.Learn(r.URL, refusal.Header) {
		t.Fatalf("%+v", refusal)
	}
	if _, err := w.shield.Verify(h.proved(t, token)); err != nil {
		t.Errorf("with the nonce: %v", err)
	}
}

func TestOnlyBoundTokensWhereTheyAreRequired(t *testing.T) {
	w := newWorld(t, func(_ *shield.Issuer, c *Config) { c.DPoP = "require" })
	h := newHolder(t, w)
	if _, err := w.shield.Verify(h.proved(t, h.bound(w))); err != nil {
		t.Errorf("a bound token: %v", err)
	}
	_, err := w.shield.Verify(request("Bearer " + w.corp.Token(nil)))
	if refusal := wantCode(t, "a plain token", err, shield.UnboundCredential); !strings.HasPrefix(refusal.Challenge[0], "DPoP ") {
		t.Errorf("%+v", refusal)
	}
}
