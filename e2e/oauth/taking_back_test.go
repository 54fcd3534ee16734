package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// What an operator takes back is gone at once, from tokens that are out too, and no
// refresh brings it back.
func TestWhatIsTakenBackIsGoneAtOnce(t *testing.T) {
	for what, test := range map[string]struct {
		take  func(w *world) error
		call  int    // afterwards, with the token that is out
		fresh string // what a refresh is told; empty: it may go on
	}{
		"a scope of the client": {func(w *world) error {
			_, err := w.App.State.Registry.UpdateClient(t.Context(), "web", "narrow", func(c *client.Client) error { c.Scopes = shield.Scopes{"orders:write"}; return nil })
			return err
		}, http.StatusForbidden, ""},
		"the client": {func(w *world) error {
			_, err := w.App.State.Registry.UpdateClient(t.Context(), "web", "disable", func(c *client.Client) error { c.Disabled = true; return nil })
			return err
		}, http.StatusForbidden, "invalid_client"},
		"the person": {func(w *world) error {
			user, err := w.App.People().User(t.Context(), ann)
			if err != nil {
				return err
			}
			_, err = w.App.People().DisableUser(t.Context(), user.Subject, "left")
			return err
		}, http.StatusUnauthorized, "invalid_grant"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			tokens := w.tokens("web", person.Redeeming(w.code("web", "openid offline_access orders:read")))
			refresh, _ := tokens["refresh_token"].(string)
			w.Plant(refresh)
			if got := w.Call("/v1/orders/7", tokens["access_token"]); got != http.StatusOK {
				t.Fatalf("before: %d", got)
			}
			if err := test.take(w); err != nil {
				t.Fatal(err)
			}
			w.Advance(0)
			if got := w.Call("/v1/orders/7", tokens["access_token"]); got != test.call {
				t.Errorf("the token that is out: %d, want %d", got, test.call)
			}
			got := w.post("/token", "web", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
			if got.error != test.fresh || test.fresh != "" && got.Status < 400 {
				t.Errorf("a refresh: %d %q, want %q", got.Status, got.error, test.fresh)
			}
			if strings.Contains(string(got.Body), "orders:read") {
				t.Errorf("a refresh gives what was taken back: %s", got.Body)
			}
		})
	}
}

// Whatever ends a grant leaves an event that says why.
func TestEveryRevocationIsAnEvent(t *testing.T) {
	w := newWorld(t)
	last := func() audit.Event {
		t.Helper()
		all := w.Events(audit.Query{Class: audit.Grant})
		for _, e := range slices.Backward(all) {
			if strings.HasSuffix(e.Action, ".revoke") {
				return e
			}
		}
		t.Fatal("no event tells of it")
		return audit.Event{}
	}
	count := func() (n int) {
		for _, e := range w.Events(audit.Query{Class: audit.Grant}) {
			if strings.HasSuffix(e.Action, ".revoke") {
				n++
			}
		}
		return n
	}
	for i, test := range []struct {
		what, action, detail string
		end                  func()
	}{
		{"a client that revokes", "grant.revoke", "revoked by its client", func() {
			tokens := w.tokens("web", person.Redeeming(w.code("web", "orders:read")))
			refresh, _ := tokens["refresh_token"].(string)
			w.Plant(refresh)
			for range 2 {
				w.post("/revoke", "web", url.Values{"token": {refresh}})
			}
		}},
		{"a client that revokes its own", "token.revoke", "revoked by its client", func() {
			token, _ := w.tokens("machine", url.Values{"grant_type": {"client_credentials"}})["access_token"].(string)
			w.Plant(token)
			w.post("/revoke", "machine", url.Values{"token": {token}})
		}},
		{"a wrong verifier", "grant.revoke", "code_verifier does not match", func() {
			w.post("/token", "web", with(person.Redeeming(w.code("web", "orders:read")), "code_verifier", strings.Repeat("x", 43)))
		}},
		{"another client", "grant.revoke", "different client", func() {
			w.post("/token", "other", person.Redeeming(w.code("web", "orders:read")))
		}},
	} {
		test.end()
		if got := last(); got.Action != test.action || !strings.Contains(got.Detail, test.detail) || got.Client != "web" && got.Client != "machine" || got.Target == "" || count() != i+1 {
			t.Errorf("%s: %s of %s: %q; %d events", test.what, got.Action, got.Client, got.Detail, count())
		}
	}
}

// made is a token that web got for ann, and one that the service of orders made of it.
func (w *world) made() (first, made, refresh string) {
	w.t.Helper()
	tokens := w.tokens("web", person.Redeeming(w.code("web", "orders:read")))
	first, _ = tokens["access_token"].(string)
	refresh, _ = tokens["refresh_token"].(string)
	w.Plant(first)
	w.Plant(refresh)
	made, _ = w.tokens("orders", exchanging(first))["access_token"].(string)
	w.Plant(made)
	for _, token := range []string{first, made} {
		if got := w.Call("/v1/orders/7", token); got != http.StatusOK {
			w.t.Fatalf("before: %d", got)
		}
	}
	return first, made, refresh
}

func exchanging(token string) url.Values {
	return url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token}, "scope": {"orders:read"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
}

// RFC 8693: what is taken from a client is taken from what others made of its tokens.
func TestTokensMadeOfAnotherEndWithItsClient(t *testing.T) {
	for what, test := range map[string]struct {
		take   func(*world) error
		call   int
		active bool
	}{
		"revoked": {func(w *world) error {
			_, err := w.App.State.Registry.RevokeClient(t.Context(), "web", "contract ended")
			return err
		}, http.StatusUnauthorized, false},
		"disabled": {func(w *world) error {
			_, err := w.App.State.Registry.UpdateClient(t.Context(), "web", "disable", func(c *client.Client) error { c.Disabled = true; return nil })
			return err
		}, http.StatusForbidden, false},
		"narrowed": {func(w *world) error { w.scopes("web", "orders:write"); return nil }, http.StatusForbidden, true},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			_, made, _ := w.made()
			if err := test.take(w); err != nil {
				t.Fatal(err)
			}
			w.Advance(0)
			if got := w.Call("/v1/orders/7", made); got != test.call {
				t.Errorf("the token that was made of it: %d, want %d", got, test.call)
			}
			if told, _ := w.Post("/introspect", "orders", url.Values{"token": {made}}); told["active"] != test.active {
				t.Errorf("introspection says %v", told)
			}
			if test.active {
				return
			}
			w.refuses("made of it again", w.post("/token", "orders", exchanging(made)), http.StatusBadRequest, "invalid_request")
		})
	}
}

// RFC 7009 §2.1: a client revokes what is its own, and the grant is not the service's.
func TestServiceRevokesWhatItMadeAndNothingElse(t *testing.T) {
	attacktest.Rows(t, 65)
	w := newWorld(t)
	first, made, refresh := w.made()
	if got := w.post("/revoke", "orders", url.Values{"token": {made}}); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	w.Advance(0)
	if got := w.Call("/v1/orders/7", made); got != http.StatusUnauthorized {
		t.Errorf("what was revoked: %d", got)
	}
	if told, _ := w.Post("/introspect", "orders", url.Values{"token": {made}}); told["active"] != false {
		t.Errorf("introspection says %v", told)
	}
	if got := w.Call("/v1/orders/7", first); got != http.StatusOK {
		t.Errorf("what it was made of: %d", got)
	}
	w.tokens("web", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}
