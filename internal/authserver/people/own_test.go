package people_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/people"
)

// codeOf is what an authenticator app shows, by an implementation of the test's own.
func codeOf(t testing.TB, key string, now time.Time) string {
	t.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	must(t, err)
	mac := hmac.New(sha1.New, secret)
	must(t, binary.Write(mac, binary.BigEndian, now.Unix()/30))
	sum := mac.Sum(nil)
	part := sum[sum[19]&15:]
	n := (uint32(part[0])&127)<<24 | uint32(part[1])<<16 | uint32(part[2])<<8 | uint32(part[3])
	return fmt.Sprintf("%06d", n%1_000_000)
}

var (
	keyOnPage   = regexp.MustCompile(`aria-labelledby="key-label">([A-Z2-7 ]+)<`)
	codesOnPage = regexp.MustCompile(`<code>([a-z2-7-]{19})</code>`)
)

// setUpTOTP gives somebody an authenticator app.
func (b *browser) setUpTOTP(login, password string) (key string, codes []string) {
	b.w.t.Helper()
	p := b.get("/account/totp")
	if strings.Contains(p.text, "<h1>Sign in</h1>") {
		p = b.signIn(p, login, password)
	}
	p.want(http.StatusOK, "Set up an authenticator app", "<svg")
	key = keyOnPage.FindStringSubmatch(p.text)[1]
	p = b.submit(p, "totp", "code", codeOf(b.w.t, key, b.w.clock.Now())).want(http.StatusOK, "Your recovery codes")
	for _, m := range codesOnPage.FindAllStringSubmatch(p.text, -1) {
		codes = append(codes, m[1])
	}
	return key, codes
}

