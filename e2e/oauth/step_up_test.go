package oauth

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/person"
)

var (
	shownKey = regexp.MustCompile(`aria-labelledby="key-label">([A-Z2-7 ]+)</code>`)
	inQuotes = regexp.MustCompile(`(acr_values|max_age)="([^"]*)"`)
)

// authenticator sets up a second factor for who is signed in, and returns its key.
func (w *world) authenticator(p *person.Person) string {
	w.t.Helper()
	if err := p.Open(w.URL + "/account/totp"); err != nil {
		w.t.Fatal(err)
	}
	shown := shownKey.FindStringSubmatch(p.Page)
	if shown == nil {
		w.t.Fatalf("no key at %s: %s", p.At, p.Page)
	}
	w.Plant(strings.ReplaceAll(shown[1], " ", ""))
	if err := w.confirm(p, shown[1]); err != nil || !strings.Contains(p.Page, "recovery codes") {
		w.t.Fatalf("%v: %s", err, p.Page)
	}
	return shown[1]
}

// confirm types what the authenticator shows.
func (w *world) confirm(p *person.Person, key string) error {
	code, err := person.TOTP(key, w.Clock.Now())
	if err != nil {
		return err
	}
	return p.Submit(url.Values{"do": {"second"}, "code": {code}})
}

// RFC 9470: from an endpoint's challenge, over a sign-in with a second factor, to success.
func TestAnEndpointsDemandIsMetByASecondFactor(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		acrs, _ := w.document(path)["acr_values_supported"].([]any)
		for _, acr := range []any{"urn:pavise:acr:one-factor", "urn:pavise:acr:two-factors"} {
			if !slices.Contains(acrs, acr) {
				t.Errorf("%s: acr_values_supported %v", path, acrs)
			}
		}
	}
	ann := &annotated{world: w, Person: person.New(w.Client().Transport)}
	weak := ann.token(person.Asking("web", "orders:read").Encode())
	r, err := http.NewRequest(http.MethodGet, w.URL+"/v1/vault/7", nil)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+weak)
	}
	refused := w.did(r, err)
	asking := person.Asking("web", "orders:read")
	for _, m := range inQuotes.FindAllStringSubmatch(refused.Header.Get("WWW-Authenticate"), -1) {
		asking.Set(m[1], m[2])
	}
	if refused.Status != http.StatusUnauthorized || !asking.Has("acr_values") || !asking.Has("max_age") {
		t.Fatalf("%d %v", refused.Status, refused.Header)
	}
	ann.key = w.authenticator(ann.Person)
	w.Clock.Add(31 * time.Second) // a code is good once
	ann.Person = person.New(w.Client().Transport)
	strong := ann.token(asking.Encode())
	if got := w.Call("/v1/vault/7", strong); got != http.StatusOK {
		t.Errorf("after two factors: %d", got)
	}
	w.Advance(11 * time.Minute)
	if got := w.Call("/v1/vault/7", strong); got != http.StatusUnauthorized {
		t.Errorf("later: %d", got)
	}
}

// annotated is ann with what she has at hand.
type annotated struct {
	*world
	*person.Person
	key string // of her authenticator; empty: she has none
}

// token gets a token, and answers whatever she is asked on the way.
func (a *annotated) token(query string) string {
	a.t.Helper()
	if err := a.Open(a.URL + "/authorize?" + query); err != nil {
		a.t.Fatal(err)
	}
	for range 4 {
		step := a.Allow
		switch {
		case a.Sent != nil:
			token, _ := a.tokens("web", person.Redeeming(a.Sent.Get("code")))["access_token"].(string)
			a.Plant(token)
			return token
		case strings.Contains(a.Page, `name="password"`):
			step = func() error { return a.SignIn(ann, password) }
		case strings.Contains(a.Page, `name="code"`):
			step = func() error { return a.confirm(a.Person, a.key) }
		}
		if err := step(); err != nil {
			a.t.Fatal(err)
		}
	}
	a.t.Fatalf("%d at %s: %s", a.Status, a.At, a.Page)
	return ""
}
