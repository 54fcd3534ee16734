package oauthclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/internal/secret"
)

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	good := oauthclient.Settings{Issuer: "https://login.example.com", ID: "report", Secret: secret.New([]byte(planted)), Folder: t.TempDir()}
	if _, err := oauthclient.New(good); err != nil {
		t.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for name, change := range map[string]func(*oauthclient.Settings){
		"plain HTTP":        func(s *oauthclient.Settings) { s.Issuer = "http://login.example.com" },
		"query":             func(s *oauthclient.Settings) { s.Issuer += "?a=b" },
		"user":              func(s *oauthclient.Settings) { s.Issuer = "https://ann@login.example.com" },
		"no id":             func(s *oauthclient.Settings) { s.ID = "" },
		"no folder":         func(s *oauthclient.Settings) { s.Folder = "" },
		"unknown grant":     func(s *oauthclient.Settings) { s.Grant = "password" },
		"two proofs":        func(s *oauthclient.Settings) { s.Key = key },
		"nothing to prove":  func(s *oauthclient.Settings) { s.Secret, s.Grant = secret.Value{}, oauthclient.ForItself },
		"scope with space":  func(s *oauthclient.Settings) { s.Scopes = []string{"a b"} },
		"relative resource": func(s *oauthclient.Settings) { s.Resources = []string{"orders"} },
	} {
		s := good
		change(&s)
		if _, err := oauthclient.New(s); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestTheServerIsFoundAtItsAddressAndNowhereElse(t *testing.T) {
	const rfc, openID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	html := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>"))
	}
	for name, c := range map[string]struct {
		set    func(s *server) string // returns the path of the issuer
		reason string                 // empty: accepted
	}{
		"RFC 8414": {func(*server) string { return "" }, ""},
		"RFC 8414 with path": {func(s *server) string {
			s.move(rfc, rfc+"/realm")
			s.metadata["issuer"] = s.URL + "/realm"
			return "/realm"
		}, ""},
		"OpenID with path": {func(s *server) string {
			s.move(rfc, "/realm"+openID)
			s.metadata["issuer"] = s.URL + "/realm"
			return "/realm"
		}, ""},
		"OpenID, after HTML": {func(s *server) string { s.move(rfc, openID); s.on(rfc, html); return "" }, ""},
		"nothing":            {func(s *server) string { s.move(rfc, "/elsewhere"); return "" }, "404"},
		"HTML alone":         {func(s *server) string { s.on(rfc, html); return "" }, "text/html"},
		"another issuer":     {func(s *server) string { s.metadata["issuer"] = "https://evil.example"; return "" }, "another issuer"},
		"a slash more":       {func(s *server) string { s.metadata["issuer"] = s.URL + "/"; return "" }, "another issuer"},
		"no issuer":          {func(s *server) string { delete(s.metadata, "issuer"); return "" }, "another issuer"},
		"plain endpoint":     {func(s *server) string { s.metadata["token_endpoint"] = "http://127.0.0.1/token"; return "" }, "token_endpoint"},
		"no endpoint":        {func(s *server) string { delete(s.metadata, "token_endpoint"); return "" }, "no token_endpoint"},
		"redirect":           {func(s *server) string { s.on(rfc, redirect); return "" }, "redirect"},
		"another issuer, not asked further": {func(s *server) string {
			s.on(openID, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, s.metadata) })
			s.on(rfc, func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 200, map[string]any{"issuer": "https://evil.example"})
			})
			return ""
		}, "another issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			settings := s.settings()
			settings.Issuer += c.set(s)
			got, err := open(t, settings).Token(t.Context())
			if c.reason != "" {
				refuses(t, err, c.reason)
				return
			}
			if err != nil || access(got) != "access-1" {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
}

// move serves at another path what one path answers.
func (s *server) move(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[to] = s.answers[from]
	delete(s.answers, from)
}

func TestTokenAnswersAreReadStrictly(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		reason string // empty: accepted
	}{
		"good":                             {says(200, good()), ""},
		"no life":                          {says(200, with(good(), "expires_in", nil)), ""},
		"no scope":                         {says(200, with(good(), "scope", nil)), ""},
		"Bearer in any case":               {says(200, with(good(), "token_type", "BEARER")), ""},
		"no token":                         {says(200, with(good(), "access_token", nil)), "no access token"},
		"a line break":                     {says(200, with(good(), "access_token", "a\r\nX: y")), "no access token"},
		"a number":                         {says(200, with(good(), "access_token", 7)), "no access token"},
		"long token":                       {says(200, with(good(), "access_token", strings.Repeat("a", 17<<10))), "no access token"},
		"no type":                          {says(200, with(good(), "token_type", nil)), "type"},
		"DPoP unasked":                     {says(200, with(good(), "token_type", "DPoP")), "type"},
		"life of text":                     {says(200, with(good(), "expires_in", "300")), "expires_in"},
		"negative life":                    {says(200, with(good(), "expires_in", -1)), "expires_in"},
		"refresh token wrong":              {says(200, with(good(), "refresh_token", 7)), "refresh token"},
		"HTML":                             {page("text/html", "<html>"), "text/html"},
		"no JSON":                          {page("application/json", "access_token=access-1"), "JSON"},
		"a name twice":                     {page("application/json", `{"access_token":"access-1","access_token":"b","token_type":"bearer"}`), "JSON"},
		"something behind":                 {page("application/json", `{"access_token":"access-1","token_type":"bearer"}{}`), "JSON"},
		"100 MB":                           {flood, "more than"},
		"redirect":                         {redirect, "redirect"},
		"refusal":                          {says(400, map[string]any{"error": "invalid_scope", "error_description": "no such scope"}), "invalid_scope: no such scope"},
		"refusal without code":             {says(500, map[string]any{}), "status 500"},
		"refusal that quotes the secret":   {says(401, map[string]any{"error": "invalid_client", "error_description": "not " + planted}), "invalid_client"},
		"refusal whose code is the secret": {says(401, map[string]any{"error": planted}), "status 401"},
		"refusal that steers the terminal": {says(401, map[string]any{"error": "invalid_client", "error_description": "\x1b[2J"}), "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.on("/token", c.answer)
			got, err := open(t, s.settings()).Token(t.Context())
			if c.reason != "" {
				refuses(t, err, c.reason)
				if err != nil && strings.ContainsRune(err.Error(), '\x1b') {
					t.Error("the error steers the terminal")
				}
				return
			}
			if err != nil || access(got) != "access-1" || got.Type != "Bearer" || strings.Join(got.Scopes, " ") != "orders:read" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func says(status int, object map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, status, object) }
}