func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	own := w.browser()
	key, codes := own.setUpTOTP("ada", goodPassword)
	if len(codes) != 10 {
		t.Fatalf("recovery codes %v", codes)
	}
	used := codeOf(t, key, w.clock.Now())
	w.clock.forward(30 * time.Second)
	w.ask("one")
	b := w.browser()
	p := b.signIn(b.get(authorize("one")), "ada", goodPassword).want(http.StatusOK, "Confirm that it is you")
	if b.cookies()["__Host-pavise-session"] != "" {
		t.Error("a session began before the second factor")
	}
	p = b.submit(p, "second", "code", used).want(http.StatusUnprocessableEntity, "wrong, or was used before")
	p = b.submit(p, "second", "code", "000000x").want(http.StatusUnprocessableEntity)
	p = b.submit(p, "second", "code", codeOf(t, key, w.clock.Now().Add(-time.Minute))).want(http.StatusUnprocessableEntity)
	now := codeOf(t, key, w.clock.Now())
	b.submit(p, "second", "code", now[:3]+" "+now[3:]).want(http.StatusOK, "asks for access")
	w.ask("two", func(a *people.Asked) { a.Client.ID = "other" })
	b.submit(b.get(authorize("two")), "allow")
	if got := w.answered("two").Person; got.ACR != people.ACRTwo || !slices.Equal(got.AMR, []string{"pwd", "otp"}) {
		t.Errorf("person %+v", got)
	}

	t.Run("recovery codes are good once", func(t *testing.T) {
		for i, want := range []int{http.StatusOK, http.StatusUnprocessableEntity} {
			b := w.browser()
			w.ask("rec")
			p := b.signIn(b.get(authorize("rec")), "ada", goodPassword)
			if got := b.submit(p, "second", "code", strings.ToUpper(codes[3])); got.status != want {
				t.Errorf("try %d: status %d", i, got.status)
			}
		}
	})
	t.Run("a proof is of one browser, one address and five minutes", func(t *testing.T) {
		b, other := w.browser(), w.browser()
		w.ask("x")
		w.ask("y")
		p := b.signIn(b.get(authorize("x")), "ada", goodPassword)
		_, form := p.form("second")
		_, others := other.get(authorize("x")).form("sign-in")
		others.Set("proof", form.Get("proof"))
		others.Set("do", "second")
		others.Set("code", codeOf(t, key, w.clock.Now().Add(30*time.Second)))
		other.post("/authorize/x", others).want(http.StatusUnprocessableEntity, "took too long")
		_, second := b.get(authorize("y")).form("sign-in")
		second.Set("proof", form.Get("proof"))
		second.Set("do", "second")
		second.Set("code", codeOf(t, key, w.clock.Now().Add(30*time.Second)))
		b.post("/authorize/y", second).want(http.StatusUnprocessableEntity, "took too long")
		w.clock.forward(5 * time.Minute)
		b.submit(p, "second", "code", codeOf(t, key, w.clock.Now())).want(http.StatusUnprocessableEntity, "took too long")
	})
	t.Run("a proof is void when the account changes", func(t *testing.T) {
		w.clock.forward(time.Hour)
		b := w.browser()
		w.ask("v")
		p := b.signIn(b.get(authorize("v")), "ada", goodPassword).want(http.StatusOK, "Confirm that it is you")
		u, err := w.service.User(t.Context(), "ada")
		must(t, err)
		_, err = w.service.DisableUser(t.Context(), u.Subject, "lost laptop")
		must(t, err)
		b.submit(p, "second", "code", codeOf(t, key, w.clock.Now())).want(http.StatusUnprocessableEntity, "took too long")
		_, err = w.service.EnableUser(t.Context(), u.Subject)
		must(t, err)
		b.submit(p, "second", "code", codeOf(t, key, w.clock.Now())).want(http.StatusUnprocessableEntity, "took too long")
	})
	t.Run("fifty at once with one code: one is in", func(t *testing.T) {
		w.clock.forward(time.Hour)
		var ready []func() *page
		for i := range 50 {
			b := w.browser()
			if i%5 == 0 {
				b.header.Set("User-Agent", "test")
			}
			w.ask(fmt.Sprint("p", i))
			p := b.signIn(b.get(authorize(fmt.Sprint("p", i))), "ada", goodPassword).want(http.StatusOK, "Confirm")
			ready = append(ready, func() *page { return b.submit(p, "second", "code", codeOf(t, key, w.clock.Now())) })
			if i == 7 && testing.Short() {
				break
			}
		}
		var in int
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, try := range ready {
			all.Go(func() {
				p := try()
				mu.Lock()
				defer mu.Unlock()
				if p.status == http.StatusOK && strings.Contains(p.text, "asks for access") {
					in++
				}
			})
		}
		all.Wait()
		if in != 1 {
			t.Errorf("%d are in", in)
		}
	})
	t.Run("wrong codes hold the account's second factor everywhere", func(t *testing.T) {
		w.clock.forward(24 * time.Hour)
		held := false
		for i := range 25 {
			b := w.browser()
			b.header.Set("Test-Remote", fmt.Sprintf("192.0.2.%d:1", i)) // whoever guesses has many networks
			w.ask("g")
			p := b.signIn(b.get(authorize("g")), "ada", goodPassword)
			p = b.submit(p, "second", "code", fmt.Sprintf("%06d", i))
			held = held || strings.Contains(p.text, "Too many wrong codes")
		}
		if !held {
			t.Error("codes can be guessed without end")
		}
	})
	t.Run("an administrator takes it away", func(t *testing.T) {
		w.clock.forward(24 * time.Hour)
		u, err := w.service.User(t.Context(), "ada")
		must(t, err)
		_, err = w.service.ResetTOTP(t.Context(), u.Subject)
		must(t, err)
		b := w.browser()
		w.ask("z")
		b.signIn(b.get(authorize("z")), "ada", goodPassword).want(http.StatusOK, "asks for access")
	})
}

