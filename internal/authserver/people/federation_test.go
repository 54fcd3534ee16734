package people_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/upstream"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/internal/secret"
)

// lookalike behaves like a provider of OpenID Connect, and like a service of plain OAuth
// 2.0, as far as the test does not change that.
type lookalike struct {
	t      testing.TB
	server *httptest.Server
	issuer *issuertest.Issuer
	now    func() time.Time

	mu       sync.Mutex
	asked    map[string]url.Values // by code
	codes    int
	metadata map[string]any // changes
	claims   map[string]any // changes
	header   map[string]any // changes
	answer   map[string]any // changes of the token endpoint's
	back     map[string]string
	user     string           // what /user says
	instead  http.HandlerFunc // of the path below
	path     string
}

const accessToken = "planted-access-token"

func newLookalike(t testing.TB) *lookalike {
	t.Helper()
	l := &lookalike{t: t, issuer: issuertest.New(t, ""), asked: map[string]url.Values{}, now: time.Now}
	l.server = httptest.NewUnstartedServer(l)
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.server.StartTLS()
	t.Cleanup(l.server.Close)
	l.reset()
	return l
}

func (l *lookalike) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issuer.URL = l.server.URL
	l.metadata, l.claims, l.header, l.answer, l.back = nil, nil, nil, nil, nil
	l.user, l.instead, l.path = `{"id": 4711, "login": "ada-l", "name": "Ada L.", "email": "ada@example.com", "email_verified": true}`, nil, ""
}

func (l *lookalike) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *lookalike) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = r.ParseForm()
	if l.instead != nil && r.URL.Path == l.path {
		l.instead(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		l.write(w, map[string]any{
			"issuer": l.server.URL, "authorization_endpoint": l.server.URL + "/authorize", "token_endpoint": l.server.URL + "/token", "jwks_uri": l.server.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}, "authorization_response_iss_parameter_supported": true,
		}, l.metadata)
	case "/keys":
		_, _ = w.Write(l.issuer.JWKS())
	case "/authorize":
		l.authorize(w, r)
	case "/token":
		l.token(w, r)
	case "/user":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, l.user)
	}
}

