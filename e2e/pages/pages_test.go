// Package pages goes through the pages of the authorization server as a person does: with
// Chromium, through the whole program, from the app of somebody else that `pavise demo`
// starts to what that app gets.
package pages

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	console "github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"pavise.dev/pavise/e2e/program"
)

var update = flag.Bool("update", false, "write the pictures of docs/guide")

// patience is how long a page may take.
const patience = 20 * time.Second

// shown is what the demo says of itself.
type shown struct{ app, account, ann, annPassword, ben, benPassword string }

var (
	appLine     = regexp.MustCompile(`^  app +(http://\S+)$`)
	signInLine  = regexp.MustCompile(`^  sign in +(\S+) with the password (\S+)$`)
	otherLine   = regexp.MustCompile(`the other provider", where (\S+) has the password (\S+)$`)
	accountLine = regexp.MustCompile(`^  your page +(https://\S+):`)
)

// startDemo starts the demo, as the README says.
func startDemo(t *testing.T) shown {
	t.Helper()
	dir := t.TempDir()
	demo := exec.Command(program.Built(t), "demo", "--folder", filepath.Join(dir, "demo"), "--listen", "127.0.0.1:0")
	demo.Dir = dir
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Signal(syscall.SIGINT) // it may have ended
		if err := demo.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	})
	var s shown
	for lines := bufio.NewScanner(out); lines.Scan(); {
		for pattern, into := range map[*regexp.Regexp][]*string{
			appLine: {&s.app}, signInLine: {&s.ann, &s.annPassword}, otherLine: {&s.ben, &s.benPassword}, accountLine: {&s.account},
		} {
			if m := pattern.FindStringSubmatch(lines.Text()); m != nil {
				for i := range into {
					*into[i] = m[i+1]
				}
			}
		}
		if strings.Contains(lines.Text(), " explain ") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			break
		}
	}
	if s.app == "" || s.annPassword == "" || s.benPassword == "" || s.account == "" {
		t.Fatalf("the demo says %+v", s)
	}
	return s
}

// browser is Chromium, which trusts the demo's own certificates.
type browser struct {
	t   *testing.T
	ctx context.Context

	complaints atomic.Int64
	last       atomic.Pointer[string]
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Fatal("no Chromium here; hint: make test installs what the tests need")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(640, 900)); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	b.listen()
	return b
}

// listen holds that no page makes the browser complain: of its Content-Security-Policy, or
// of anything else.
func (b *browser) listen() {
	b.t.Helper()
	said := chromedp.Events(b.ctx, console.EntryAdded)
	if _, err := chromedp.Call(b.ctx, console.Enable, cdp.Empty{}); err != nil {
		b.t.Fatal(err)
	}
	go func() { // ends with the browser
		for entry, err := range said {
			if err != nil {
				return
			}
			if e := entry.Entry; e.Level == "error" && !strings.Contains(e.URL, "favicon") {
				b.complaints.Add(1)
				b.last.Store(&e.Text)
			}
		}
	}()
	b.t.Cleanup(func() {
		if b.complaints.Load() > 0 {
			b.t.Errorf("the browser complains %d times: %s", b.complaints.Load(), *b.last.Load())
		}
	})
}

func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Location()) // for the message only
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.t.Fatalf("%v, at %s:\n%s", err, where, text)
	}
}

func (b *browser) text() string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// reads waits for a page that says something.
func reads(text string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(fmt.Sprintf(`(//body//*[contains(text(), %q)])[1]`, text))
}

func press(label string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(fmt.Sprintf(`(//button[contains(., %[1]q)] | //a[contains(., %[1]q)])[1]`, label))
}

// picture keeps what is seen for the docs, where that is asked for.
func (b *browser) picture(name string) {
	b.t.Helper()
	if !*update {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join("../../docs/guide/pictures", name+".png"), shot, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) signIn(login, password string) {
	b.t.Helper()
	b.run(reads("Sign in"), chromedp.SendKeys(chromedp.CSS(`input[name="username"]`), login), chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), password),
		chromedp.Click(chromedp.CSS(`button[value="sign-in"]`)))
}

func TestAPersonLetsAnAppReadTheirOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and starts a browser")
	}
	demo := startDemo(t)
	b := newBrowser(t)

	b.run(chromedp.Navigate(demo.app))
	b.picture("demo-app")
	if scheme, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("getComputedStyle(document.documentElement).colorScheme")); err != nil || scheme != "light dark" {
		t.Errorf("by night the app is %q, %v", scheme, err)
	}
	b.run(press("Connect the Orders Shop"))
	b.signIn(demo.ann, demo.annPassword)
	b.run(reads("See your orders"))
	if text := b.text(); !strings.Contains(text, "Parcel Pal") {
		t.Errorf("the person is not told who asks: %s", text)
	}
	b.picture("demo-consent")
	b.run(press("Allow"), reads("Hello Ann Example"))
	if text := b.text(); !strings.Contains(text, "200 OK") || !strings.Contains(text, "umbrella") {
		t.Errorf("the app got %s", text)
	}
	b.picture("demo-result")

	// Who refuses is sent back, and the app gets nothing.
	b.run(chromedp.Navigate(demo.app), press("Connect the Orders Shop"), reads("See your orders"), press("Refuse"), reads("You did not allow it"))
	b.picture("demo-refused")
	if text := b.text(); !strings.Contains(text, "access_denied") || strings.Contains(text, "umbrella") {
		t.Errorf("the app shows %s", text)
	}

	// So is who leaves out what the app is for.
	b.run(chromedp.Navigate(demo.app), press("Connect the Orders Shop"), reads("See your orders"), chromedp.Click(chromedp.CSS(`input[name="scope"][value="orders:read"]`)),
		press("Allow"), reads("You did not allow Parcel Pal to see your orders"), reads("Begin again"))

	// What was allowed is seen on the person's own page, and taken back there.
	b.run(chromedp.Navigate(demo.account), reads("Parcel Pal"), reads("Know who you are · See your name · See your orders")) // as at consent
}

func TestAPersonSignsInAtTheOtherProvider(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and starts a browser")
	}
	demo := startDemo(t)
	b := newBrowser(t)
	b.run(chromedp.Navigate(demo.app), press("Connect the Orders Shop"), reads("the other provider"))
	b.picture("demo-providers")
	b.run(press("the other provider"))
	b.signIn(demo.ben, demo.benPassword)
	b.run(reads("The Orders Shop"), press("Allow")) // at the provider: his name for the shop
	b.run(reads("See your orders"), press("Allow"), reads("Hello Ben Example"))
	if text := b.text(); !strings.Contains(text, "200 OK") {
		t.Errorf("the app got %s", text)
	}
}
