package pavise_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// broken is a limiter, and a store of quotas, that nobody can ask.
type broken struct{}

var errAway = errors.New("the limiter's store is away")

func (broken) Take(string, limit.Rate, int) (limit.State, error) { return limit.State{}, errAway }

type brokenQuotas struct{}

func (brokenQuotas) Take(string, limit.Quota, int) (limit.State, error) {
	return limit.State{}, errAway
}
func (brokenQuotas) Return(string, limit.Quota, int) {}

func mustMemory(t testing.TB) *limit.Memory {
	t.Helper()
	m, err := limit.NewMemory(limit.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustQuotas(t testing.TB, now func() time.Time) *limit.MemoryQuotas {
	t.Helper()
	m, err := limit.NewMemoryQuotas(0, now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Whatever counts is away: nobody passes, and the event says why (invariant 1).
func TestALimiterThatIsAwayRefuses(t *testing.T) {
	attacktest.Rows(t, 132)
	perClient := limit.Limit{Name: "orders-client", Rate: limit.Rate{Count: 10, Per: time.Minute}, Per: limit.PerClient}
	for name, change := range map[string]func(*pavise.Policy){
		"rate of an address": func(p *pavise.Policy) { p.PerAddress = &perClient },
		"rate of a client":   func(p *pavise.Policy) { p.APIs[0].Endpoints[0].Limits = []limit.Limit{perClient} },
		"quota": func(p *pavise.Policy) {
			p.Quotas = brokenQuotas{}
			p.APIs[0].Endpoints[0].Quotas = []limit.Quota{{Name: "q", Count: 5, Period: limit.Day, Per: limit.PerClient}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := &sink{}
			guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
				p.Limiter = broken{}
				change(p)
			})
			w, e := send(t, guard, events, get("/v1/orders/7"), func(http.ResponseWriter, *http.Request) {
				t.Error("the request reached the handler")
			})
			if w.Code != 503 || codeOf(t, w) != string(shield.Undecided) || strings.Contains(w.Body.String(), "away") {
				t.Errorf("status %d, body %s", w.Code, w.Body)
			}
			if e.Decision != audit.Failed || e.Code != string(shield.Undecided) || !strings.Contains(e.Detail, "store is away") {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// Of two quotas both are used or none; the answer tells of each.
func TestQuotasAreUsedTogetherOrNotAtAll(t *testing.T) {
	attacktest.Rows(t, 131)
	now := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)
	events := &sink{}
	guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
		p.Now = func() time.Time { return now }
		p.Quotas = mustQuotas(t, p.Now)
		day := limit.Quota{Name: "day", Count: 3, Period: limit.Day, Per: limit.PerClient}
		p.APIs[0].Endpoints[0].Quotas = []limit.Quota{day, {Name: "month", Count: 2, Period: limit.Month, Per: limit.PerClient}}
		p.APIs[0].Endpoints[2].Quotas = []limit.Quota{day}
	})
	ask := func(target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		guard.Wrap(http.NotFoundHandler()).ServeHTTP(w, get(target))
		return w
	}
	ask("/v1/orders/7")
	if w := ask("/v1/orders/7"); w.Code != 404 || w.Header().Get("Ratelimit") != `"day";r=1;t=3600, "month";r=0;t=3600` {
		t.Errorf("the second: %d, %v", w.Code, w.Header())
	}
	for range 5 {
		w := ask("/v1/orders/7")
		if w.Code != 429 || codeOf(t, w) != string(shield.QuotaExceeded) || w.Header().Get("Retry-After") != "3600" ||
			!strings.Contains(w.Header().Get("Ratelimit-Policy"), `"month";q=2;w=2592000`) {
			t.Errorf("beyond: %d, %v", w.Code, w.Header())
		}
	}
	// The month refused, so that the day was not used: one is left there.
	if w := ask("/files/a"); w.Code != 404 || w.Header().Get("Ratelimit") != `"day";r=0;t=3600` {
		t.Errorf("of the day: %d, %v", w.Code, w.Header())
	}
	if w := ask("/files/a"); w.Code != 429 {
		t.Errorf("the day's end: %d", w.Code)
	}
	now = now.Add(time.Hour)
	if w := ask("/v1/orders/7"); w.Code != 404 {
		t.Errorf("in December: %d", w.Code)
	}
}

// Quotas are kept: a stranger with a million addresses must not fill their store.
func TestStrangersShareOneQuota(t *testing.T) {
	attacktest.Rows(t, 130)
	events := &sink{}
	quotas := mustQuotas(t, nil)
	who := says{id: &shield.Identity{Shield: "public"}}
	guard := one(t, events, who, func(p *pavise.Policy) {
		p.Quotas = quotas
		p.APIs[0].Endpoints[2].Quotas = []limit.Quota{{Name: "q", Count: 3, Period: limit.Day, Per: limit.PerUser}}
	})
	passed := 0
	for i := range 10 {
		r := get("/files/a")
		r.RemoteAddr = fmt.Sprintf("198.51.100.%d:1234", i)
		w := httptest.NewRecorder()
		guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ })).ServeHTTP(w, r)
	}
	if passed != 3 {
		t.Errorf("%d strangers passed, want 3", passed)
	}
	state, err := quotas.Take("orders\x00q\x00day\x00client\x00shop", limit.Quota{Count: 3, Period: limit.Day, Per: limit.PerUser}, 1)
	if err != nil || !state.Allowed {
		t.Errorf("a client after them: %+v, %v", state, err)
	}
}

// Places of an endpoint bound one client, and all together, within those of its API.
func TestPlacesOfAnEndpoint(t *testing.T) {
	places := func(per, all int) *limit.Concurrency {
		c, err := limit.NewConcurrency(per, all)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var client atomic.Value
	client.Store("a")
	who := answers(func() *shield.Identity {
		return &shield.Identity{Shield: "test", CredentialID: "k", Client: client.Load().(string), Scopes: shield.Scopes{"orders:read"}}
	})
	api, own := places(3, 0), places(2, 3)
	guard := one(t, &audit.Memory{}, who, func(p *pavise.Policy) {
		p.APIs[0].Endpoints[0].Concurrency = []*limit.Concurrency{api, own}
		p.APIs[0].Endpoints[2].Concurrency = []*limit.Concurrency{api}
	})
	hold, entered := make(chan struct{}), make(chan struct{})
	var under sync.WaitGroup
	begin := func(target, as string) {
		client.Store(as)
		under.Go(func() {
			guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				entered <- struct{}{}
				<-hold
			})).ServeHTTP(httptest.NewRecorder(), get(target))
		})
		<-entered
	}
	refused := func(target, as string) {
		t.Helper()
		client.Store(as)
		w := httptest.NewRecorder()
		guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it passed") })).ServeHTTP(w, get(target))
		if w.Code != 503 || codeOf(t, w) != string(shield.Busy) || w.Header().Get("Retry-After") != "1" {
			t.Errorf("status %d, %v", w.Code, w.Header())
		}
	}
	begin("/v1/orders/1", "a")
	begin("/v1/orders/2", "a")
	refused("/v1/orders/3", "a") // two of one client at this endpoint
	begin("/files/a", "a")       // but three at the API
	refused("/files/b", "a")
	begin("/v1/orders/1", "b")
	refused("/v1/orders/1", "c") // three of all at this endpoint
	close(hold)
	under.Wait()
	if api.InUse() != 0 || own.InUse() != 0 {
		t.Errorf("%d and %d places are still taken", api.InUse(), own.InUse())
	}
}