func TestStepUp(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	b := w.browser()
	w.ask("one")
	b.submit(b.signIn(b.get(authorize("one")), "ada", goodPassword), "allow")
	two := func(a *people.Asked) { a.ACR = []string{people.ACRTwo} }
	w.ask("two", two)
	b.get(authorize("two")).wantSent("https://photos.example/callback?code=c") // no second factor to ask for: the answer says one
	if got := w.answered("two").Person.ACR; got != people.ACROne {
		t.Errorf("acr %s", got)
	}
	key, _ := b.setUpTOTP("ada", goodPassword)
	w.clock.forward(time.Minute)
	w.ask("three")
	b.get(authorize("three")).wantSent("https://photos.example/callback?code=c")
	w.ask("silent", two, func(a *people.Asked) { a.Prompt = []string{"none"} })
	b.get(authorize("silent")).wantSent("https://photos.example/callback?error=login_required")
	w.ask("four", two)
	p := b.get(authorize("four")).want(http.StatusOK, "Confirm that it is you")
	b.submit(p, "second", "code", codeOf(t, key, w.clock.Now())).wantSent("https://photos.example/callback?code=c")
	if got := w.answered("four").Person.ACR; got != people.ACRTwo {
		t.Errorf("acr %s", got)
	}
}

func TestOwnPages(t *testing.T) {
	w := newWorld(t)
	u := w.person("ada")
	w.grants.all[u.Subject] = []people.Grant{
		{ID: "g1", Client: "photos", Application: "Photo <b>Prints", Host: "photos.example", Scopes: []string{"orders:read"}, Created: w.clock.Now(), Ends: w.clock.Now().Add(time.Hour)},
	}
	w.grants.all["somebody-else"] = []people.Grant{{ID: "g2", Client: "photos"}}
	b := w.browser()
	w.ask("one")
	b.submit(b.signIn(b.get(authorize("one")), "ada", goodPassword), "allow")
	p := b.get("/account").want(http.StatusOK, "Photo &lt;b&gt;Prints", "See your orders", "this one", "Where you are signed in")
	_, form := p.form("withdraw")
	form.Set("id", "grant g2")
	b.post("/account", form).want(http.StatusOK)
	if len(w.grants.all["somebody-else"]) != 1 {
		t.Error("withdrew another person's grant")
	}
	b.submit(p, "withdraw").want(http.StatusOK, "None.")
	if !slices.Equal(w.grants.gone, []string{u.Subject + "/g1"}) {
		t.Errorf("revoked %v", w.grants.gone)
	}
	w.ask("two")
	b.get(authorize("two")).want(http.StatusOK, "asks for access") // withdrawn is asked again
	b.submit(b.get("/authorize/two"), "allow")
	p = b.get("/account").want(http.StatusOK, "Photo Prints") // allowed, though nothing is granted any more
	b.submit(p, "withdraw").want(http.StatusOK, "None.")
	if !slices.Contains(w.actions(), people.EventWithdrawn) {
		t.Error("no event")
	}
}

// The account page speaks as the consent page did, and of a grant of minutes by the clock.
func TestGrantsAreToldInWordsAndTimes(t *testing.T) {
	w := newWorld(t)
	u, now := w.person("ada"), w.clock.Now()
	w.grants.all[u.Subject] = []people.Grant{
		{ID: "g1", Client: "quick", Scopes: []string{"openid", "orders:read", "odd"}, Created: now, Ends: now.Add(10 * time.Minute)},
		{ID: "g2", Client: "slow", Created: now, Ends: now.AddDate(0, 1, 0)},
	}
	b := w.browser()
	p := b.signIn(b.get("/account"), "ada", goodPassword)
	p.want(http.StatusOK, "Know who you are here · See your orders · odd", "since 24 Nov 2026, 12:00 UTC · until 24 Nov 2026, 12:10 UTC", "since 24 November 2026 · until 24 December 2026")
	if strings.Contains(p.text, "orders:read") {
		t.Errorf("the name of a scope that has words:\n%s", p.text)
	}
}

func TestOtherSessionsCanBeEnded(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	here, there := w.browser(), w.browser()
	for _, b := range []*browser{here, there} {
		b.signIn(b.get("/account"), "ada", goodPassword).want(http.StatusOK, "Your account")
	}
	p := here.get("/account").want(http.StatusOK)
	here.submit(p, "end").want(http.StatusOK, "Your account")
	there.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
	here.get("/account").want(http.StatusOK, "Your account")
}

