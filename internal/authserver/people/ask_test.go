package people_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/people/account"
)

func TestSignInAndConsent(t *testing.T) {
	w := newWorld(t)
	u := w.person("ada")
	w.ask("one")
	b := w.browser()
	p := b.get(authorize("one")).want(http.StatusOK, "<h1>Sign in</h1>", "Photo Prints", "photos.example")
	p = b.signIn(p, "Ada", goodPassword).want(http.StatusOK, "Photo Prints asks for access", "See your orders", "Place orders for you", "1 hour", "/account")
	if p.url.Path != "/authorize/one" {
		t.Errorf("after the password the browser is at %s", p.url)
	}
	b.submit(p, "allow").wantSent("https://photos.example/callback?code=c")
	got := w.answered("one")
	if got.State != people.Granted || got.Person.Subject != u.Subject || got.Person.Username != "ada" || got.Person.ACR != people.ACROne ||
		!slices.Equal(got.Person.AMR, []string{"pwd"}) || !got.Person.AuthTime.Equal(w.clock.Now()) ||
		!slices.Equal(got.Scopes, []string{"openid", "orders:read", "orders:write"}) {
		t.Errorf("answer %+v", got)
	}
	w.ask("two")
	b.get(authorize("two")).wantSent("https://photos.example/callback?code=c") // remembered
	if got := w.actions(); !slices.Equal(got, []string{people.EventSignIn, people.EventConsent}) {
		t.Errorf("events %v", got)
	}
}

func TestRefusalGoesBack(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	p := b.signIn(b.get(authorize("one")), "ada", goodPassword)
	b.submit(p, "refuse").wantSent("https://photos.example/callback?error=access_denied")
	w.ask("two")
	b2 := w.browser()
	b2.submit(b2.get(authorize("two")), "cancel").wantSent("https://photos.example/callback?error=access_denied")
	w.ask("three")
	b.get(authorize("three")).want(http.StatusOK, "asks for access") // a refusal is not remembered as consent
}

func TestWrongNameAndWrongPasswordAreOneAnswer(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	first := b.signIn(b.get(authorize("one")), "ada", "not-the-password").want(http.StatusUnprocessableEntity, "User name or password is wrong.", `role="alert"`)
	second := b.signIn(first, "eva", goodPassword).want(http.StatusUnprocessableEntity)
	if strings.ReplaceAll(first.text, `value="ada"`, "") != strings.ReplaceAll(second.text, `value="eva"`, "") {
		t.Error("the pages tell a wrong name from a wrong password")
	}
	if strings.Contains(first.text+second.text, goodPassword) || strings.Contains(first.text, "not-the-password") {
		t.Error("a password is on the page")
	}
	for _, name := range []string{"", "ada\x00", strings.Repeat("a", 5000), "а" + "da", "ada@", "\xff\xfe"} {
		b.signIn(first, name, goodPassword).want(http.StatusUnprocessableEntity, "User name or password is wrong.")
		w.clock.forward(time.Hour)
		first = b.get("/authorize/one")
	}
}

func TestScopesAreWhatThePersonChose(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	p := b.signIn(b.get(authorize("one")), "ada", goodPassword)
	p = b.submit(p, "allow", "scope", "").want(http.StatusUnprocessableEntity, "Choose at least one")
	b.submit(p, "allow", "scope", "admin").want(http.StatusUnprocessableEntity) // never asked for
	b.submit(p, "allow", "scope", "orders:read").wantSent("https://photos.example/callback?code=c")
	if got := w.answered("one").Scopes; !slices.Equal(got, []string{"openid", "orders:read"}) {
		t.Errorf("scopes %v", got)
	}
	w.ask("two")
	b.get(authorize("two")).wantSent("https://photos.example/callback?code=c")
	if got := w.answered("two").Scopes; !slices.Equal(got, []string{"openid", "orders:read"}) {
		t.Errorf("what was left out came back: %v", got)
	}
	for name, change := range map[string]func(*people.Asked){
		"a scope more":      func(a *people.Asked) { a.Scopes = append(a.Scopes, people.Scope{Name: "orders:cancel"}) },
		"an API more":       func(a *people.Asked) { a.APIs = append(a.APIs, "payments") },
		"a longer life":     func(a *people.Asked) { a.Lifetime = 2 * time.Hour },
		"while away":        func(a *people.Asked) { a.Offline = true },
		"another client":    func(a *people.Asked) { a.Client.ID = "other" },
		"prompt=consent":    func(a *people.Asked) { a.Prompt = []string{"consent"} },
		"only left-out":     func(a *people.Asked) { a.Scopes = []people.Scope{{Name: "orders:write"}} },
		"not reviewed":      func(a *people.Asked) { a.Client.Unreviewed = true },
		"a loopback client": func(a *people.Asked) { a.Client.RedirectURI = "http://127.0.0.1:9999/cb" },
		"an app's scheme":   func(a *people.Asked) { a.Client.RedirectURI = "com.example.app:/cb" },
		"a device":          func(a *people.Asked) { a.Device = "ABCD-EFGH" },
	} {
		t.Run(name, func(t *testing.T) {
			w.ask("more", change)
			b.get(authorize("more")).want(http.StatusOK, "asks for access")
		})
	}
}