// answers is a shield that asks who it is.
type answers func() *shield.Identity

func (a answers) Verify(*http.Request) (*shield.Identity, error) { return a(), nil }
func (a answers) Needs() shield.Needs                            { return shield.Needs{Carries: []string{"X-Api-Key"}} }

// As the gateway fills up, low priority goes first, then who brings no credential, then all but high; and
// nothing of the shield's work is done for what is shed.
func TestTheCheapestToLoseIsShedFirst(t *testing.T) {
	load, err := limit.NewLoad(10)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	who := answers(func() *shield.Identity { asked++; return shop() })
	events := &sink{}
	guard := one(t, events, who, func(p *pavise.Policy) {
		p.Load = load
		p.APIs[0].Endpoints[0].Priority = limit.High
		p.APIs[0].Endpoints[2].Priority = limit.Low
		p.APIs[0].Endpoints = append(p.APIs[0].Endpoints, pavise.Endpoint{Pattern: "GET /normal", Shield: who, AnyScope: true})
	})
	for taken, want := range map[int]map[string]int{
		6:  {"/v1/orders/1": 200, "/files/a": 200, "/normal": 200, "/normal without": 200},
		7:  {"/v1/orders/1": 200, "/files/a": 503, "/normal": 200, "/normal without": 200},
		8:  {"/v1/orders/1": 200, "/files/a": 503, "/normal": 200, "/normal without": 503},
		9:  {"/v1/orders/1": 200, "/files/a": 503, "/normal": 503, "/normal without": 503},
		10: {"/v1/orders/1": 503, "/files/a": 503, "/normal": 503, "/normal without": 503},
	} {
		for range taken {
			load.Enter(limit.High)
		}
		for what, status := range want {
			target, without := strings.CutSuffix(what, " without")
			r := get(target)
			if !without {
				r.Header.Set("X-Api-Key", "any")
			}
			before := asked
			w := httptest.NewRecorder()
			guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			e := events.events[len(events.events)-1]
			switch {
			case w.Code != status:
				t.Errorf("%d of 10 taken, %s: %d, want %d", taken, what, w.Code, status)
			case status == 200 && asked != before+1:
				t.Errorf("%s: the shield was not asked", what)
			case status == 503 && (asked != before || codeOf(t, w) != string(shield.Busy) || w.Header().Get("Retry-After") != "1"):
				t.Errorf("%s: shield asked %v, header %v", what, asked != before, w.Header())
			case status == 503 && (e.Decision != audit.Refused || e.Code != "busy" || e.Step != "load" || e.Proved):
				t.Errorf("event %+v", e)
			}
		}
		if n, _ := load.Taken(); n != taken {
			t.Errorf("%d are taken afterwards, want %d", n, taken)
		}
		for range taken {
			load.Leave()
		}
	}
	if load.Shed(limit.Anonymous) != 3 || load.Shed(limit.Low) != 4 {
		t.Errorf("counted: %d anonymous, %d low", load.Shed(limit.Anonymous), load.Shed(limit.Low))
	}
}

