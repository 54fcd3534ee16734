package otlptest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/otlp"
)

// spansOf sends events twice, as after a failure, and reads what was posted. TracesData has the
// same field as ExportTraceServiceRequest.
func spansOf(t *testing.T, events ...audit.Event) []*trace.Span {
	t.Helper()
	var bodies [][]byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Error(err, r.Header)
		}
		bodies = append(bodies, body)
	}))
	defer server.Close()
	d, err := otlp.NewTraces(otlp.TraceSettings{HTTP: server.Client(), URL: server.URL + "/v1/traces", Source: form.Source{Node: "gw1", Version: "v1"}})
	if err != nil {
		t.Fatal(err)
	}
	var found []audit.Found
	for i, e := range events {
		found = append(found, audit.Found{Seq: uint64(i + 1), Event: e})
	}
	for range 2 {
		if err := d.Send(t.Context(), found); err != nil {
			t.Fatal(err)
		}
	}
	if len(bodies) != 2 || !bytes.Equal(bodies[0], bodies[1]) {
		t.Fatal("what is sent again is not the same")
	}
	data := &trace.TracesData{}
	if err := proto.Unmarshal(bodies[0], data); err != nil {
		t.Fatal(err)
	}
	if len(data.ResourceSpans) != 1 || len(data.ResourceSpans[0].ScopeSpans) != 1 || values(data.ResourceSpans[0].Resource.Attributes)["service.name"] != "pavise" {
		t.Fatalf("%v", data)
	}
	all := data.ResourceSpans[0].ScopeSpans[0].Spans
	for _, s := range all {
		if len(s.ProtoReflect().GetUnknown()) > 0 || len(s.SpanId) != 8 || len(s.TraceId) != 16 || s.EndTimeUnixNano < s.StartTimeUnixNano || s.Name == "" {
			t.Errorf("%v", s)
		}
	}
	return all
}

func values(attributes []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		}
	}
	return all
}

func request() audit.Event {
	for _, s := range events() {
		if s.ID == "id-accepted" {
			return s
		}
	}
	panic("formtest has no accepted request")
}

func TestARequestBecomesSpans(t *testing.T) {
	e := request()
	spans := spansOf(t, e)
	if len(spans) != 5 {
		t.Fatalf("%d spans: %v", len(spans), spans)
	}
	server, seen := spans[4], map[string]bool{}
	if server.Kind != trace.Span_SPAN_KIND_SERVER || server.Name != "GET /v1/orders/{id}" || hex.EncodeToString(server.SpanId) != e.Span ||
		hex.EncodeToString(server.ParentSpanId) != e.Parent || server.Flags != 0x301 || server.Status != nil ||
		server.StartTimeUnixNano != uint64(e.Time.UnixNano()) || server.EndTimeUnixNano != uint64(e.Time.Add(e.Duration).UnixNano()) {
		t.Errorf("%v", server)
	}
	begun := e.Time
	for i, want := range []struct {
		name string
		kind trace.Span_SpanKind
		took time.Duration
	}{
		{"pavise.entry", trace.Span_SPAN_KIND_INTERNAL, e.Took[audit.Entry]},
		{"pavise.identity", trace.Span_SPAN_KIND_INTERNAL, e.Took[audit.Identity]},
		{"pavise.rights", trace.Span_SPAN_KIND_INTERNAL, e.Took[audit.Rights]},
		{"GET", trace.Span_SPAN_KIND_CLIENT, e.UpstreamDuration},
	} {
		s := spans[i]
		if s.Name != want.name || s.Kind != want.kind || !bytes.Equal(s.ParentSpanId, server.SpanId) || s.Flags != 0x101 ||
			s.StartTimeUnixNano != uint64(begun.UnixNano()) || s.EndTimeUnixNano != uint64(begun.Add(want.took).UnixNano()) {
			t.Errorf("want %v: %v", want, s)
		}
		begun = begun.Add(want.took)
	}
	for _, s := range spans {
		if hex.EncodeToString(s.TraceId) != e.Trace || seen[string(s.SpanId)] {
			t.Errorf("%v", s)
		}
		seen[string(s.SpanId)] = true
	}
	same(t, values(server.Attributes), map[string]string{
		"http.request.method": "GET", "http.route": "/v1/orders/{id}", "http.response.status_code": "200", "url.path": "/v1/orders/7", "url.query": "page=*",
		"url.scheme": "https", "server.address": "api.example.com", "server.port": "8443", "client.address": "192.0.2.7", "client.port": "50123",
		"network.peer.address": "192.0.2.7", "network.peer.port": "50123", "network.protocol.version": "2", "tls.protocol.version": "1.3",
		"user_agent.original": "curl/8", "http.request.body.size": "10", "http.response.body.size": "512", "pavise.request_id": "id-accepted",
		"pavise.api": "orders", "pavise.decision": "accepted", "pavise.step": "proxy", "pavise.shield": "api_key", "pavise.credential": "k1",
		"pavise.client": "shop", "pavise.tenant": "north", "pavise.seq": "1",
	})
	same(t, values(spans[3].Attributes), map[string]string{
		"http.request.method": "GET", "url.full": "http://127.0.0.1:9000/v1/orders/7?page=*", "url.scheme": "http", "server.address": "127.0.0.1",
		"server.port": "9000", "network.peer.address": "127.0.0.1", "network.peer.port": "9000", "http.response.status_code": "200",
	})
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	for name, value := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is %q, want none", name, value)
		}
	}
}

