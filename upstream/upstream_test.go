package upstream_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/upstream"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// gateway signs tokens by the description of the format, without the gateway's code.
type gateway struct{ key ed25519.PrivateKey }

func newGateway(t testing.TB) *gateway {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &gateway{key}
}

func (g *gateway) x() string { return b64(g.key.Public().(ed25519.PublicKey)) }

func (g *gateway) kid() string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + g.x() + `"}`))
	return b64(sum[:])
}

func (g *gateway) jwk() string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q,"use":"sig","alg":"EdDSA"}`, g.x(), g.kid())
}

func jwks(gateways ...*gateway) []byte {
	var keys []string
	for _, g := range gateways {
		keys = append(keys, g.jwk())
	}
	return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`)
}

func (g *gateway) header() string {
	return `{"alg":"EdDSA","kid":"` + g.kid() + `","typ":"pavise-identity+jwt"}`
}

func good() map[string]any {
	return map[string]any{
		"iss": "gw1", "aud": "orders", "sub": "shop", "origin": "pavise", "client": "shop", "user": "ann", "tenant": "acme",
		"scopes": []string{"orders:read"}, "shield": "api_key", "credential": "k1", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1",
	}
}

func with(changes map[string]any) map[string]any {
	c := good()
	maps.Copy(c, changes)
	return c
}

func (g *gateway) token(claims map[string]any) string { return g.sign(g.header(), claims) }

func (g *gateway) sign(header string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed := b64([]byte(header)) + "." + b64(payload)
	return signed + "." + b64(ed25519.Sign(g.key, []byte(signed)))
}

func request(tokens ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if len(tokens) > 0 {
		r.Header[upstream.Header] = tokens
	}
	return r
}

func options(g ...*gateway) upstream.Options {
	return upstream.Options{Audience: "orders", Issuer: "gw1", Keys: jwks(g...), Now: func() time.Time { return now }}
}

