package metrics

import (
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/sink"
)

// State is how things stand at one moment. What is nil or empty is not shown.
type State struct {
	admin.Status

	Sinks     []sink.Status
	Upstreams []Upstream
	Incidents map[Incident]int // that have not ended
	Log       *Log
	Unready   map[string]bool // by part: whether it keeps the gateway from being ready
	Confirmed float64         // when revocations were last known to be the newest, in seconds since 1970; 0: unknown
}

// Upstream is what stands behind an API.
type Upstream struct {
	API       string
	Well, All int // addresses that would take a request, and all
}

// Incident is what a detection has found.
type Incident struct{ Detection, Severity string }

// Log is the event log.
type Log struct {
	Healthy   bool
	Used, All int   // places of events that are under way or not yet written
	Bytes     int64 // of its segments
}

// stateCollector shows what its function says, each time somebody asks.
type stateCollector struct {
	ask atomic.Pointer[func() State]
}

// Show says where to ask how things stand. The function is called for each scrape; it must be
// quick and safe for concurrent use.
func (m *Metrics) Show(state func() State) { m.state.ask.Store(&state) }

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range gauges() {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(to chan<- prometheus.Metric) {
	if ask := c.ask.Load(); ask != nil {
		shown{to, gauges()}.state((*ask)())
	}
}

// gauges are what is shown of a state.
func gauges() map[string]*prometheus.Desc {
	all := map[string]*prometheus.Desc{}
	add := func(name, help string, labels ...string) { all[name] = prometheus.NewDesc(name, help, labels, nil) }
	add("pavise_running", "Whether a gateway serves (1) or the store was read while none does (0).")
	add("pavise_clients", "Clients in the registry.")
	add("pavise_credentials", "Credentials in the registry, also those that are revoked or over.")
	add("pavise_ready", "Whether the part lets the gateway be ready (1) or keeps it from that (0).", "part")
	add("pavise_part_failing", "Parts of the gateway that are not well.", "part")
	add("pavise_requests_under_way", "Requests under way.")
	add("pavise_request_places", "How many requests may be under way.")
	add("pavise_requests_shed_total", "Requests refused because too many were under way, by priority.", "priority")
	add("pavise_revocations_confirmed_timestamp_seconds", "When what is revoked was last known to be the newest.")
	add("pavise_certificate_not_after_timestamp_seconds", "When a certificate ends; of clients' the one that ends first.", "kind", "name")
	add("pavise_upstream_addresses", "Addresses behind an API.", "api")
	add("pavise_upstream_addresses_healthy", "Addresses behind an API that would take a request now.", "api")
	add("pavise_log_healthy", "Whether events can be kept.")
	add("pavise_log_places_used", "Events that are under way or not yet written to a segment.")
	add("pavise_log_places", "How many may be; requests are refused when all are used.")
	add("pavise_log_bytes", "Size of the log's segments.")
	add("pavise_sink_delivered_event", "Number of the last event that a sink has.", "sink", "kind")
	add("pavise_sink_lag_events", "Events that a sink does not have yet.", "sink", "kind")
	add("pavise_sink_spool_events", "How many may wait until APIs with audit: required refuse.", "sink", "kind")
	add("pavise_sink_lost_events_total", "Events that retention took before a sink had them.", "sink", "kind")
	add("pavise_sink_rejected_events_total", "Events that a sink refused for good.", "sink", "kind")
	add("pavise_sink_failing", "Whether nothing is delivered at present.", "sink", "kind")
	add("pavise_sink_full", "Whether APIs with audit: required refuse because of a sink.", "sink", "kind")
	add("pavise_alerts_open", "Incidents that have not ended.", "detection", "severity")
	return all
}

// shown sends what is to be shown.
type shown struct {
	to  chan<- prometheus.Metric
	all map[string]*prometheus.Desc
}

func (s shown) gauge(name string, value float64, labels ...string) {
	s.send(name, prometheus.GaugeValue, value, labels)
}

func (s shown) counter(name string, value float64, labels ...string) {
	s.send(name, prometheus.CounterValue, value, labels)
}

func (s shown) send(name string, t prometheus.ValueType, value float64, labels []string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "�") // names out of certificates
	}
	s.to <- prometheus.MustNewConstMetric(s.all[name], t, value, labels...)
}

