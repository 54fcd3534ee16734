package people_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/people/handover"
	"pavise.dev/pavise/internal/issuer/issuertest"
)

const pageURL = "https://sign-in.corp.example/pavise?lang=en"

// operator is a sign-in page as somebody would write it by handover/README.md.
type operator struct {
	t     testing.TB
	w     *world
	ours  *ecdsa.PrivateKey // Pavise's key
	keys  *issuertest.Issuer
	count int
}

func withPage(t testing.TB, change ...func(*handover.Settings)) (*world, *operator) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	o := &operator{t: t, ours: key, keys: issuertest.New(t, pageURL)}
	settings := handover.Settings{URL: pageURL, Keys: o.keys.JWKS(), Create: true}
	for _, c := range change {
		c(&settings)
	}
	o.w = newWorld(t, func(x *people.Options) {
		x.Key = func() (string, string, crypto.Signer) { return "k1", "ES256", key }
		x.SignIn.Page = &settings
	})
	return o.w, o
}

// read is the page's half of a request: verify, and look at it.
func (o *operator) read(address string) map[string]any {
	o.t.Helper()
	u, err := url.Parse(address)
	must(o.t, err)
	signed, err := jose.ParseSignedCompact(u.Query().Get("request"), []jose.SignatureAlgorithm{jose.ES256})
	must(o.t, err)
	body, err := signed.Verify(&o.ours.PublicKey)
	must(o.t, err)
	var claims map[string]any
	must(o.t, json.Unmarshal(body, &claims))
	if typ, _ := signed.Signatures[0].Header.ExtraHeaders[jose.HeaderType].(string); typ != handover.RequestType || claims["iss"] != o.w.server.URL || claims["aud"] != pageURL ||
		u.Query().Get("lang") != "en" || claims["exp"].(float64)-claims["iat"].(float64) > 60 {
		o.t.Fatalf("request of type %s to %s: %v", typ, address, claims)
	}
	return claims
}