func (l *lookalike) write(w http.ResponseWriter, all, changes map[string]any) {
	for name, value := range changes {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	_ = json.NewEncoder(w).Encode(all)
}

func (l *lookalike) authorize(w http.ResponseWriter, r *http.Request) {
	l.codes++
	code := fmt.Sprint("code-", l.codes)
	l.asked[code] = r.Form
	if r.Form.Get("code_challenge_method") != "S256" || r.Form.Get("response_type") != "code" || r.Form.Get("state") == "" {
		l.t.Errorf("asked with %v", r.Form)
	}
	back := url.Values{"code": {code}, "state": {r.Form.Get("state")}, "iss": {l.server.URL}}
	for name, value := range l.back {
		if back.Set(name, value); value == "" {
			back.Del(name)
		}
	}
	w.Header().Set("Location", r.Form.Get("redirect_uri")+"?"+back.Encode())
	w.WriteHeader(http.StatusFound)
}

func (l *lookalike) token(w http.ResponseWriter, r *http.Request) {
	asked, ok := l.asked[r.PostForm.Get("code")]
	delete(l.asked, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	id, password, basic := r.BasicAuth()
	if !basic {
		id, password = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") || r.PostForm.Get("redirect_uri") != asked.Get("redirect_uri") || id != "pavise" || password != "planted-client-secret" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error": "invalid_grant"}`)
		return
	}
	hash := sha256.Sum256([]byte(accessToken))
	claims := map[string]any{
		"iss": l.server.URL, "sub": "4711", "aud": "pavise", "nonce": asked.Get("nonce"), "iat": l.now().Unix(), "exp": l.now().Add(5 * time.Minute).Unix(),
		"name": "Ada L.", "email": "ada@example.com", "email_verified": true, "at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]),
	}
	for name, value := range l.claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	header := map[string]any{"typ": "JWT"}
	for name, value := range l.header {
		header[name] = value
	}
	l.write(w, map[string]any{"access_token": accessToken, "token_type": "Bearer", "id_token": l.issuer.Sign(header, claims)}, l.answer)
}

// visit is the person at the provider, who says yes at once; the address is where they are
// sent back.
func (l *lookalike) visit(address string) string {
	l.t.Helper()
	c := *l.server.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, address, nil)
	must(l.t, err)
	answer, err := c.Do(r)
	must(l.t, err)
	defer func() { _ = answer.Body.Close() }()
	return answer.Header.Get("Location")
}

// withProviders is a world whose people can sign in at a look-alike.
func withProviders(t testing.TB, l *lookalike, change ...func(*upstream.Settings)) *world {
	t.Helper()
	return providers(t, l, func(o *people.Options) {
		for _, c := range change {
			c(&o.SignIn.Providers[0])
		}
	})
}

func providers(t testing.TB, l *lookalike, change func(*people.Options)) *world {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(l.server.Certificate())
	fetcher, err := fetch.New(fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots, Timeout: 500 * time.Millisecond})
	must(t, err)
	openid := upstream.Settings{
		Name: "corp", Title: "Corp", Kind: upstream.OpenIDConnect, Issuer: l.server.URL, ClientID: "pavise", ClientSecret: secret.New([]byte("planted-client-secret")),
		Accounts: upstream.Create,
	}
	hub := upstream.Settings{
		Name: "hub", Title: "CodeHub", Kind: upstream.OAuth2, Issuer: "https://codehub.example", ClientID: "pavise", ClientSecret: secret.New([]byte("planted-client-secret")),
		AuthorizeURL: l.server.URL + "/authorize", TokenURL: l.server.URL + "/token", UserinfoURL: l.server.URL + "/user", SubjectField: "id", Accounts: upstream.Create,
	}
	w := newWorld(t, func(o *people.Options) {
		o.Fetch = func() *http.Client { return fetcher.HTTP(1 << 20) }
		o.SignIn.Providers = []upstream.Settings{openid, hub}
		change(o)
	})
	l.now = w.clock.Now
	return w
}

// way is the address of a button "Continue with …".
func (p *page) way(name string) string {
	p.t.Helper()
	_, rest, ok := strings.Cut(p.text, `href="`+p.url.Path+"?token=")
	for ok {
		address, _, _ := strings.Cut(rest, `"`)
		if strings.Contains(address, "with="+name) {
			return p.url.Path + "?token=" + strings.ReplaceAll(address, "&amp;", "&")
		}
		_, rest, ok = strings.Cut(rest, `href="`+p.url.Path+"?token=")
	}
	p.t.Fatalf("no way to %s on the page:\n%s", name, p.text)
	return ""
}

// through goes through a provider and comes back.
func (b *browser) through(l *lookalike, p *page, name string) *page {
	b.w.t.Helper()
	return b.get(pathOf(b.w.t, l.visit(b.depart(p, name))))
}

func (b *browser) depart(p *page, name string) (address string) {
	b.w.t.Helper()
	away := b.get(p.way(name))
	if away.status != http.StatusSeeOther || strings.Contains(away.to, "planted") {
		b.w.t.Fatalf("status %d to %s:\n%s", away.status, away.to, away.text)
	}
	return away.to
}

func pathOf(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u.RequestURI()
}

// connectAddress is that of the first button "Connect" of a person's own page.
func (p *page) connectAddress() string {
	p.t.Helper()
	_, rest, ok := strings.Cut(p.text, `href="/account/connect?`)
	if !ok {
		p.t.Fatalf("nothing to connect on the page of status %d:\n%s", p.status, p.text)
	}
	address, _, _ := strings.Cut(rest, `"`)
	return "/account/connect?" + strings.ReplaceAll(address, "&amp;", "&")
}

// start is a browser at the page of signing in.
func (w *world) start(id string) (*browser, *page) {
	w.ask(id, func(a *people.Asked) { a.Action = "/authorize/" + id })
	b := w.browser()
	b.get(authorize(id))
	return b, b.get("/authorize/"+id).want(http.StatusOK, "<h1>Sign in</h1>", "Continue with Corp", "Continue with CodeHub")
}

func TestSignInThroughOthers(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	var subjects []string
	for _, name := range []string{"corp", "hub", "corp", "hub"} {
		id := fmt.Sprint("a", len(subjects))
		b, p := w.start(id)
		p = b.through(l, p, name)
		if strings.Contains(p.text, "asks for access") {
			p = b.submit(p, "allow")
		}
		p.wantSent("https://photos.example/callback?code=c")
		got := w.answered(id)
		if got.Person.Name != "Ada L." || got.Person.Email != "ada@example.com" || got.Person.ACR != people.ACROne || got.Person.EmailVerified != (name == "corp") {
			t.Errorf("%s: %+v", name, got.Person)
		}
		subjects = append(subjects, got.Person.Subject)
	}
	if subjects[0] != subjects[2] || subjects[1] != subjects[3] {
		t.Error("the same person came back as another one")
	}
	if subjects[0] == subjects[1] {
		t.Error("two providers' people of one e-mail address are one person here")
	}
	if !slices.Contains(w.actions(), people.EventAccountCreated) {
		t.Error("no event")
	}
}

// An account of the same e-mail address is not the same person.
func TestAccountsAreNotJoinedByMail(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	ada := w.person("ada") // ada@example.com, too
	b, p := w.start("one")
	b.submit(b.through(l, p, "corp"), "allow")
	if got := w.answered("one").Person; got.Subject == ada.Subject || got.Username == "ada" {
		t.Errorf("%+v took over an account", got)
	}
}

func TestStrangersNeedAnAccount(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l, func(s *upstream.Settings) { s.Accounts = upstream.Existing })
	w.person("ada")
	b, p := w.start("one")
	b.through(l, p, "corp").want(http.StatusForbidden, "No account is connected")
	// Its owner connects it, and comes in by it from then on.
	own := w.browser()
	p = own.signIn(own.get("/account"), "ada", goodPassword).want(http.StatusOK, "Not connected")
	away := own.get(p.connectAddress())
	own.get(pathOf(t, l.visit(away.to))).want(http.StatusOK, "Your account", "Connected since")
	b, p = w.start("two")
	b.through(l, p, "corp").want(http.StatusOK, "asks for access", "Ada Lovelace")
	// Somebody else cannot connect the same.
	w.person("eva")
	eva := w.browser()
	away = eva.get(eva.signIn(eva.get("/account"), "eva", goodPassword).connectAddress())
	eva.get(pathOf(t, l.visit(away.to))).want(http.StatusConflict, "connected already")
	// Parted, it leads nowhere, and whoever came in by it is out.
	own.submit(own.get("/account"), "part").want(http.StatusOK, "Not connected")
	w.ask("three")
	b.get(authorize("three")).want(http.StatusOK, "<h1>Sign in</h1>")
	b, p = w.start("four")
	b.through(l, p, "corp").want(http.StatusForbidden, "No account is connected")
}

func TestAnAdministratorConnectsAccounts(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l, func(s *upstream.Settings) { s.Accounts = upstream.Existing })
	ada, eva := w.person("ada"), w.person("eva")
	if _, err := w.service.JoinIdentity(t.Context(), ada.Subject, "https://unknown.example", "4711"); err == nil {
		t.Error("joined with an issuer that nobody configured")
	}
	change, err := w.service.JoinIdentity(t.Context(), ada.Subject, l.server.URL, "4711")
	if err != nil || change.Action != "user.join" || change.Target != "user ada" {
		t.Errorf("%+v, %v", change, err)
	}
	if _, err := w.service.JoinIdentity(t.Context(), eva.Subject, l.server.URL, "4711"); !errors.Is(err, account.ErrTaken) {
		t.Errorf("one identity for two: %v", err)
	}
	_, err = w.service.UpdateUser(t.Context(), ada.Subject, "Countess", "", true)
	must(t, err)
	b, p := w.start("one")
	b.through(l, p, "corp").want(http.StatusOK, "asks for access", "Countess")
	_, err = w.service.PartIdentity(t.Context(), ada.Subject, l.server.URL)
	must(t, err)
	b.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
	_, err = w.service.DeleteUser(t.Context(), ada.Subject)
	must(t, err)
	_, err = w.service.JoinIdentity(t.Context(), eva.Subject, l.server.URL, "4711")
	must(t, err)
}

