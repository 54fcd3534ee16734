package learn_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/advise/learn"
	"pavise.dev/pavise/schema"
)

var begin = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// call is an accepted request.
func call(at time.Time, method, path string) *audit.Event {
	return &audit.Event{
		Class: audit.Request, Decision: audit.Accepted, Status: 200, Time: at, Method: method, Host: "api.example.com:8443", Path: path, API: "shop",
		Endpoint: method + " /{path...}", Upstream: "http://127.0.0.1:9000", Remote: netip.MustParseAddrPort("192.0.2.7:1000"), UserAgent: "Mozilla/5.0",
	}
}

// traffic is a day of a shop: people who look at orders, one app that places some, and intruders.
func traffic(add func(*audit.Event)) {
	random := rand.New(rand.NewPCG(1, 2))
	for minute := range 24 * 60 {
		at := begin.Add(time.Duration(minute) * time.Minute)
		for user := range 5 {
			for range 1 + random.IntN(12) {
				e := call(at, "GET", fmt.Sprintf("/v1/orders/%d", random.IntN(1_000_000)))
				e.Shield, e.Client, e.User, e.Query = "jwt", "app", fmt.Sprint("u", user), "expand=*"
				add(e)
			}
		}
		if minute%10 == 0 {
			e := call(at, "POST", "/v1/orders")
			e.Shield, e.Client, e.BytesIn, e.UserAgent = "hmac", "partner", 900, "Go-http-client/2.0"
			add(e)
			probe := call(at, "GET", "/wp-login.php")
			probe.Status = 404
			add(probe)
			refused := call(at, "GET", "/v1/admin")
			refused.Decision, refused.Status, refused.Code = audit.Refused, 401, "missing_credential"
			add(refused)
			add(call(at, "GET", fmt.Sprintf("/v1/users/%s/avatar", strings.ToLower(string(rune('a'+minute%26))+"nna"+string(rune('a'+minute/60))))))
		}
	}
	add(call(begin.Add(24*time.Hour), "GET", "/v1/once"))
}