// A handler that panics, a refusal of a later step: the place is free again.
func TestPlacesAreGivenBackWhateverHappens(t *testing.T) {
	load, err := limit.NewLoad(10)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]says{"a panic": {panic: "oh"}, "a refusal": {err: shield.Refuse(shield.InvalidCredential, "wrong")}, "acceptance": {id: shop()}} {
		guard := one(t, &audit.Memory{}, s, func(p *pavise.Policy) { p.Load = load })
		guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("handler") })).ServeHTTP(httptest.NewRecorder(), get("/v1/orders/7"))
		if n, _ := load.Taken(); n != 0 {
			t.Errorf("%s: %d places are still taken", name, n)
		}
	}
}

func TestHoneypotsLookLikeNothing(t *testing.T) {
	type caught struct {
		path string
		addr netip.Addr
	}
	var told []caught
	guarded := func(events *sink) *pavise.Guard {
		return one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			p.Rand = zeros{} // so that the request ID is the same
			p.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			p.Honeypots = pavise.Honeypots{
				Paths:  []string{"/.env", "/.git/config"},
				Caught: func(path string, addr netip.Addr) { told = append(told, caught{path, addr}) },
			}
		})
	}
	ask := func(method, target string, header http.Header) (*httptest.ResponseRecorder, audit.Event) {
		events := &sink{}
		r := httptest.NewRequest(method, "http://api.test"+target, nil)
		r.RemoteAddr = "203.0.113.7:4711"
		for name, values := range header {
			r.Header[name] = values
		}
		if from := header.Get("From-Proxy"); from != "" {
			r.RemoteAddr = from
			delete(r.Header, "From-Proxy")
		}
		return send(t, guarded(events), events, r, nil)
	}
	for _, method := range []string{"GET", "POST", "DELETE", "HEAD", "OPTIONS"} {
		trap, e := ask(method, "/.env?a=b", nil)
		other, o := ask(method, "/.nothing?a=b", nil)
		if trap.Code != 404 || trap.Body.String() != other.Body.String() || fmt.Sprint(trap.Header()) != fmt.Sprint(other.Header()) {
			t.Errorf("%s: %d %v %s\nanother path: %d %v %s", method, trap.Code, trap.Header(), trap.Body, other.Code, other.Header(), other.Body)
		}
		if e.Code != string(shield.Honeypot) || e.Decision != audit.Refused || o.Code != string(shield.UnknownEndpoint) {
			t.Errorf("%s: events %+v and %+v", method, e, o)
		}
	}
	if len(told) != 5 || told[0] != (caught{"/.env", netip.MustParseAddr("203.0.113.7")}) {
		t.Errorf("told of %v", told)
	}
	told = nil
	for name, header := range map[string]http.Header{
		"a page of another site": {"Sec-Fetch-Site": {"cross-site"}},
		"its scripts":            {"Origin": {"https://evil.example"}},
		"an old browser":         {"Referer": {"https://evil.example/"}},
		"a trusted proxy itself": {"From-Proxy": {"10.1.2.3:99"}},
	} {
		if _, e := ask("GET", "/.git/config", header); e.Code != string(shield.Honeypot) || (e.Warning == audit.SentByPage) != (name != "a trusted proxy itself") {
			t.Errorf("%s: event %+v", name, e)
		}
	}
	if len(told) != 0 {
		t.Errorf("blamed: %v", told)
	}
	if ask("GET", "/.env", http.Header{"From-Proxy": {"10.1.2.3:99"}, "X-Forwarded-For": {"198.51.100.9"}}); len(told) != 1 || told[0].addr.String() != "198.51.100.9" {
		t.Errorf("behind a proxy: %v", told)
	}
}

