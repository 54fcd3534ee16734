package interop

import (
	"net/http"
	"net/url"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
)

// browse signs ann in, allows, and returns the code with which she is sent back.
func (s *oauthServer) browse(scope string) string {
	s.T.Helper()
	code, err := person.New(s.Client().Transport).Code(s.URL+"/authorize?"+person.Asking("web", scope).Encode(), "ann", password)
	if err != nil {
		s.T.Fatal(err)
	}
	return code
}

// token asks the token endpoint as the client web.
func (s *oauthServer) token(form url.Values) (map[string]any, int) {
	s.T.Helper()
	return s.Post("/token", "web", form)
}

func (s *oauthServer) call(token any) int {
	s.T.Helper()
	return s.Call("/v1/orders/7", token)
}

func TestGrantsKeysAndRevocationsSurviveARestart(t *testing.T) {
	attacktest.Rows(t, 36, 49, 54)
	s := startOAuth(t)
	redeem := person.Redeeming(s.browse("openid offline_access orders:read"))
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
