package otelcol

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// instrumented is a program with OpenTelemetry's SDK; its spans are kept.
type instrumented struct {
	*tracetest.InMemoryExporter
	options []otelhttp.Option
}

func instrument(t *testing.T, share float64) *instrumented {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(kept), sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(share))))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return &instrumented{kept, []otelhttp.Option{otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{})}}
}

// TestATraceJoinsCallerGatewayAndUpstream asks a started gateway with a client of
// OpenTelemetry's. The caller's span is the parent of the gateway's, whose call of the upstream
// is the parent of the upstream's; and the log record of the request belongs to it.
func TestATraceJoinsCallerGatewayAndUpstream(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir)
	c := startCollector(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	caller, behind := instrument(t, 1), instrument(t, 0)
	upstream := httptest.NewServer(otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/broken") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}), "orders", behind.options...))
	t.Cleanup(upstream.Close)
	g := install(t, c.address, filepath.Join(dir, "cert.pem"), upstream.URL)

	for path, want := range map[string]struct {
		status int
		failed bool
	}{"/v1/orders/7?page=2&card=marked-s3cr3t": {200, false}, "/v1/orders/broken": {500, true}, "/v1/secrets": {403, false}} {
		caller.Reset()
		behind.Reset()
		client := &http.Client{Transport: otelhttp.NewTransport(g.transport(), caller.options...)}
		answer, err := client.Get(g.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want.status {
			t.Fatalf("%s: %d", path, answer.StatusCode)
		}
		asked := caller.GetSpans()[0].SpanContext
		trace := asked.TraceID().String()
		wait(t, "the spans and the record of "+path, func() bool {
			spans, records := c.of(trace)
			return len(spans) > 1 && len(records) > 0
		})
		spans, records := c.of(trace)
		server, call := byKind(spans, ptrace.SpanKindServer), byKind(spans, ptrace.SpanKindClient)
		if server == nil || server.ParentSpanID().String() != asked.SpanID().String() || (server.Status().Code() == ptrace.StatusCodeError) != want.failed {
			t.Fatalf("%s: %v", path, server)
		}
		attributes := server.Attributes().AsRaw()
		if attributes["http.response.status_code"] != int64(want.status) || strings.Contains(fmt.Sprint(attributes), "s3cr3t") {
			t.Errorf("%s: %v", path, attributes)
		}
		for _, r := range records {
			if r.SpanID() != server.SpanID() || r.Flags() != 1 || r.EventName() != "pavise.request" {
				t.Errorf("%s: the record is of the span %s, the request of %s", path, r.SpanID(), server.SpanID())
			}
		}
		if want.status == http.StatusForbidden {
			if call != nil || len(behind.GetSpans()) > 0 {
				t.Errorf("the upstream of a refused request: %v", call)
			}
			continue
		}
		if call == nil || call.ParentSpanID() != server.SpanID() || call.StartTimestamp() < server.StartTimestamp() || call.EndTimestamp() > server.EndTimestamp() {
			t.Fatalf("%s: %v", path, spans)
		}
		answered := behind.GetSpans()[0]
		if answered.SpanContext.TraceID() != asked.TraceID() || answered.Parent.SpanID().String() != call.SpanID().String() {
			t.Errorf("%s: the upstream is in the trace %s below %s, want %s below %s", path, answered.SpanContext.TraceID(), answered.Parent.SpanID(), trace, call.SpanID())
		}
	}
}

// What the caller does not record is recorded by nobody; the trace goes on all the same.
func TestACallerWhoDoesNotRecord(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir)
	c := startCollector(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	caller := instrument(t, 0)
	seen := make(chan string, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Traceparent") }))
	t.Cleanup(upstream.Close)
	g := install(t, c.address, filepath.Join(dir, "cert.pem"), upstream.URL)
	client := &http.Client{Transport: otelhttp.NewTransport(g.transport(), caller.options...)}
	answer, err := client.Get(g.url + "/v1/orders/7")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	parent := <-seen
	if len(parent) != 55 || !strings.HasSuffix(parent, "-00") {
		t.Fatalf("the upstream got %q", parent)
	}
	wait(t, "the record", func() bool { _, records := c.of(parent[3:35]); return len(records) > 0 })
	g.stop() // delivers what is left
	spans, records := c.of(parent[3:35])
	if len(spans) > 0 || records[0].SpanID().String() != parent[36:52] || records[0].Flags() != 0 {
		t.Errorf("%d spans; the record is of %s, the upstream got %s", len(spans), records[0].SpanID(), parent)
	}
}

func byKind(spans []ptrace.Span, kind ptrace.SpanKind) *ptrace.Span {
	for i := range spans {
		if spans[i].Kind() == kind {
			return &spans[i]
		}
	}
	return nil
}
