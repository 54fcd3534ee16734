package pavise_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// sink keeps events as the guard hands them over.
type sink struct {
	mu      sync.Mutex
	begun   int
	events  []audit.Event
	fail    error
	onBegin func(*audit.Event)
}

func (s *sink) Begin(e *audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.begun++
	if s.onBegin != nil {
		s.onBegin(e)
	}
	return nil
}

func (s *sink) Complete(e *audit.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, *e)
}

// only returns the single event, and checks that it was begun and completed once.
func (s *sink) only(t *testing.T) audit.Event {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun != 1 || len(s.events) != 1 {
		t.Fatalf("%d events begun, %d completed; want exactly one", s.begun, len(s.events))
	}
	return s.events[0]
}

// says is a shield with a fixed answer.
type says struct {
	id    *shield.Identity
	err   error
	needs shield.Needs
	panic any
	takes func() // is called while it verifies
}

func (s says) Verify(*http.Request) (*shield.Identity, error) {
	if s.panic != nil {
		panic(s.panic)
	}
	if s.takes != nil {
		s.takes()
	}
	return s.id, s.err
}
func (s says) Needs() shield.Needs { return s.needs }

func shop() *shield.Identity {
	return &shield.Identity{
		Shield: "test", CredentialID: "k1", Issuer: "pavise", Subject: "shop", Client: "shop",
		Scopes: shield.Scopes{"orders:read"}, Scheme: "Bearer",
	}
}

// one builds a guard with one endpoint "GET /v1/orders/{id}" (and POST /v1/orders).
func one(t testing.TB, events audit.Sink, s shield.Shield, change func(*pavise.Policy)) *pavise.Guard {
	t.Helper()
	policy := pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.test"}},
		Sink:  events,
		APIs: []pavise.API{{Name: "orders", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{
			{Pattern: "GET /v1/orders/{id}", Shield: s, Scopes: shield.Scopes{"orders:read"}},
			{Pattern: "POST /v1/orders", Shield: s, AnyScope: true, MaxBody: 10},
			{Pattern: "GET /files/{path...}", Shield: s, AnyScope: true},
		}}},
	}
	if change != nil {
		change(&policy)
	}
	guard, err := pavise.New(policy)
	if err != nil {
		t.Fatalf("build the guard: %v", err)
	}
	return guard
}

func get(target string) *http.Request {
	r := httptest.NewRequest("GET", "http://api.test"+target, nil)
	return r
}

// send returns the answer and the only event of a request.
func send(t *testing.T, guard *pavise.Guard, events *sink, r *http.Request, next http.HandlerFunc) (*httptest.ResponseRecorder, audit.Event) {
	t.Helper()
	if next == nil {
		next = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }
	}
	w := httptest.NewRecorder()
	guard.Wrap(next).ServeHTTP(w, r)
	return w, events.only(t)
}