func TestSignOut(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	in := func() *browser {
		b := w.browser()
		b.signIn(b.get("/account"), "ada", goodPassword).want(http.StatusOK, "Your account")
		return b
	}
	b, other := in(), in()
	stolen := b.cookies()["__Host-pavise-session"]
	p := b.get("/sign-out").want(http.StatusOK, "Sign out?")
	_, form := p.form("sign-out")
	form.Del("token")
	b.post("/sign-out", form).want(http.StatusForbidden)
	b.submit(p, "sign-out").want(http.StatusOK, "Signed out")
	if c := b.cookies()["__Host-pavise-session"]; c != "" {
		t.Error("the cookie is still there")
	}
	b.header.Set("Cookie", "__Host-pavise-session="+stolen)
	b.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
	other.get("/account").want(http.StatusOK, "Your account")
	third := in()
	third.submit(third.get("/sign-out"), "everywhere").want(http.StatusOK, "Signed out")
	other.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
}

func TestApplicationsMayAskToSignOut(t *testing.T) {
	attacktest.Rows(t, 62)
	w := newWorld(t)
	w.person("ada")
	b := w.browser()
	b.get("/logout").wantSent("https://photos.example/bye") // nobody is signed in
	b.signIn(b.get("/account"), "ada", goodPassword).want(http.StatusOK, "Your account")
	p := b.get("/logout").want(http.StatusOK, "Sign out?", "Ada Lovelace")
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://photos.example;") {
		t.Errorf("policy %s", csp)
	}
	_, form := p.form("sign-out")
	form.Set("token", strings.Repeat("0", 64))
	b.post("/logout/go", form).want(http.StatusForbidden)
	b.get("/account").want(http.StatusOK, "Your account")
	b.submit(p, "sign-out").wantSent("https://photos.example/bye")
	b.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
}

func TestPasswordIsChangedByWhoKnowsIt(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	b, other := w.browser(), w.browser()
	for _, x := range []*browser{b, other} {
		x.signIn(x.get("/account"), "ada", goodPassword).want(http.StatusOK, "Your account")
	}
	w.clock.forward(11 * time.Minute)
	b.get("/account").want(http.StatusOK, "Your account")
	p := b.get("/account/password").want(http.StatusOK, "<h1>Sign in</h1>") // a moment ago, not eleven minutes
	p = b.signIn(p, "ada", goodPassword).want(http.StatusOK, "Choose a new password")
	const next = "violet-anchor-mint-88"
	p = b.submit(p, "password", "current", "wrong", "new", next, "again", next).want(http.StatusUnprocessableEntity, "present password is wrong")
	b.submit(p, "password", "current", goodPassword, "new", next, "again", next).want(http.StatusOK, "Your account")
	b.get("/account").want(http.StatusOK, "Your account")
	other.get("/account").want(http.StatusOK, "<h1>Sign in</h1>")
	other.signIn(other.get("/account"), "ada", goodPassword).want(http.StatusUnprocessableEntity)
}

func TestDeviceCode(t *testing.T) {
	w := newWorld(t)
	w.person("ada")
	w.ask("ABCD-EFGH", func(a *people.Asked) { a.Device, a.Action = "ABCD-EFGH", "/authorize/ABCD-EFGH" })
	b := w.browser()
	p := b.get("/device").want(http.StatusOK, "Connect a device")
	p = b.submit(p, "", "user_code", "WRONG").want(http.StatusUnprocessableEntity, "no such code")
	_, form := p.form("")
	form.Set("user_code", "ABCD-EFGH")
	w.browser().post("/device", form).want(http.StatusUnprocessableEntity)
	p = b.post("/device", form)
	p = b.signIn(p, "ada", goodPassword).want(http.StatusOK, "ABCD-EFGH", "Go on only if you hold that device")
	b.submit(p, "allow").want(http.StatusOK, "Connected")
	w.ask("ABCD-EFGH", func(a *people.Asked) { a.Device, a.Action = "ABCD-EFGH", "/authorize/ABCD-EFGH" })
	p = b.submit(b.get("/device"), "", "user_code", "ABCD-EFGH").want(http.StatusOK)
	if !strings.Contains(p.text, "asks for access") {
		p = b.get("/authorize/ABCD-EFGH")
	}
	b.submit(p, "refuse").want(http.StatusOK, "Refused")
}