// Whoever comes back is not whoever was sent away: nothing is connected with anybody.
func TestConnectingIsOfOnePerson(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	w.person("ada")
	eva := w.person("eva")
	b := w.browser()
	away := b.get(b.signIn(b.get("/account"), "ada", goodPassword).connectAddress())
	w.ask("switch", func(a *people.Asked) { a.Prompt = []string{"login"} })
	b.signIn(b.get(authorize("switch")), "eva", goodPassword).want(http.StatusOK, "asks for access")
	b.get(pathOf(t, l.visit(away.to))).want(http.StatusBadRequest, "cannot go on")
	if u, err := w.service.User(t.Context(), eva.Subject); err != nil || len(u.Federated) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestSecondFactorStaysWithOthers(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l, func(s *upstream.Settings) { s.Accounts = upstream.Existing })
	w.person("ada")
	own := w.browser()
	key, _ := own.setUpTOTP("ada", goodPassword)
	p := own.get(own.get("/account").connectAddress()) // one factor is not enough for that
	w.clock.forward(time.Minute)
	own.submit(p.want(http.StatusOK, "Confirm that it is you"), "second", "code", codeOf(t, key, w.clock.Now())).want(http.StatusOK, "Your account")
	own.get(pathOf(t, l.visit(own.get(own.get("/account").connectAddress()).to))).want(http.StatusOK, "Connected since")
	w.clock.forward(time.Minute)
	b, first := w.start("one")
	b.through(l, first, "corp").want(http.StatusOK, "Confirm that it is you")
	w.ask("other")
	b.get(authorize("other")).want(http.StatusOK, "Confirm that it is you") // half a sign-in is none, anywhere
	b.get("/account").want(http.StatusOK, "Confirm that it is you")
	p = b.submit(b.get("/authorize/one"), "second", "code", codeOf(t, key, w.clock.Now())).want(http.StatusOK, "asks for access")
	b.submit(p, "allow")
	if got := w.answered("one").Person; got.ACR != people.ACRTwo || got.Username != "ada" {
		t.Errorf("%+v", got)
	}
	b.get("/account").want(http.StatusOK, "Your account")
	own.submit(own.get("/account"), "part").want(http.StatusOK, "Not connected")
	b.get("/account").want(http.StatusOK, "<h1>Sign in</h1>") // the code has not made the session another's
}

