package oauthclient_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/oauthclient"
)

// rotating gives a new refresh token for each, and refuses all others.
func (s *server) rotating() {
	count := 0
	s.on("/token", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.PostForm.Get("grant_type") == "refresh_token" {
			if r.PostForm.Get("refresh_token") != fmt.Sprintf("refresh-%d", count) {
				answer(w, 400, map[string]any{"error": "invalid_grant"})
				return
			}
		}
		count++
		answer(w, 200, map[string]any{
			"access_token": fmt.Sprintf("access-%d", count), "token_type": "Bearer", "expires_in": 300, "refresh_token": fmt.Sprintf("refresh-%d", count),
		})
	})
}

func TestTokensAreKeptAndRenewedInTime(t *testing.T) {
	s, now := newServer(t), newClock()
	s.rotating()
	settings := s.settings()
	settings.Now = now.Now
	if got := access(token(t, open(t, settings))); got != "access-1" {
		t.Error(got)
	}
	if got := access(token(t, open(t, settings))); got != "access-1" || s.asked() != 1 { // another process
		t.Errorf("%s after %d requests", got, s.asked())
	}
	now.add(269 * time.Second)
	if got := access(token(t, open(t, settings))); got != "access-1" {
		t.Error(got)
	}
	now.add(2 * time.Second) // it would end on its way
	if got := access(token(t, open(t, settings))); got != "access-2" {
		t.Error(got)
	}
	if form, _ := s.last(); form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "refresh-1" {
		t.Errorf("%v", form)
	}
	for name, change := range map[string]func(*oauthclient.Settings){
		"another scope":    func(o *oauthclient.Settings) { o.Scopes = []string{"orders:write"} },
		"another id":       func(o *oauthclient.Settings) { o.ID = "other" },
		"another resource": func(o *oauthclient.Settings) { o.Resources = []string{"https://orders.example"} },
	} {
		other := settings
		change(&other)
		if got := access(token(t, open(t, other))); got == "access-2" {
			t.Errorf("%s gets the token that is kept for this one", name)
		}
	}
}

func TestParallelProgramsSpendARefreshTokenOnce(t *testing.T) {
	s, now := newServer(t), newClock()
	s.rotating()
	settings := s.persons(oauthclient.Browser)
	settings.Now = now.Now
	signIn(t, s, settings)
	now.add(time.Hour)
	before := s.asked()
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			got, err := open(t, settings).Token(t.Context())
			if err != nil || access(got) != "access-2" {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := s.asked() - before; n != 1 {
		t.Errorf("%d refreshes, want one", n)
	}
}

// signIn leaves a kept token of a person.
func signIn(t *testing.T, s *server, settings oauthclient.Settings) {
	t.Helper()
	s.signsIn(nil)
	if _, err := open(t, settings).SignIn(t.Context(), s.person(nil)); err != nil {
		t.Fatal(err)
	}
}

func TestRefreshThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		grant  oauthclient.Grant
		answer http.HandlerFunc // to the refresh
		want   func(error) bool
		spent  bool // the refresh token is not tried again
	}{
		"a person's that was revoked": {oauthclient.Browser, says(400, map[string]any{"error": "invalid_grant"}), func(err error) bool { return errors.Is(err, oauthclient.ErrSignIn) }, true},
		"server out of order":         {oauthclient.Browser, says(503, map[string]any{"error": "temporarily_unavailable"}), func(err error) bool { return code(err) == "temporarily_unavailable" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, now := newServer(t), newClock()
			settings := s.persons(c.grant)
			settings.Now = now.Now
			signIn(t, s, settings)
			now.add(time.Hour)
			s.on("/token", c.answer)
			for range 2 {
				if _, err := open(t, settings).Token(t.Context()); !c.want(err) {
					t.Errorf("%v", err)
				}
			}
			if n := s.asked(); (n == 2) != c.spent { // sign-in, refresh (, refresh)
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestARefreshWithoutSuccessorKeepsTheToken(t *testing.T) {
	s, now := newServer(t), newClock()
	settings := s.persons(oauthclient.Browser)
	settings.Now = now.Now
	signIn(t, s, settings)
	s.on("/token", says(200, with(good(), "refresh_token", nil)))
	for range 2 {
		now.add(time.Hour)
		token(t, open(t, settings))
		if form, _ := s.last(); form.Get("refresh_token") != "refresh-1" {
			t.Errorf("%v", form)
		}
	}
}

func TestWhatIsKeptIsForItsOwnerAlone(t *testing.T) {
	s := newServer(t)
	settings := s.settings()
	settings.Folder = filepath.Join(settings.Folder, "new", "tokens")
	token(t, open(t, settings))
	names, err := filepath.Glob(filepath.Join(settings.Folder, "*", "*"))
	if err != nil || len(names) != 2 { // the token and the lock
		t.Fatalf("%v, %v", names, err)
	}
	name := names[1]
	for path, mode := range map[string]os.FileMode{settings.Folder: 0o700, filepath.Dir(name): 0o700, name: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil || strings.Contains(string(text), planted) {
		t.Errorf("the client's secret is kept, or %v", err)
	}
	for reason, spoil := range map[string]func() error{
		"can be read by others": func() error { return os.Chmod(name, 0o640) },
		"remove the file":       func() error { return os.WriteFile(name, []byte(`{"access_token":"access-1"`), 0o600) },
		"no token of this":      func() error { return os.WriteFile(name, []byte(`{"issuer":"https://evil.example"}`), 0o600) },
		"more than":             func() error { return os.WriteFile(name, make([]byte, 300<<10), 0o600) },
	} {
		if err := errors.Join(os.WriteFile(name, text, 0o600), os.Chmod(name, 0o600), spoil()); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, settings).Token(t.Context())
		refuses(t, err, reason)
	}
}

func TestForgetRevokesAndRemoves(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		reason string
	}{
		"revoked": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, ""},
		"refused": {says(400, map[string]any{"error": "unsupported_token_type"}), "only forgotten here"},
		"absent":  {nil, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.on("/revoke", c.answer)
			settings := s.settings()
			token(t, open(t, settings))
			was, err := open(t, settings).Forget(t.Context())
			if c.reason != "" {
				refuses(t, err, c.reason)
			} else if err != nil {
				t.Error(err)
			}
			if form, _ := s.last(); !was || form.Get("token") != "refresh-1" || form.Get("token_type_hint") != "refresh_token" {
				t.Errorf("%v", form)
			}
			if names, _ := filepath.Glob(filepath.Join(settings.Folder, "*", "token.json")); len(names) > 0 {
				t.Error("it is still there")
			}
			if was, err := open(t, settings).Forget(t.Context()); was || err != nil {
				t.Errorf("again: %v, %v", was, err)
			}
		})
	}
}
