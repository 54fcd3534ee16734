package pavise_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// calmQuotas fail the test if anything is used of them.
type calmQuotas struct{ t *testing.T }

func (c calmQuotas) Take(string, limit.Quota, int) (limit.State, error) {
	c.t.Error("a quota was counted")
	return limit.State{Allowed: true}, nil
}

func (c calmQuotas) Return(string, limit.Quota, int) { c.t.Error("a quota was given back") }

// calmFlow fails the test if anything is claimed.
type calmFlow struct{ t *testing.T }

func (c calmFlow) Begin(*http.Request, *shield.Identity) (pavise.Turn, error) {
	c.t.Error("a flow was begun")
	return pavise.Turn{}, nil
}

// cleans takes blanks out of the body.
type cleans struct{}

func (cleans) Body() int64 { return 100 }

func (cleans) Sanitise(r *http.Request, _ *shield.Identity) (string, error) {
	body, err := shield.BodyOf(r)
	if err != nil {
		return "", err
	}
	text, err := body.Bytes()
	if err != nil || !strings.Contains(string(text), " ") {
		return "", err
	}
	return "trim=1", shield.ReplaceBody(r, []byte(strings.ReplaceAll(string(text), " ", "")))
}

// expects is a layer that wants a body to be this.
type expects struct {
	body, name string
	reads      pavise.Reads
}

func (e expects) Body() int64         { return 100 }
func (e expects) Reads() pavise.Reads { return e.reads }

func (e expects) Check(r *http.Request, _ *shield.Identity) error {
	body, err := shield.BodyOf(r)
	if err != nil {
		return err
	}
	text, err := body.Bytes()
	if err != nil {
		return err
	}
	if string(text) != e.body {
		return shield.Refuse(shield.InvalidInput, "%s: not %q but %q", e.name, e.body, text)
	}
	return nil
}

// imagined is a guard of which nothing may be counted, used up or recorded.
func imagined(t *testing.T, events *sink, change func(*pavise.Endpoint)) *pavise.Guard {
	t.Helper()
	calm := untouched{t}
	once := says{id: as(func(id *shield.Identity) { id.Once = []shield.Once{{Space: "s"}} })}
	return one(t, events, once, func(p *pavise.Policy) {
		p.Limiter, p.Once, p.Tries, p.Quotas = calm, calm, calm, calmQuotas{t}
		p.PerAddress = &limit.Limit{Name: "address", Rate: limit.Rate{Count: 1, Per: time.Minute}}
		e := &p.APIs[0].Endpoints[1] // POST /v1/orders
		e.MaxBody = 100
		e.Limits = []limit.Limit{{Name: "l", Rate: limit.Rate{Count: 1, Per: time.Minute}, Per: limit.PerClient}}
		e.Quotas = []limit.Quota{{Name: "q", Count: 1, Period: limit.Day, Per: limit.PerClient}}
		e.Flow = calmFlow{t}
		if change != nil {
			change(e)
		}
	})
}