// What a provider, or whoever stands in its place, may not say.
func TestRefusesAnswersOfProviders(t *testing.T) {
	attacktest.Rows(t, 60)
	l := newLookalike(t)
	w := withProviders(t, l)
	far := func(n int64) int64 { return w.clock.Now().Unix() + n }
	for name, change := range map[string]func(){
		"another issuer":           func() { l.claims = map[string]any{"iss": "https://evil.example"} },
		"issuer without scheme":    func() { l.claims = map[string]any{"iss": strings.TrimPrefix(l.server.URL, "https://")} },
		"another audience":         func() { l.claims = map[string]any{"aud": "other"} },
		"no audience":              func() { l.claims = map[string]any{"aud": nil} },
		"two audiences, no party":  func() { l.claims = map[string]any{"aud": []string{"pavise", "other"}} },
		"another party":            func() { l.claims = map[string]any{"azp": "other"} },
		"a party that is none":     func() { l.claims = map[string]any{"azp": 7} },
		"another nonce":            func() { l.claims = map[string]any{"nonce": "other"} },
		"no nonce":                 func() { l.claims = map[string]any{"nonce": nil} },
		"expired":                  func() { l.claims = map[string]any{"exp": far(-1)} },
		"no expiry":                func() { l.claims = map[string]any{"exp": nil} },
		"issued in the future":     func() { l.claims = map[string]any{"iat": far(3600)} },
		"issued long ago":          func() { l.claims = map[string]any{"iat": far(-3600)} },
		"no subject":               func() { l.claims = map[string]any{"sub": nil} },
		"empty subject":            func() { l.claims = map[string]any{"sub": ""} },
		"long subject":             func() { l.claims = map[string]any{"sub": strings.Repeat("x", 300)} },
		"subject with a NUL":       func() { l.claims = map[string]any{"sub": "a\x00b"} },
		"another access token":     func() { l.answer = map[string]any{"access_token": "other"} },
		"no ID token":              func() { l.answer = map[string]any{"id_token": nil} },
		"ID token that is none":    func() { l.answer = map[string]any{"id_token": "a.b.c"} },
		"unsigned":                 func() { l.answer = map[string]any{"id_token": unsigned(l, w)} },
		"signed by another":        func() { l.answer = map[string]any{"id_token": forged(t, l, w)} },
		"answer of another issuer": func() { l.back = map[string]string{"iss": "https://evil.example"} },
		"answer without issuer":    func() { l.back = map[string]string{"iss": ""} },
	} {
		t.Run(name, func(t *testing.T) {
			l.reset()
			b, p := w.start("x")
			l.change(change)
			b.through(l, p, "corp").want(http.StatusBadGateway, "cannot be trusted")
			w.ask("y")
			b.get(authorize("y")).want(http.StatusOK, "<h1>Sign in</h1>")
		})
	}
	t.Run("and takes the good one", func(t *testing.T) {
		l.reset()
		l.change(func() { l.claims = map[string]any{"aud": []string{"pavise", "other"}, "azp": "pavise"} })
		b, p := w.start("x")
		b.through(l, p, "corp").want(http.StatusOK, "asks for access")
	})
	for name, user := range map[string]string{
		"no subject": `{"login": "ada"}`, "subject as a list": `{"id": [1]}`, "as a fraction": `{"id": 1.5}`, "twice": `{"id": 1, "id": 2}`, "HTML": "<html>", "empty": "",
		"huge": `{"id": 1, "x": "` + strings.Repeat("x", 300<<10) + `"}`,
	} {
		t.Run("userinfo: "+name, func(t *testing.T) {
			l.reset()
			l.change(func() { l.user = user })
			b, p := w.start("x")
			if got := b.through(l, p, "hub"); got.status != http.StatusBadGateway && got.status != http.StatusServiceUnavailable {
				t.Errorf("status %d:\n%s", got.status, got.text)
			}
		})
	}
	for _, e := range w.events {
		if strings.Contains(e.Detail, "planted") || len(e.Detail) > 600 {
			t.Errorf("event %+v", e)
		}
	}
}

