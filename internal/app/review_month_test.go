package app

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/review"
	"pavise.dev/pavise/shield"
)

// month is an installation with clients that use some of what they have, and its traffic.
type month struct {
	*App

	t       *testing.T
	elapsed atomic.Int64 // since it began, ns
	chance  *rand.Rand
	admin   *admin.Client
	callers []*monthly
	called  map[string]bool // endpoints that somebody was let into
	kept    []call          // that were accepted
}

// monthly is a client as only the test knows it: with what it truly does.
type monthly struct {
	id        string
	scopes    []string // granted
	endpoints []int    // that it calls
	keys      []string
	ids       []string
	used      map[string]bool   // scopes of requests that were accepted
	byKey     []map[string]bool // likewise, by key
	idle      map[int]bool      // keys that it does not use
	dead      bool              // it does not call
	addresses []string
}

type call struct{ method, path, key, address string }

const (
	monthScopes    = 24
	monthEndpoints = 40
	monthClients   = 20
)

// monthEndpoint is an endpoint of the month: what it demands, and how it is called.
func monthEndpoint(i int) (pattern string, scopes []string, method, path string) {
	method = []string{"GET", "POST", "DELETE"}[i%3]
	pattern, path = fmt.Sprintf("%s /v1/things%d/{id}", method, i), fmt.Sprintf("/v1/things%d/%%d", i)
	scopes = []string{fmt.Sprintf("s%d:use", i%monthScopes)}
	if i%5 == 0 {
		scopes = append(scopes, fmt.Sprintf("s%d:use", (i+7)%monthScopes))
	}
	if i%13 == 12 {
		scopes = nil // any
	}
	return pattern, scopes, method, path
}

func monthFile() string {
	var b strings.Builder
	b.WriteString("hosts: {127.0.0.1: {certificate: local}}\napis:\n  things:\n    host: 127.0.0.1\n    upstream: http://127.0.0.1:9\n    shield: api_key\n    endpoints:\n")
	for i := range monthEndpoints {
		pattern, scopes, _, _ := monthEndpoint(i)
		words := "any"
		if scopes != nil {
			words = "[" + strings.Join(scopes, ", ") + "]"
		}
		fmt.Fprintf(&b, "      # thing %d\n      %s:\n        scopes: %s # of thing %d\n", i, pattern, words, i)
	}
	b.WriteString("scopes:\n")
	for i := range monthScopes {
		fmt.Fprintf(&b, "  s%d:use: Use %d\n", i, i)
	}
	return b.String()
}

// now is the month's clock, which the gateway's goroutines read too.
func (m *month) now() time.Time {
	return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(m.elapsed.Load()))
}

func newMonth(t *testing.T) *month {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if err := os.WriteFile(name, []byte(monthFile()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	m := &month{t: t, chance: rand.New(rand.NewPCG(7, 11)), called: map[string]bool{}}
	if m.App, err = Open(t.Context(), f, Options{Now: m.now, Library: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, m.App) })
	service := Administration(f, m.State, m.App.now)
	m.live(service)
	m.admin = admin.Connect(admin.InProcess(service))
	for i := range monthClients {
		m.addCaller(i)
	}
	return m
}

func (m *month) addCaller(i int) {
	m.t.Helper()
	c := &monthly{id: fmt.Sprintf("client%d", i), used: map[string]bool{}, idle: map[int]bool{}, dead: i%9 == 8}
	granted := map[string]bool{}
	for range 1 + m.chance.IntN(5) {
		at := m.chance.IntN(monthEndpoints * 3 / 4) // the last quarter has no caller
		c.endpoints = append(c.endpoints, at)
		_, scopes, _, _ := monthEndpoint(at)
		for _, s := range scopes {
			granted[s] = true
		}
	}
	for range m.chance.IntN(6) { // more than it needs
		granted[fmt.Sprintf("s%d:use", m.chance.IntN(monthScopes))] = true
	}
	for s := range granted {
		c.scopes = append(c.scopes, s)
	}
	slices.Sort(c.scopes)
	if _, err := m.admin.CreateClient(m.t.Context(), admin.NewClient{ID: c.id, Scopes: c.scopes}); err != nil {
		m.t.Fatal(err)
	}
	for k := range 1 + m.chance.IntN(3) {
		made, err := m.admin.CreateCredential(m.t.Context(), admin.NewCredential{Kind: "api_key", Client: c.id, Environment: "live"})
		if err != nil {
			m.t.Fatal(err)
		}
		c.keys, c.ids, c.byKey = append(c.keys, made.Secret), append(c.ids, made.Credential.ID), append(c.byKey, map[string]bool{})
		c.idle[k] = k == 2
	}
	c.addresses = []string{fmt.Sprintf("192.0.%d.7:4000", i), fmt.Sprintf("192.0.%d.8:4000", i)}
	m.callers = append(m.callers, c)
}

// send sends a request through the guard that is in force.
func (m *month) send(c call) int {
	r := httptest.NewRequestWithContext(m.t.Context(), c.method, "https://127.0.0.1"+c.path, http.NoBody)
	r.TLS.ServerName, r.RemoteAddr = "", c.address
	if c.key != "" {
		r.Header.Set("X-API-Key", c.key)
	}
	answer := httptest.NewRecorder()
	m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if m.chance.IntN(50) == 0 {
			w.WriteHeader(http.StatusInternalServerError) // a service fails now and then
		}
	})).ServeHTTP(answer, r)
	return answer.Code
}

