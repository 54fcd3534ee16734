package people_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	console "github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/people"
)

var update = flag.Bool("update", false, "write the pictures of docs/guide")

const pictures = "../../../docs/guide/pictures"

// chromium is a real browser in front of a world: https://login.test is the service,
// https://photos.test the application, which is another site; there is no other name.
type chromium struct {
	*world
	ctx context.Context
}

func newChromium(t *testing.T) *chromium {
	t.Helper()
	findChromium(t)
	return inChromium(t, newWorld(t, func(o *people.Options) { o.Issuer = "https://login.test" }))
}

// inChromium is a browser in front of a world whose issuer is https://login.test.
func inChromium(t *testing.T, w *world) *chromium {
	t.Helper()
	program := findChromium(t)
	app := httptest.NewUnstartedServer(http.HandlerFunc(serveApplication))
	app.Config.ErrorLog = log.New(io.Discard, "", 0)
	app.StartTLS()
	t.Cleanup(app.Close)
	return &chromium{w, startChromium(t, program, w.server.Listener.Addr(), app.Listener.Addr())}
}

func findChromium(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	t.Fatal("no Chromium here; hint: make test installs what the tests need")
	return ""
}

func startChromium(t *testing.T, program string, login, app net.Addr) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP login.test %s, MAP photos.test %s, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE [::1]", login, app)),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx, chromedp.EmulateViewport(480, 860)))
	return ctx
}

// serveApplication is a site that is not ours: it sends people to sign in, gets them back,
// and attacks.
func serveApplication(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case "/callback":
		_, _ = fmt.Fprintf(w, `<title>app</title><h1 id="back">%s</h1>`, strings.ReplaceAll(r.URL.RawQuery, "<", ""))
	case "/forge":
		_, _ = io.WriteString(w, `<form id="f" method="post" action="https://login.test/sign-out"><input name="do" value="everywhere"></form><script>document.getElementById("f").submit()</script>`)
	case "/frame":
		_, _ = io.WriteString(w, `<iframe id="f" src="https://login.test/account"></iframe>`)
	default:
		_, _ = fmt.Fprintf(w, `<a id="go" href="https://login.test/authorize?ask=%s">Sign in</a>`, strings.Trim(r.URL.Path, "/"))
	}
}

func photos(a *people.Asked) {
	a.Client.RedirectHost, a.Client.RedirectURI = "photos.test", "https://photos.test/callback"
}

// step is one thing that a person does or sees.
type step = chromedp.Action[chromedp.Void]

// patience is how long a page may take.
const patience = 15 * time.Second

func (c *chromium) run(steps ...step) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, _ := chromedp.Run(c.ctx, chromedp.Location()) // for the message only
		text, _ := chromedp.Run(c.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		c.t.Fatalf("%v, at %s:\n%s", err, where, text)
	}
}

// see returns what an action finds.
func see[T any](c *chromium, a chromedp.Action[T]) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	found, err := chromedp.Run(ctx, a)
	must(c.t, err)
	return found
}

// heading waits for a page with a heading.
func heading(text string) step {
	return chromedp.WaitVisible(fmt.Sprintf(`//h1[contains(., %q)]`, text))
}

func press(label string) step {
	return chromedp.Click(fmt.Sprintf(`//button[contains(., %q)]`, label))
}

func typed(id, text string) step { return chromedp.SendKeys(chromedp.CSS("#"+id), text) }

func (c *chromium) signIn(id string) {
	c.t.Helper()
	c.run(chromedp.Navigate("https://photos.test/"+id), chromedp.Click(chromedp.CSS("#go")), heading("Sign in"),
		typed("username", "ada"), typed("password", goodPassword), press("Sign in"))
}

// picture writes what is shown, by day and by night.
func (c *chromium) picture(name string) {
	c.t.Helper()
	if !*update {
		return
	}
	must(c.t, os.MkdirAll(pictures, 0o755))
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		must(c.t, err)
		png := see(c, chromedp.FullScreenshot(100))
		must(c.t, os.WriteFile(filepath.Join(pictures, name+"-"+scheme+".png"), png, 0o644))
	}
}

