package people_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/store/memory"
)

// goodPassword is of the person in most tests.
const goodPassword = "planted-heron-quartz-71"

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fakeGrants are what a person has allowed.
type fakeGrants struct {
	mu   sync.Mutex
	all  map[string][]people.Grant
	gone []string
}

func (g *fakeGrants) OfPerson(_ context.Context, subject string) ([]people.Grant, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.all[subject]), nil
}

func (g *fakeGrants) Revoke(_ context.Context, subject, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = append(g.gone, subject+"/"+id)
	g.all[subject] = slices.DeleteFunc(g.all[subject], func(x people.Grant) bool { return x.ID == id })
	return nil
}

func (g *fakeGrants) RevokeAll(_ context.Context, subject string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = append(g.gone, subject+"/*")
	delete(g.all, subject)
	return nil
}

// world is a service behind a small protocol of the test's own.
type world struct {
	t       testing.TB
	service *people.Service
	server  *httptest.Server
	clock   *clock
	records *client.Records
	grants  *fakeGrants

	mu      sync.Mutex
	asked   map[string]people.Asked
	answers map[string]people.Answer
	events  []people.Event
}

func newWorld(t testing.TB, change ...func(*people.Options)) *world {
	t.Helper()
	w := &world{
		t: t, clock: &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}, grants: &fakeGrants{all: map[string][]people.Grant{}},
		asked: map[string]people.Asked{}, answers: map[string]people.Answer{},
	}
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master, Now: w.clock.Now})
	must(t, err)
	w.records = registry.Records()
	mux := http.NewServeMux()
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if from := r.Header.Get("Test-Remote"); from != "" {
			r.RemoteAddr = from
		}
		mux.ServeHTTP(rw, r)
	}))
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	o := people.Options{
		Issuer: w.server.URL, Records: w.records, Now: w.clock.Now, Rand: rand.Reader, Grants: w.grants,
		Record: w.record, Fetch: func() *http.Client { return w.server.Client() },
		ScopeText: func(scope string) string { return map[string]string{"orders:read": "See your orders"}[scope] },
	}
	for _, c := range change {
		c(&o)
	}
	w.service, err = people.New(o)
	must(t, err)
	w.serve(mux)
	return w
}

func (w *world) record(e people.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// actions returns what was recorded.
func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, e := range w.events {
		all = append(all, e.Action)
	}
	return all
}

func (w *world) serve(mux *http.ServeMux) {
	ask := func(rw http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if id == "" {
			id = r.URL.Query().Get("ask")
		}
		w.mu.Lock()
		a, ok := w.asked[id]
		w.mu.Unlock()
		if !ok {
			_ = w.service.ErrorPage(rw, r, http.StatusNotFound, "invalid_request", "There is no such authorization.", "rid")
			return
		}
		answer, err := w.service.Ask(rw, r, a)
		if err != nil {
			w.t.Errorf("ask: %v", err)
			http.Error(rw, "fault", http.StatusInternalServerError)
			return
		}
		w.answer(rw, r, a, answer)
	}
	mux.HandleFunc("GET /authorize", ask)
	mux.HandleFunc("POST /authorize", ask)
	mux.HandleFunc("GET /authorize/{id}", ask)
	mux.HandleFunc("POST /authorize/{id}", ask)
	mux.HandleFunc("GET /device", func(rw http.ResponseWriter, r *http.Request) { _ = w.service.DevicePrompt(rw, r, false) })
	mux.HandleFunc("POST /device", func(rw http.ResponseWriter, r *http.Request) {
		code, ok, err := w.service.DeviceCode(rw, r)
		w.mu.Lock()
		a, known := w.asked[code]
		w.mu.Unlock()
		if err != nil || !ok || !known {
			_ = w.service.DevicePrompt(rw, r, true)
			return
		}
		answer, err := w.service.Ask(rw, r, a)
		if err == nil {
			w.answer(rw, r, a, answer)
		}
	})
	logout := func(rw http.ResponseWriter, r *http.Request) {
		if done, err := w.service.AskSignOut(rw, r, "/logout/go", "https://photos.example/bye"); err == nil && done {
			http.Redirect(rw, r, "https://photos.example/bye", http.StatusSeeOther)
		}
	}
	mux.HandleFunc("GET /logout", logout)
	mux.HandleFunc("POST /logout/go", logout)
	for _, page := range w.service.Pages() {
		mux.Handle(page.Pattern, page.Handler)
	}
}

func (w *world) answer(rw http.ResponseWriter, r *http.Request, a people.Asked, answer people.Answer) {
	if answer.State == people.Pending {
		return
	}
	w.mu.Lock()
	w.answers[a.ID] = answer
	w.mu.Unlock()
	if a.Device != "" {
		_ = w.service.DeviceDone(rw, r, answer.State == people.Granted)
		return
	}
	result := map[people.State]string{
		people.Granted: "code=c", people.Refused: "error=access_denied",
		people.NeedsLogin: "error=login_required", people.NeedsConsent: "error=consent_required",
	}[answer.State]
	http.Redirect(rw, r, a.Client.RedirectURI+"?"+result, http.StatusSeeOther)
}