// Two answers do not add up to a third: what was allowed of one API is not allowed of another.
func TestAnswersAreNotMixed(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	read := func(a *people.Asked) { a.Scopes, a.APIs = []people.Scope{{Name: "read"}}, []string{"mail"} }
	write := func(a *people.Asked) {
		a.Scopes, a.APIs, a.Offline = []people.Scope{{Name: "write"}}, []string{"notes"}, true
	}
	w.ask("read", read)
	b := w.browser()
	b.submit(b.signIn(b.get(authorize("read")), "ada", goodPassword), "allow").wantSent("https://photos.example/callback?code=c")
	w.ask("write", write)
	b.submit(b.get(authorize("write")), "allow").wantSent("https://photos.example/callback?code=c")
	for name, change := range map[string]func(*people.Asked){
		"read":  read,
		"write": write,
		"write-not-away": func(a *people.Asked) {
			write(a)
			a.Offline = false
		},
	} {
		w.ask("again-"+name, change)
		b.get(authorize("again-" + name)).wantSent("https://photos.example/callback?code=c")
	}
	for name, change := range map[string]func(*people.Asked){
		"write-there": func(a *people.Asked) {
			write(a)
			a.APIs = []string{"mail"}
		},
		"read-here": func(a *people.Asked) {
			read(a)
			a.APIs = []string{"notes"}
		},
		"read-away": func(a *people.Asked) {
			read(a)
			a.Offline = true
		},
		"both": func(a *people.Asked) {
			a.Scopes, a.APIs = []people.Scope{{Name: "read"}, {Name: "write"}}, []string{"mail", "notes"}
		},
	} {
		w.ask("mixed-"+name, change)
		b.get(authorize("mixed-"+name)).want(http.StatusOK, "asks for access")
	}
}

func TestNewerWordOfAScopeCounts(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	b.submit(b.signIn(b.get(authorize("one")), "ada", goodPassword), "allow")
	w.ask("two", func(a *people.Asked) { a.Prompt = []string{"consent"} })
	b.submit(b.get(authorize("two")), "allow", "scope", "orders:read")
	w.ask("three")
	b.get(authorize("three")).wantSent("https://photos.example/callback?code=c")
	if got := w.answered("three").Scopes; !slices.Equal(got, []string{"openid", "orders:read"}) {
		t.Errorf("what was taken back came back: %v", got)
	}
}

func TestAccessWhileAwayCanBeLeftOut(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	away := func(a *people.Asked) {
		a.Offline, a.Scopes = true, []people.Scope{{Name: "openid"}, {Name: "email"}, {Name: "offline_access"}, {Name: "x:y"}}
	}
	w.ask("one", away)
	b := w.browser()
	p := b.signIn(b.get(authorize("one")), "ada", goodPassword).want(http.StatusOK, "Up to 1 hour, also while you are away", "See your e-mail address", "Keep its access while you are away", "x:y")
	b.submit(p, "allow", "scope", "email").wantSent("https://photos.example/callback?code=c")
	w.ask("two", away)
	b.get(authorize("two")).wantSent("https://photos.example/callback?code=c")
	if got := w.answered("two").Scopes; !slices.Equal(got, []string{"openid", "email"}) {
		t.Errorf("scopes %v", got)
	}
}