func (s shown) state(now State) {
	s.gauge("pavise_running", number(now.Running))
	s.gauge("pavise_clients", float64(now.Clients))
	s.gauge("pavise_credentials", float64(now.Credentials))
	for part := range now.Faults {
		if name, ofSink := strings.CutPrefix(part, "sink "); !ofSink || name == "" {
			s.gauge("pavise_part_failing", 1, part) // those of sinks have gauges of their own
		}
	}
	for part, unready := range now.Unready {
		s.gauge("pavise_ready", number(!unready), part)
	}
	if l := now.Load; l != nil {
		s.gauge("pavise_requests_under_way", float64(l.UnderWay))
		s.gauge("pavise_request_places", float64(l.Places))
		for priority, n := range l.Shed {
			s.counter("pavise_requests_shed_total", float64(n), priority)
		}
	}
	if now.Confirmed != 0 {
		s.gauge("pavise_revocations_confirmed_timestamp_seconds", now.Confirmed)
	}
	s.certificates(now.Certificates)
	for _, u := range now.Upstreams {
		s.gauge("pavise_upstream_addresses", float64(u.All), u.API)
		s.gauge("pavise_upstream_addresses_healthy", float64(u.Well), u.API)
	}
	if l := now.Log; l != nil {
		s.gauge("pavise_log_healthy", number(l.Healthy))
		s.gauge("pavise_log_places_used", float64(l.Used))
		s.gauge("pavise_log_places", float64(l.All))
		s.gauge("pavise_log_bytes", float64(l.Bytes))
	}
	s.sinks(now.Sinks)
	for i, n := range now.Incidents {
		s.gauge("pavise_alerts_open", float64(n), i.Detection, i.Severity)
	}
}

// clients' certificates are as many as there are clients, and their names are those of clients:
// one series stands for all.
func (s shown) certificates(all []admin.CertificateEnd) {
	ends := map[[2]string]int64{}
	for _, c := range all {
		kind, name := ofCertificate(c.Name)
		at := [2]string{kind, name}
		if end, known := ends[at]; !known || c.NotAfter.Unix() < end {
			ends[at] = c.NotAfter.Unix()
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(ends), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) }) {
		s.gauge("pavise_certificate_not_after_timestamp_seconds", float64(ends[at]), at[0], at[1])
	}
}

// ofCertificate takes "host api.example.com" apart.
func ofCertificate(whole string) (kind, name string) {
	for _, kind := range []string{"host", "upstream client", "authority"} {
		if name, ok := strings.CutPrefix(whole, kind+" "); ok {
			return strings.ReplaceAll(kind, " ", "_"), name
		}
	}
	return "clients", ""
}

func (s shown) sinks(all []sink.Status) {
	for _, k := range all {
		s.gauge("pavise_sink_delivered_event", float64(k.Delivered), k.Name, k.Kind)
		s.gauge("pavise_sink_lag_events", float64(k.Lag), k.Name, k.Kind)
		s.gauge("pavise_sink_spool_events", float64(k.Spool), k.Name, k.Kind)
		s.counter("pavise_sink_lost_events_total", float64(k.Lost), k.Name, k.Kind)
		s.counter("pavise_sink_rejected_events_total", float64(k.Rejected), k.Name, k.Kind)
		s.gauge("pavise_sink_failing", number(k.Failing != ""), k.Name, k.Kind)
		s.gauge("pavise_sink_full", number(k.Full), k.Name, k.Kind)
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func buildInfo() prometheus.Collector {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pavise_build_info", Help: "What runs: always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	return info
}

// Write writes everything in the text format of Prometheus.
func (m *Metrics) Write(to io.Writer) error { return write(to, m.registry) }

// WriteState writes how things stand where nothing is counted: without a gateway.
func WriteState(to io.Writer, state State) error {
	registry := prometheus.NewPedanticRegistry()
	c := &stateCollector{}
	ask := func() State { return state }
	c.ask.Store(&ask)
	if err := registry.Register(c); err != nil {
		return err
	}
	return write(to, registry)
}

func write(to io.Writer, from prometheus.Gatherer) error {
	families, err := from.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(to, family); err != nil {
			return err
		}
	}
	return nil
}