func post(body string) *http.Request {
	r := httptest.NewRequest("POST", "http://api.test/v1/orders", strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:1"
	return r
}

func outcomes(f pavise.Foreseen) string {
	var all []string
	for _, s := range f.Steps {
		all = append(all, s.Name+" "+string(s.Outcome))
	}
	return strings.Join(all, ", ")
}

func TestForeseeJudgesEveryLayerAndLeavesNothing(t *testing.T) {
	refuses := func(code shield.Code) layer {
		return func(*http.Request, *shield.Identity) error { return shield.Refuse(code, "no") }
	}
	for name, test := range map[string]struct {
		change func(*pavise.Endpoint)
		given  pavise.Imagined
		step   string
		code   shield.Code
		told   string // outcomes
	}{
		"lets it pass": {
			func(e *pavise.Endpoint) { e.Sanitise, e.Validate = cleans{}, expects{body: `{"a":1}`} },
			pavise.Imagined{Body: []byte(`{"a": 1}`)},
			"", "",
			"door passed, limit told, route passed, cors passed, shield passed, access passed, admit told, sanitise passed, validate passed, consume told, flow not judged",
		},
		"a contract": {func(e *pavise.Endpoint) { e.Validate = expects{body: "x"} }, pavise.Imagined{Body: []byte("y")}, "validate", shield.InvalidInput, "validate refused"},
		"a policy":   {func(e *pavise.Endpoint) { e.Policy = refuses(shield.Denied) }, pavise.Imagined{}, "policy", shield.Denied, "policy refused"},
		"harm":       {func(e *pavise.Endpoint) { e.Harm = refuses(shield.Injection) }, pavise.Imagined{}, "harm", shield.Injection, "harm refused"},
		"the second of two layers": {
			func(e *pavise.Endpoint) { e.Validate = pavise.Layers{expects{}, refuses(shield.GraphQLRefused)} }, pavise.Imagined{}, "validate", shield.GraphQLRefused, "validate refused",
		},
		"too large": {nil, pavise.Imagined{Body: make([]byte, 101)}, "route", shield.TooLarge, "route refused"},
		"a body that is not known": {
			func(e *pavise.Endpoint) {
				e.Validate, e.Policy = expects{body: "x", reads: shield.ReadsBody}, expects{reads: shield.ReadsQuery}
			},
			pavise.Imagined{Unknown: shield.ReadsBody},
			"", "", "validate not judged, policy passed",
		},
		"a layer that does not say what it reads": {
			func(e *pavise.Endpoint) { e.Harm = refuses(shield.Injection) }, pavise.Imagined{Unknown: shield.ReadsHeader}, "", "", "harm not judged",
		},
		"a layer that panics": {
			func(e *pavise.Endpoint) {
				e.Policy = layer(func(*http.Request, *shield.Identity) error { panic("planted") })
			}, pavise.Imagined{}, "policy", shield.Internal, "policy refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := &sink{}
			guard := imagined(t, events, test.change)
			r := post("the body of the request itself")
			f := guard.Foresee(r, test.given)
			code := shield.Code("")
			if f.Refusal != nil {
				code = f.Refusal.Code
			}
			if f.Step != test.step || code != test.code {
				t.Errorf("step %q, code %q; want %q, %q", f.Step, code, test.step, test.code)
			}
			if got := outcomes(f); !strings.Contains(got, test.told) {
				t.Errorf("steps %s; want %s", got, test.told)
			}
			if f.Refusal != nil && strings.Contains(f.Refusal.Detail, "planted") {
				t.Error("the value of a panic is told")
			}
			if events.begun != 0 {
				t.Error("an event was left")
			}
			if text, err := io.ReadAll(r.Body); err != nil || string(text) != "the body of the request itself" {
				t.Errorf("the request's body was read: %q, %v", text, err)
			}
		})
	}
}