func TestManyScopesAreKeptAsFarAsTheyFit(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	many := func(a *people.Asked) {
		a.Scopes = nil
		for i := range 256 {
			a.Scopes = append(a.Scopes, people.Scope{Name: fmt.Sprintf("%0128d", i)})
		}
	}
	w.ask("one", many)
	b := w.browser()
	b.submit(b.signIn(b.get(authorize("one")), "ada", goodPassword).want(http.StatusOK), "allow").wantSent("https://photos.example/callback?code=c")
	if got := w.answered("one").Scopes; len(got) != 256 {
		t.Errorf("%d scopes", len(got))
	}
	w.ask("two", many)
	b.get(authorize("two")).want(http.StatusOK, "asks for access")
}

func TestPromptNone(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	silent := func(a *people.Asked) { a.Prompt = []string{"none"} }
	w.ask("silent", silent)
	b := w.browser()
	b.get(authorize("silent")).wantSent("https://photos.example/callback?error=login_required")
	w.ask("one")
	p := b.signIn(b.get(authorize("one")), "ada", goodPassword)
	w.ask("silent", silent)
	b.get(authorize("silent")).wantSent("https://photos.example/callback?error=consent_required")
	b.submit(p, "allow")
	w.ask("silent", silent)
	b.get(authorize("silent")).wantSent("https://photos.example/callback?code=c")
	minute := time.Minute
	w.clock.forward(time.Hour)
	w.ask("silent", silent, func(a *people.Asked) { a.MaxAge = &minute })
	b.get(authorize("silent")).wantSent("https://photos.example/callback?error=login_required")
}

func TestPromptLoginAndMaxAge(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	b := w.browser()
	w.ask("one")
	b.submit(b.signIn(b.get(authorize("one")), "ada", goodPassword), "allow")
	none := time.Duration(0)
	for name, change := range map[string]func(*people.Asked){
		"login":     func(a *people.Asked) { a.Prompt = []string{"login"} },
		"max_age=0": func(a *people.Asked) { a.MaxAge = &none },
	} {
		t.Run(name, func(t *testing.T) {
			w.clock.forward(time.Minute)
			w.ask("again-"+name, change)
			before := b.cookies()["__Host-pavise-session"]
			p := b.get("/authorize?ask="+url.QueryEscape("again-"+name)).want(http.StatusOK, "<h1>Sign in</h1>")
			_, form := p.form("sign-in")
			form.Set("do", "allow") // skipping the password
			b.post("/authorize/again-"+name, form).want(http.StatusOK, "<h1>Sign in</h1>")
			b.signIn(p, "ada", goodPassword).wantSent("https://photos.example/callback?code=c")
			if got := w.answered("again-" + name); !got.Person.AuthTime.Equal(w.clock.Now()) {
				t.Errorf("signed in at %s, want now", got.Person.AuthTime)
			}
			if after := b.cookies()["__Host-pavise-session"]; after == before || after == "" {
				t.Error("the session is the same as before the sign-in")
			}
		})
	}
	w.ask("which", func(a *people.Asked) { a.Prompt = []string{"select_account"} })
	p := b.get(authorize("which")).want(http.StatusOK, "Which account?", "Ada Lovelace")
	b.submit(p, "other").want(http.StatusOK, "<h1>Sign in</h1>")
	b.submit(p, "continue").wantSent("https://photos.example/callback?code=c")
}