// answer is the page's half of an answer.
func (o *operator) answer(request map[string]any, changes, header map[string]any) (path string) {
	o.t.Helper()
	o.count++
	now := o.w.clock.Now().Unix()
	claims := map[string]any{
		"iss": pageURL, "aud": request["iss"], "jti": fmt.Sprint("answer-", o.count), "request": request["jti"], "iat": now, "exp": now + 60,
		"sub": "employee-7", "name": "Ada L.", "email": "ada@corp.example", "email_verified": true, "amr": []string{"hwk"}, "acr": "corp-strong",
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	typed := map[string]any{"typ": handover.AnswerType}
	for name, value := range header {
		typed[name] = value
	}
	return pathOf(o.t, request["return_to"].(string)) + "?answer=" + o.keys.Sign(typed, claims)
}

func TestSignInAtAPageOfTheOperators(t *testing.T) {
	w, o := withPage(t)
	w.ask("one", func(a *people.Asked) { a.LoginHint, a.ACR = "ada", []string{"corp-strong"} })
	b := w.browser()
	p := b.get(authorize("one"))
	if p.status != http.StatusSeeOther || !strings.HasPrefix(p.to, "https://sign-in.corp.example/pavise?") {
		t.Fatalf("status %d to %s", p.status, p.to)
	}
	request := o.read(p.to)
	if request["client_id"] != "photos" || request["client_name"] != "Photo Prints" || request["scope"] != "openid orders:read orders:write" || request["login_hint"] != "ada" || request["acr_values"] != "corp-strong" {
		t.Errorf("request %v", request)
	}
	answer := o.answer(request, nil, nil)
	b.submit(b.get(answer).want(http.StatusOK, "asks for access", "Ada L."), "allow").wantSent("https://photos.example/callback?code=c")
	got := w.answered("one").Person
	if got.Name != "Ada L." || got.ACR != "corp-strong" || !slices.Equal(got.AMR, []string{"hwk"}) || !got.EmailVerified {
		t.Errorf("%+v", got)
	}
	b.get(answer).want(http.StatusBadRequest, "cannot go on")
	other := w.browser()
	w.ask("two")
	p = other.get(authorize("two"))
	other.get(o.answer(o.read(p.to), nil, nil)).wantSent("https://photos.example/callback?code=c") // the same person, elsewhere
	w.ask("three", func(a *people.Asked) { a.Client.ID = "second" })
	other.get(authorize("three")).want(http.StatusOK, "asks for access")
	b.get("/account").want(http.StatusOK, "Your account", "ada@corp.example")
}

func TestWhoDoesNotSignInAtThePageCanGoBack(t *testing.T) {
	w, o := withPage(t)
	w.ask("one")
	b := w.browser()
	p := b.get(authorize("one"))
	p = b.get(o.answer(o.read(p.to), map[string]any{"error": "access_denied", "sub": nil}, nil)).want(http.StatusOK, "Continue with your account")
	again := b.get("/authorize/one?" + strings.ReplaceAll(strings.SplitN(strings.SplitN(p.text, `href="/authorize/one?`, 2)[1], `"`, 2)[0], "&amp;", "&"))
	if !strings.HasPrefix(again.to, "https://sign-in.corp.example/") {
		t.Errorf("to %s", again.to)
	}
	b.submit(p, "cancel").wantSent("https://photos.example/callback?error=access_denied")
}

func TestAnotherAccountAtThePage(t *testing.T) {
	w, o := withPage(t)
	w.ask("one")
	b := w.browser()
	p := b.get(o.answer(o.read(b.get(authorize("one")).to), nil, nil)).want(http.StatusOK, "asks for access")
	p = b.submit(p, "other").want(http.StatusOK, "Continue with your account") // no redirect elsewhere behind a form
	away := b.get("/authorize/one?" + strings.ReplaceAll(strings.SplitN(strings.SplitN(p.text, `href="/authorize/one?`, 2)[1], `"`, 2)[0], "&amp;", "&"))
	request := o.read(away.to)
	if request["prompt"] != "login" {
		t.Errorf("request %v", request)
	}
	b.get(o.answer(request, map[string]any{"sub": "employee-8", "name": "Eva"}, nil)).want(http.StatusOK, "Eva")
}

func TestRefusesAnswersOfThePage(t *testing.T) {
	w, o := withPage(t)
	now := w.clock.Now().Unix()
	for name, change := range map[string]map[string]any{
		"another issuer":       {"iss": "https://evil.example"},
		"another audience":     {"aud": "https://evil.example"},
		"several audiences":    {"aud": []string{w.server.URL}},
		"no id":                {"jti": nil},
		"no request":           {"request": nil},
		"an unknown request":   {"request": "other"},
		"no expiry":            {"exp": nil},
		"longer than a minute": {"exp": now + 61},
		"expired":              {"iat": now - 70, "exp": now - 10},
		"of the future":        {"iat": now + 60, "exp": now + 90},
		"exp as text":          {"exp": "1"},
		"exp as a fraction":    {"exp": 1.5e9 + 0.5},
		"no subject":           {"sub": nil},
		"subject as a number":  {"sub": 7},
		"long subject":         {"sub": strings.Repeat("x", 300)},
		"name with a line":     {"name": "a\nb"},
		"verified as text":     {"email_verified": "true"},
		"auth_time to come":    {"auth_time": now + 600},
		"amr as text":          {"amr": "pwd"},
		"error and subject":    {"error": "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w.ask("x")
			b := w.browser()
			b.get(o.answer(o.read(b.get(authorize("x")).to), change, nil)).want(http.StatusBadRequest, "cannot go on")
		})
	}
	for name, header := range map[string]map[string]any{
		"an ID token":       {"typ": "JWT"},
		"an access token":   {"typ": "at+jwt"},
		"our own request":   {"typ": handover.RequestType},
		"another algorithm": {"alg": "ES384"},
		"none":              {"alg": "none"},
		"HMAC":              {"alg": "HS256"},
		"a key of its own":  {"jwk": map[string]any{"kty": "EC"}},
		"an address":        {"jku": "https://evil.example"},
		"critical":          {"crit": []string{"x"}, "x": 1},
		"another kid":       {"kid": "other"},
	} {
		t.Run(name, func(t *testing.T) {
			w.ask("x")
			b := w.browser()
			b.get(o.answer(o.read(b.get(authorize("x")).to), nil, header)).want(http.StatusBadRequest, "cannot go on")
		})
	}
	t.Run("signed by another", func(t *testing.T) {
		w.ask("x")
		b := w.browser()
		request := o.read(b.get(authorize("x")).to)
		evil := &operator{t: t, w: w, ours: o.ours, keys: issuertest.New(t, pageURL)}
		b.get(evil.answer(request, nil, nil)).want(http.StatusBadRequest, "cannot go on")
	})
	t.Run("in another browser", func(t *testing.T) {
		w.ask("x")
		b := w.browser()
		path := o.answer(o.read(b.get(authorize("x")).to), nil, nil)
		w.browser().get(path).want(http.StatusBadRequest, "cannot go on")
		other := w.browser()
		w.ask("y")
		other.get(authorize("y"))
		other.get(path).want(http.StatusBadRequest, "cannot go on")
		b.get(path).want(http.StatusOK, "asks for access")
	})
	t.Run("one id for two answers", func(t *testing.T) {
		for i, want := range []int{http.StatusOK, http.StatusBadRequest} {
			w.ask("x")
			b := w.browser()
			if got := b.get(o.answer(o.read(b.get(authorize("x")).to), map[string]any{"jti": "same"}, nil)); got.status != want {
				t.Errorf("%d: status %d", i, got.status)
			}
		}
	})
	t.Run("two answers to one request", func(t *testing.T) {
		w.ask("x")
		b := w.browser()
		request := o.read(b.get(authorize("x")).to)
		b.get(o.answer(request, nil, nil)).want(http.StatusOK, "asks for access")
		b.get(o.answer(request, nil, nil)).want(http.StatusBadRequest, "cannot go on")
	})
	t.Run("fifty at once: one is in", func(t *testing.T) {
		w.ask("x")
		b := w.browser()
		path := o.answer(o.read(b.get(authorize("x")).to), nil, nil)
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		var in atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if p := b.get(path); p.status == http.StatusSeeOther && p.to == "/authorize/x" {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != 1 {
			t.Errorf("%d are in", in.Load())
		}
	})
	t.Run("signed in long ago, though asked anew", func(t *testing.T) {
		for change, want := range map[int64]int{-60: http.StatusBadRequest, 0: http.StatusOK} {
			w.ask("x", func(a *people.Asked) { a.Prompt = []string{"login"} })
			b := w.browser()
			if got := b.get(o.answer(o.read(b.get(authorize("x")).to), map[string]any{"auth_time": now + change}, nil)); got.status != want {
				t.Errorf("%d s: status %d", change, got.status)
			}
		}
	})
	t.Run("bent", func(t *testing.T) {
		w.ask("x")
		b := w.browser()
		good := o.answer(o.read(b.get(authorize("x")).to), nil, nil)
		for _, path := range []string{"/sign-in/return", "/sign-in/return?answer=", "/sign-in/return?answer=a.b.c", good + "&answer=x", good + "&more=x", good + "x", good + "=" + strings.Repeat("x", 9000)} {
			b.get(path).want(http.StatusBadRequest, "cannot go on")
		}
		w.clock.forward(66 * time.Second)
		b.get(good).want(http.StatusBadRequest, "cannot go on")
	})
	if !slices.Contains(w.actions(), people.EventHandOverRejected) {
		t.Error("no event")
	}
}

func TestThePageKnowsNoStrangersUnlessItMay(t *testing.T) {
	public := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		must(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	var w *world
	var o *operator
	keys := issuertest.New(t, pageURL)
	w, o = withPage(t, func(s *handover.Settings) { s.Create, s.Keys = false, public(keys.Public("")) })
	o.keys = keys
	w.ask("x")
	b := w.browser()
	b.get(o.answer(o.read(b.get(authorize("x")).to), nil, nil)).want(http.StatusForbidden, "no account for you")
}

// RFC 9470: who has signed in at the page in another way than is wanted is sent there again.
func TestAWayOfSigningInThatThePageKnowsIsAskedFor(t *testing.T) {
	w, o := withPage(t)
	w.ask("one")
	b := w.browser()
	p := b.get(authorize("one"))
	b.submit(b.get(o.answer(o.read(p.to), map[string]any{"acr": "corp-weak"}, nil)), "allow").wantSent("https://photos.example/callback?code=c")
	w.ask("two", func(a *people.Asked) { a.ACR = []string{"corp-strong"} })
	p = b.get(authorize("two"))
	if p.status != http.StatusSeeOther {
		t.Fatalf("signed in weakly: %d to %s", p.status, p.to)
	}
	request := o.read(p.to)
	if request["acr_values"] != "corp-strong" {
		t.Errorf("request %v", request)
	}
	b.get(o.answer(request, nil, nil)).wantSent("https://photos.example/callback?code=c")
	if got := w.answered("two").Person.ACR; got != "corp-strong" {
		t.Errorf("acr %q", got)
	}
	w.ask("three", func(a *people.Asked) { a.ACR = []string{"corp-strong"} })
	b.get(authorize("three")).wantSent("https://photos.example/callback?code=c")
	b.get("/account").want(http.StatusOK, "Your account")
}
