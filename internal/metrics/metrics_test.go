package metrics_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/metrics"
)

func counting(o metrics.Options) *metrics.Metrics {
	m := metrics.New(o)
	m.Know([]metrics.Endpoint{{API: "orders", Name: "GET /v1/orders/{id}"}, {API: "orders", Name: "POST /v1/orders"}})
	m.Watch([]metrics.Incident{{Detection: "guessing", Severity: "high"}})
	return m
}

func text(t testing.TB, m *metrics.Metrics) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// series are the lines of our own metrics, without their values.
func series(t testing.TB, m *metrics.Metrics) (lines []string) {
	t.Helper()
	for line := range strings.Lines(text(t, m)) {
		if strings.HasPrefix(line, "pavise_") {
			lines = append(lines, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	return lines
}

func accepted() *audit.Event {
	return &audit.Event{
		ID: "0123456789ABCDEF", Time: time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC), Class: audit.Request, Decision: audit.Accepted,
		API: "orders", Endpoint: "GET /v1/orders/{id}", Method: "GET", Status: 200, BytesIn: 3, BytesOut: 700,
		Duration: 3 * time.Millisecond, UpstreamDuration: 2 * time.Millisecond,
		Took:  [audit.Parts]time.Duration{3 * time.Microsecond, 40 * time.Microsecond, time.Microsecond},
		Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Sampled: true,
	}
}

func TestCountsWhatEventsSay(t *testing.T) {
	m := counting(metrics.Options{})
	m.See(1, accepted())
	m.See(2, accepted())
	for i, e := range []audit.Event{
		{Class: audit.Request, Decision: audit.Refused, Method: "GET", Code: "unknown_endpoint", Status: 404, Duration: time.Millisecond},
		{Class: audit.Request, Decision: audit.Refused, Code: "missing_credential", Status: 401, Duration: 10 * time.Second, Count: 500, Note: "counted"},
		{Class: audit.Request, Decision: audit.Failed, API: "orders", Endpoint: "POST /v1/orders", Method: "POST", Code: "upstream_timeout", Status: 504, Duration: 30 * time.Second},
		{Class: audit.Request, Decision: audit.Accepted, API: "orders", Endpoint: "GET /v1/orders/{id}", Method: "GET", Status: 101, Duration: time.Hour, Note: "upgraded"},
		{Class: audit.Connection, Decision: audit.Refused, Step: "tls", Code: "tls_version"},
		{Class: audit.Connection, Decision: audit.Refused, Step: "tls", Code: "tls_version", Count: 9},
		{Class: audit.Admin, Decision: audit.Accepted, Action: "client.create"},
		{Class: audit.Admin, Decision: audit.Refused, Action: "client.create"},
		{Class: audit.Admin, Decision: audit.Noted, Action: "reload_refused", Time: time.Unix(1_800_000_000, 0)},
		{Class: audit.Grant, Decision: audit.Noted, Action: "token.issue"},
		{Class: audit.Detection, Decision: audit.Noted, Action: "began", Code: "guessing", Warning: "high"},
		{Class: audit.Detection, Decision: audit.Noted, Action: "ended", Code: "guessing", Warning: "high"},
		{Class: audit.System, Decision: audit.Noted, Code: "started"},
	} {
		m.See(uint64(i+3), &e)
	}
	got := text(t, m)
	for _, want := range []string{
		`pavise_requests_total{api="orders",code="",decision="accepted",endpoint="GET /v1/orders/{id}",method="GET",status="2xx"} 2`,
		`pavise_requests_total{api="orders",code="",decision="accepted",endpoint="GET /v1/orders/{id}",method="GET",status="1xx"} 1`,
		`pavise_requests_total{api="",code="unknown_endpoint",decision="refused",endpoint="",method="GET",status="4xx"} 1`,
		`pavise_requests_total{api="",code="missing_credential",decision="refused",endpoint="",method="",status="4xx"} 500`,
		`pavise_requests_total{api="orders",code="upstream_timeout",decision="failed",endpoint="POST /v1/orders",method="POST",status="5xx"} 1`,
		`pavise_request_duration_seconds_bucket{api="orders",decision="accepted",endpoint="GET /v1/orders/{id}",le="0.0025"} 0`,
		`pavise_request_duration_seconds_bucket{api="orders",decision="accepted",endpoint="GET /v1/orders/{id}",le="0.005"} 2`,
		`pavise_request_duration_seconds_count{api="orders",decision="accepted",endpoint="GET /v1/orders/{id}"} 2`,
		`pavise_request_duration_seconds_count{api="",decision="refused",endpoint=""} 1`,
		`pavise_upstream_duration_seconds_count{api="orders",endpoint="GET /v1/orders/{id}"} 2`,
		`pavise_part_duration_seconds_bucket{part="identity",le="5e-05"} 2`,
		`pavise_part_duration_seconds_count{part="input"} 0`,
		`pavise_bytes_total{api="orders",direction="in"} 6`,
		`pavise_bytes_total{api="orders",direction="out"} 1400`,
		`pavise_connection_faults_total{code="tls_version",step="tls"} 10`,
		`pavise_admin_acts_total{action="client.create",decision="accepted"} 1`,
		`pavise_admin_acts_total{action="client.create",decision="refused"} 1`,
		`pavise_configuration_last_reload_successful 0`,
		`pavise_configuration_last_reload_timestamp_seconds 1.8e+09`,
		`pavise_grants_total{action="token.issue"} 1`,
		`pavise_alerts_total{detection="guessing",severity="high"} 1`,
		`pavise_events_written_total 15`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// What callers send, a million times something else, makes no series.
func TestAHostileFloodAddsNoSeries(t *testing.T) {
	m := counting(metrics.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	flood := func(n int) {
		var junk [8]byte
		for i := range n {
			for k := range junk {
				junk[k] = byte(random.Uint32())
			}
			s := string(junk[:])
			e := audit.Event{
				ID: s, Time: time.Unix(int64(i), 0), Class: audit.Request, Decision: audit.Refused, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte(junk[:4])), 1),
				Method: s, Host: s, Path: s, Query: s, UserAgent: s, SNI: s, Trace: s, Sampled: true, Code: s, Detail: s, Status: int(random.Int32N(2000)) - 500,
				Client: s, User: s, Tenant: s, CredentialID: s, Upstream: s, Step: s, Action: s, Actor: s, Warning: s, Note: s, Duration: time.Duration(random.Int64N(1e9)),
			}
			switch i % 8 {
			case 0:
				e.API = "orders"
			case 1:
				e.API, e.Endpoint = "orders", "GET /v1/orders/{id}"
			case 2:
				e.API, e.Endpoint = s, s
			case 3:
				e.Class = audit.Connection
			case 4:
				e.Class = audit.Admin
			case 5:
				e.Class = audit.Grant
			case 6:
				e.Class, e.Action = audit.Detection, "began"
			}
			m.See(uint64(i), &e)
		}
	}
	flood(1000)
	before := series(t, m)
	flood(1_000_000)
	if after := series(t, m); len(after) != len(before) {
		t.Fatalf("%d series became %d", len(before), len(after))
	}
	if len(before) > 400 {
		t.Errorf("%d series of a flood are many", len(before))
	}
}

// Every text of an event is marked but for the words that labels may have.
func TestNothingOfTheCallerIsALabel(t *testing.T) {
	m := counting(metrics.Options{})
	for _, class := range []audit.Class{audit.Request, audit.Connection, audit.Admin, audit.Grant, audit.Detection, audit.System} {
		var e audit.Event
		v := reflect.ValueOf(&e).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.String {
				f.SetString("marked" + v.Type().Field(i).Name)
			}
		}
		e.ID, e.Class = "", class
		m.See(1, &e)
		e.API, e.Endpoint = "orders", "GET /v1/orders/{id}"
		m.See(2, &e)
	}
	if got := text(t, m); strings.Contains(got, "marked") {
		t.Errorf("it tells of\n%s", regexp.MustCompile(`(?m)^.*marked.*$`).FindString(got))
	}
}

func TestReloadsForgetEndpointsThatAreGone(t *testing.T) {
	m := counting(metrics.Options{})
	m.See(1, accepted())
	m.Know([]metrics.Endpoint{{API: "orders", Name: "POST /v1/orders"}})
	if got := text(t, m); strings.Contains(got, "GET /v1/orders/{id}") {
		t.Error("the endpoint that is gone is shown")
	}
	m.See(2, accepted()) // it began before
	if got := text(t, m); !strings.Contains(got, `pavise_requests_total{api="orders",code="",decision="accepted",endpoint="other",method="GET",status="2xx"} 1`) {
		t.Error("the late one does not count as other")
	}
	m.Know([]metrics.Endpoint{{API: "orders", Name: "POST /v1/orders"}, {API: "orders", Name: "GET /v1/orders/{id}"}})
	m.See(3, accepted())
	if got := text(t, m); !strings.Contains(got, `endpoint="GET /v1/orders/{id}",method="GET",status="2xx"} 1`) {
		t.Error("an endpoint that came back does not count")
	}
}

func TestReloadsForgetDetectionsThatAreGone(t *testing.T) {
	m := counting(metrics.Options{})
	began := audit.Event{Class: audit.Detection, Action: "began", Code: "guessing", Warning: "high"}
	m.See(1, &began)
	m.Watch([]metrics.Incident{{Detection: "mine", Severity: "low"}})
	m.See(2, &began) // it was written before
	got := text(t, m)
	if strings.Contains(got, "guessing") || !strings.Contains(got, `pavise_alerts_total{detection="mine",severity="low"} 0`) ||
		!strings.Contains(got, `pavise_alerts_total{detection="other",severity="high"} 1`) {
		t.Errorf("alerts:\n%s", regexp.MustCompile(`(?m)^pavise_alerts_total.*$`).FindAllString(got, -1))
	}
}

// Of endpoints that stay a reload forgets nothing.
func TestReloadsKeepCounts(t *testing.T) {
	m := counting(metrics.Options{})
	m.See(1, accepted())
	m.Know([]metrics.Endpoint{{API: "orders", Name: "GET /v1/orders/{id}"}})
	m.See(2, accepted())
	if got := text(t, m); !strings.Contains(got, `endpoint="GET /v1/orders/{id}",method="GET",status="2xx"} 2`) {
		t.Error("a reload forgets what it should keep")
	}
}

func TestKindsOfRequestsAreBounded(t *testing.T) {
	m := counting(metrics.Options{Series: 3})
	for _, code := range []string{"", "invalid_input", "locked_out", "busy", "denied", "injection"} {
		e := accepted()
		e.Code, e.Decision = code, audit.Refused
		m.See(1, e)
	}
	got := text(t, m)
	if n := strings.Count(got, "\npavise_requests_total{"); n != 4 {
		t.Errorf("%d kinds are counted apart, want 3 and one for all others", n)
	}
	if want := `pavise_requests_total{api="orders",code="other",decision="refused",endpoint="GET /v1/orders/{id}",method="other",status=""} 3`; !strings.Contains(got, want) {
		t.Errorf("no line %s", want)
	}
}

func scrape(m *metrics.Metrics, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9464/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	(&metrics.Site{Metrics: m, Ready: func() map[string]error { return nil }}).Handler().ServeHTTP(w, r)
	return w
}

func TestHistogramsNameRequestsAsExamples(t *testing.T) {
	m := counting(metrics.Options{})
	m.See(1, accepted())
	later := accepted()
	later.ID, later.Time = "LATER", later.Time.Add(5*time.Second)
	m.See(2, later) // the first stands for a while
	unrecorded := accepted()
	unrecorded.ID, unrecorded.Sampled, unrecorded.Duration = "UNRECORDED", false, time.Second
	m.See(3, unrecorded)
	forged := accepted()
	forged.ID, forged.Trace, forged.Duration = "FORGED\"} 1", strings.Repeat("é", 500), 2*time.Second
	m.See(4, forged)
	open := scrape(m, "application/openmetrics-text; version=1.0.0")
	if kind := open.Header().Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") {
		t.Errorf("it is %s", kind)
	}
	got := strings.ReplaceAll(open.Body.String(), // labels of examples have no order
		`{trace_id="4bf92f3577b34da6a3ce929d0e0e4736",request_id="0123456789ABCDEF"}`, `{request_id="0123456789ABCDEF",trace_id="4bf92f3577b34da6a3ce929d0e0e4736"}`)
	for _, want := range []string{
		`le="0.005"} 2 # {request_id="0123456789ABCDEF",trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.003`,
		`le="1.0"} 3 # {request_id="UNRECORDED"} 1.0`,
		"\n# EOF\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, never := range []string{"LATER", "FORGED", "é"} {
		if strings.Contains(got, never) {
			t.Errorf("it tells of %s", never)
		}
	}
	plain := scrape(m, "text/plain;version=0.0.4")
	if kind := plain.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("it is %s", kind)
	}
	if strings.Contains(plain.Body.String(), "trace_id") {
		t.Error("the old format knows no examples")
	}
}

