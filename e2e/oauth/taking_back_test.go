package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
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