// pass lets time pass.
func (m *month) pass(d time.Duration) {
	m.t.Helper()
	m.elapsed.Add(int64(d))
	if err := m.State.View.Refresh(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// live through the hours of a month.
func (m *month) traffic() {
	m.t.Helper()
	for range 30 * 24 {
		m.pass(time.Hour)
		for range 8 {
			m.elapsed.Add(int64(time.Second))
			m.one()
		}
	}
}

// one sends one request: mostly what the client does, sometimes what it may not.
func (m *month) one() {
	c := m.callers[m.chance.IntN(len(m.callers))]
	if c.dead {
		return
	}
	k := m.chance.IntN(len(c.keys))
	if c.idle[k] {
		return
	}
	at := c.endpoints[m.chance.IntN(len(c.endpoints))]
	wild := m.chance.IntN(20) == 0
	if wild {
		at = m.chance.IntN(monthEndpoints * 3 / 4)
	}
	pattern, scopes, method, path := monthEndpoint(at)
	request := call{method, fmt.Sprintf(path, m.chance.IntN(1000)), c.keys[k], c.addresses[m.chance.IntN(2)]}
	if m.chance.IntN(30) == 0 {
		stranger := fmt.Sprintf("198.51.%d.9:1", m.chance.IntN(250))
		m.send(call{method, request.path, "", stranger})
		m.send(call{method, request.path, c.keys[k] + "x", stranger})
	}
	code := m.send(request)
	may := len(shield.Scopes(c.scopes).Missing(scopes)) == 0
	if got := code == http.StatusOK || code == http.StatusInternalServerError; got != may {
		m.t.Fatalf("%s to %s with %v is answered %d", c.id, pattern, c.scopes, code)
	}
	if !may {
		return
	}
	m.called[pattern], m.kept = true, append(m.kept, request)
	for _, s := range scopes {
		c.used[s], c.byKey[k][s] = true, true
	}
}

// look reviews the month.
func (m *month) look() (*review.Granted, *review.Used) {
	m.t.Helper()
	ctx := m.t.Context()
	if _, err := m.admin.Events(ctx, audit.Query{Limit: 1}); err != nil {
		m.t.Fatal(err)
	}
	clients, err := m.admin.Clients(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	credentials, err := m.admin.Credentials(ctx, "", "")
	if err != nil {
		m.t.Fatal(err)
	}
	f := m.current().file
	g, err := Granted(f, clients, credentials, m.now())
	if err != nil {
		m.t.Fatal(err)
	}
	used, err := review.Read(ctx, []string{f.Log.Folder}, g, review.Window{Since: m.now().AddDate(0, 0, -30), Until: m.now().Add(time.Second)})
	if err != nil {
		m.t.Fatal(err)
	}
	return g, used
}

func membersOf(set map[string]bool) []string {
	all := []string{}
	for s := range set {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// A recorded month: what is proposed is exactly what was used, and once it is applied no request of
// that month is refused.
func TestAReviewProposesExactlyWhatAMonthUsed(t *testing.T) {
	if testing.Short() {
		t.Skip("a month of traffic, one request after another")
	}
	attacktest.Rows(t, 142)
	m := newMonth(t)
	m.traffic()
	g, used := m.look()
	p := used.Propose(review.Aim{Now: m.now(), Settle: review.DefaultSettle})
	m.compare(p)
	if struck := p.Judge(used); len(struck) > 0 {
		t.Errorf("its own month would be refused: %+v", struck)
	}
	for i := range p.Changes {
		if err := Take(t.Context(), m.admin, &p.Changes[i]); err != nil {
			t.Fatalf("%s: %v", p.Changes[i].Words(), err)
		}
	}
	m.remove(g, p)
	m.pass(time.Hour)
	for _, c := range m.kept {
		if code := m.send(c); code != http.StatusOK && code != http.StatusInternalServerError {
			t.Fatalf("%s %s was accepted in the month, and is now answered %d", c.method, c.path, code)
		}
	}
	m.refuses()
	if len(p.Changes) < monthClients/2 || len(m.kept) < 3000 {
		t.Errorf("%d changes and %d requests are too few to show anything", len(p.Changes), len(m.kept))
	}
}

// compare holds a proposal against what only the test knows.
func (m *month) compare(p *review.Proposal) {
	m.t.Helper()
	changes := map[string]review.Change{}
	for _, c := range p.Changes {
		changes[c.What+" "+c.Client+" "+c.ID] = c
	}
	want := 0
	expect := func(name string, is bool, to []string) {
		m.t.Helper()
		c, there := changes[name]
		if there != is || is && !slices.Equal(c.To, to) {
			m.t.Errorf("%s: proposed %t to %v, want %t to %v", name, there, c.To, is, to)
		}
		if is {
			want++
		}
	}
	for _, c := range m.callers {
		expect(review.DisableClient+" "+c.id+" ", c.dead, nil)
		if c.dead {
			continue
		}
		kept := membersOf(c.used)
		expect(review.NarrowClient+" "+c.id+" ", len(kept) < len(c.scopes), kept)
		for k, id := range c.ids {
			own := membersOf(c.byKey[k])
			expect(review.RevokeCredential+" "+c.id+" "+id, c.idle[k], nil)
			expect(review.NarrowCredential+" "+c.id+" "+id, !c.idle[k] && len(own) > 0 && len(own) < len(kept), own)
		}
	}
	if want != len(p.Changes) {
		m.t.Errorf("%d changes are proposed, want %d", len(p.Changes), want)
	}
	for i := range monthEndpoints {
		pattern, _, _, _ := monthEndpoint(i)
		if gone := slices.Contains(p.Endpoints, review.Gone{API: "things", Pattern: pattern}); gone == m.called[pattern] {
			m.t.Errorf("%s: was called: %t, would be taken out: %t", pattern, m.called[pattern], gone)
		}
	}
}

// remove takes the endpoints out of the file, and reads it again.
func (m *month) remove(g *review.Granted, p *review.Proposal) {
	m.t.Helper()
	name := m.current().file.Path
	text, err := os.ReadFile(name)
	if err != nil {
		m.t.Fatal(err)
	}
	var cuts []review.Cut
	for _, e := range g.Endpoints {
		if slices.Contains(p.Endpoints, review.Gone{API: e.API, Pattern: e.Pattern}) {
			cuts = append(cuts, review.Cut{Endpoint: e.String(), Line: e.Line})
		}
	}
	after, _, left := review.Patch(name, string(text), cuts)
	if len(left) > 0 || len(cuts) == 0 {
		m.t.Fatalf("of %d endpoints %v could not be taken out", len(cuts), left)
	}
	if err := os.WriteFile(name, []byte(after), 0o600); err != nil {
		m.t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		m.t.Fatal(err)
	}
	if got := len(f.APIs["things"].Endpoints); got != monthEndpoints-len(cuts) {
		m.t.Errorf("%d endpoints are left, want %d", got, monthEndpoints-len(cuts))
	}
	for i := range monthEndpoints {
		pattern, _, _, _ := monthEndpoint(i)
		if kept := strings.Contains(after, fmt.Sprintf("# thing %d\n", i)); kept != m.called[pattern] {
			m.t.Errorf("comment of %s: kept %t", pattern, kept)
		}
	}
	if err := m.Reload(f); err != nil {
		m.t.Fatal(err)
	}
}

// refuses shows that something was taken away: each client is refused where it never was.
func (m *month) refuses() {
	m.t.Helper()
	refused := 0
	for _, c := range m.callers {
		for i := range monthEndpoints {
			pattern, scopes, method, path := monthEndpoint(i)
			if !m.called[pattern] || scopes == nil {
				continue
			}
			may := !c.dead && len(shield.Scopes(membersOf(c.byKey[0])).Missing(scopes)) == 0
			if len(c.byKey[0]) == 0 && !c.dead {
				continue // a key that is used where no scope is demanded keeps those of its client
			}
			code := m.send(call{method, fmt.Sprintf(path, 1), c.keys[0], c.addresses[0]})
			if got := code == http.StatusOK || code == http.StatusInternalServerError; got != may {
				m.t.Errorf("%s at %s is answered %d, after it was left %v", c.id, pattern, code, membersOf(c.byKey[0]))
			}
			if !may {
				refused++
			}
		}
	}
	if refused == 0 {
		m.t.Error("nobody is refused anything")
	}
}
