package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
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

// walker is a person whose steps must succeed.
type walker struct {
	*person.Person
	t *testing.T
}

func newWalker(t *testing.T, base *http.Client) *walker {
	t.Helper()
	return &walker{person.New(base.Transport), t}
}

func (w *walker) did(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *walker) follow(holds string) {
	w.t.Helper()
	w.did(w.Follow(holds))
}

func (w *walker) submit(filled url.Values) {
	w.t.Helper()
	w.did(w.Submit(filled))
}

func (w *walker) signIn() {
	w.t.Helper()
	w.did(w.SignIn("ann", password))
}

func (w *walker) allow() {
	w.t.Helper()
	w.did(w.Allow())
}

// asking is what the application web asks for.
func asking() url.Values { return person.Asking("web", "openid profile orders:read") }

// begin opens the authorization of the client web.
func (s *oauthServer) begin(t *testing.T) *walker {
	t.Helper()
	w := newWalker(t, s.Client())
	w.did(w.Open(s.URL + "/authorize?" + asking().Encode()))
	return w
}

// end redeems what the application was sent, calls the API, and returns the ID token's claims.
func (s *oauthServer) end(w *walker) map[string]any {
	w.t.Helper()
	if w.Sent.Get("code") == "" {
		w.t.Fatalf("the application got %v; the page at %s says %s", w.Sent, w.At, w.Page)
	}
	answer, status := s.token(person.Redeeming(w.Sent.Get("code")))
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
	address := harness.Free(t)
	z := &zitadel{peer: &peer{t: t}}
	z.start("https://" + address + "/sign-in/zitadel/callback")
	h := startHub(t)
	s := startOAuthAt(t, address, fmt.Sprintf(signInYAML, address, z.url, h.URL), map[string]string{"zitadel.secret": "secret\n", "hub.secret": hubSecret})

	// OpenID Connect, at a provider that nobody here wrote.
	w := s.begin(t)
	w.follow("with=zitadel")
	w.submit(url.Values{"username": {"test-user@localhost"}, "password": {"verysecure"}})
	if !strings.Contains(w.Page, "See your orders") {
		t.Fatalf("no consent is asked at %s: %s", w.At, w.Page)
	}
	w.allow()
	first := s.end(w)
	if first["name"] == "" || first["sub"] == "" {
		t.Errorf("claims %v", first)
	}

	// The same person again is the same account; a person of another service is another one.
	w = s.begin(t)
	w.follow("with=zitadel")
	w.submit(url.Values{"username": {"test-user@localhost"}, "password": {"verysecure"}})
	if w.Sent == nil { // consent was given before
		t.Fatalf("asked again: %s", w.Page)
	}
	if again := s.end(w); again["sub"] != first["sub"] {
		t.Errorf("subjects %v and %v", first["sub"], again["sub"])
	}
	w = s.begin(t)
	w.follow("with=hub")
	w.allow()
	other := s.end(w)
	if other["sub"] == first["sub"] || other["name"] != "Hubert" {
		t.Errorf("claims %v", other)
	}
	if n := len(s.Events(audit.Query{Class: audit.Grant})); n == 0 {
		t.Error("no event tells of it")
	}
}

func TestProvidersThatFailLeaveAPageThatSaysWhatToDo(t *testing.T) {
	address := harness.Free(t)
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
		if w.Sent != nil || !strings.Contains(w.Page, "The Hub") || strings.Contains(w.Page, "hub-token") {
			t.Errorf("%s: sent %v, page %s", name, w.Sent, w.Page)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s: %s", name, took)
		}
	}
	w := s.begin(t)
	w.follow("with=away")
	if w.Sent != nil || !strings.Contains(w.Page, "Away") {
		t.Errorf("away: %s", w.Page)
	}
	// A password still works beside them.
	w.follow("/authorize/")
	w.signIn()
	w.allow()
	s.end(w)
}