// An ID token need not hold more than who somebody is: the rest stands at userinfo.
func TestUserinfoCompletesAnIDToken(t *testing.T) {
	attacktest.Rows(t, 60)
	for name, tc := range map[string]struct {
		user, called string
		status       int
		text         string
	}{
		"says more":          {`{"sub": "4711", "name": "Ada L.", "hd": "example.com"}`, "Ada L.", http.StatusOK, "asks for access"},
		"of somebody else":   {`{"sub": "4712", "name": "Eve", "hd": "example.com"}`, "", http.StatusBadGateway, "cannot be trusted"},
		"of nobody":          {`{"name": "Eve", "hd": "example.com"}`, "", http.StatusBadGateway, "cannot be trusted"},
		"another house":      {`{"sub": "4711", "hd": "other.example"}`, "", http.StatusForbidden, ""},
		"that does not know": {`{"sub": "4711"}`, "", http.StatusForbidden, ""},
		"that is none":       {`<html>`, "", http.StatusForbidden, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLookalike(t)
			l.metadata = map[string]any{"userinfo_endpoint": l.server.URL + "/user"}
			l.claims = map[string]any{"name": nil, "email": nil}
			l.user = tc.user
			w := withProviders(t, l, func(s *upstream.Settings) { s.Require = map[string][]string{"hd": {"example.com"}} })
			b, p := w.start("x")
			p = b.through(l, p, "corp")
			p.want(tc.status, tc.text)
			if tc.called == "" {
				return
			}
			b.submit(p, "allow")
			if got := w.answered("x").Person.Name; got != tc.called {
				t.Errorf("called %q", got)
			}
		})
	}
}

