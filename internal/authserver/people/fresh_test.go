package people_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver/people"
)

// OpenID Connect Core §3.1.2.1: who has to sign in anew is asked so at the provider, and
// the provider's word counts, not the way there and back.
func TestSignInAnewIsPassedOnToTheProvider(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	login := func(a *people.Asked) { a.Prompt = []string{"login"} }
	minute := func(a *people.Asked) { age := time.Minute; a.MaxAge = &age }
	for what, test := range map[string]struct {
		want   func(*people.Asked)
		said   any // auth_time, seconds ago
		maxAge string
		good   bool
	}{
		"anew, and they did":            {login, 0, "0", true},
		"anew, an hour ago":             {login, 3600, "0", false},
		"anew, not said":                {login, nil, "0", false},
		"within a minute, and they did": {minute, 30, "60", true},
		"within a minute, an hour ago":  {minute, 3600, "60", false},
		"within a minute, not said":     {minute, nil, "60", false},
		"in the future":                 {minute, -3600, "60", false},
		"at no time":                    {minute, "now", "60", false},
	} {
		t.Run(what, func(t *testing.T) {
			claims := map[string]any{}
			want := w.clock.Now()
			switch said := test.said.(type) {
			case int:
				want = want.Add(-time.Duration(said) * time.Second)
				claims["auth_time"] = want.Unix()
			case string:
				claims["auth_time"] = said
			}
			l.change(func() { l.claims = claims })
			id := strings.ReplaceAll(what, " ", "-")
			w.ask(id, func(a *people.Asked) { a.Action = "/authorize/" + id; test.want(a) })
			b := w.browser()
			b.get(authorize(id))
			p := b.get("/authorize/"+id).want(http.StatusOK, "Continue with Corp", "Signing in with CodeHub is not enough")
			if strings.Contains(p.text, "Continue with CodeHub") {
				t.Error("a way that cannot do is offered")
			}
			address := b.depart(p, "corp")
			asked, err := url.Parse(address)
			must(t, err)
			if q := asked.Query(); q.Get("max_age") != test.maxAge || (q.Get("prompt") == "login") != (test.maxAge == "0") {
				t.Errorf("the provider is asked %v", q)
			}
			p = b.get(pathOf(t, l.visit(address)))
			if !test.good {
				if p.status != http.StatusForbidden && p.status != http.StatusBadGateway {
					t.Errorf("status %d:\n%s", p.status, p.text)
				}
				b.get("/authorize/"+id).want(http.StatusOK, "<h1>Sign in</h1>")
				return
			}
			if strings.Contains(p.text, "asks for access") {
				p = b.submit(p, "allow")
			}
			p.wantSent("https://photos.example/callback?code=c")
			if got := w.answered(id).Person.AuthTime; !got.Equal(want) {
				t.Errorf("signed in at %s, want %s", got, want)
			}
		})
	}
}

// A service of plain OAuth 2.0 has no word for when: whoever has it in another tab is not
// somebody who signs in.
func TestPlainOAuthDoesNotShowThatSomebodySignedInJustNow(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	b, p := w.start("one")
	way := p.way("hub")
	w.ask("one", func(a *people.Asked) { a.Prompt = []string{"login"} })
	b.get(way).want(http.StatusForbidden, "does not confirm")
	w.ask("one")
	b.submit(b.through(l, p, "hub"), "allow").wantSent("https://photos.example/callback?code=c")
	if got := w.answered("one").Person.AuthTime; !got.IsZero() {
		t.Errorf("signed in at %s, which nobody has said", got)
	}
	hour := time.Hour
	w.ask("two", func(a *people.Asked) { a.MaxAge = &hour })
	b.get(authorize("two")).want(http.StatusOK, "<h1>Sign in</h1>", "Signing in with CodeHub is not enough")
	w.ask("three", func(a *people.Asked) { a.MaxAge, a.Prompt = &hour, []string{"none"} })
	b.get(authorize("three")).wantSent("https://photos.example/callback?error=login_required")
	// Nor is it enough to change how one signs in.
	b.get("/account").want(http.StatusOK, "Your account")
	b.get("/account/totp").want(http.StatusOK, "<h1>Sign in</h1>", "Signing in with CodeHub is not enough")
}

// At one's own pages, too, what counts is when somebody signed in at the provider.
func TestOldSignInAtAProviderDoesNotChangeHowOneSignsIn(t *testing.T) {
	l := newLookalike(t)
	w := withProviders(t, l)
	for _, test := range []struct {
		ago  time.Duration
		page string
	}{{time.Hour, "<h1>Sign in</h1>"}, {time.Minute, "Set up an authenticator app"}} {
		l.change(func() { l.claims = map[string]any{"auth_time": w.clock.Now().Add(-test.ago).Unix()} })
		b := w.browser()
		b.through(l, b.get("/account"), "corp").want(http.StatusOK, "Your account")
		b.get("/account/totp").want(http.StatusOK, test.page)
	}
}