// Endpoints with parameters, shields, limits and a contract are proposed from what was accepted.
func TestALogIsLearntFrom(t *testing.T) {
	l := learn.NewLog(learn.Options{Candidate: "learned.openapi.yaml", Until: "2099-12-31"})
	traffic(l.Add)
	p := l.Propose()
	f := loaded(t, p)
	got := map[string]learn.Seen{}
	for _, s := range p.Seen {
		got[s.Endpoint] = s
	}
	for _, want := range []string{"GET /v1/orders/{orders_id}", "POST /v1/orders", "GET /v1/users/{users_id}/avatar"} {
		if got[want].Requests == 0 {
			t.Errorf("%s is not proposed: %v", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("proposed are %v", got)
	}
	read := got["GET /v1/orders/{orders_id}"]
	if read.Callers != 5 || read.Shields != "jwt" || read.Busiest != 12 || read.Proposed != "30/minute per user" {
		t.Errorf("reading: %+v", read)
	}
	api := f.APIs["shop"]
	if api.Upstream.URL[0] != "http://127.0.0.1:9000" || api.Candidate == nil || api.Host[0] != "api.example.com" {
		t.Errorf("the API: %+v", api)
	}
	if s := api.Endpoints["POST /v1/orders"].Shield; s.Kind != "hmac" {
		t.Errorf("who signs already need not sign any more: %+v", s)
	}
	for _, rule := range []string{"refused", "unknown-to-service", "seen-rarely", "nobody-asked", "body-unknown"} {
		if !tells(p, rule) {
			t.Errorf("%s is not told: %+v", rule, p.Open)
		}
	}
	if _, err := schema.Open("learned.openapi.yaml", p.Contract, schema.Options{}); err != nil {
		t.Errorf("%v\n%s", err, p.Contract)
	}
	for _, want := range []string{"{type: integer, minimum: 0}", `"expand"`, "requestBody"} {
		if !strings.Contains(string(p.Contract), want) {
			t.Errorf("%q is not in\n%s", want, p.Contract)
		}
	}
}

// One is not told as several.
func TestOneIsToldAsOne(t *testing.T) {
	l := learn.NewLog(learn.Options{Least: 1})
	e := call(begin, "GET", "/v1/articles")
	e.Shield = "none"
	l.Add(e)
	told := fmt.Sprint(l.Propose().Open)
	for _, want := range []string{"1 of 1 request proved nobody", "requests in 1 minute are too few"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %s", want, told)
		}
	}
}

// A pattern that the gateway had already is kept as it is.
func TestKnownPatternsAreKept(t *testing.T) {
	l := learn.NewLog(learn.Options{})
	for i := range 10 {
		e := call(begin.Add(time.Duration(i)*time.Second), "GET", "/v1/articles/hello-world")
		e.Endpoint = "GET /v1/articles/{slug}"
		l.Add(e)
	}
	p := l.Propose()
	if len(p.Seen) != 1 || p.Seen[0].Endpoint != "GET /v1/articles/{articles_id}" {
		t.Errorf("%+v", p.Seen)
	}
}

// What callers showed is never asked less of, whatever the path says.
func TestNothingIsProposedBelowWhatIsInForce(t *testing.T) {
	for _, kind := range []string{advise.APIKey, advise.JWT, advise.Introspect, advise.HMAC, advise.MTLS} {
		l := learn.NewLog(learn.Options{})
		for i := range 10 {
			e := call(begin.Add(time.Duration(i)*time.Second), "GET", "/health")
			e.Shield, e.Client = kind, "one"
			l.Add(e)
		}
		a := l.Propose().Plans[0].Advice[0]
		if given := (advise.Shield{Kind: kind}).Gives(); !a.Shield.Gives().Has(given) {
			t.Errorf("callers showed %s, proposed is %s", kind, a.Shield)
		}
	}
}

// Whatever is in the events, memory stays bounded, and what is proposed can be read.
func TestHostileEventsAreBounded(t *testing.T) {
	l := learn.NewLog(learn.Options{Candidate: "learned.openapi.yaml", Until: "2099-12-31"})
	random := rand.New(rand.NewPCG(3, 4))
	odd := []string{"{x}", "..", "", "%2e", "a b", "\"", "'", "${x}", "#", "*", "é", "word", "7", strings.Repeat("x", 300), "{$}", "a{b}c", ":id", "\n"}
	for i := range 100_000 {
		path := ""
		for range 1 + random.IntN(20) {
			segment := odd[random.IntN(len(odd))]
			if random.IntN(2) == 0 {
				segment = string(rune('a'+random.IntN(26))) + string(rune('a'+random.IntN(26))) + string(rune('a'+random.IntN(26)))
			}
			path += "/" + segment
		}
		e := call(begin.Add(time.Duration(i)*time.Millisecond), []string{"GET", "POST", "DELETE", "PURGE"}[random.IntN(4)], path)
		e.Host, e.Query, e.Client, e.Shield = fmt.Sprintf("h%d.example.com", random.IntN(200)), "a"+path+"=*&"+odd[random.IntN(len(odd))]+"=*", fmt.Sprint(i), "api_key"
		l.Add(e)
	}
	for range 5 {
		l.Add(call(begin, "GET", "/v1/good"))
	}
	p := l.Propose()
	if !slices.ContainsFunc(p.Open, func(g learn.Gap) bool { return g.Rule == "not-learnt" }) {
		t.Errorf("nothing is told of what was left out: %+v", p.Open[:min(len(p.Open), 5)])
	}
	loaded(t, p)
}

func BenchmarkLog(b *testing.B) {
	events := make([]*audit.Event, 0, 4096)
	traffic(func(e *audit.Event) {
		if len(events) < cap(events) {
			events = append(events, e)
		}
	})
	l := learn.NewLog(learn.Options{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Add(events[i%len(events)])
	}
}