func unsigned(l *lookalike, w *world) string {
	claims, _ := json.Marshal(map[string]any{"iss": l.server.URL, "sub": "1", "aud": "pavise", "exp": w.clock.Now().Unix() + 60, "iat": w.clock.Now().Unix()})
	return issuertest.Encode([]byte(`{"alg":"none"}`)) + "." + issuertest.Encode(claims) + "."
}

func forged(t testing.TB, l *lookalike, w *world) string {
	return issuertest.New(t, l.server.URL).Sign(nil, map[string]any{"iss": l.server.URL, "sub": "1", "aud": "pavise", "exp": w.clock.Now().Unix() + 60, "iat": w.clock.Now().Unix()})
}

func TestProvidersThatAreAwayAreBounded(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	html := func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		for range 100 << 20 / 4096 {
			if _, err := rw.Write([]byte(strings.Repeat("<p>x</p>", 512))); err != nil {
				return
			}
		}
	}
	for name, instead := range map[string]http.HandlerFunc{
		"100 MB of HTML": html,
		"an error":       func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) },
		"a redirect": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, l.server.URL+"/keys", http.StatusFound)
		},
		"no JSON": func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") },
		"silence": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		for _, path := range []string{"/.well-known/openid-configuration", "/token", "/keys", "/user"} {
			t.Run(name+" at "+path, func(t *testing.T) {
				l.reset()
				w.clock.forward(2 * time.Hour)
				provider := "corp"
				if path == "/user" {
					provider = "hub"
				}
				fresh := w
				if path != "/token" && path != "/user" {
					fresh = withProviders(t, l) // which has read nothing yet
				}
				b, p := fresh.start("x")
				if path == "/.well-known/openid-configuration" {
					l.change(func() { l.instead, l.path = instead, path })
					b.get(p.way(provider)).want(http.StatusServiceUnavailable, "cannot be reached", "Back to signing in")
					return
				}
				to := l.visit(b.depart(p, provider))
				l.change(func() { l.instead, l.path = instead, path })
				got := b.get(pathOf(t, to))
				if got.status != http.StatusServiceUnavailable && got.status != http.StatusBadGateway {
					t.Errorf("status %d:\n%s", got.status, got.text)
				}
			})
		}
	}
}

