package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

const pkceVerifier = "a-verifier-of-forty-three-characters-or-more-2"

var (
	formAction = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	scopeBox   = regexp.MustCompile(`name="scope" value="([^"]*)"`)
)

// browse signs ann in, allows, and returns the query with which she is sent back.
func (s *oauthServer) browse(scope string) url.Values {
	s.T.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.T.Fatal(err)
	}
	browser := s.Client()
	browser.Jar = jar
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "web.example" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	sum := sha256.Sum256([]byte(pkceVerifier))
	query := url.Values{
		"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {"https://web.example/cb"}, "scope": {scope}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	at, err := browser.Get(s.issuer + "/authorize?" + query.Encode())
	for range 3 {
		if err != nil {
			s.T.Fatal(err)
		}
		if location, err := at.Location(); err == nil {
			return location.Query()
		}
		page, _ := io.ReadAll(at.Body)
		at, err = s.submit(browser, at.Request.URL, string(page))
	}
	s.T.Fatal("the browser was not sent back")
	return nil
}

func (s *oauthServer) submit(browser *http.Client, at *url.URL, page string) (*http.Response, error) {
	s.T.Helper()
	found := formAction.FindStringSubmatch(page)
	if found == nil {
		s.T.Fatalf("a page without a form: %s", page)
	}
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	for _, m := range scopeBox.FindAllStringSubmatch(page, -1) {
		form.Add("scope", m[1])
	}
	form.Set("do", "allow")
	if strings.Contains(page, `name="password"`) {
		form.Set("do", "sign-in")
		form.Set("username", "ann")
		form.Set("password", password)
	}
	action, err := at.Parse(strings.ReplaceAll(found[1], "&amp;", "&"))
	if err != nil {
		s.T.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(form.Encode()))
	if err != nil {
		s.T.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", s.issuer)
	return browser.Do(r)
}

// token asks the token endpoint as the client web.
func (s *oauthServer) token(form url.Values) (map[string]any, int) {
	s.T.Helper()
	return s.post("/token", "web", form)
}

// post sends a form as a client, and returns what was answered.
func (s *oauthServer) post(path, client string, form url.Values) (map[string]any, int) {
	s.T.Helper()
	r, err := http.NewRequest(http.MethodPost, s.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.T.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, s.secrets[client])
	answer, err := s.Client().Do(r)
	if err != nil {
		s.T.Fatal(err)
	}
	return decoded(s.T, answer), answer.StatusCode
}

// decoded reads a JSON answer; empty, if it is.
func decoded(t testing.TB, answer *http.Response) map[string]any {
	t.Helper()
	defer func() { _ = answer.Body.Close() }()
	all := map[string]any{}
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

func (s *oauthServer) call(token any) int {
	s.T.Helper()
	r, err := http.NewRequest(http.MethodGet, s.issuer+"/v1/orders/7", nil)
	if err != nil {
		s.T.Fatal(err)
	}
	text, _ := token.(string)
	r.Header.Set("Authorization", "Bearer "+text)
	answer, err := s.Client().Do(r)
	if err != nil {
		s.T.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func TestGrantsKeysAndRevocationsSurviveARestart(t *testing.T) {
	attacktest.Rows(t, 36, 49, 54)
	s := startOAuth(t)
	redeem := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {"https://web.example/cb"}, "code_verifier": {pkceVerifier}}
	redeem.Set("code", s.browse("openid offline_access orders:read").Get("code"))
	s.Restart()
	first, status := s.token(redeem)
	if status != http.StatusOK || s.call(first["access_token"]) != http.StatusOK {
		t.Fatalf("a code from before the restart: %d %v", status, first)
	}
	if got := s.call(first["id_token"]); got != http.StatusUnauthorized {
		t.Errorf("an ID token at the API: %d", got)
	}
	refresh := func(token any) (map[string]any, int) {
		text, _ := token.(string)
		return s.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}})
	}
	s.Restart()
	if got := s.call(first["access_token"]); got != http.StatusOK {
		t.Errorf("a token from before the restart: %d", got)
	}
	second, status := refresh(first["refresh_token"])
	if status != http.StatusOK {
		t.Fatalf("a refresh token from before the restart: %d %v", status, second)
	}
	s.Restart()
	if got, status := refresh(first["refresh_token"]); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("a refresh token that was used before the restart: %d %v", status, got)
	}
	if got := s.call(second["access_token"]); got != http.StatusUnauthorized {
		t.Errorf("a token of the revoked family: %d", got)
	}
	s.Restart()
	if got := s.call(second["access_token"]); got != http.StatusUnauthorized {
		t.Errorf("a token of the revoked family, after a restart: %d", got)
	}
	if got, status := s.token(redeem); status != http.StatusBadRequest {
		t.Errorf("the code again: %d %v", status, got)
	}
	seen := map[string]bool{}
	for _, e := range s.Events(audit.Query{Class: audit.Grant}) {
		seen[e.Action] = true
	}
	for _, action := range []string{"person.sign_in", "person.consent", "grant.create", "token.issue", "token.refresh", "grant.reuse"} {
		if !seen[action] {
			t.Errorf("no event %s", action)
		}
	}
}
