package interop

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

func TestApplicationsSignPeopleOut(t *testing.T) {
	attacktest.Rows(t, 68)
	s := startOAuth(t)
	s.register("portal", map[string]string{"redirects": "https://web.example/portal", "post_logout_redirects": "https://web.example/bye https://web.example/bye?lang=en"})
	s.register("bare", map[string]string{"redirects": "https://web.example/bare"})
	signIn := func() (*walker, string) {
		w := newWalker(t, s.Client())
		query := strings.Replace(authorizeQuery(), url.QueryEscape("https://web.example/cb"), url.QueryEscape("https://web.example/portal"), 1)
		w.take(w.Get(s.issuer + "/authorize?" + strings.Replace(query, "client_id=web", "client_id=portal", 1)))
		w.submit(url.Values{"do": {"sign-in"}, "username": {"ann"}, "password": {password}})
		if w.sent == nil {
			w.submit(url.Values{"do": {"allow"}})
		}
		tokens, status := s.post("/token", "portal", url.Values{
			"grant_type": {"authorization_code"}, "redirect_uri": {"https://web.example/portal"}, "code_verifier": {pkceVerifier}, "code": {w.sent.Get("code")},
		})
		hint, _ := tokens["id_token"].(string)
		if status != http.StatusOK || hint == "" {
			t.Fatalf("%d %v", status, tokens)
		}
		w.sent = nil
		return w, hint
	}
	leave := func(w *walker, query url.Values) {
		w.sent, w.page = nil, ""
		w.take(w.Get(s.issuer + "/end-session?" + query.Encode()))
	}

	w, hint := signIn()
	access, _ := s.post("/token", "machine", url.Values{"grant_type": {"client_credentials"}})
	accessToken, _ := access["access_token"].(string)
	for name, query := range map[string]url.Values{
		"another address":      {"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/other"}},
		"a longer one":         {"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/bye/x"}},
		"a query more":         {"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/bye?x=y"}},
		"the redirect's":       {"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/portal"}},
		"another client's":     {"client_id": {"bare"}, "post_logout_redirect_uri": {"https://web.example/bye"}},
		"nobody's":             {"client_id": {"nobody"}, "post_logout_redirect_uri": {"https://web.example/bye"}},
		"no client":            {"post_logout_redirect_uri": {"https://web.example/bye"}},
		"a script":             {"client_id": {"portal"}, "post_logout_redirect_uri": {"javascript:alert(1)"}},
		"two clients":          {"client_id": {"bare"}, "id_token_hint": {hint}, "post_logout_redirect_uri": {"https://web.example/bye"}},
		"a forged hint":        {"id_token_hint": {hint[:len(hint)-6] + "AAAAAA"}, "post_logout_redirect_uri": {"https://web.example/bye"}},
		"an access token":      {"id_token_hint": {accessToken}, "post_logout_redirect_uri": {"https://web.example/bye"}},
		"no token":             {"id_token_hint": {"x"}},
		"a parameter twice":    {"client_id": {"portal", "portal"}},
		"a state of 2 kB":      {"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/bye"}, "state": {strings.Repeat("x", 2<<10)}},
		"an address with HTML": {"client_id": {"<script>"}, "post_logout_redirect_uri": {"<script>alert(1)</script>"}},
	} {
		leave(w, query)
		if w.sent != nil || !strings.Contains(w.page, "invalid_request") || strings.Contains(w.page, "<script>") {
			t.Errorf("%s: sent to %v; the page says %s", name, w.sent, w.page)
		}
	}
	for _, path := range []string{"/end-session/e30x", "/end-session/eyJjIjoicG9ydGFsIiwidCI6Imh0dHBzOi8vZXZpbC5leGFtcGxlIn0"} { // nothing; {"c":"portal","t":"https://evil.example"}
		w.take(w.Get(s.issuer + path))
		if w.sent != nil || !strings.Contains(w.page, "invalid_request") {
			t.Errorf("%s: sent to %v; the page says %s", path, w.sent, w.page)
		}
	}

	// The person is asked, and is signed in until they answer.
	leave(w, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://web.example/bye?lang=en"}, "state": {"a&b"}})
	if !strings.Contains(w.page, "Sign out?") {
		t.Fatalf("nobody is asked: %s", w.page)
	}
	w.submit(url.Values{"do": {"sign-out"}})
	if w.sent.Get("state") != "a&b" || w.sent.Get("lang") != "en" {
		t.Fatalf("sent with %v: %s", w.sent, w.page)
	}
	leave(w, url.Values{"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/bye"}})
	if w.sent == nil {
		t.Errorf("who is signed out already is asked again: %s", w.page)
	}
	leave(w, url.Values{})
	if !strings.Contains(w.page, "Signed out") {
		t.Errorf("without an address: %s", w.page)
	}
	w.sent = nil
	w.take(w.Get(s.issuer + "/authorize?" + authorizeQuery()))
	if !strings.Contains(w.page, `name="password"`) {
		t.Errorf("the session goes on: %s", w.page)
	}
}