func TestComingBackIsOfOneBrowserAndOnce(t *testing.T) {
	attacktest.Rows(t, 60, 62)
	l := newLookalike(t)
	w := withProviders(t, l)
	b, p := w.start("one")
	away := b.depart(p, "corp")
	back := pathOf(t, l.visit(away))
	t.Run("another browser", func(t *testing.T) {
		w.browser().get(back).want(http.StatusBadRequest, "cannot go on")
		other, _ := w.start("two")
		other.get(back).want(http.StatusBadRequest, "cannot go on")
	})
	t.Run("another provider's address", func(t *testing.T) {
		b.get(strings.Replace(back, "/corp/", "/hub/", 1)).want(http.StatusBadRequest, "cannot go on")
		b.get(strings.Replace(back, "/corp/", "/none/", 1)).want(http.StatusNotFound)
	})
	t.Run("bent", func(t *testing.T) {
		for _, query := range []string{"", "?state=x", back[strings.Index(back, "?"):] + "&code=other", back[strings.Index(back, "?"):] + "&error=x", "?%zz", "?" + strings.Repeat("x", 9000)} {
			b.get("/sign-in/corp/callback"+query).want(http.StatusBadRequest, "cannot go on")
		}
	})
	t.Run("fifty at once: one is in", func(t *testing.T) {
		b, p := w.start("fifty")
		back := pathOf(t, l.visit(b.depart(p, "corp")))
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		var in atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if p := b.get(back); p.status == http.StatusSeeOther && p.to == "/authorize/fifty" {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != 1 {
			t.Errorf("%d are in", in.Load())
		}
	})
	b.get(back).want(http.StatusOK, "asks for access")
	t.Run("twice", func(t *testing.T) { b.get(back).want(http.StatusBadRequest, "cannot go on") })
	t.Run("too late", func(t *testing.T) {
		b, p := w.start("late")
		back := pathOf(t, l.visit(b.depart(p, "corp")))
		w.clock.forward(10 * time.Minute)
		b.get(back).want(http.StatusBadRequest, "cannot go on")
		if n, err := w.service.Collect(t.Context()); err != nil || n == 0 {
			t.Errorf("collected %d, %v", n, err)
		}
	})
	t.Run("refused there", func(t *testing.T) {
		b, p := w.start("no")
		l.change(func() { l.back = map[string]string{"code": "", "error": "access_denied"} })
		defer l.reset()
		b.through(l, p, "corp").want(http.StatusOK, "<h1>Sign in</h1>")
	})
	t.Run("another site sends somebody away", func(t *testing.T) {
		b, _ := w.start("csrf")
		b.get("/authorize/csrf?with=corp").want(http.StatusForbidden)
		b.get("/authorize/csrf?with=corp&token=" + strings.Repeat("0", 64)).want(http.StatusForbidden)
		_, q := w.start("csrf2")
		b.get(strings.Replace(q.way("corp"), "csrf2", "csrf", 1)).want(http.StatusForbidden)
	})
}

func TestRequiredClaims(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l, func(s *upstream.Settings) { s.Require = map[string][]string{"hd": {"example.com"}} })
	b, p := w.start("one")
	b.through(l, p, "corp").want(http.StatusForbidden, "not one that may sign in here")
	l.change(func() { l.claims = map[string]any{"hd": "example.com"} })
	b, p = w.start("two")
	b.through(l, p, "corp").want(http.StatusOK, "asks for access")
	l.change(func() { l.claims = map[string]any{"hd": []string{"example.com"}} })
	b, p = w.start("three")
	b.through(l, p, "corp").want(http.StatusForbidden)
}

// Who has nothing else to sign in with is offered no way to lose it, and told why.
func TestTheOnlyWayInStays(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	b, p := w.start("one")
	b.submit(b.through(l, p, "corp"), "allow")
	p = b.get("/account").want(http.StatusOK, "your only way to sign in")
	if strings.Contains(p.text, "Disconnect") {
		t.Errorf("the only way in can be disconnected:\n%s", p.text)
	}
	_, form := p.form("withdraw")
	form.Set("do", "part")
	form.Set("id", "corp")
	b.post("/account", form).want(http.StatusOK, `role="status"`, "nobody could reach this account", "Connected since")
	_, err := w.service.JoinIdentity(t.Context(), w.answered("one").Person.Subject, "https://codehub.example", "4711")
	must(t, err)
	p = b.get("/account").want(http.StatusOK, "Connected since") // there are two, and either can go
	if strings.Contains(p.text, "your only way") || !strings.Contains(p.text, "Disconnect Corp") || !strings.Contains(p.text, "Disconnect CodeHub") {
		t.Errorf("two ways in:\n%s", p.text)
	}
}

// Who has no password is not asked for it.
func TestNobodyIsAskedForAPasswordThatIsNot(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	l.change(func() { l.claims = map[string]any{"auth_time": w.clock.Now().Unix()} })
	b, p := w.start("one")
	b.submit(b.through(l, p, "corp"), "allow")
	p = b.get("/account/password")
	if strings.Contains(p.text, "<h1>Sign in</h1>") {
		b.through(l, p, "corp")
		p = b.get("/account/password")
	}
	p.want(http.StatusOK, "You have no password here", `href="/account"`)
	if strings.Contains(p.text, "Present password") || strings.Contains(p.text, "<form") {
		t.Errorf("asked all the same:\n%s", p.text)
	}
}