// ask registers what an application wants.
func (w *world) ask(id string, change ...func(*people.Asked)) people.Asked {
	a := people.Asked{
		ID: id, Action: "/authorize/" + id,
		Client: people.Application{
			ID: "photos", Name: "Photo Prints", Contact: "help@photos.example", PolicyURI: "https://photos.example/privacy",
			RedirectHost: "photos.example", RedirectURI: "https://photos.example/callback",
		},
		Scopes:   []people.Scope{{Name: "openid"}, {Name: "orders:read", Text: "See your orders"}, {Name: "orders:write", Text: "Place orders for you"}},
		APIs:     []string{"orders"},
		Lifetime: time.Hour,
	}
	for _, c := range change {
		c(&a)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[id] = a
	delete(w.answers, id)
	return a
}

func (w *world) answered(id string) people.Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers[id]
}

// person creates an account with [goodPassword].
func (w *world) person(login string) account.User {
	w.t.Helper()
	u, _, err := w.service.CreateUser(w.t.Context(), account.NewUser{Login: login, Name: "Ada Lovelace", Email: "ada@example.com", Password: secret.New([]byte(goodPassword))})
	must(w.t, err)
	return u
}

// browser keeps cookies and stays on our pages.
type browser struct {
	w      *world
	client *http.Client
	header http.Header
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	b := &browser{w: w, header: http.Header{}}
	b.client = &http.Client{
		Transport: w.server.Client().Transport, Jar: jar,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host != strings.TrimPrefix(w.server.URL, "https://") {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	return b
}

// page is an answer.
type page struct {
	t      testing.TB
	status int
	url    *url.URL
	to     string // where it sends elsewhere
	header http.Header
	text   string
}

func (b *browser) do(r *http.Request) *page {
	b.w.t.Helper()
	for name, values := range b.header {
		r.Header[name] = values
	}
	answer, err := b.client.Do(r)
	must(b.w.t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	must(b.w.t, err)
	return &page{b.w.t, answer.StatusCode, answer.Request.URL, answer.Header.Get("Location"), answer.Header, string(body)}
}

func (b *browser) get(path string) *page {
	b.w.t.Helper()
	r, err := http.NewRequestWithContext(b.w.t.Context(), http.MethodGet, b.w.server.URL+path, nil)
	must(b.w.t, err)
	return b.do(r)
}

func (b *browser) post(path string, form url.Values) *page {
	b.w.t.Helper()
	r, err := http.NewRequestWithContext(b.w.t.Context(), http.MethodPost, b.w.server.URL+path, strings.NewReader(form.Encode()))
	must(b.w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// form is the first form of a page that has a button of the given value, with what it
// would send.
func (p *page) form(do string) (action string, values url.Values) {
	p.t.Helper()
	root, err := html.Parse(strings.NewReader(p.text))
	must(p.t, err)
	var form *html.Node
	walk(root, func(n *html.Node) {
		if n.Data != "form" || form != nil {
			return
		}
		found := do == ""
		walk(n, func(b *html.Node) { found = found || b.Data == "button" && attr(b, "value") == do })
		if found {
			form = n
		}
	})
	if form == nil {
		p.t.Fatalf("no form with %q on a page of status %d:\n%s", do, p.status, p.text)
	}
	values = url.Values{}
	walk(form, func(n *html.Node) {
		if n.Data != "input" || attr(n, "name") == "" || attr(n, "type") == "checkbox" && !has(n, "checked") {
			return
		}
		values.Add(attr(n, "name"), attr(n, "value"))
	})
	if do != "" {
		values.Set("do", do)
	}
	return attr(form, "action"), values
}

// submit presses a button after fields were filled in: pairs of name and value.
func (b *browser) submit(p *page, do string, fields ...string) *page {
	b.w.t.Helper()
	action, values := p.form(do)
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" && fields[i] == "scope" {
			values.Del("scope")
			continue
		}
		values.Set(fields[i], fields[i+1])
	}
	return b.post(action, values)
}

func (b *browser) signIn(p *page, login, password string) *page {
	b.w.t.Helper()
	return b.submit(p, "sign-in", "username", login, "password", password)
}

func (b *browser) cookies() map[string]string {
	at, err := url.Parse(b.w.server.URL)
	must(b.w.t, err)
	all := map[string]string{}
	for _, c := range b.client.Jar.Cookies(at) {
		all[c.Name] = c.Value
	}
	return all
}

func walk(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func (p *page) want(status int, texts ...string) *page {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("status %d, want %d:\n%s", p.status, status, p.text)
	}
	for _, text := range texts {
		if !strings.Contains(p.text, text) {
			p.t.Fatalf("no %q on the page:\n%s", text, p.text)
		}
	}
	return p
}

func (p *page) wantSent(to string) {
	p.t.Helper()
	if p.status != http.StatusSeeOther || p.to != to {
		p.t.Fatalf("status %d to %q, want 303 to %q\n%s", p.status, p.to, to, p.text)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func authorize(id string) string { return fmt.Sprintf("/authorize?ask=%s", id) }
