package interop

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
)

func TestApplicationsSignPeopleOut(t *testing.T) {
	attacktest.Rows(t, 68)
	s := startOAuth(t)
	s.Register("portal", map[string]string{"redirects": "https://web.example/portal", "post_logout_redirects": "https://web.example/bye https://web.example/bye?lang=en"})
	s.Register("bare", map[string]string{"redirects": "https://web.example/bare"})
	signIn := func() (*walker, string) {
		w := newWalker(t, s.Client())
		query := person.Asking("portal", "openid profile orders:read")
		query.Set("redirect_uri", "https://web.example/portal")
		w.did(w.Open(s.URL + "/authorize?" + query.Encode()))
		w.signIn()
		if w.Sent == nil {
			w.allow()
		}
		redeem := person.Redeeming(w.Sent.Get("code"))
		redeem.Set("redirect_uri", "https://web.example/portal")
		tokens, status := s.Post("/token", "portal", redeem)
		hint, _ := tokens["id_token"].(string)
		if status != http.StatusOK || hint == "" {
			t.Fatalf("%d %v", status, tokens)
		}
		w.Sent = nil
		return w, hint
	}
	leave := func(w *walker, query url.Values) {
		w.Sent, w.Page = nil, ""
		w.did(w.Open(s.URL + "/end-session?" + query.Encode()))
	}

	w, hint := signIn()
	access, _ := s.Post("/token", "machine", url.Values{"grant_type": {"client_credentials"}})
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
		if w.Sent != nil || !strings.Contains(w.Page, "invalid_request") || strings.Contains(w.Page, "<script>") {
			t.Errorf("%s: sent to %v; the page says %s", name, w.Sent, w.Page)
		}
	}
	for _, path := range []string{"/end-session/e30x", "/end-session/eyJjIjoicG9ydGFsIiwidCI6Imh0dHBzOi8vZXZpbC5leGFtcGxlIn0"} { // nothing; {"c":"portal","t":"https://evil.example"}
		w.did(w.Open(s.URL + path))
		if w.Sent != nil || !strings.Contains(w.Page, "invalid_request") {
			t.Errorf("%s: sent to %v; the page says %s", path, w.Sent, w.Page)
		}
	}

	// The person is asked, and is signed in until they answer.
	leave(w, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://web.example/bye?lang=en"}, "state": {"a&b"}})
	if !strings.Contains(w.Page, "Sign out?") {
		t.Fatalf("nobody is asked: %s", w.Page)
	}
	w.submit(url.Values{"do": {"sign-out"}})
	if w.Sent.Get("state") != "a&b" || w.Sent.Get("lang") != "en" {
		t.Fatalf("sent with %v: %s", w.Sent, w.Page)
	}
	leave(w, url.Values{"client_id": {"portal"}, "post_logout_redirect_uri": {"https://web.example/bye"}})
	if w.Sent == nil {
		t.Errorf("who is signed out already is asked again: %s", w.Page)
	}
	leave(w, url.Values{})
	if !strings.Contains(w.Page, "Signed out") {
		t.Errorf("without an address: %s", w.Page)
	}
	w.Sent = nil
	w.did(w.Open(s.URL + "/authorize?" + asking().Encode()))
	if !strings.Contains(w.Page, `name="password"`) {
		t.Errorf("the session goes on: %s", w.Page)
	}
}
