// Package otelcol sends spans and log records of the running program to an OpenTelemetry
// collector, between a caller and an upstream that are instrumented with its SDK.
package otelcol

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
)

// collector is one with an OTLP receiver over TLS. What its pipelines deliver is kept here.
type collector struct {
	component.StartFunc
	component.ShutdownFunc

	address string
	mu      sync.Mutex
	spans   []ptrace.Span
	records []plog.LogRecord
}

const collectorYAML = `yaml:
receivers: {otlp: {protocols: {http: {endpoint: "%s", tls: {cert_file: %s, key_file: %s}}}}}
exporters: {kept: {}}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [kept]}
    logs: {receivers: [otlp], exporters: [kept]}
`

func startCollector(t *testing.T, cert, key string) *collector {
	t.Helper()
	c := &collector{address: freeAddress(t)}
	running, err := otelcol.NewCollector(otelcol.CollectorSettings{
		Factories: c.factories, BuildInfo: component.NewDefaultBuildInfo(), DisableGracefulShutdown: true,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{fmt.Sprintf(collectorYAML, c.address, cert, key)}, ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := running.Run(context.Background()); err != nil {
			t.Errorf("the collector ends with %v", err)
		}
	}()
	t.Cleanup(func() {
		running.Shutdown()
		<-ended
	})
	wait(t, "the collector runs", func() bool {
		select {
		case <-ended:
			t.FailNow()
		default:
		}
		return running.GetState() == otelcol.StateRunning
	})
	return c
}

func (c *collector) factories() (otelcol.Factories, error) {
	kept := exporter.NewFactory(component.MustNewType("kept"), func() component.Config { return &struct{}{} },
		exporter.WithTraces(func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) { return c, nil }, component.StabilityLevelStable),
		exporter.WithLogs(func(context.Context, exporter.Settings, component.Config) (exporter.Logs, error) { return c, nil }, component.StabilityLevelStable))
	receivers, err := otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
	if err != nil {
		return otelcol.Factories{}, err
	}
	exporters, err := otelcol.MakeFactoryMap[exporter.Factory](kept)
	quiet := telemetry.NewFactory(func() component.Config { return &struct{}{} }) // it tells nothing of itself
	return otelcol.Factories{Receivers: receivers, Exporters: exporters, Telemetry: quiet}, err
}

// Capabilities implements the collector's consumers.
func (c *collector) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeTraces keeps spans.
func (c *collector) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range td.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				kept := ptrace.NewSpan()
				span.CopyTo(kept)
				c.spans = append(c.spans, kept)
			}
		}
	}
	return nil
}

// ConsumeLogs keeps records.
func (c *collector) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range ld.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				kept := plog.NewLogRecord()
				record.CopyTo(kept)
				c.records = append(c.records, kept)
			}
		}
	}
	return nil
}

// of returns the spans and records of a trace.
func (c *collector) of(trace string) (spans []ptrace.Span, records []plog.LogRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.TraceID().String() == trace {
			spans = append(spans, s)
		}
	}
	for _, r := range c.records {
		if r.TraceID().String() == trace {
			records = append(records, r)
		}
	}
	return spans, records
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the collector listens there
	return l.Addr().String()
}

// wait waits until something holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("in vain: %s", what)
		case <-tick.C:
		}
	}
}