func TestFormsAreOfThisBrowserAndOrigin(t *testing.T) {
	attacktest.Rows(t, 62)
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	w.ask("two")
	b, other := w.browser(), w.browser()
	consent := b.signIn(b.get(authorize("one")), "ada", goodPassword)
	b.get(authorize("two"))
	other.get(authorize("one"))
	action, good := consent.form("allow")
	_, othersForm := other.get("/authorize/one").form("sign-in")
	refused := func(name string, from *browser, path string, change func(url.Values, http.Header)) {
		t.Run(name, func(t *testing.T) {
			form := url.Values{}
			for k, v := range good {
				form[k] = slices.Clone(v)
			}
			from.header = http.Header{}
			defer func() { from.header = http.Header{} }()
			change(form, from.header)
			from.post(path, form).want(http.StatusForbidden, "This page is too old")
			if got := w.answered("one").State; got == people.Granted {
				t.Error("it was granted")
			}
		})
	}
	refused("no token", b, action, func(f url.Values, _ http.Header) { f.Del("token") })
	refused("another token", b, action, func(f url.Values, _ http.Header) { f.Set("token", strings.Repeat("0", 64)) })
	refused("another browser's token", b, action, func(f url.Values, _ http.Header) { f.Set("token", othersForm.Get("token")) })
	refused("for another authorization", b, "/authorize/two", func(url.Values, http.Header) {})
	refused("in another browser", other, action, func(url.Values, http.Header) {})
	refused("from another origin", b, action, func(_ url.Values, h http.Header) { h.Set("Origin", "https://evil.example") })
	refused("from no origin", b, action, func(_ url.Values, h http.Header) { h.Set("Origin", "null") })
	refused("cross-site", b, action, func(_ url.Values, h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") })
	refused("same-site", b, action, func(_ url.Values, h http.Header) { h.Set("Sec-Fetch-Site", "same-site") })
	refused("a field twice", b, action, func(f url.Values, _ http.Header) { f.Add("do", "refuse") })
	b.header.Set("Origin", w.server.URL)
	b.header.Set("Sec-Fetch-Site", "same-origin")
	b.post(action, good).wantSent("https://photos.example/callback?code=c")
	if !slices.Contains(w.actions(), people.EventForged) {
		t.Error("no event of a forged form")
	}
}

func TestAnAuthorizationStaysInItsBrowser(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	w.browser().get(authorize("one")).want(http.StatusOK)
	victim := w.browser()
	victim.get("/authorize/one").want(http.StatusForbidden, "belongs to another browser")
	w.ask("mine")
	victim.submit(victim.signIn(victim.get(authorize("mine")), "ada", goodPassword), "allow").wantSent("https://photos.example/callback?code=c")
	victim.get("/authorize/one").want(http.StatusForbidden, "belongs to another browser")
}

func TestPagesCannotBeFramedCachedOrScripted(t *testing.T) {
	attacktest.Rows(t, 62, 68)
	w := newWorld(t)
	w.person("ada")
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>` + "\u202egnp"
	w.ask("one", func(a *people.Asked) {
		a.Client.Name, a.Client.Contact, a.Client.PolicyURI = evil, evil, "javascript:alert(1)"
		a.Client.RedirectHost = "photos.example" + evil
		a.LoginHint, a.APIs = evil+strings.Repeat("x", 10_000), []string{evil}
		a.Scopes = []people.Scope{{Name: "a", Text: evil}}
	})
	b := w.browser()
	first := b.get(authorize("one")).want(http.StatusOK)
	second := b.signIn(first, "ada", goodPassword).want(http.StatusOK, "asks for access")
	for _, p := range []*page{first, second, b.get("/authorize/none")} {
		if strings.Contains(p.text, "<script") || strings.Contains(p.text, "<img src=x") || strings.Contains(p.text, "javascript:") || strings.ContainsRune(p.text, '\u202e') {
			t.Errorf("a text of the application's is in the page as it came:\n%s", p.text)
		}
		csp := p.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("no %s in %s", want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || p.header.Get("X-Frame-Options") != "DENY" || p.header.Get("Cache-Control") != "no-store" || p.header.Get("Referrer-Policy") == "" {
			t.Errorf("headers %v", p.header)
		}
	}
	if csp := second.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://photos.example;") {
		t.Errorf("the answer cannot be followed to the application: %s", csp)
	}
}

func TestCookiesAreHostOnly(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := b.get(authorize("one"))
	after := b.signIn(p, "ada", goodPassword).want(http.StatusSeeOther)
	all := append(p.header.Values("Set-Cookie"), after.header.Values("Set-Cookie")...)
	if len(all) < 3 {
		t.Fatalf("cookies %v", all)
	}
	for _, c := range all {
		if !strings.HasPrefix(c, "__Host-pavise-") || !strings.Contains(c, "; Path=/") || !strings.Contains(c, "; Secure") ||
			!strings.Contains(c, "; HttpOnly") || !strings.Contains(c, "SameSite=Lax") || strings.Contains(c, "Domain") {
			t.Errorf("cookie %s", c)
		}
	}
	if after.to != "/authorize/one" {
		t.Errorf("sent to %s", after.to)
	}
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	u := w.person("ada")
	in := func() *browser {
		b := w.browser()
		w.ask("in")
		b.submit(b.signIn(b.get(authorize("in")), "ada", goodPassword), "refuse")
		w.ask("look")
		b.get(authorize("look")).want(http.StatusOK, "asks for access")
		return b
	}
	out := func(b *browser) {
		t.Helper()
		w.ask("look")
		b.get(authorize("look")).want(http.StatusOK, "<h1>Sign in</h1>")
	}
	t.Run("idle", func(t *testing.T) {
		b := in()
		w.clock.forward(people.DefaultIdle - time.Second)
		b.get(authorize("look")).want(http.StatusOK, "asks for access")
		w.clock.forward(people.DefaultIdle)
		out(b)
	})
	t.Run("too old", func(t *testing.T) {
		b := in()
		for range 4 {
			w.clock.forward(people.DefaultIdle - time.Hour)
			b.get(authorize("look"))
		}
		out(b)
	})
	t.Run("account disabled", func(t *testing.T) {
		b := in()
		_, err := w.service.DisableUser(t.Context(), u.Subject, "left")
		must(t, err)
		out(b)
		b.signIn(b.get(authorize("look")), "ada", goodPassword).want(http.StatusForbidden, "disabled")
		b.signIn(b.get(authorize("look")), "ada", "not the password").want(http.StatusUnprocessableEntity, "is wrong")
		_, err = w.service.EnableUser(t.Context(), u.Subject)
		must(t, err)
		out(b) // what ended stays ended
	})
	t.Run("ended by an administrator", func(t *testing.T) {
		b := in()
		all, err := w.service.SessionsOf(t.Context(), u.Subject)
		if err != nil || len(all) == 0 {
			t.Fatalf("sessions %v, %v", all, err)
		}
		_, err = w.service.EndSessions(t.Context(), u.Subject)
		must(t, err)
		out(b)
	})
	t.Run("missed by a removal", func(t *testing.T) {
		b := in()
		all, err := w.records.Table(t.Context(), "session")
		must(t, err)
		_, err = w.service.EndSessions(t.Context(), u.Subject)
		must(t, err)
		for i := range all {
			all[i].Version = 0
		}
		must(t, w.records.Write(t.Context(), all...))
		out(b) // the account's epoch is another one
	})
	t.Run("replaced by the next sign-in", func(t *testing.T) {
		b := in()
		before := b.cookies()["__Host-pavise-session"]
		w.ask("again", func(a *people.Asked) { a.Prompt = []string{"login"} })
		b.signIn(b.get(authorize("again")), "ada", goodPassword).want(http.StatusOK, "asks for access")
		thief := w.browser()
		thief.header.Set("Cookie", "__Host-pavise-session="+before)
		thief.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
	})
	t.Run("collected", func(t *testing.T) {
		in()
		w.clock.forward(48 * time.Hour)
		if n, err := w.service.Collect(t.Context()); err != nil || n == 0 {
			t.Errorf("collected %d, %v", n, err)
		}
	})
	t.Run("account deleted", func(t *testing.T) {
		b := in()
		_, err := w.service.DeleteUser(t.Context(), u.Subject)
		must(t, err)
		out(b)
		again := w.person("ada")
		if again.Subject == u.Subject {
			t.Error("a subject was given to somebody else")
		}
	})
}

func TestGuessingSlowsTheGuesserOnly(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	p := b.get(authorize("one"))
	held := false
	for range 12 {
		last := b.signIn(p, "ada", "wrong-wrong-wrong")
		if held = last.status == http.StatusTooManyRequests; held {
			if last.header.Get("Retry-After") == "" || !strings.Contains(last.text, "Too many wrong tries") {
				t.Errorf("held without saying how long: %s", last.text)
			}
			break
		}
	}
	if !held {
		t.Fatal("twelve wrong passwords were all judged")
	}
	b.signIn(p, "ada", goodPassword).want(http.StatusTooManyRequests)
	owner := w.browser()
	owner.header.Set("Test-Remote", "192.0.2.7:4711")
	owner.signIn(owner.get(authorize("one")), "ada", goodPassword).want(http.StatusOK, "asks for access")
	neighbour := w.browser()
	neighbour.header.Set("Test-Remote", "[2001:db8::1]:1")
	for i := range 40 { // names from one network, never the same twice
		neighbour.header.Set("Test-Remote", fmt.Sprintf("[2001:db8::%x]:1", i+1))
		held = neighbour.signIn(neighbour.get(authorize("one")), fmt.Sprint("nobody", i), "x").status == http.StatusTooManyRequests
	}
	if !held {
		t.Error("forty names were tried from one network")
	}
	if !slices.Contains(w.actions(), people.EventHeld) {
		t.Error("no event")
	}
	w.clock.forward(time.Hour)
	b.signIn(p, "ada", goodPassword).want(http.StatusOK, "asks for access")
}

func TestTemporaryPasswordIsChangedFirst(t *testing.T) {
	w := newWorld(t)
	u := w.person("ada")
	password, change, err := w.service.ResetPassword(t.Context(), u.Subject)
	must(t, err)
	if strings.Contains(change.Text, string(password.Reveal())) || change.Action != "user.reset_password" {
		t.Errorf("change %+v", change)
	}
	temporary := string(password.Reveal())
	w.ask("one")
	b := w.browser()
	p := b.get(authorize("one"))
	b.signIn(p, "ada", goodPassword).want(http.StatusUnprocessableEntity)
	p = b.signIn(p, "ada", temporary).want(http.StatusOK, "Choose a new password")
	const next = "violet-anchor-mint-88"
	for wrong, text := range map[string]string{
		"short": "too short", temporary: "present password", "password1234": "lists of common ones", "adaada": "too short",
		"ada@example.com": "own name", strings.Repeat("ab", 400): "too long",
	} {
		b.submit(p, "password", "new", wrong, "again", wrong).want(http.StatusUnprocessableEntity, text)
	}
	b.submit(p, "password", "new", next, "again", next+"x").want(http.StatusUnprocessableEntity, "not the same")
	stranger := w.browser()
	w.ask("two")
	_, form := stranger.get(authorize("two")).form("sign-in")
	_, stolen := p.form("password")
	form.Set("proof", stolen.Get("proof"))
	form.Set("do", "password")
	form.Set("new", next)
	form.Set("again", next)
	stranger.post("/authorize/two", form).want(http.StatusUnprocessableEntity, "took too long")
	b.submit(p, "password", "new", next, "again", next).want(http.StatusOK, "asks for access")
	b.submit(p, "password", "new", next+"y", "again", next+"y").want(http.StatusForbidden) // the form is of before the session
	fresh := w.browser()
	fresh.signIn(fresh.get(authorize("two")), "ada", next).want(http.StatusOK, "asks for access")
}

func TestTemporaryPasswordEnds(t *testing.T) {
	w := newWorld(t)
	u := w.person("ada")
	password, _, err := w.service.ResetPassword(t.Context(), u.Subject)
	must(t, err)
	w.clock.forward(account.TemporaryLife)
	w.ask("one")
	b := w.browser()
	b.signIn(b.get(authorize("one")), "ada", string(password.Reveal())).want(http.StatusUnprocessableEntity, "is wrong")
}

func TestSecretsStayOutOfEventsAndPages(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("one")
	b := w.browser()
	p := b.get(authorize("one"))
	p = b.signIn(b.signIn(p, "ada", goodPassword+"x"), "ada", goodPassword)
	b.submit(p, "allow")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if text := e.Detail + e.Method + e.Subject + e.Client; strings.Contains(text, goodPassword) || strings.Contains(text, b.cookies()["__Host-pavise-session"]) {
			t.Errorf("event %+v", e)
		}
		if !e.Remote.IsValid() {
			t.Errorf("event without an address: %+v", e)
		}
	}
}

func TestRefusesSettingsThatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*people.Options){
		"issuer over http":     func(o *people.Options) { o.Issuer = "http://login.example.com" },
		"issuer with a query":  func(o *people.Options) { o.Issuer = "https://login.example.com?x" },
		"no clock":             func(o *people.Options) { o.Now = nil },
		"short passwords":      func(o *people.Options) { o.SignIn.MinPassword = 7 },
		"idle longer than all": func(o *people.Options) { o.SignIn.Idle, o.SignIn.Longest = 2*time.Hour, time.Hour },
	} {
		o := people.Options{
			Issuer: "https://login.example.com", Records: newWorld(t).records, Now: time.Now, Rand: strings.NewReader(strings.Repeat("x", 100)),
			Grants: &fakeGrants{}, Record: func(people.Event) {},
		}
		change(&o)
		if _, err := people.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