// A kind of event that was seen before needs no memory.
func TestSeeNeedsNoMemory(t *testing.T) {
	m := counting(metrics.Options{})
	for name, e := range map[string]*audit.Event{
		"request": accepted(),
		"fault":   {Class: audit.Connection, Decision: audit.Refused, Step: "tls", Code: "tls_version"},
		"act":     {Class: audit.Admin, Decision: audit.Accepted, Action: "reload", Time: time.Unix(1, 0)},
		"grant":   {Class: audit.Grant, Action: "token.issue"},
		"alert":   {Class: audit.Detection, Action: "began", Code: "guessing", Warning: "high"},
		"unknown": {Class: audit.Request, Decision: audit.Refused, Method: "BREW", Code: "who knows", API: "nobody", Endpoint: "nothing"},
	} {
		if n := testing.AllocsPerRun(1000, func() { m.See(1, e) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkSee(b *testing.B) {
	for name, e := range map[string]*audit.Event{
		"accepted": accepted(),
		"refused":  {Class: audit.Request, Decision: audit.Refused, API: "orders", Endpoint: "POST /v1/orders", Method: "POST", Code: "missing_credential", Status: 401, Duration: time.Millisecond},
		"fault":    {Class: audit.Connection, Decision: audit.Refused, Step: "tls", Code: "tls_version"},
	} {
		b.Run(name, func(b *testing.B) {
			m := counting(metrics.Options{})
			b.ReportAllocs()
			for b.Loop() {
				m.See(1, e)
			}
		})
	}
}

// A scrape of a large installation: a thousand endpoints with ten kinds of answers each.
func BenchmarkScrape(b *testing.B) {
	m := metrics.New(metrics.Options{})
	var all []metrics.Endpoint
	for i := range 1000 {
		all = append(all, metrics.Endpoint{API: "orders", Name: fmt.Sprintf("GET /v1/%d", i)})
	}
	m.Know(all)
	for _, at := range all {
		for _, code := range []string{"", "busy", "denied", "injection", "invalid_input", "locked_out", "missing_credential", "invalid_credential", "rate_limited", "upstream_failed"} {
			e := accepted()
			e.API, e.Endpoint, e.Code = at.API, at.Name, code
			m.See(1, e)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := m.Write(&out); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(out.Len()))
	}
}