func TestChromiumSignsInWithPasswordAndCode(t *testing.T) {
	c := newChromium(t)
	c.person("ada")
	key, _ := c.browser().setUpTOTP("ada", goodPassword)
	c.clock.forward(time.Minute)
	c.ask("one", photos)
	c.run(chromedp.Navigate("https://photos.test/one"), chromedp.Click(chromedp.CSS("#go")), heading("Sign in"))
	c.picture("sign-in")
	c.run(typed("username", "ada"), typed("password", "wrong"), press("Sign in"), chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	c.picture("sign-in-wrong")
	c.run(typed("password", goodPassword), press("Sign in"), heading("Confirm that it is you"))
	c.picture("second-factor")
	c.run(typed("code", codeOf(t, key, c.clock.Now())), press("Confirm"), heading("Photo Prints asks for access"))
	c.picture("consent")
	c.run(press("Allow"), heading("code=c"))
	if got := c.answered("one"); got.State != people.Granted || got.Person.ACR != people.ACRTwo {
		t.Errorf("answer %+v", got)
	}
	// The same again, in one chain of redirects from the form of the password: the
	// Content-Security-Policy of the sign-in page has to let it through.
	c.ask("two", photos, func(a *people.Asked) { a.Prompt = []string{"login"} })
	c.clock.forward(time.Minute)
	c.signIn("two")
	c.run(heading("Confirm that it is you"), typed("code", codeOf(t, key, c.clock.Now())), press("Confirm"), heading("code=c"))
	c.ask("three", photos)
	c.run(chromedp.Navigate("https://photos.test/three"), chromedp.Click(chromedp.CSS("#go")), heading("code=c")) // Lax lets the session through
}

// From the page over a provider that redirects at once, back to us and on to the
// application: one chain, which no Content-Security-Policy of a form may stop.
func TestChromiumSignsInThroughAProvider(t *testing.T) {
	findChromium(t)
	l := newLookalike(t)
	w := providers(t, l, func(o *people.Options) { o.Issuer = "https://login.test" })
	c := inChromium(t, w)
	c.ask("one", photos)
	c.run(chromedp.Navigate("https://photos.test/one"), chromedp.Click(chromedp.CSS("#go")), heading("Sign in"))
	c.picture("providers")
	c.run(chromedp.Click(`//a[contains(., "Continue with Corp")]`), heading("asks for access"), press("Allow"), heading("code=c"))
	l.change(func() { l.claims = map[string]any{"auth_time": w.clock.Now().Unix()} })
	c.ask("two", photos, func(a *people.Asked) { a.Prompt = []string{"login"} })
	c.run(chromedp.Navigate("https://photos.test/two"), chromedp.Click(chromedp.CSS("#go")), heading("Sign in"),
		chromedp.Click(`//a[contains(., "Continue with Corp")]`), heading("code=c"))
}

// Command lines and desktop programs listen on the person's own machine.
func TestChromiumGoesBackToLoopback(t *testing.T) {
	c := newChromium(t)
	c.person("ada")
	for i, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("no loopback %s here: %v", address, err)
			continue
		}
		app := httptest.NewUnstartedServer(http.HandlerFunc(serveApplication))
		_ = app.Listener.Close() // for ours
		app.Listener = listener
		app.Start()
		t.Cleanup(app.Close)
		id := fmt.Sprint("loop", i)
		c.ask(id, func(a *people.Asked) {
			a.Client.RedirectHost, a.Client.RedirectURI, a.Prompt = listener.Addr().String(), app.URL+"/callback", []string{"login"}
		})
		c.run(chromedp.Navigate("https://login.test/authorize?ask="+id), heading("Sign in"), typed("username", "ada"), typed("password", goodPassword), press("Sign in"),
			heading("asks for access"), press("Allow"), heading("code=c"))
	}
}

func TestChromiumRefuses(t *testing.T) {
	c := newChromium(t)
	c.person("ada")
	c.ask("one", photos)
	c.signIn("one")
	c.run(heading("asks for access"), press("Refuse"), heading("error=access_denied"))
	c.ask("two", photos, func(a *people.Asked) { a.Prompt = []string{"login"} })
	c.run(chromedp.Navigate("https://photos.test/two"), chromedp.Click(chromedp.CSS("#go")), heading("Sign in"), press("Cancel"), heading("error=access_denied"))
}

func TestChromiumSignsOut(t *testing.T) {
	c := newChromium(t)
	u := c.person("ada")
	c.grants.all[u.Subject] = []people.Grant{{
		ID: "g1", Client: "photos", Application: "Photo Prints", Host: "photos.test", Scopes: []string{"orders:read"}, Created: c.clock.Now(), Ends: c.clock.Now().AddDate(0, 1, 0),
	}}
	c.run(chromedp.Navigate("https://login.test/account"), heading("Sign in"), typed("username", "ada"), typed("password", goodPassword), press("Sign in"), heading("Your account"))
	c.picture("account")
	c.run(chromedp.Navigate("https://login.test/account/totp"), heading("Set up an authenticator app"))
	c.picture("authenticator")
	c.run(chromedp.Navigate("https://login.test/account"), chromedp.Click(`//a[contains(., "Sign out…")]`), heading("Sign out?"))
	c.picture("sign-out")
	c.run(press("Sign out"), heading("Signed out"), chromedp.Navigate("https://login.test/account"), heading("Sign in"))
}