func page(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(text))
	}
}

// flood writes 100 MB, until the other side has had enough.
func flood(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	part := []byte(strings.Repeat(" ", 1<<20))
	for range 100 {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

func TestClientsProveWhoTheyAreInTheWayTheServerTakes(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ways := func(s *server, names ...string) { s.metadata["token_endpoint_auth_methods_supported"] = names }
	for name, c := range map[string]struct {
		set    func(*server, *oauthclient.Settings)
		check  func(*testing.T, *server)
		reason string
	}{
		"header": {set: func(*server, *oauthclient.Settings) {}, check: inHeader},
		"header, percent-encoded": {set: func(_ *server, o *oauthclient.Settings) { o.ID = "a:b c" }, check: func(t *testing.T, s *server) {
			_, h := s.last()
			if want := base64.StdEncoding.EncodeToString([]byte("a%3Ab+c:" + planted)); h.Get("Authorization") != "Basic "+want {
				t.Error(h.Get("Authorization"))
			}
		}},
		"form, because the server takes nothing else": {set: func(s *server, _ *oauthclient.Settings) { ways(s, "client_secret_post") }, check: inForm},
		"form, because it is said":                    {set: func(_ *server, o *oauthclient.Settings) { o.Post = true }, check: inForm},
		"assertion":                                   {set: func(_ *server, o *oauthclient.Settings) { o.Secret, o.Key, o.KeyID = secret.Value{}, key, "k1" }, check: inAssertion(key)},
		"secret nowhere":                              {set: func(s *server, _ *oauthclient.Settings) { ways(s, "private_key_jwt") }, reason: "takes no secret"},
		"assertion not taken": {set: func(s *server, o *oauthclient.Settings) {
			ways(s, "client_secret_basic")
			o.Secret, o.Key = secret.Value{}, key
		}, reason: "private_key_jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			settings := s.settings()
			c.set(s, &settings)
			_, err := open(t, settings).Token(t.Context())
			if c.reason != "" {
				refuses(t, err, c.reason)
				if s.asked() > 0 {
					t.Error("something was sent")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, s)
		})
	}
}

func inHeader(t *testing.T, s *server) {
	form, h := s.last()
	if want := base64.StdEncoding.EncodeToString([]byte("report:" + planted)); h.Get("Authorization") != "Basic "+want || form.Has("client_secret") || form.Has("client_id") {
		t.Errorf("%v %v", form, h)
	}
	if form.Get("grant_type") != "client_credentials" || form.Get("scope") != "orders:read" {
		t.Errorf("%v", form)
	}
}

func inForm(t *testing.T, s *server) {
	form, h := s.last()
	if h.Get("Authorization") != "" || form.Get("client_secret") != planted || form.Get("client_id") != "report" {
		t.Errorf("%v %v", form, h)
	}
}

func inAssertion(key *ecdsa.PrivateKey) func(*testing.T, *server) {
	return func(t *testing.T, s *server) {
		form, _ := s.last()
		signed, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := signed.Verify(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		if claims["iss"] != "report" || claims["sub"] != "report" || claims["aud"] != s.URL || claims["jti"] == "" || claims["exp"].(float64)-claims["iat"].(float64) != 60 {
			t.Errorf("%v", claims)
		}
		if signed.Signatures[0].Header.KeyID != "k1" || form.Has("client_secret") {
			t.Errorf("%v", form)
		}
	}
}

func FuzzTokenAnswer(f *testing.F) {
	s := newServer(f)
	for _, text := range []string{`{"access_token":"a","token_type":"Bearer","expires_in":1e300}`, `{"access_token":"a","token_type":"DPoP","scope":"a  b"}`, `[]`, `{"error":"x"}`} {
		f.Add([]byte(text))
	}
	settings := s.settings()
	f.Fuzz(func(t *testing.T, text []byte) {
		s.on("/token", page("application/json", string(text)))
		settings.Folder = t.TempDir()
		got, err := open(t, settings).Token(t.Context())
		if err == nil && (access(got) == "" || strings.ContainsAny(access(got), " \r\n\",") || got.Type != "Bearer") {
			t.Errorf("taken: %q", text)
		}
	})
}