// codeOf reads the code of a problem answer, and checks its form.
func codeOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, body %q; want a problem", got, w.Body)
	}
	var p struct {
		Type, Title, Code string
		Status            int
		RequestID         string `json:"request_id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("problem %q: %v", w.Body, err)
	}
	if p.Status != w.Code || p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") || p.Title == "" {
		t.Errorf("problem %+v with status %d and request ID %q", p, w.Code, w.Header().Get("X-Request-Id"))
	}
	return p.Code
}

func TestGuardLetsAnAcceptedRequestThrough(t *testing.T) {
	attacktest.Requirements(t, "16.3.1")
	events := &sink{}
	var seen *http.Request
	w, event := send(t, one(t, events, says{id: shop()}, nil), events, get("/v1/orders/7?q=secret"), func(w http.ResponseWriter, r *http.Request) {
		seen = r
		_, _ = io.WriteString(w, "served")
	})
	if w.Code != 200 || w.Body.String() != "served" {
		t.Fatalf("status %d, body %q", w.Code, w.Body)
	}
	if id := pavise.IdentityOf(seen.Context()); id == nil || id.Client != "shop" {
		t.Errorf("the handler sees identity %+v", id)
	}
	if seen.PathValue("id") != "7" || pavise.RequestID(seen.Context()) != event.ID {
		t.Errorf("path value %q, request ID %q; event %q", seen.PathValue("id"), pavise.RequestID(seen.Context()), event.ID)
	}
	want := audit.Event{
		Decision: audit.Accepted, Status: 200, API: "orders", Endpoint: "GET /v1/orders/{id}", Step: "proxy",
		Client: "shop", CredentialID: "k1", Proved: true, BytesOut: 6, Query: "q=*", Path: "/v1/orders/7",
	}
	got := audit.Event{
		Decision: event.Decision, Status: event.Status, API: event.API, Endpoint: event.Endpoint, Step: event.Step,
		Client: event.Client, CredentialID: event.CredentialID, Proved: event.Proved, BytesOut: event.BytesOut, Query: event.Query, Path: event.Path,
	}
	if got != want {
		t.Errorf("event %+v\nwant  %+v", got, want)
	}
}

func TestGuardRefusesWithCodeAndEvent(t *testing.T) {
	attacktest.Requirements(t, "16.3.1", "16.3.2", "16.5.1", "16.5.4")
	tests := []struct {
		name   string
		shield says
		r      *http.Request
		status int
		code   shield.Code
		step   string
	}{
		{"no credential", says{err: shield.Refuse(shield.Absent, "")}, get("/v1/orders/7"), 401, shield.MissingCredential, "shield"},
		{"nobody's credential", says{err: shield.Refuse(shield.Foreign, "")}, get("/v1/orders/7"), 401, shield.InvalidCredential, "shield"},
		{"wrong credential", says{err: shield.Refuse(shield.BadSignature, "d")}, get("/v1/orders/7"), 401, shield.BadSignature, "shield"},
		{"a shield that cannot decide", says{err: errors.New("keys away")}, get("/v1/orders/7"), 503, shield.Undecided, "shield"},
		{"stale revocations", says{err: fmt.Errorf("look up: %w", shield.ErrStale)}, get("/v1/orders/7"), 503, shield.StalePolicy, "shield"},
		{"a shield that panics", says{panic: "planted-secret"}, get("/v1/orders/7"), 500, shield.Internal, "shield"},
		{"a missing scope", says{id: &shield.Identity{Client: "shop", Scopes: shield.Scopes{"orders:readall"}}}, get("/v1/orders/7"), 403, shield.InsufficientScope, "access"},
		{"an unknown path", says{id: shop()}, get("/v1/nothing"), 404, shield.UnknownEndpoint, "route"},
		{"another method", says{id: shop()}, httptest.NewRequest("DELETE", "http://api.test/v1/orders/7", nil), 405, shield.MethodNotAllowed, "route"},
		{"TRACE", says{id: shop()}, httptest.NewRequest("TRACE", "http://api.test/v1/orders/7", nil), 405, shield.MethodNotAllowed, "door"},
		{"an unknown host", says{id: shop()}, httptest.NewRequest("GET", "http://evil.test/v1/orders/7", nil), 421, shield.UnknownHost, "door"},
		{"a body over the bound", says{id: shop()}, httptest.NewRequest("POST", "http://api.test/v1/orders", strings.NewReader("12345678901")), 413, shield.TooLarge, "route"},
		{"a binding without a certificate", says{id: &shield.Identity{Client: "shop", Scopes: shield.Scopes{"orders:read"}, Confirm: shield.Confirm{Certificate: "abc"}}}, get("/v1/orders/7"), 401, shield.UnboundCredential, "shield"},
		{"a once-claim without a store", says{id: &shield.Identity{Client: "shop", Scopes: shield.Scopes{"orders:read"}, Once: []shield.Once{{}}}}, get("/v1/orders/7"), 503, shield.Undecided, "consume"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			events := &sink{}
			reached := false
			w, event := send(t, one(t, events, test.shield, nil), events, test.r, func(http.ResponseWriter, *http.Request) { reached = true })
			if code := codeOf(t, w); w.Code != test.status || code != string(test.code) {
				t.Errorf("%d %s, want %d %s", w.Code, code, test.status, test.code)
			}
			if event.Code != string(test.code) || event.Step != test.step || event.Status != test.status || event.Decision == audit.Accepted {
				t.Errorf("event %s at %s with %d %s; want %s at %s", event.Code, event.Step, event.Status, event.Decision, test.code, test.step)
			}
			if reached {
				t.Error("the handler was reached")
			}
			if strings.Contains(event.Detail, "planted") {
				t.Errorf("the value of a panic is in the event: %q", event.Detail)
			}
		})
	}
}

func TestDoorRefusesWhatReadersReadDifferently(t *testing.T) {
	attacktest.Requirements(t, "16.3.3")
	refused := map[string]shield.Code{
		"/files/../secret": shield.BadPath, "/files/./a": shield.BadPath, "/files/%2e%2e/a": shield.BadPath, "/files/%2E": shield.BadPath,
		"/files//a": shield.BadPath, "//files/a": shield.BadPath, "/files/a%2fb": shield.BadPath, "/files/a%2Fb": shield.BadPath,
		"/files/a%5cb": shield.BadPath, "/files/a%3bb": shield.BadPath, "/files/..%3B/a": shield.BadPath, "/files/%7E": shield.BadPath, "/files/..;/a": shield.BadPath, "/files/a;b": shield.BadPath, "/files/%252e": shield.BadPath,
		"/files/%00": shield.BadPath, "/files/%0a": shield.BadPath, "/files/%7f": shield.BadPath, "/files/%c0%ae": shield.BadPath,
		"/files/%ff": shield.BadPath, "/%66iles/a": shield.BadPath, "/files/%41": shield.BadPath, "/files/a?x=1;y=2": shield.BadQuery,
		"/files/a?x=%zz": shield.BadQuery, "/files/a?x=%": shield.BadQuery, "/files/a?x=%00": shield.BadQuery, "/files/a?x=%ff": shield.BadQuery,
		"/files/a?" + strings.Repeat("x", 17<<10): shield.PathTooLong, "/files/" + strings.Repeat("x", 9<<10): shield.PathTooLong,
	}
	for target, code := range refused {
		t.Run(clip(target), func(t *testing.T) {
			events := &sink{}
			r := get("/")
			path, query, _ := strings.Cut(target, "?")
			r.URL.Path, r.URL.RawPath, r.URL.RawQuery = unescaped(path), path, query
			w, event := send(t, one(t, events, says{id: shop()}, nil), events, r, nil)
			if got := codeOf(t, w); got != string(code) || event.Code != string(code) {
				t.Errorf("%d %s (event %s), want %s", w.Code, got, event.Code, code)
			}
		})
	}
	for _, target := range []string{"/files/a.b", "/files/a%20b", "/files/%C3%A4", "/files/a+b@c:d", "/files/...a", "/files/a/", "/files/a?x=1&x=2&y[]=3", "/files/a?q=%C3%A4+b", "/files/a?", "/files/100%25"} {
		t.Run(target, func(t *testing.T) {
			events := &sink{}
			if w, _ := send(t, one(t, events, says{id: shop()}, nil), events, get(target), nil); w.Code != 200 {
				t.Errorf("%d %s, want 200", w.Code, w.Body)
			}
		})
	}
}

func clip(s string) string { return s[:min(len(s), 40)] }

func unescaped(path string) string {
	r, err := http.NewRequest("GET", "http://x"+path, nil)
	if err != nil {
		return path
	}
	return r.URL.Path
}

func TestDoorRefusesDoubledAndConfusableHeaders(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		code   shield.Code
	}{
		{"two Authorization headers", http.Header{"Authorization": {"a", "b"}}, shield.MalformedCredential},
		{"two key headers", http.Header{"X-Api-Key": {"a", "b"}}, shield.MalformedCredential},
		{"two content types", http.Header{"Content-Type": {"a/b", "c/d"}}, shield.BadHeader},
		{"an underscore", http.Header{"X_User_Id": {"1"}}, shield.BadHeader},
		{"a dot", http.Header{"X.User": {"1"}}, shield.BadHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			events := &sink{}
			r := get("/v1/orders/7")
			r.Header = test.header
			w, _ := send(t, one(t, events, says{id: shop(), needs: shield.Needs{Carries: []string{"X-API-Key"}}}, nil), events, r, nil)
			if got := codeOf(t, w); got != string(test.code) || w.Code != 400 {
				t.Errorf("%d %s, want 400 %s", w.Code, got, test.code)
			}
		})
	}
}

func TestGuardRemovesEveryCredential(t *testing.T) {
	events := &sink{}
	var seen http.Header
	r := get("/v1/orders/7")
	r.Header = http.Header{"X-Api-Key": {"k"}, "Authorization": {"Bearer x"}, "Dpop": {"p"}, "Accept": {"*/*"}}
	send(t, one(t, events, says{id: shop(), needs: shield.Needs{Carries: []string{"X-API-Key"}}}, nil), events, r,
		func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	if len(seen) != 2 || seen.Get("Accept") == "" || seen.Get("Traceparent") == "" {
		t.Errorf("the handler sees %v, want only Accept and the trace", seen)
	}
}

func TestNobodySpeaksForTheGuard(t *testing.T) {
	attacktest.Rows(t, 79, 121)
	claims := func() http.Header {
		return http.Header{
			"Client-Cert": {":AAAA:"}, "Client-Cert-Chain": {":AAAA:"}, "Pavise-Identity": {"forged"}, "Pavise-Client": {"admin"}, "pavise-user": {"root"},
			"Pavise_tenant": {"all"}, "Client_Cert": {":AAAA:"}, "Client-Certificate-Hint": {"a"}, "Accept": {"*/*"}, "Paviseur": {"a"}, "Content-Type": {"a/b"},
		}
	}
	handed := func(change func(*pavise.Policy)) http.Header {
		events := &sink{}
		var seen http.Header
		r := get("/v1/orders/7")
		r.Header = claims()
		send(t, one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			p.APIs[0].Lenient.InsecureUnderscoreHeaders = true
			if change != nil {
				change(p)
			}
		}), events, r, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
		return seen
	}
	presented := func(ok bool) func(*pavise.Policy) {
		return func(p *pavise.Policy) {
			p.Presented = func(*http.Request) ([]*x509.Certificate, bool, error) { return nil, ok, nil }
		}
	}
	for name, change := range map[string]func(*pavise.Policy){"no terminator": nil, "a caller who is no terminator": presented(false)} {
		if seen := handed(change); len(seen) != 5 || seen["Accept"] == nil || seen["Paviseur"] == nil || seen["Content-Type"] == nil || seen["Client-Certificate-Hint"] == nil {
			t.Errorf("%s: the handler sees %v", name, seen)
		}
	}
	if seen := handed(presented(true)); len(seen) != 8 || seen["Client-Cert"] == nil || seen["Client-Cert-Chain"] == nil || seen["Pavise-Identity"] != nil {
		t.Errorf("behind a terminator the handler sees %v", seen)
	}
}

func TestNothingIsSentUnlessTheEventIsKept(t *testing.T) {
	attacktest.Requirements(t, "16.3.4", "16.5.3")
	events := &sink{fail: errors.New("disk full")}
	w := httptest.NewRecorder()
	var wrote error
	one(t, events, says{id: shop()}, nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Data", "private")
		_, wrote = io.WriteString(w, "private")
	})).ServeHTTP(w, get("/v1/orders/7"))
	if w.Code != 503 || codeOfUnrecorded(t, w) != string(shield.Unrecorded) || wrote == nil {
		t.Errorf("%d %q, write error %v; want 503 unrecorded", w.Code, w.Body, wrote)
	}
	if strings.Contains(w.Body.String(), "private") || w.Header().Get("X-Data") != "" {
		t.Error("the handler's answer was sent without a record")
	}
}

func codeOfUnrecorded(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p struct{ Code string }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("problem %q: %v", w.Body, err)
	}
	return p.Code
}

func TestEventIsKeptBeforeTheFirstByte(t *testing.T) {
	var order []string
	events := &sink{onBegin: func(e *audit.Event) { order = append(order, fmt.Sprint("event ", e.Status, " ", e.Client)) }}
	w := &ordered{header: http.Header{}, order: &order}
	one(t, events, says{id: shop()}, nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
	})).ServeHTTP(w, get("/v1/orders/7"))
	if got := strings.Join(order, ", "); got != "header 103, event 201 shop, header 201" {
		t.Errorf("order %q", got)
	}
}

type ordered struct {
	header http.Header
	order  *[]string
}

func (o *ordered) Header() http.Header         { return o.header }
func (o *ordered) Write(p []byte) (int, error) { return len(p), nil }
func (o *ordered) WriteHeader(status int)      { *o.order = append(*o.order, fmt.Sprint("header ", status)) }

func TestAnswersOfGuardedEndpointsStayOutOfSharedCaches(t *testing.T) {
	guarded := says{id: shop(), needs: shield.Needs{Carries: []string{"X-API-Key"}}}
	tests := []struct {
		shield      says
		given, want string
	}{
		{guarded, "", "no-store"},
		{guarded, "public, max-age=60", "no-store"},
		{guarded, "private, max-age=60", "private, max-age=60"},
		{says{id: shop()}, "public, max-age=60", "public, max-age=60"},
	}
	for _, test := range tests {
		events := &sink{}
		w, _ := send(t, one(t, events, test.shield, nil), events, get("/v1/orders/7"), func(w http.ResponseWriter, _ *http.Request) {
			if test.given != "" {
				w.Header().Set("Cache-Control", test.given)
			}
		})
		if got := w.Header().Get("Cache-Control"); got != test.want {
			t.Errorf("Cache-Control %q became %q, want %q", test.given, got, test.want)
		}
	}
}

// Found on 2026-11-30: no-store for everybody, and another word for the cache in front.
func TestNoCacheIsToldOtherwiseOfAPrivateAnswer(t *testing.T) {
	attacktest.Rows(t, 124)
	for name, guarded := range map[string]bool{"with a credential": true, "for everybody": false} {
		events, needs := &sink{}, shield.Needs{}
		if guarded {
			needs.Carries = []string{"X-API-Key"}
		}
		w, _ := send(t, one(t, events, says{id: shop(), needs: needs}, nil), events, get("/v1/orders/7"), func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"} {
				w.Header().Set(name, "max-age=600")
			}
			w.Header().Set("Cache-Control", "private, max-age=60")
		})
		for _, field := range []string{"Cdn-Cache-Control", "Cloudflare-Cdn-Cache-Control", "Surrogate-Control", "X-Accel-Expires"} {
			if got := w.Header().Get(field); (got == "") != guarded {
				t.Errorf("%s: %s is %q", name, field, got)
			}
		}
		if got := w.Header().Get("Cache-Control"); got != "private, max-age=60" {
			t.Errorf("%s: Cache-Control became %q", name, got)
		}
	}
}

func TestPreflightIsAnsweredByTheCORSRuleAlone(t *testing.T) {
	tests := []struct {
		name, origin, method string
		status               int
	}{
		{"a listed origin", "https://app.test", "GET", 204},
		{"a foreign origin", "https://evil.test", "GET", 403},
		{"a method that the path lacks", "https://app.test", "DELETE", 403},
		{"no origin", "", "GET", 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			events := &sink{}
			guard := one(t, events, says{panic: "asked"}, func(p *pavise.Policy) { p.APIs[0].Origins = []string{"https://app.test"} })
			r := httptest.NewRequest("OPTIONS", "http://api.test/v1/orders/7", nil)
			r.Header.Set("Access-Control-Request-Method", test.method)
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			w, event := send(t, guard, events, r, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was reached") })
			if w.Code != test.status || event.Status != test.status {
				t.Fatalf("%d, event %d; want %d", w.Code, event.Status, test.status)
			}
			if allowed := w.Header().Get("Access-Control-Allow-Origin"); (allowed == test.origin && allowed != "") != (test.status == 204) {
				t.Errorf("Access-Control-Allow-Origin %q", allowed)
			}
		})
	}
}

func TestUpgradeFromAForeignOriginIsRefused(t *testing.T) {
	for origin, status := range map[string]int{"https://evil.test": 403, "http://api.test": 200, "https://app.test": 200, "": 200} {
		events := &sink{}
		guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) { p.APIs[0].Origins = []string{"https://app.test"} })
		r := get("/v1/orders/7")
		r.Header.Set("Upgrade", "websocket")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if w, _ := send(t, guard, events, r, nil); w.Code != status {
			t.Errorf("origin %q: %d, want %d", origin, w.Code, status)
		}
	}
}

// slow is a body whose sending takes as long as done wants.
type slow struct{ done func() }

func (s slow) Read(p []byte) (int, error) {
	s.done()
	return copy(p, "{}"), io.EOF
}

// Found on 2026-11-30: whoever held a stolen credential could begin requests, send their bodies slowly, and have
// them carried out minutes after the credential was revoked.
func TestACredentialThatEndsWhileTheBodyComesIsRefused(t *testing.T) {
	attacktest.Rows(t, 9, 80)
	for name, c := range map[string]struct {
		takes   time.Duration
		expires time.Duration
		revoked bool
		held    bool
		code    shield.Code
	}{
		"revoked":                 {takes: time.Second, revoked: true, code: shield.RevokedCredential},
		"expired":                 {takes: time.Minute, expires: time.Minute, code: shield.ExpiredCredential},
		"suspended":               {takes: time.Second, held: true, code: shield.SuspendedCredential},
		"only slow":               {takes: time.Minute, expires: time.Hour},
		"revoked, a moment after": {takes: time.Millisecond, revoked: true},
	} {
		now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		over := false
		id, other := shop(), shop()
		other.Revocation = func() bool { return over && c.revoked }
		if id.With = []*shield.Identity{other}; c.expires > 0 {
			id.Expires = now.Add(c.expires)
		}
		events, reached := &sink{}, false
		guard := one(t, events, says{id: id}, func(p *pavise.Policy) {
			p.Now = func() time.Time { return now }
			p.Holds = holding(func() bool { return over && c.held })
			p.APIs[0].Endpoints[1].Validate = whole{}
		})
		r := httptest.NewRequest("POST", "http://api.test/v1/orders", slow{func() { now, over = now.Add(c.takes), true }})
		r.ContentLength = 2
		w, event := send(t, guard, events, r, func(w http.ResponseWriter, _ *http.Request) {
			reached = true
			w.WriteHeader(http.StatusOK)
		})
		if got := codeOfAnswer(t, w); got != string(c.code) || reached != (c.code == "") || event.Code != string(c.code) {
			t.Errorf("%s: %d %q, the service was reached: %t; event %+v", name, w.Code, got, reached, event)
		}
		if c.code != "" && (event.Decision != audit.Refused || event.Step != "shield" || !event.Proved) {
			t.Errorf("%s: the event says %s at %s", name, event.Decision, event.Step)
		}
	}
}

// holding suspends everybody while it says so.
type holding func() bool

func (h holding) Held(id *shield.Identity) error {
	if !h() {
		return nil
	}
	return shield.Refuse(shield.SuspendedCredential, "for now").Of(id.CredentialID, id.Client, true)
}

// Found on 2026-11-30: browsers add the certificate of their owner to what any page sends.
func TestPagesOfOthersCannotUseTheCertificateOfABrowser(t *testing.T) {
	attacktest.Rows(t, 125)
	mutual, keyed := shield.Needs{ClientCert: true}, shield.Needs{ClientCert: true, Carries: []string{"X-API-Key"}}
	for name, c := range map[string]struct {
		needs    shield.Needs
		method   string
		header   http.Header
		withCert bool
		status   int
	}{
		"a form of another site":                 {mutual, "POST", http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}, true, 403},
		"of an older browser":                    {mutual, "POST", http.Header{"Origin": {"https://evil.test"}}, true, 403},
		"of a frame without an origin":           {mutual, "POST", http.Header{"Origin": {"null"}}, true, 403},
		"of a neighbour, without Origin":         {mutual, "POST", http.Header{"Sec-Fetch-Site": {"same-site"}}, true, 403},
		"where a key would do as well":           {keyed, "POST", http.Header{"Origin": {"https://evil.test"}}, true, 403},
		"with a key, which no page can add":      {keyed, "POST", http.Header{"Origin": {"https://evil.test"}, "X-Api-Key": {"k"}}, true, 200},
		"of the same origin":                     {mutual, "POST", http.Header{"Origin": {"https://api.test"}, "Sec-Fetch-Site": {"same-origin"}}, true, 200},
		"of an origin that is listed":            {mutual, "POST", http.Header{"Origin": {"https://app.test"}, "Sec-Fetch-Site": {"cross-site"}}, true, 200},
		"typed by the person":                    {mutual, "POST", http.Header{"Sec-Fetch-Site": {"none"}}, true, 200},
		"of a program":                           {mutual, "POST", http.Header{}, true, 200},
		"a link of another site, which may read": {mutual, "GET", http.Header{"Sec-Fetch-Site": {"cross-site"}}, true, 200},
		"without a certificate":                  {mutual, "POST", http.Header{"Origin": {"https://evil.test"}}, false, 200},
		"of a shield without certificates":       {shield.Needs{}, "POST", http.Header{"Origin": {"https://evil.test"}}, true, 200},
	} {
		events := &sink{}
		guard := one(t, events, says{id: shop(), needs: c.needs}, func(p *pavise.Policy) {
			p.Hosts[0].ClientCertificates = true
			p.APIs[0].Origins = []string{"https://app.test"}
		})
		target := "https://api.test/v1/orders"
		if c.method == "GET" {
			target += "/7"
		}
		r := httptest.NewRequest(c.method, target, nil)
		r.TLS = &tls.ConnectionState{ServerName: "api.test"}
		if c.withCert {
			r.TLS.PeerCertificates = []*x509.Certificate{{Raw: []byte("theirs")}}
		}
		r.Header = c.header
		w, event := send(t, guard, events, r, nil)
		if w.Code != c.status || c.status == 403 && (event.Code != string(shield.ForeignOrigin) || event.Warning != audit.SentByPage) {
			t.Errorf("%s: %d, want %d; event %s %s", name, w.Code, c.status, event.Code, event.Warning)
		}
	}
}

func TestHandlerPanicAfterTheAnswerBeganAbortsTheConnection(t *testing.T) {
	attacktest.Requirements(t, "16.5.4")
	events := &sink{}
	server := httptest.NewServer(one(t, events, says{id: shop()}, func(p *pavise.Policy) {
		p.Hosts[0].Name = "127.0.0.1"
		p.APIs[0].Hosts = []string{"127.0.0.1"}
	}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "partial")
		panic("planted-secret")
	})))
	defer server.Close()
	response, err := http.Get(server.URL + "/v1/orders/7")
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err == nil {
		t.Error("the answer ended as if it were whole")
	}
	if e := events.only(t); e.Note != "aborted" || e.Decision != audit.Failed || strings.Contains(e.Detail, "planted") {
		t.Errorf("event %s %s %q", e.Note, e.Decision, e.Detail)
	}
}

// consumed is an OnceStore that records what it was asked.
type consumed struct {
	claims []shield.Once
	err    error
}

func (c *consumed) Consume(_ context.Context, claims []shield.Once) error {
	c.claims = append(c.claims, claims...)
	return c.err
}

func TestOnceClaimsOfEveryProofAreConsumedTogetherAndLast(t *testing.T) {
	first, second := shop(), shop()
	first.Once = []shield.Once{{Space: "a"}}
	second.Once = []shield.Once{{Space: "b"}}
	first.With = []*shield.Identity{second}
	store := &consumed{}
	events := &sink{}
	refusing := layer(func(*http.Request, *shield.Identity) error { return shield.Refuse(shield.Denied, "no") })
	guard := one(t, events, says{id: first}, func(p *pavise.Policy) {
		p.Once = store
		p.APIs[0].Endpoints[0].Policy = refusing
	})
	if w, _ := send(t, guard, events, get("/v1/orders/7"), nil); w.Code != 403 || len(store.claims) != 0 {
		t.Fatalf("%d and %d claims used up by a refused request", w.Code, len(store.claims))
	}
	events = &sink{}
	guard = one(t, events, says{id: first}, func(p *pavise.Policy) { p.Once = store })
	if w, _ := send(t, guard, events, get("/v1/orders/7"), nil); w.Code != 200 || len(store.claims) != 2 {
		t.Fatalf("%d and claims %v, want 200 and both claims", w.Code, store.claims)
	}
	events, store.err = &sink{}, shield.Refuse(shield.ReplayedRequest, "used")
	guard = one(t, events, says{id: first}, func(p *pavise.Policy) { p.Once = store })
	if w, e := send(t, guard, events, get("/v1/orders/7"), nil); w.Code != 401 || e.Code != string(shield.ReplayedRequest) || !e.Proved {
		t.Errorf("%d %s, want 401 replayed_request of a proved credential", w.Code, e.Code)
	}
}

type layer func(*http.Request, *shield.Identity) error

func (l layer) Check(r *http.Request, id *shield.Identity) error { return l(r, id) }

func TestNewRefusesIncompletePolicies(t *testing.T) {
	good := func() pavise.Policy {
		return pavise.Policy{
			Sink: &sink{}, Hosts: []pavise.Host{{Name: "api.test"}},
			APIs: []pavise.API{{Name: "a", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{{Pattern: "GET /", Shield: says{}, AnyScope: true}}}},
		}
	}
	if _, err := pavise.New(good()); err != nil {
		t.Fatalf("a complete policy: %v", err)
	}
	tests := map[string]func(*pavise.Policy){
		"no sink":                  func(p *pavise.Policy) { p.Sink = nil },
		"no shield":                func(p *pavise.Policy) { p.APIs[0].Endpoints[0].Shield = nil },
		"no scopes":                func(p *pavise.Policy) { p.APIs[0].Endpoints[0].AnyScope = false },
		"scopes and any":           func(p *pavise.Policy) { p.APIs[0].Endpoints[0].Scopes = shield.Scopes{"a"} },
		"unknown host":             func(p *pavise.Policy) { p.APIs[0].Hosts = []string{"other.test"} },
		"no host":                  func(p *pavise.Policy) { p.APIs[0].Hosts = nil },
		"a host twice":             func(p *pavise.Policy) { p.Hosts = append(p.Hosts, p.Hosts[0]) },
		"a host with a port":       func(p *pavise.Policy) { p.Hosts[0].Name = "api.test:443" },
		"a pattern without method": func(p *pavise.Policy) { p.APIs[0].Endpoints[0].Pattern = "/x" },
		"a pattern twice":          func(p *pavise.Policy) { p.APIs[0].Endpoints = append(p.APIs[0].Endpoints, p.APIs[0].Endpoints[0]) },
		"certificates never asked for": func(p *pavise.Policy) {
			p.APIs[0].Endpoints[0].Shield = says{needs: shield.Needs{ClientCert: true}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			p := good()
			change(&p)
			if _, err := pavise.New(p); err == nil {
				t.Error("the policy was accepted")
			}
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.test"}}, Sink: discard{},
		APIs: []pavise.API{{Name: "a", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{{Pattern: "GET /v1/orders/{id}", Shield: says{id: shop()}, AnyScope: true}}}},
		Now:  time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	h := guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	r := get("/v1/orders/7")
	var order []string
	b.ReportAllocs()
	for b.Loop() {
		order = order[:0]
		h.ServeHTTP(&ordered{header: http.Header{}, order: &order}, r)
	}
}

type discard struct{}

func (discard) Begin(*audit.Event) error { return nil }
func (discard) Complete(*audit.Event)    {}