func TestForeseeTellsWhatIsLeftAndCountsNothing(t *testing.T) {
	memory, err := limit.NewMemory(limit.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	quotas, err := limit.NewMemoryQuotas(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	guard := one(t, &sink{}, says{id: shop()}, func(p *pavise.Policy) {
		p.Limiter, p.Quotas = memory, quotas
		e := &p.APIs[0].Endpoints[0]
		e.Limits = []limit.Limit{{Name: "orders-client", Rate: limit.Rate{Count: 2, Per: time.Minute}, Per: limit.PerClient}}
		e.Quotas = []limit.Quota{{Name: "orders-day", Count: 3, Period: limit.Day, Per: limit.PerClient}}
	})
	admit := func() string {
		for _, s := range guard.Foresee(get("/v1/orders/7"), pavise.Imagined{}).Steps {
			if s.Name == "admit" {
				return s.Why
			}
		}
		return ""
	}
	for range 5 {
		if got := admit(); !strings.Contains(got, "2 of 2 in 1m0s left") || !strings.Contains(got, "3 of 3 in day left") {
			t.Errorf("told %q", got)
		}
	}
	if memory.Len() != 0 {
		t.Errorf("%d keys are kept of callers who never called", memory.Len())
	}
	for range 2 {
		guard.Wrap(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), get("/v1/orders/7"))
	}
	if got := admit(); !strings.Contains(got, "orders-client: used up, the next passes in ") || !strings.Contains(got, "1 of 3 in day left") {
		t.Errorf("after two requests: %q", got)
	}
}

func TestForeseeTakesAnotherShieldsWord(t *testing.T) {
	guard := one(t, &sink{}, says{err: shield.Refuse(shield.InvalidCredential, "of nobody")}, nil)
	asked := ""
	given := pavise.Imagined{Shield: func(api, endpoint string) shield.Shield {
		asked = api + " " + endpoint
		return says{id: as(func(id *shield.Identity) { id.Scopes = nil })}
	}}
	f := guard.Foresee(get("/v1/orders/7"), given)
	if asked != "orders GET /v1/orders/{id}" || f.Refusal == nil || f.Refusal.Code != shield.InsufficientScope || f.Step != "access" || f.Identity.Client != "shop" {
		t.Errorf("asked %q, %+v", asked, f)
	}
	given.Shield = func(string, string) shield.Shield { return says{err: &pavise.Unknowable{What: "nobody knows"}} }
	if f := guard.Foresee(get("/v1/orders/7"), given); f.Refusal != nil || len(f.Open) != 1 || f.Open[0] != "nobody knows" {
		t.Errorf("%+v", f)
	}
	if f := guard.Foresee(get("/v1/orders/7"), pavise.Imagined{}); f.Refusal == nil || f.Refusal.Code != shield.InvalidCredential || f.Step != "shield" {
		t.Errorf("the endpoint's own shield: %+v", f)
	}
}

// Whatever the guard answers to a request that is made, it foresees.
func TestForeseeAgreesWithTheGuard(t *testing.T) {
	blocked := netip.MustParseAddr("192.0.2.66")
	for name, change := range map[string]func(*http.Request){
		"as it is":         func(*http.Request) {},
		"a doubled slash":  func(r *http.Request) { r.URL.Path, r.RequestURI = "/v1//orders", "/v1//orders" },
		"no endpoint":      func(r *http.Request) { r.URL.Path, r.RequestURI = "/v2", "/v2" },
		"another method":   func(r *http.Request) { r.Method = http.MethodPut },
		"another host":     func(r *http.Request) { r.Host = "other.test" },
		"a blocked caller": func(r *http.Request) { r.RemoteAddr = "192.0.2.66:1" },
		"a foreign script": func(r *http.Request) {
			r.Header["Origin"] = []string{"https://evil.test"}
			r.Header.Set("Upgrade", "websocket")
		},
		"a doubled header": func(r *http.Request) { r.Header["Content-Type"] = []string{"a/b", "c/d"} },
		"a bad query":      func(r *http.Request) { r.URL.RawQuery = "a=%zz" },
	} {
		t.Run(name, func(t *testing.T) {
			events := &sink{}
			build := func() *pavise.Guard {
				return one(t, events, says{id: shop()}, func(p *pavise.Policy) {
					p.Blocks = blocks{blocked}
					p.APIs[0].Endpoints[1].MaxBody = 100
				})
			}
			r := post("")
			change(r)
			f := build().Foresee(r, pavise.Imagined{})
			w, event := send(t, build(), events, r, nil)
			status := 200
			if f.Refusal != nil {
				status = f.Refusal.HTTPStatus()
			}
			if status != w.Code || f.Refusal != nil && string(f.Refusal.Code) != event.Code || f.Refusal != nil && f.Step != event.Step {
				t.Errorf("foreseen %d %+v at %s; answered %d %s at %s", status, f.Refusal, f.Step, w.Code, event.Code, event.Step)
			}
		})
	}
}

// blocks keep one address out.
type blocks struct{ addr netip.Addr }

func (b blocks) Blocked(addr netip.Addr) (time.Time, bool) {
	return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), addr == b.addr
}

func TestForeseeRefusesWhatCannotBeDecided(t *testing.T) {
	guard := one(t, &sink{}, says{err: errors.New("the store is away")}, nil)
	if f := guard.Foresee(get("/v1/orders/7"), pavise.Imagined{}); f.Refusal == nil || f.Refusal.Code != shield.Undecided {
		t.Errorf("%+v", f)
	}
}

func BenchmarkForesee(b *testing.B) {
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.test"}}, Sink: discard{},
		APIs: []pavise.API{{Name: "orders", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{
			{Pattern: "GET /v1/orders/{id}", Shield: says{id: shop()}, Scopes: shield.Scopes{"orders:read"}},
		}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	r := get("/v1/orders/7")
	b.ReportAllocs()
	for b.Loop() {
		if f := guard.Foresee(r, pavise.Imagined{}); f.Refusal != nil {
			b.Fatal(f.Refusal)
		}
	}
}