func TestChromiumConnectsADevice(t *testing.T) {
	c := newChromium(t)
	c.person("ada")
	c.ask("WDJB-MJHT", photos, func(a *people.Asked) {
		a.Device, a.Client.Name, a.Client.RedirectHost, a.Client.RedirectURI = "WDJB-MJHT", "Living Room TV", "", ""
	})
	c.run(chromedp.Navigate("https://login.test/device"), heading("Connect a device"))
	c.picture("device")
	c.run(typed("user_code", "WDJB-MJHT"), press("Go on"), heading("Sign in"), typed("username", "ada"), typed("password", goodPassword), press("Sign in"),
		heading("Living Room TV asks for access"))
	c.picture("device-consent")
	c.run(press("Allow"), heading("Connected"))
	c.picture("device-done")
}

func TestChromiumNeedsOnlyAKeyboard(t *testing.T) {
	c := newChromium(t)
	c.person("ada")
	c.ask("one", photos)
	c.run(chromedp.Navigate("https://photos.test/one"), chromedp.Click(chromedp.CSS("#go")), heading("Sign in"))
	focus := func() string {
		name := see(c, chromedp.Evaluate[string](`(e => e.id || e.value || e.textContent)(document.activeElement)`))
		if outline := see(c, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`)); outline != "solid" {
			t.Errorf("nobody sees that the focus is on %s", name)
		}
		return name
	}
	var order []string
	order = append(order, focus())
	c.run(chromedp.KeyEvent("ada"), chromedp.KeyEvent(kb.Tab))
	order = append(order, focus())
	c.run(chromedp.KeyEvent(goodPassword), chromedp.KeyEvent(kb.Tab))
	order = append(order, focus())
	c.run(chromedp.KeyEvent(kb.Enter), heading("asks for access"))
	if want := []string{"username", "password", "sign-in"}; !slices.Equal(order, want) {
		t.Errorf("order of focus %v, want %v", order, want)
	}
	order = nil
	for range 6 {
		c.run(chromedp.KeyEvent(kb.Tab))
		order = append(order, focus())
		if order[len(order)-1] == "scope-2" {
			c.run(chromedp.KeyEvent(" ")) // leave it out
		}
		if order[len(order)-1] == "allow" {
			break
		}
	}
	if len(order) < 4 || order[0] != "scope-1" || order[1] != "scope-2" || order[len(order)-1] != "allow" {
		t.Fatalf("order of focus %q", order)
	}
	c.run(chromedp.KeyEvent(kb.Enter), heading("code=c"))
	if got := c.answered("one").Scopes; !slices.Equal(got, []string{"openid", "orders:read"}) {
		t.Errorf("scopes %v", got)
	}
}

func TestChromiumKeepsOtherSitesOut(t *testing.T) {
	attacktest.Rows(t, 62)
	c := newChromium(t)
	u := c.person("ada")
	c.run(chromedp.Navigate("https://login.test/account"), typed("username", "ada"), typed("password", goodPassword), press("Sign in"), heading("Your account"))
	c.run(chromedp.Navigate("https://photos.test/forge"), heading("This page is too old"))
	c.picture("error")
	if all, err := c.service.SessionsOf(t.Context(), u.Subject); err != nil || len(all) != 1 {
		t.Errorf("another site signed people out: %v, %v", all, err)
	}
	c.run(chromedp.Navigate("https://login.test/account"), heading("Your account")) // the session is there
	said := chromedp.Events(c.ctx, console.EntryAdded)
	_, err := chromedp.Call(c.ctx, console.Enable, cdp.Empty{})
	must(t, err)
	c.run(chromedp.Navigate("https://photos.test/frame"), chromedp.WaitReady(chromedp.CSS("#f")))
	for entry, err := range said { // until the time of the test is over
		must(t, err)
		if strings.Contains(entry.Entry.Text, "frame-ancestors 'none'") {
			break
		}
	}
	// What the policy does not name, browsers do not follow a form to.
	c.ask("away", photos)
	c.run(chromedp.Navigate("https://login.test/authorize?ask=away"), heading("asks for access"))
	c.ask("away", func(a *people.Asked) { a.Client.RedirectURI = "https://elsewhere.test/" })
	stopped := see(c, chromedp.Evaluate[string](`new Promise(done => {
		document.addEventListener("securitypolicyviolation", e => done(e.effectiveDirective));
		document.querySelector("button[value=allow]").click();
	})`, chromedp.EvalAwaitPromise))
	if stopped != "form-action" {
		t.Errorf("stopped by %q", stopped)
	}
}