// TestWhatAPageMadeABrowserSendIsToldApart: but for wrong credentials, which no page can send, and
// whoever proved who he is.
func TestWhatAPageMadeABrowserSendIsToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		shield says
		want   string
	}{
		"without a credential": {says{err: &shield.Refusal{Code: shield.Absent}}, audit.SentByPage},
		"a key in the query":   {says{err: &shield.Refusal{Code: shield.ExposedCredential, Exposed: true}}, audit.SentByPage},
		"a wrong credential":   {says{err: shield.Refuse(shield.InvalidCredential, "wrong")}, ""},
		"of somebody known":    {says{err: shield.Refuse(shield.RevokedCredential, "revoked").Of("k1", "shop", true)}, ""},
		"accepted":             {says{id: shop()}, ""},
	} {
		events := &sink{}
		r := httptest.NewRequest("GET", "http://api.test/v1/orders/7", nil)
		r.Header.Set("Referer", "https://evil.example/")
		if _, e := send(t, one(t, events, test.shield, nil), events, r, nil); e.Warning != test.want {
			t.Errorf("%s: warning %q", name, e.Warning)
		}
	}
}

// zeros is no randomness at all.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestPoliciesOfFloodsThatCannotWork(t *testing.T) {
	quota := limit.Quota{Name: "q", Count: 5, Period: limit.Day, Per: limit.PerClient}
	for name, change := range map[string]func(*pavise.Policy){
		"quotas that nobody counts": func(p *pavise.Policy) { p.APIs[0].Endpoints[0].Quotas = []limit.Quota{quota} },
		"a cost over the quota": func(p *pavise.Policy) {
			p.Quotas = mustQuotas(t, nil)
			quota.Cost = 6
			p.APIs[0].Endpoints[0].Quotas = []limit.Quota{quota}
		},
		"a priority of strangers":        func(p *pavise.Policy) { p.APIs[0].Endpoints[0].Priority = limit.Anonymous },
		"a honeypot that is served":      func(p *pavise.Policy) { p.Honeypots.Paths = []string{"/files/.env"} },
		"one that another method serves": func(p *pavise.Policy) { p.Honeypots.Paths = []string{"/v1/orders"} },
		"one that the door refuses":      func(p *pavise.Policy) { p.Honeypots.Paths = []string{"/a//b"} },
		"one that is no path":            func(p *pavise.Policy) { p.Honeypots.Paths = []string{".env"} },
	} {
		policy := pavise.Policy{
			Hosts: []pavise.Host{{Name: "api.test"}}, Sink: &audit.Memory{}, Limiter: mustMemory(t),
			APIs: []pavise.API{{Name: "orders", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{
				{Pattern: "POST /v1/orders", Shield: says{id: shop()}, AnyScope: true},
				{Pattern: "GET /files/{path...}", Shield: says{id: shop()}, AnyScope: true},
			}}},
		}
		if _, err := pavise.New(policy); err != nil {
			t.Fatal(err)
		}
		change(&policy)
		if _, err := pavise.New(policy); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func BenchmarkGuardUnderLoadAndQuota(b *testing.B) {
	load, err := limit.NewLoad(10000)
	if err != nil {
		b.Fatal(err)
	}
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.test"}}, Sink: discard{}, Quotas: mustQuotas(b, nil), Load: load,
		Honeypots: pavise.Honeypots{Paths: []string{"/.env"}},
		APIs: []pavise.API{{Name: "orders", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{
			{Pattern: "GET /v1/orders/{id}", Shield: says{id: shop()}, AnyScope: true, Quotas: []limit.Quota{
				{Name: "orders-client-month", Count: limit.MaxCount, Period: limit.Month, Per: limit.PerClient},
			}},
		}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	handler := guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := get("/v1/orders/7"), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.Header())
		handler.ServeHTTP(w, r)
	}
}