// A server fails by 5xx and by answers that break off; a client by 4xx, too.
func TestWhatFailedIsMarked(t *testing.T) {
	for _, test := range []struct {
		name         string
		change       func(*audit.Event)
		server, call string // error.type; "": it did not fail
	}{
		{"all is well", func(*audit.Event) {}, "", ""},
		{"not found", func(e *audit.Event) { e.Status, e.UpstreamStatus = 404, 404 }, "", "404"},
		{"the upstream's fault", func(e *audit.Event) { e.Status, e.UpstreamStatus = 500, 500 }, "500", "500"},
		{"a rare status", func(e *audit.Event) { e.Status, e.UpstreamStatus = 599, 599 }, "599", "599"},
		{"nobody there", func(e *audit.Event) { e.Status, e.UpstreamStatus, e.Code = 502, 0, "upstream_failed" }, "upstream_failed", "upstream_failed"},
		{"broken off", func(e *audit.Event) { e.Note = "upstream_aborted" }, "upstream_aborted", "upstream_aborted"},
		{"the caller left", func(e *audit.Event) { e.Note = "client_gone" }, "", ""},
		{"the process died", func(e *audit.Event) { e.Note, e.Duration, e.Status = "interrupted", 0, 0 }, "interrupted", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := request()
			test.change(&e)
			spans := spansOf(t, e)
			for i, want := range map[int]string{len(spans) - 1: test.server, len(spans) - 2: test.call} {
				s := spans[i]
				if failed := s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR; failed != (want != "") || values(s.Attributes)["error.type"] != want {
					t.Errorf("want %q: %v", want, s)
				}
			}
			if server, call := spans[len(spans)-1], spans[len(spans)-2]; server.EndTimeUnixNano < call.EndTimeUnixNano {
				t.Errorf("the request ends before its call of the upstream: %v %v", server, call)
			}
		})
	}
}

func TestRefusalsAreNoFailures(t *testing.T) {
	e := request()
	e.Decision, e.Code, e.Step, e.Status, e.Upstream, e.UpstreamStatus = audit.Refused, "insufficient_scope", "access", 403, "", 0
	spans := spansOf(t, e)
	server := spans[len(spans)-1]
	got := values(server.Attributes)
	if len(spans) != 4 || server.Status != nil || got["pavise.decision"] != "refused" || got["pavise.code"] != "insufficient_scope" || got["error.type"] != "" {
		t.Errorf("%v", spans)
	}
}

func TestOnlyRecordedTracesBecomeSpans(t *testing.T) {
	good := request()
	for name, change := range map[string]func(*audit.Event){
		"not sampled":  func(e *audit.Event) { e.Sampled = false },
		"no trace":     func(e *audit.Event) { e.Trace = "" },
		"zeros":        func(e *audit.Event) { e.Trace = strings.Repeat("0", 32) },
		"no span":      func(e *audit.Event) { e.Span = "" },
		"no digits":    func(e *audit.Event) { e.Span = "+1+2+3+4+5+6+7+8" },
		"no request":   func(e *audit.Event) { e.Class = audit.Grant },
		"a long trace": func(e *audit.Event) { e.Trace += "00" },
	} {
		other := request()
		change(&other)
		if spans := spansOf(t, other, good, other); len(spans) != 5 {
			t.Errorf("%s: %d spans", name, len(spans))
		}
	}
	rootless := request()
	rootless.Parent = ""
	if s := spansOf(t, rootless)[4]; s.ParentSpanId != nil || s.Flags != 0x101 {
		t.Errorf("%v", s)
	}
}

func TestHostileTextInSpans(t *testing.T) {
	for _, text := range []string{"\xff\xfe", "a\r\nb", "\x00", "\u202e", strings.Repeat("ü", 3000), "\xed\xa0\x80", "[::1]:99999", ":", "://", "x://y:1"} {
		e := request()
		e.Method, e.Host, e.Path, e.Query, e.UserAgent, e.Endpoint, e.Code, e.Upstream, e.Client, e.Proto, e.Note = text, text, text, text, text, text, text, text, text, text, text
		e.Status = 500
		for _, s := range spansOf(t, e) {
			all := values(s.Attributes)
			all["name"] = s.Name
			for key, value := range all {
				if strings.ContainsAny(value, "\r\n\x00\u202e") || len(value) > 3*640 {
					t.Errorf("%.20q: %s is %.80q, %d bytes", text, key, value, len(value))
				}
			}
			if s.Kind == trace.Span_SPAN_KIND_SERVER && (!strings.HasPrefix(s.Name, "HTTP") || all["http.request.method"] != "_OTHER") {
				t.Errorf("%.20q names the span %.40q", text, s.Name)
			}
		}
	}
}

func TestRecordsAndSpansJoin(t *testing.T) {
	e := request()
	r := posted(t, []audit.Found{{Seq: 1, Event: e}}).ResourceLogs[0].ScopeLogs[0].LogRecords[0]
	if hex.EncodeToString(r.TraceId) != e.Trace || hex.EncodeToString(r.SpanId) != e.Span || r.Flags != 1 {
		t.Errorf("%v", r)
	}
	got := values(r.Attributes)
	if got["pavise.upstream"] != e.Upstream || got["pavise.upstream_status"] != "200" || got["pavise.identity_us"] != "200" {
		t.Errorf("%v", got)
	}
	e.Trace, e.Sampled = "none", false
	if r := posted(t, []audit.Found{{Seq: 1, Event: e}}).ResourceLogs[0].ScopeLogs[0].LogRecords[0]; r.TraceId != nil || r.SpanId != nil || r.Flags != 0 {
		t.Errorf("%v", r)
	}
}
