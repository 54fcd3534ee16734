package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

const signInYAML = `
listen: {https: %[1]s}
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
fetch: {allow: ["%[2]s", "%[3]s"]}
oauth:
  issuer: "https://%[1]s"
  sign_in:
    providers:
      zitadel: {title: Zitadel, issuer: "%[2]s/", client_id: web, client_secret_file: zitadel.secret, accounts: create, scopes: [openid, profile, email]}
      hub:
        title: The Hub
        client_id: pavise
        client_secret_file: hub.secret
        accounts: create
        authorize_url: "%[3]s/authorize"
        token_url: "%[3]s/token"
        userinfo_url: "%[3]s/user"
        subject_field: id
        require: {org: example}
      away: {title: Away, issuer: "http://127.0.0.1:9/", client_id: x}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: jwt
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See your orders}
`

// hub is a look-alike of services that speak OAuth 2.0 without OpenID Connect.
type hub struct {
	*httptest.Server
	user any // what is answered at /user; a func writes it
}

func startHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{user: map[string]any{"id": 42, "name": "Hubert", "org": "example"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != "pavise" || q.Get("code_challenge_method") != "S256" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {"c-" + q.Get("code_challenge")}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("client_secret") != hubSecret || r.PostFormValue("code") != "c-"+base64.RawURLEncoding.EncodeToString(sum[:]) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"hub-token","token_type":"bearer"}`)
	})
	mux.HandleFunc("GET /user", func(w http.ResponseWriter, r *http.Request) {
		if write, ok := h.user.(http.HandlerFunc); ok {
			write(w, r)
			return
		}
		if r.Header.Get("Authorization") != "Bearer hub-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.user)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

const hubSecret = "the hub's secret"

// walker is a browser that follows redirects, but not to the application.
type walker struct {
	*http.Client
	t    *testing.T
	at   *url.URL
	page string
	sent url.Values // the query with which it was sent to the application; nil: it was not
}

func newWalker(t *testing.T, base *http.Client) *walker {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{Client: base, t: t}
	w.Jar = jar
	w.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host == "web.example" || len(via) > 10 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return w
}

func (w *walker) take(answer *http.Response, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if location, err := answer.Location(); err == nil && location.Host == "web.example" {
		w.sent = location.Query()
		return
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at, w.page = answer.Request.URL, string(text)
}

// follow takes the link whose address holds a text.
func (w *walker) follow(holds string) {
	w.t.Helper()
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(w.page, -1) {
		if address := html.UnescapeString(m[1]); strings.Contains(address, holds) {
			next, err := w.at.Parse(address)
			if err != nil {
				w.t.Fatal(err)
			}
			w.take(w.Get(next.String()))
			return
		}
	}
	w.t.Fatalf("no link holds %q: %s", holds, w.page)
}

// submit sends the only form of the page with its hidden fields, and more.
func (w *walker) submit(more url.Values) {
	w.t.Helper()
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(w.page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	for _, m := range scopeBox.FindAllStringSubmatch(w.page, -1) {
		form.Add("scope", m[1])
	}
	for name, values := range more {
		form[name] = values
	}
	action := w.at
	if found := formAction.FindStringSubmatch(w.page); found != nil {
		var err error
		if action, err = w.at.Parse(html.UnescapeString(found[1])); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", w.at.Scheme+"://"+w.at.Host)
	w.take(w.Do(r))
}

// authorizeQuery is what the application web asks for.
func authorizeQuery() string {
	sum := sha256.Sum256([]byte(pkceVerifier))
	return url.Values{
		"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {"https://web.example/cb"}, "scope": {"openid profile orders:read"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// begin opens the authorization of the client web.
func (s *oauthServer) begin(t *testing.T) *walker {
	t.Helper()
	w := newWalker(t, s.Client())
	w.take(w.Get(s.issuer + "/authorize?" + authorizeQuery()))
	return w
}

// end redeems what the application was sent, calls the API, and returns the ID token's claims.
func (s *oauthServer) end(w *walker) map[string]any {
	w.t.Helper()
	if w.sent.Get("code") == "" {
		w.t.Fatalf("the application got %v; the page at %s says %s", w.sent, w.at, w.page)
	}
	answer, status := s.token(url.Values{
		"grant_type": {"authorization_code"}, "redirect_uri": {"https://web.example/cb"}, "code_verifier": {pkceVerifier}, "code": {w.sent.Get("code")},
	})
	if status != http.StatusOK || s.call(answer["access_token"]) != http.StatusOK {
		w.t.Fatalf("%d %v", status, answer)
	}
	id, _ := answer["id_token"].(string)
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(id, ".")[1])
	claims := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return claims
}

func TestPeopleSignInThroughOthers(t *testing.T) {
	attacktest.Rows(t, 60)
	address := free(t, 1)[0]
	z := &zitadel{peer: &peer{t: t}}
	z.start("https://" + address + "/sign-in/zitadel/callback")
	h := startHub(t)
	s := startOAuthAt(t, address, fmt.Sprintf(signInYAML, address, z.url, h.URL), map[string]string{"zitadel.secret": "secret\n", "hub.secret": hubSecret})

	// OpenID Connect, at a provider that nobody here wrote.
	w := s.begin(t)
	w.follow("with=zitadel")
	w.submit(url.Values{"username": {"test-user@localhost"}, "password": {"verysecure"}})
	if !strings.Contains(w.page, "See your orders") {
		t.Fatalf("no consent is asked at %s: %s", w.at, w.page)
	}
	w.submit(url.Values{"do": {"allow"}})
	first := s.end(w)
	if first["name"] == "" || first["sub"] == "" {
		t.Errorf("claims %v", first)
	}

	// The same person again is the same account; a person of another service is another one.
	w = s.begin(t)
	w.follow("with=zitadel")
	w.submit(url.Values{"username": {"test-user@localhost"}, "password": {"verysecure"}})
	if w.sent == nil { // consent was given before
		t.Fatalf("asked again: %s", w.page)
	}
	if again := s.end(w); again["sub"] != first["sub"] {
		t.Errorf("subjects %v and %v", first["sub"], again["sub"])
	}
	w = s.begin(t)
	w.follow("with=hub")
	w.submit(url.Values{"do": {"allow"}})
	other := s.end(w)
	if other["sub"] == first["sub"] || other["name"] != "Hubert" {
		t.Errorf("claims %v", other)
	}
	if n := len(s.Events(audit.Query{Class: audit.Grant})); n == 0 {
		t.Error("no event tells of it")
	}
}

func TestProvidersThatFailLeaveAPageThatSaysWhatToDo(t *testing.T) {
	address := free(t, 1)[0]
	h := startHub(t)
	s := startOAuthAt(t, address, fmt.Sprintf(signInYAML, address, "http://localhost:9", h.URL), map[string]string{"zitadel.secret": "secret", "hub.secret": hubSecret})
	for name, user := range map[string]any{
		"a stranger": map[string]any{"id": 7, "name": "Eve", "org": "other"},
		"no subject": map[string]any{"name": "Eve", "org": "example"},
		"a page":     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") }),
		"100 MB": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range 100 << 20 / 4096 {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}),
	} {
		h.user = user
		w := s.begin(t)
		began := time.Now()
		w.follow("with=hub")
		if w.sent != nil || !strings.Contains(w.page, "The Hub") || strings.Contains(w.page, "hub-token") {
			t.Errorf("%s: sent %v, page %s", name, w.sent, w.page)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s: %s", name, took)
		}
	}
	w := s.begin(t)
	w.follow("with=away")
	if w.sent != nil || !strings.Contains(w.page, "Away") {
		t.Errorf("away: %s", w.page)
	}
	// A password still works beside them.
	w.follow("/authorize/")
	w.submit(url.Values{"do": {"sign-in"}, "username": {"ann"}, "password": {password}})
	w.submit(url.Values{"do": {"allow"}})
	s.end(w)
}