func open(t testing.TB, o upstream.Options) *upstream.Verifier {
	t.Helper()
	v, err := upstream.NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAGoodTokenSaysWhoCalled(t *testing.T) {
	g := newGateway(t)
	caller, err := open(t, options(g)).Verify(request(g.token(good())))
	if err != nil {
		t.Fatal(err)
	}
	if caller.Client != "shop" || caller.User != "ann" || caller.Tenant != "acme" || !caller.Has("orders:read") || caller.Has("orders:write") ||
		caller.Shield != "api_key" || caller.CredentialID != "k1" || caller.Origin != "pavise" || caller.Gateway != "gw1" || !caller.Issued.Equal(now) {
		t.Errorf("%+v", caller)
	}
}

func TestEverythingElseIsRefused(t *testing.T) {
	g, other := newGateway(t), newGateway(t)
	v := open(t, options(g))
	token := g.token(good())
	parts := strings.Split(token, ".")
	flipped := []byte(token)
	flipped[len(parts[0])+5] ^= 1
	for name, tokens := range map[string][]string{
		"none": nil, "empty": {""}, "two": {token, token}, "listed": {token + ", " + token}, "with a scheme": {"Bearer " + token},
		"two parts": {parts[0] + "." + parts[1]}, "four parts": {token + ".x"}, "padded": {token + "="}, "no signature": {parts[0] + "." + parts[1] + "."},
		"line break":              {token + "\n"},
		"another gateway's key":   {other.token(good())},
		"another's under our kid": {other.sign(g.header(), good())},
		"changed claims":          {string(flipped)},
		"alg none":                {b64([]byte(`{"alg":"none","kid":"`+g.kid()+`","typ":"pavise-identity+jwt"}`)) + "." + parts[1] + "."},
		"alg HS256 by public key": {hs256(g)},
		"another typ":             {g.sign(`{"alg":"EdDSA","kid":"`+g.kid()+`","typ":"at+jwt"}`, good())},
		"no typ":                  {g.sign(`{"alg":"EdDSA","kid":"`+g.kid()+`"}`, good())},
		"key in the header":       {other.sign(`{"alg":"EdDSA","jwk":`+other.jwk()+`,"kid":"`+other.kid()+`","typ":"pavise-identity+jwt"}`, good())},
		"spaces in the header":    {g.sign(`{"alg": "EdDSA","kid":"`+g.kid()+`","typ":"pavise-identity+jwt"}`, good())},
		"another audience":        {g.token(with(map[string]any{"aud": "payments"}))},
		"list of audiences":       {g.token(with(map[string]any{"aud": []string{"orders"}}))},
		"another issuer":          {g.token(with(map[string]any{"iss": "gw2"}))},
		"expired":                 {g.token(with(map[string]any{"iat": now.Add(-66 * time.Second).Unix(), "exp": now.Add(-6 * time.Second).Unix()}))},
		"from the future":         {g.token(with(map[string]any{"iat": now.Add(6 * time.Second).Unix()}))},
		"two minutes long":        {g.token(with(map[string]any{"exp": now.Add(2 * time.Minute).Unix()}))},
		"no expiry":               {g.token(with(map[string]any{"exp": 0}))}, "no issue": {g.token(with(map[string]any{"iat": 0}))},
		"expiry in words": {g.token(with(map[string]any{"exp": "tomorrow"}))},
		"huge":            {g.token(with(map[string]any{"sub": strings.Repeat("x", 9000)}))},
	} {
		caller, err := v.Verify(request(tokens...))
		if err == nil || caller != nil || !errors.Is(err, upstream.ErrIdentity) {
			t.Errorf("%s: %+v, %v", name, caller, err)
		}
		if err != nil && len(tokens) > 0 && len(parts[2]) > 0 && strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
	if _, err := v.Verify(request(token)); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// hs256 is the old trick: a MAC under the public key.
func hs256(g *gateway) string {
	payload, _ := json.Marshal(good())
	signed := b64([]byte(`{"alg":"HS256","kid":"`+g.kid()+`","typ":"pavise-identity+jwt"}`)) + "." + b64(payload)
	mac := hmac.New(sha256.New, g.key.Public().(ed25519.PublicKey))
	_, _ = mac.Write([]byte(signed))
	return signed + "." + b64(mac.Sum(nil))
}

func TestOnlyTheExactHeaderNameCounts(t *testing.T) {
	g := newGateway(t)
	r := request()
	r.Header["Pavise_Identity"] = []string{g.token(good())}
	r.Header.Set("Authorization", "Bearer "+g.token(good()))
	if _, err := open(t, options(g)).Verify(r); err == nil {
		t.Error("a token elsewhere was taken")
	}
}

func TestRevocationIsAskedWhereItIsKnown(t *testing.T) {
	g := newGateway(t)
	o := options(g)
	revoked := false
	o.Revoked = func(c *upstream.Caller) bool { return revoked && c.CredentialID == "k1" }
	v := open(t, o)
	if _, err := v.Verify(request(g.token(good()))); err != nil {
		t.Errorf("before: %v", err)
	}
	revoked = true
	if _, err := v.Verify(request(g.token(good()))); err == nil {
		t.Error("after its revocation a credential was taken")
	}
}

func TestATokenThatWasSeenIsJudgedAgain(t *testing.T) {
	g := newGateway(t)
	o := options(g)
	clock := now
	o.Now = func() time.Time { return clock }
	v := open(t, o)
	token := g.token(good())
	for range 3 {
		caller, err := v.Verify(request(token))
		if err != nil {
			t.Fatal(err)
		}
		caller.Scopes[0] = "changed by a careless service"
	}
	if caller, _ := v.Verify(request(token)); !caller.Has("orders:read") {
		t.Error("one request changed what the next one sees")
	}
	clock = clock.Add(66 * time.Second)
	if _, err := v.Verify(request(token)); err == nil {
		t.Error("a remembered token outlived itself")
	}
	clock = now
	for i := range 1100 { // more than are remembered
		if _, err := v.Verify(request(g.token(with(map[string]any{"jti": fmt.Sprint(i)})))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMiddleware(t *testing.T) {
	g := newGateway(t)
	h := open(t, options(g)).Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, upstream.CallerOf(r.Context()).Client)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(g.token(good())))
	if w.Code != 200 || w.Body.String() != "shop" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, request())
	if w.Code != 401 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Www-Authenticate") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if upstream.CallerOf(t.Context()).Has("x") {
		t.Error("nobody has a scope")
	}
}

func TestNewKeysAreFoundAtMostOncePerCoolDown(t *testing.T) {
	first, second := newGateway(t), newGateway(t)
	var document atomic.Pointer[[]byte]
	var fetched atomic.Int64
	set := func(d []byte) { document.Store(&d) }
	set(jwks(first))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write(*document.Load())
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "keys.json")
	for _, from := range []string{"url", "file"} {
		t.Run(from, func(t *testing.T) {
			clock := now
			set(jwks(first))
			write := func(d []byte) {
				set(d)
				if err := os.WriteFile(file, d, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(jwks(first))
			o := upstream.Options{Audience: "orders", Issuer: "gw1", URL: server.URL, Now: func() time.Time { return clock }}
			if from == "file" {
				o.URL, o.File = "", file
			}
			v := open(t, o)
			try := func(g *gateway) error {
				claims := with(map[string]any{"iat": clock.Unix(), "exp": clock.Add(time.Minute).Unix()})
				_, err := v.Verify(request(g.token(claims)))
				return err
			}
			write(jwks(first, second))
			if try(second) == nil {
				t.Error("a new key was looked for within the cool-down")
			}
			clock = clock.Add(11 * time.Second)
			before := fetched.Load()
			for range 10 {
				if err := try(second); err != nil {
					t.Errorf("after the cool-down: %v", err)
				}
				_ = try(newGateway(t)) // unknown keys cost nothing more
			}
			if n := fetched.Load() - before; from == "url" && n != 1 {
				t.Errorf("%d fetches", n)
			}
			write([]byte("not JSON"))
			clock = clock.Add(20 * time.Minute)
			if err := try(second); err != nil {
				t.Errorf("a bad document took the good keys away: %v", err)
			}
			write(jwks(second))
			clock = clock.Add(20 * time.Minute)
			_ = try(second)
			if try(first) == nil {
				t.Error("a key that was taken back is still good")
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	g := newGateway(t)
	good := options(g)
	for name, change := range map[string]func(*upstream.Options){
		"no audience": func(o *upstream.Options) { o.Audience = "" }, "no issuer": func(o *upstream.Options) { o.Issuer = "" },
		"no keys": func(o *upstream.Options) { o.Keys = nil }, "two sources": func(o *upstream.Options) { o.File = "x" },
		"plain http":   func(o *upstream.Options) { o.Keys, o.URL = nil, "http://keys.example.com/" },
		"no such file": func(o *upstream.Options) { o.Keys, o.File = nil, filepath.Join(t.TempDir(), "none") },
		"an empty set": func(o *upstream.Options) { o.Keys = []byte(`{"keys":[]}`) }, "no JSON": func(o *upstream.Options) { o.Keys = []byte(`x`) },
		"only RSA":    func(o *upstream.Options) { o.Keys = []byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`) },
		"a short key": func(o *upstream.Options) { o.Keys = []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`) },
		"a private key": func(o *upstream.Options) {
			o.Keys = []byte(strings.Replace(string(jwks(g)), `"use"`, `"d":"AAAA","use"`, 1))
		},
		"a name that is not the key's": func(o *upstream.Options) { o.Keys = []byte(strings.Replace(string(jwks(g)), g.kid(), "k", 1)) },
	} {
		o := good
		change(&o)
		if _, err := upstream.NewVerifier(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	g := newGateway(f)
	v := open(f, options(g))
	token := g.token(good())
	f.Add(token)
	f.Add("..")
	f.Add(strings.Replace(token, ".", "..", 1))
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := v.Verify(request(s)); err == nil && s != token {
			t.Fatalf("accepted %q", s)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	g := newGateway(b)
	v := open(b, options(g))
	r := request(g.token(good()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

// A service that answers only what came through its gateway.
func ExampleVerifier_Middleware() {
	g := &gateway{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} // stands for Pavise
	verifier, err := upstream.NewVerifier(upstream.Options{
		Audience: "orders", Issuer: "gw1", Keys: jwks(g), Now: func() time.Time { return now },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	service := verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := upstream.CallerOf(r.Context())
		_, _ = fmt.Fprintf(w, "client %s may read: %v", caller.Client, caller.Has("orders:read"))
	}))
	for _, r := range []*http.Request{request(g.token(good())), request()} {
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 client shop may read: true
	// 401 {"title":"This service answers only through its gateway.","status":401}
}
